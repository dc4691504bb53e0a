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

from promptop import figures
from promptop.safe import clean_line
from promptop_tui.monitor.breakdown import quoted
from promptop_tui.monitor.prefixes import characters_of, prefixes_of
from promptop_tui.widgets.table import Cell, Column

if TYPE_CHECKING:
    from promptop.log import StoredRow

SMALLEST = 1_024
"""Input tokens below which providers cache nothing."""
FORGOTTEN_MS = 300_000
"""Providers keep an unused prefix for about five minutes."""
_PARAMETERS = ("temperature", "top_p", "max_tokens", "seed", "stop_sequences", "tools", "reasoning_effort")

COLUMNS: tuple[Column, ...] = (
    Column("where", "cache", 8),
    Column("cause", "cause", 40, grows=True),
    Column("n", "misses", 6, right=True),
    Column("tokens", "≈ tokens", 9, rank=3, right=True),
    Column("lost", "≈ lost", 10, right=True),
    Column("model", "model", 16, rank=2),
    Column("app", "app", 12, rank=5),
    Column("prompt", "prompt", 16, rank=4),
)

Rates = Callable[[str], tuple[float, float] | None]
"""Model → USD per million input tokens, plain and read from the cache; None if that is not known."""


@dataclass(slots=True)
class Finding:
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

    @property
    def filter(self) -> str:
        """Expression for the requests of this program, prompt and model."""
        parts = (("model", self.model), ("app", self.app), ("prompt", self.prompt))
        return " ".join(f"{name}:{quoted(value) if value else 'none'}" for name, value in parts)


@dataclass(slots=True)
class _Seen:
    """What was sent before."""

    prefixes: dict[tuple[str, str], int] = field(default_factory=dict)
    """(model, prefix hash) → when it was last sent, Unix milliseconds."""
    prompts: dict[tuple[str, str], StoredRow] = field(default_factory=dict)
    """(app, prompt) → the row before."""
    asked: dict[tuple[str, str], StoredRow] = field(default_factory=dict)
    """(model, prompt hash) → the row before, for our cache."""


def findings_of(rows: Iterable[StoredRow], rates: Rates) -> tuple[Finding, ...]:
    """Return why caches did not answer, the dearest first."""
    seen, found = _Seen(), dict[tuple[str, ...], Finding]()
    for row in rows:
        if row.started_ms is None:
            continue
        prefixes = prefixes_of(row)
        if row.error_type is None and (row.cache_level in (None, "miss")):
            _provider(row, prefixes, seen, found, rates)
        if row.cache_level is not None:
            _ours(row, seen, found)
        model = row.request_model or ""
        for _, digest in prefixes:
            seen.prefixes[model, digest] = row.started_ms
        if row.app or row.prompt_name:
            seen.prompts[row.app or "", row.prompt_name or ""] = row
        if row.prompt_hash and row.cache_level is not None:
            seen.asked[model, row.prompt_hash] = row
    return tuple(sorted(found.values(), key=lambda each: (-(each.lost_usd or 0.0), -each.tokens, -each.n)))


def _provider(
    row: StoredRow,
    prefixes: tuple[tuple[int, str], ...],
    seen: _Seen,
    found: dict[tuple[str, ...], Finding],
    rates: Rates,
) -> None:
    tokens, read = row.usage_input_tokens, row.usage_cache_read_input_tokens
    if read is None or tokens is None or tokens < SMALLEST or not prefixes:
        return  # unknown is no miss, and small prompts are not cached
    model, now = row.request_model or "", row.started_ms or 0
    whole = max(characters_of(row, prefixes), 1)
    known = [(size, seen.prefixes[model, digest]) for size, digest in prefixes if (model, digest) in seen.prefixes]
    before = seen.prompts.get((row.app or "", row.prompt_name or ""))
    if known:
        size, used = known[-1]
        expected = tokens * size / whole
        if expected >= SMALLEST and read < expected / 2:
            age = now - used
            if age > FORGOTTEN_MS:
                cause = "forgotten: last sent over 5 minutes before"
            else:
                cause = "not found, though sent within 5 minutes"
            _note(row, "provider", cause, expected - read, found, rates)
            return
    if before is None or now - (before.started_ms or 0) > FORGOTTEN_MS:
        return
    earlier = prefixes_of(before)
    shared = max((size for size, digest in prefixes if (size, digest) in earlier), default=0)
    if before.request_model != row.request_model:
        if tokens * shared / whole >= SMALLEST and read < tokens * shared / whole / 2:
            cause = f"the model changed from {clean_line(before.request_model or 'none', 30)}"
            _note(row, "provider", cause, tokens * shared / whole - read, found, rates)
        return
    possible = tokens * min(earlier[-1][0] if earlier else 0, prefixes[-1][0]) / whole
    if possible - read >= SMALLEST and tokens * shared / whole < possible / 2:
        cause = f"its text changes from character {shared:,} on"
        _note(row, "provider", cause, possible - read, found, rates)


def _ours(row: StoredRow, seen: _Seen, found: dict[tuple[str, ...], Finding]) -> None:
    if row.cache_level != "miss" or not row.prompt_hash:
        return
    before = seen.asked.get((row.request_model or "", row.prompt_hash))
    if before is None:
        return
    changed = [name for name in _PARAMETERS if getattr(row, f"request_{name}") != getattr(before, f"request_{name}")]
    if changed:
        cause = f"asked before with another {', '.join(name.replace('_', ' ') for name in changed)}"
    elif before.error_type is not None:
        cause = "asked before, and that request failed"
    elif row.cache_key and before.cache_key and row.cache_key != before.cache_key:
        cause = "asked before under another key: a parameter that the log has no column for"
    else:
        cause = "asked before: its answer had expired, was dropped, or was not stored"
    _note(row, "ours", cause, float(row.usage_input_tokens or 0), found, None)


def _note(
    row: StoredRow,
    where: Literal["provider", "ours"],
    cause: str,
    tokens: float,
    found: dict[tuple[str, ...], Finding],
    rates: Rates | None,
) -> None:
    model, app, prompt = row.request_model or "", row.app or "", row.prompt_name or ""
    finding = found.setdefault((where, cause, model, app, prompt), Finding(where, cause, model, app, prompt))
    finding.n += 1
    finding.tokens += tokens
    finding.first_ms = finding.first_ms or (row.started_ms or 0)
    finding.last_ms = row.started_ms or 0
    if where == "ours":
        lost = row.cost_usd
    else:
        price = rates(row.response_model or model) if rates is not None else None
        lost = tokens * max(price[0] - price[1], 0.0) / 1e6 if price is not None else None
    if lost is not None:
        finding.lost_usd = (finding.lost_usd or 0.0) + lost


def cells_of(finding: Finding) -> tuple[Cell, ...]:
    """Return the cells of :data:`COLUMNS`."""
    return (
        (finding.where, "accent" if finding.where == "ours" else ""),
        finding.cause,
        figures.count(finding.n),
        figures.count(finding.tokens),
        figures.usd(finding.lost_usd),
        clean_line(finding.model, 30),
        clean_line(finding.app, 20),
        clean_line(finding.prompt, 24),
    )
