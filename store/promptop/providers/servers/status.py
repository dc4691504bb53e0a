"""How a self-hosted server stands, read from its own figures: vLLM, SGLang, llama.cpp (``/metrics``), Ollama
(``/api/ps``).

These are the server's figures of this moment, over all its clients. They are shown beside the log and never mixed into
its rows. A figure that a server or its version does not give is unknown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+([^\s]+)(?:\s+-?\d+)?$")
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
_RANKS = frozenset(("tp_rank", "pp_rank", "moe_ep_rank"))
"""Labels of workers that serve the same requests together: each tells the same figure."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a server calls its figures; the first name that it gives counts."""

    path: str
    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    kv_cache: tuple[str, ...] = ()
    hits: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()
    hit_rate: tuple[str, ...] = ()
    remedy: str = ""
    """What to do where the path is not there."""


SERVERS: Mapping[str, Names] = {
    "vllm": Names(
        "/metrics",
        running=("vllm:num_requests_running",),
        waiting=("vllm:num_requests_waiting",),
        kv_cache=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        hits=("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
        lookups=("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
        hit_rate=("vllm:gpu_prefix_cache_hit_rate",),
        remedy="Start it without --disable-log-stats.",
    ),
    "sglang": Names(
        "/metrics",
        running=("sglang:num_running_reqs",),
        waiting=("sglang:num_queue_reqs",),
        kv_cache=("sglang:token_usage",),
        hit_rate=("sglang:cache_hit_rate",),
        remedy="Start it with --enable-metrics.",
    ),
    "llama.cpp": Names(
        "/metrics",
        running=("llamacpp:requests_processing",),
        waiting=("llamacpp:requests_deferred",),
        kv_cache=("llamacpp:kv_cache_usage_ratio",),
        remedy="Start it with --metrics.",
    ),
    "ollama": Names("/api/ps", remedy="It needs Ollama 0.1.38 or newer."),
}
"""By the name that a profile gives as its ``server``."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One look at a server; None is unknown."""

    running: int | None = None
    """Requests that it works on."""
    waiting: int | None = None
    """Requests in its queue."""
    kv_cache: float | None = None
    """Share of the KV cache in use, 0 to 1: of several engines the fullest."""
    prefix_hits: float | None = None
    """Share of prompt tokens that its prefix cache had, 0 to 1: since the look before, else since it started."""
    models: tuple[str, ...] = ()
    """Models in memory, where the server tells."""
    memory_bytes: int | None = None
    """Memory that they take on the accelerator."""
    hit_tokens: float | None = None
    lookup_tokens: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether anything of a server's figures was there."""
        return any(each is not None for each in (self.running, self.waiting, self.kv_cache, self.memory_bytes))

    def since(self, before: ServerStatus | None) -> ServerStatus:
        """Return it with the prefix hits of the time since another look; a counter that fell is a restart."""
        hits, lookups = self.hit_tokens, self.lookup_tokens
        if hits is None or lookups is None:
            return self
        if before is not None and before.hit_tokens is not None and before.lookup_tokens is not None:
            if lookups == before.lookup_tokens:
                return replace(self, prefix_hits=before.prefix_hits)
            if lookups > before.lookup_tokens and hits >= before.hit_tokens:
                hits, lookups = hits - before.hit_tokens, lookups - before.lookup_tokens
        return replace(self, prefix_hits=hits / lookups if lookups else None)


def parse_metrics(server: str, text: str) -> ServerStatus:
    """Read a Prometheus exposition of one of :data:`SERVERS`."""
    names = SERVERS[server]
    wanted = {name for group in (names.running, names.waiting, names.kv_cache) for name in group}
    wanted |= {name for group in (names.hits, names.lookups, names.hit_rate) for name in group}
    found: dict[str, dict[str, float]] = {}
    for name, labels, value in _samples(text, wanted):
        engines = found.setdefault(name, {})
        engine = ",".join(f"{key}={labels[key]}" for key in sorted(labels) if key not in _RANKS)
        engines[engine] = max(engines.get(engine, value), value)

    def first(group: tuple[str, ...]) -> dict[str, float] | None:
        return next((found[name] for name in group if name in found), None)

    def total(group: tuple[str, ...]) -> float | None:
        engines = first(group)
        return None if engines is None else sum(engines.values())

    running, waiting, fullest, rate = total(names.running), total(names.waiting), first(names.kv_cache), None
    if rates := first(names.hit_rate):
        rate = sum(rates.values()) / len(rates)
    return ServerStatus(
        running=None if running is None else round(running),
        waiting=None if waiting is None else round(waiting),
        kv_cache=None if fullest is None else max(fullest.values()),
        prefix_hits=rate,
        hit_tokens=total(names.hits),
        lookup_tokens=total(names.lookups),
    ).since(None)


def parse_ollama(answer: Any) -> ServerStatus:
    """Read the answer of Ollama's ``/api/ps``: what is loaded; it does not tell what runs or waits."""
    listed = answer.get("models") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        return ServerStatus()
    models = [each for each in listed if isinstance(each, dict)]
    sizes = [each["size_vram"] for each in models if isinstance(each.get("size_vram"), int)]
    return ServerStatus(
        models=tuple(str(each.get("name") or each.get("model") or "?") for each in models),
        memory_bytes=sum(sizes),
    )


def _samples(text: str, wanted: set[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        if line.startswith("#") or not line.startswith(tuple(wanted)):
            continue
        found = _SAMPLE.match(line.strip())
        if found is None or found[1] not in wanted:
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        if math.isfinite(value):
            yield found[1], dict(_LABEL.findall(found[2] or "")), value
