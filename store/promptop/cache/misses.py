"""Why a cache did not answer: the provider's prompt cache, and ours. Pure functions over rows, oldest first.

For the provider's cache the log knows hashes of growing prefixes of each request and how many input tokens were read
from the cache. A request whose prefix was sent before to the same model, and which still read much less than that
prefix, should have hit; one whose prompt begins otherwise than the one before it never could. What was lost is an
estimate: characters stand for tokens, and today's rates for money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.log.read.filters import quoted
from promptop.log.read.prefixes import characters_of, prefixes_of

if TYPE_CHECKING:
    from promptop.log import StoredRow

SMALLEST = 1_024
"""Input tokens below which providers cache nothing."""
FORGOTTEN_MS = 300_000
"""Providers keep an unused prefix for about five minutes."""
CHANGES = "its text changes"
_BEGINS = ("tools", "reasoning_effort")
"""Logged parameters that are part of what a provider's cache compares."""
_PARAMETERS = ("temperature", "top_p", "max_tokens", "seed", "stop_sequences", "tools", "reasoning_effort")

Rates = Callable[[str], tuple[float, float] | None]
"""Model → USD per million input tokens, plain and read from the cache; None if that is not known."""


@dataclass(slots=True)
class MissCause:
    """Misses with one cause, of one prompt of one program."""

    where: Literal["provider", "ours"]
    cause: str
    model: str
    app: str
    prompt: str
    n: int = 0
    tokens: float = 0.0
    lost_usd: float | None = None
    first_ms: int = 0
    last_ms: int = 0
    ages_s: list[float] = field(default_factory=list)
    """Seconds since the request that each is held against."""
    pair: tuple[StoredRow, StoredRow] | None = None
    """The last of them, and what it is held against."""

    @property
    def filter(self) -> str:
        """Expression for the requests of this program, prompt and model."""
        parts = (("model", self.model), ("app", self.app), ("prompt", self.prompt))
        return " ".join(f"{name}:{quoted(value) if value else 'none'}" for name, value in parts)


@dataclass(slots=True)
class _Seen:
    """What was sent before."""

    prefixes: dict[tuple[str, str], StoredRow] = field(default_factory=dict)
    """(model, prefix hash) → the row that sent it last."""
    prompts: dict[tuple[str, str], StoredRow] = field(default_factory=dict)
    """(app, prompt) → the row before."""
    asked: dict[tuple[str, str], StoredRow] = field(default_factory=dict)
    """(model, prompt hash) → the row before, for our cache."""
    words: dict[str, StoredRow] = field(default_factory=dict)
    """Key without regard to white space → the row before."""


def findings_of(rows: Iterable[StoredRow], rates: Rates, ttl_s: float = 0.0) -> tuple[MissCause, ...]:
    """Return why caches did not answer, the dearest first; ``ttl_s`` is how long ours keeps an answer, 0 unknown."""
    seen, found = _Seen(), dict[tuple[str, ...], MissCause]()
    for row in rows:
        if row.started_ms is None:
            continue
        prefixes = prefixes_of(row)
        if row.error_type is None and (row.cache_level in (None, "miss")):
            _provider(row, prefixes, seen, found, rates)
        if row.cache_level is not None:
            _ours(row, seen, found, ttl_s)
        model = row.request_model or ""
        for _, digest in prefixes:
            seen.prefixes[model, digest] = row
        if row.app or row.prompt_name:
            seen.prompts[row.app or "", row.prompt_name or ""] = row
        if row.prompt_hash and row.cache_level is not None:
            seen.asked[model, row.prompt_hash] = row
        if row.cache_words_key:
            seen.words[row.cache_words_key] = row
    return tuple(sorted(found.values(), key=lambda each: (-(each.lost_usd or 0.0), -each.tokens, -each.n)))


