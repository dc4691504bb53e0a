"""The response cache: the key of a request, the levels that keep answers, and one fetch for many askers."""

from promptop.cache.cache import Cache, Hit, Lead
from promptop.cache.disk_level import DiskLevel
from promptop.cache.entry import CacheEntry
from promptop.cache.factory import open_cache, policy_of, redis_url
from promptop.cache.key import CacheKey, Policy, key_of
from promptop.cache.level import Level, LevelStats
from promptop.cache.memory_level import MemoryLevel
from promptop.cache.redis_level import RedisLevel
from promptop.cache.semantic.level import ProcessMemory, Semantic, SemanticMatch

__all__ = [
    "Cache",
    "CacheEntry",
    "CacheKey",
    "DiskLevel",
    "Hit",
    "Lead",
    "Level",
    "LevelStats",
    "MemoryLevel",
    "Policy",
    "ProcessMemory",
    "RedisLevel",
    "Semantic",
    "SemanticMatch",
    "key_of",
    "open_cache",
    "policy_of",
    "redis_url",
]
