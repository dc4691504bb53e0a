"""The models that the simulated endpoint offers, and how fast each of them pretends to be.

Real names are here so that prices and tokenizers apply to the demo's traffic; the latencies are round figures in the
range that public measurements report, not measurements of those services.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """One model: its latency, its tokenizer, and what it refuses."""

    name: str
    provider: str = "promptop"
    kind: str = "chat"
    """``chat`` or ``embedding``."""
    ttft_s: float = 0.4
    """Median time to the first token of a short prompt, seconds."""
    ttft_sigma: float = 0.35
    """Spread of the log-normal distribution of that time."""
    tps: float = 80.0
    """Median tokens a second once it streams."""
    prefill_tps: float = 12000.0
    """Input tokens read a second before the first token."""
    encoding: str = "o200k_base"
    token_factor: float = 1.0
    """Tokens it reports for each token of ``encoding``: above 1 where the real tokenizer is another one."""
    snapshot: str = ""
    """Name it answers under, where that differs from the name it is asked by."""
    reasoning: str = ""
    """``hidden`` (counted, not shown), ``shown`` (``reasoning_content`` deltas), or empty."""
    reasoning_tokens: int = 0
    """Median of hidden or shown reasoning tokens."""
    dimensions: int = 0
    """Length of an embedding."""
    refuses: frozenset[str] = frozenset()
    """Parameters answered with a 400 that names them."""

    def first_token_delay(self, rng: random.Random, input_tokens: int) -> float:
        """Draw the seconds until the first token: log-normal around the median, plus the time to read the input."""
        return self.ttft_s * math.exp(rng.gauss(0.0, self.ttft_sigma)) + input_tokens / self.prefill_tps

    def speed(self, rng: random.Random) -> float:
        """Draw the tokens a second of one answer."""
        return self.tps * math.exp(rng.gauss(0.0, 0.15))


_HIDDEN = frozenset({"max_tokens", "temperature", "top_p"})
_HIDDEN_NO_STOP = _HIDDEN | {"stop"}


def _models() -> dict[str, ModelProfile]:
    chat = [
        ModelProfile("sim-fast", ttft_s=0.18, tps=180),
        ModelProfile("sim-smart", ttft_s=0.55, tps=70),
        ModelProfile("sim-slow", ttft_s=1.8, tps=25, ttft_sigma=0.5),
        ModelProfile("sim-reasoner", ttft_s=0.5, tps=90, reasoning="shown", reasoning_tokens=120),
        ModelProfile("gpt-4o-mini", "openai", ttft_s=0.38, tps=95, snapshot="gpt-4o-mini-2024-07-18"),
        ModelProfile("gpt-4o", "openai", ttft_s=0.48, tps=85, snapshot="gpt-4o-2024-08-06"),
        ModelProfile("gpt-4.1", "openai", ttft_s=0.52, tps=75, snapshot="gpt-4.1-2025-04-14"),
        ModelProfile("gpt-4.1-mini", "openai", ttft_s=0.42, tps=90, snapshot="gpt-4.1-mini-2025-04-14"),
        ModelProfile("gpt-4.1-nano", "openai", ttft_s=0.28, tps=150, snapshot="gpt-4.1-nano-2025-04-14"),
        ModelProfile("gpt-4-turbo", "openai", ttft_s=0.7, tps=35, encoding="cl100k_base"),
        ModelProfile("gpt-3.5-turbo", "openai", ttft_s=0.35, tps=110, encoding="cl100k_base"),
        ModelProfile("o1", "openai", ttft_s=4.5, tps=90, reasoning="hidden", reasoning_tokens=500, refuses=_HIDDEN),
        ModelProfile(
            "o3", "openai", ttft_s=3.5, tps=95, reasoning="hidden", reasoning_tokens=400, refuses=_HIDDEN_NO_STOP
        ),
        ModelProfile(
            "o4-mini", "openai", ttft_s=2.2, tps=120, reasoning="hidden", reasoning_tokens=250, refuses=_HIDDEN_NO_STOP
        ),
        ModelProfile(
            "gpt-5-mini", "openai", ttft_s=1.4, tps=110, reasoning="hidden", reasoning_tokens=160, refuses=_HIDDEN
        ),
        ModelProfile("gpt-5", "openai", ttft_s=2.6, tps=85, reasoning="hidden", reasoning_tokens=320, refuses=_HIDDEN),
        ModelProfile("claude-sonnet-5-5", "anthropic", ttft_s=0.8, tps=95, token_factor=1.53),
        ModelProfile(
            "claude-haiku-4-5",
            "anthropic",
            ttft_s=0.5,
            tps=120,
            token_factor=1.18,
            snapshot="claude-haiku-4-5-20251001",
        ),
        ModelProfile("gemini-2.5-flash", "google", ttft_s=0.45, tps=170),
        ModelProfile("deepseek-chat", "deepseek", ttft_s=0.7, tps=70),
        ModelProfile("deepseek-reasoner", "deepseek", ttft_s=0.9, tps=75, reasoning="shown", reasoning_tokens=220),
        ModelProfile("qwen-plus", "qwen", ttft_s=0.6, tps=70),
        ModelProfile("qwen-max", "qwen", ttft_s=0.9, tps=40),
    ]
    embedding = [
        ModelProfile("sim-embed", kind="embedding", ttft_s=0.06, encoding="cl100k_base", dimensions=256),
        ModelProfile(
            "text-embedding-3-small", "openai", "embedding", ttft_s=0.12, encoding="cl100k_base", dimensions=1536
        ),
        ModelProfile(
            "text-embedding-3-large", "openai", "embedding", ttft_s=0.16, encoding="cl100k_base", dimensions=3072
        ),
    ]
    return {model.name: model for model in (*chat, *embedding)}


MODELS: Mapping[str, ModelProfile] = _models()
"""Name → profile of every model that ``/v1/models`` lists (beside one ``sim-fault-…`` per fault)."""

_FAULT_MODEL = ModelProfile("sim-fault", ttft_s=0.2, tps=120)


def find(name: str) -> ModelProfile | None:
    """Return the profile of a model: by its name, by its dated name, or the plain one of ``sim-fault-…``."""
    if found := MODELS.get(name):
        return found
    if name.startswith("sim-fault-"):
        return replace(_FAULT_MODEL, name=name)
    for model in MODELS.values():
        if model.snapshot == name:
            return model
    return None
