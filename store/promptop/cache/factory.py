"""The cache that the settings describe."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from promptop.base.errors import PromptopError
from promptop.cache.cache import Cache
from promptop.cache.disk_level import DiskLevel
from promptop.cache.key import Policy
from promptop.cache.level import Level
from promptop.cache.memory_level import MemoryLevel
from promptop.cache.redis_level import RedisLevel
from promptop.cache.semantic.embedding import ENDPOINT_THRESHOLD, LOCAL, LOCAL_THRESHOLD, LocalEmbedder
from promptop.cache.semantic.file_index import FileMemory
from promptop.cache.semantic.level import Memory, ProcessMemory, Semantic
from promptop.cache.semantic.redis_index import VectorMemory
from promptop.settings import CacheSettings

MB = 1 << 20


def disk_path(log: Path) -> Path:
    """Return the file of the disk level, beside the log."""
    return log.with_name("cache.db")


def prompts_path(log: Path) -> Path:
    """Return the file of remembered prompts, beside the log."""
    return log.with_name("cache-prompts.db")


def open_cache(
    settings: CacheSettings,
    log: Path,
    *,
    notice: Callable[[str], None] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Cache:
    """Return the cache with its levels, nearest first; nothing is opened before it is used.

    ``notice`` is told when Redis or embeddings are given up and when they are back. Raises :class:`PromptopError` if
    ``redis_env`` names a variable that is not set, or if the semantic level needs what is not installed.
    """
    levels: list[Level] = []
    if settings.memory_mb:
        levels.append(MemoryLevel(max_bytes=settings.memory_mb * MB))
    if url := redis_url(settings, environ):
        levels.append(RedisLevel(url, prefix=settings.redis_prefix, notice=notice))
    if settings.disk:
        levels.append(DiskLevel(disk_path(log), max_bytes=settings.disk_mb * MB))
    return Cache(levels, ttl_s=settings.ttl_s or None, semantic=_semantic(settings, log, notice, environ))


def _semantic(
    settings: CacheSettings,
    log: Path,
    notice: Callable[[str], None] | None,
    environ: Mapping[str, str] | None,
) -> Semantic | None:
    """Return the semantic level of these settings; None where it is off.

    Raises :class:`PromptopError` where what it needs is not installed or not configured.
    """
    if settings.semantic == "off":
        return None
    if find_spec("numpy") is None:
        raise PromptopError(
            "The semantic level needs numpy, which is not installed.", "pip install 'promptop[semantic]'"
        )
    local = LocalEmbedder() if settings.semantic == "local" else None
    memory: Memory
    if settings.semantic_keep == "redis":
        url = redis_url(settings, environ)
        if not url:
            raise PromptopError('[cache] semantic_keep is "redis", but no server is named.', "Set redis or redis_env.")
        memory = VectorMemory(url, prefix=settings.redis_prefix, max_entries=settings.semantic_entries, notice=notice)
    elif settings.semantic_keep == "disk":
        memory = FileMemory(prompts_path(log), max_entries=settings.semantic_entries)
    else:
        memory = ProcessMemory(max_entries=settings.semantic_entries)
    return Semantic(
        memory,
        threshold=settings.semantic_threshold or (ENDPOINT_THRESHOLD if local is None else LOCAL_THRESHOLD),
        model=settings.semantic_model if local is None else LOCAL,
        embed=local,
        notice=notice,
    )


def redis_url(settings: CacheSettings, environ: Mapping[str, str] | None = None) -> str:
    """Return the address of the Redis server, empty if there is none; raises as :func:`open_cache` does."""
    if not settings.redis_env:
        return settings.redis
    url = (os.environ if environ is None else environ).get(settings.redis_env, "")
    if not url:
        raise PromptopError(
            f"[cache] redis_env names ${settings.redis_env}, which is not set.",
            f"export {settings.redis_env}=redis://… or take the line out.",
        )
    return url


def policy_of(settings: CacheSettings) -> Policy:
    """Return what may be cached by these settings."""
    return Policy(
        any_temperature=settings.any_temperature,
        tools=settings.tools,
        normalize_whitespace=settings.normalize_whitespace,
        semantic=settings.semantic != "off",
    )