def _provider(
    row: StoredRow,
    prefixes: tuple[tuple[int, str], ...],
    seen: _Seen,
    found: dict[tuple[str, ...], MissCause],
    rates: Rates,
) -> None:
    tokens, read = row.usage_input_tokens, row.usage_cache_read_input_tokens
    if read is None or tokens is None or tokens < SMALLEST or not prefixes:
        return  # unknown is not a miss, and small prompts are not cached
    model, now = row.request_model or "", row.started_ms or 0
    whole = max(characters_of(row, prefixes), 1)
    known = [(size, seen.prefixes[model, digest]) for size, digest in prefixes if (model, digest) in seen.prefixes]
    before = seen.prompts.get((row.app or "", row.prompt_name or ""))
    if known:
        size, sent = known[-1]
        expected = tokens * size / whole
        if expected >= SMALLEST and read < expected / 2:
            _note(row, "provider", _cause(row, sent), expected - read, found, rates, sent)
            return
    if before is None or now - (before.started_ms or 0) > FORGOTTEN_MS:
        return
    earlier = prefixes_of(before)
    shared = max((size for size, digest in prefixes if (size, digest) in earlier), default=0)
    if before.request_model != row.request_model:
        if tokens * shared / whole >= SMALLEST and read < tokens * shared / whole / 2:
            cause = f"the model changed from {clean_line(before.request_model or 'none', 30)}"
            _note(row, "provider", cause, tokens * shared / whole - read, found, rates, before)
        return
    possible = tokens * min(earlier[-1][0] if earlier else 0, prefixes[-1][0]) / whole
    if possible - read >= SMALLEST and tokens * shared / whole < possible / 2:
        # Hashes stand at a few places: only bodies tell the very character.
        behind = next((size for size, _ in prefixes if size > shared), whole)
        within = (
            f"between characters {shared:,} and {behind:,}" if shared else f"within its first {behind:,} characters"
        )
        cause = f"{CHANGES} {within}"
        _note(row, "provider", cause, possible - read, found, rates, before)


def _cause(row: StoredRow, sent: StoredRow) -> str:
    """Say why a prefix that was sent before was not found."""
    if row.server_address != sent.server_address:
        return f"last sent to another server, {clean_line(sent.server_address or 'unknown', 24)}"
    changed = [name for name in _BEGINS if getattr(row, f"request_{name}") != getattr(sent, f"request_{name}")]
    if changed:
        return f"last sent with other {' and '.join(name.replace('_', ' ') for name in changed)}"
    if (row.started_ms or 0) - (sent.started_ms or 0) > FORGOTTEN_MS:
        return "forgotten: unused for over 5 minutes"
    return "not found, though used within 5 minutes"


def _ours(row: StoredRow, seen: _Seen, found: dict[tuple[str, ...], MissCause], ttl_s: float) -> None:
    if row.cache_level != "miss" or not row.prompt_hash:
        return
    before = seen.asked.get((row.request_model or "", row.prompt_hash))
    if before is None:
        before = seen.words.get(row.cache_words_key or "")
        if before is not None:
            cause = "differs in white space alone: normalize_whitespace"
            _note(row, "ours", cause, float(row.usage_input_tokens or 0), found, None, before)
        return
    changed = [name for name in _PARAMETERS if getattr(row, f"request_{name}") != getattr(before, f"request_{name}")]
    age_s = ((row.started_ms or 0) - (before.started_ms or 0)) / 1000
    if changed:
        cause = f"asked before with another {', '.join(name.replace('_', ' ') for name in changed)}"
    elif before.error_type is not None:
        cause = "asked before, and that request failed"
    elif row.cache_key and before.cache_key and row.cache_key != before.cache_key:
        cause = "another parameter, of which the log has no column"
    elif ttl_s and age_s > ttl_s:
        cause = f"expired: asked longer ago than the TTL of {units.seconds(ttl_s)}"
    elif ttl_s:
        cause = "asked within the TTL: dropped, or never stored"
    else:
        cause = "expired, dropped, or never stored"
    _note(row, "ours", cause, float(row.usage_input_tokens or 0), found, None, before)


def _note(
    row: StoredRow,
    where: Literal["provider", "ours"],
    cause: str,
    tokens: float,
    found: dict[tuple[str, ...], MissCause],
    rates: Rates | None,
    before: StoredRow,
) -> None:
    model, app, prompt = row.request_model or "", row.app or "", row.prompt_name or ""
    finding = found.setdefault((where, cause, model, app, prompt), MissCause(where, cause, model, app, prompt))
    finding.n += 1
    finding.tokens += tokens
    finding.first_ms = finding.first_ms or (row.started_ms or 0)
    finding.last_ms = row.started_ms or 0
    finding.ages_s.append(((row.started_ms or 0) - (before.started_ms or 0)) / 1000)
    finding.pair = (row, before)
    if where == "ours":
        lost = row.cost_usd
    else:
        price = rates(row.response_model or model) if rates is not None else None
        lost = tokens * max(price[0] - price[1], 0.0) / 1e6 if price is not None else None
    if lost is not None:
        finding.lost_usd = (finding.lost_usd or 0.0) + lost


def common_prefix(one: str, other: str) -> int:
    """Return how many characters two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
