"""What the agents' page says, as pure functions of one look: sums by period, blocks, contexts, limits, groups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.widgets.table import Cell, Column

if TYPE_CHECKING:
    from promptop.agents.blocks import AgentSums, UsageBlock
    from promptop.agents.limits import Limit
    from promptop.agents.usage_totals import ContextFill, Overview

PERIODS = {1: "today", 7: "7 days", 30: "30 days"}
COLUMNS: tuple[Column, ...] = (
    Column("name", "", 18, grows=True),
    Column("cost", "cost", 10, right=True, fit=True),
    Column("calls", "calls", 6, right=True),
    Column("sub", "sub", 5, rank=4, right=True),
    Column("fresh", "input", 7, rank=2, right=True),
    Column("read", "cached", 7, rank=1, right=True),
    Column("written", "written", 7, rank=2, right=True),
    Column("output", "output", 7, rank=1, right=True),
    Column("share", "hit", 5, right=True),
    Column("last", "last", 11, rank=3, right=True),
)
_MUTED, _GOOD, _WARN, _BAD = "$text-muted", "$text-success", "$text-warning", "$text-error"
_FULL, _HIGH = 0.9, 0.7
"""Shares of a window or a limit from which it is marked."""


def money(sums: AgentSums) -> str:
    """Return what calls cost; a plus where some have no price."""
    if sums.calls and sums.unpriced == sums.calls:
        return "unpriced"
    return units.usd(sums.cost_usd) + ("+" if sums.unpriced else "")


def cells_of(name: str, sums: AgentSums) -> Sequence[Cell]:
    """Return the cells of a group."""
    share = "–" if sums.cache_share is None else f"{sums.cache_share:.0%}"
    return (
        clean_line(name, 60),
        money(sums),
        units.count(sums.calls),
        units.count(sums.sub_calls),
        units.count(sums.fresh_tokens),
        units.count(sums.cache_read),
        units.count(sums.cache_write),
        units.count(sums.output_tokens),
        share,
        (f"{datetime.fromtimestamp(sums.last_ms / 1000):%m-%d %H:%M}", "muted"),
    )


def period_lines(periods: dict[int, AgentSums], width: int) -> Content:
    """Return a line for each period: cost, calls, tokens by kind, share that came from the cache."""
    lines = []
    for days, sums in periods.items():
        parts: list[Content | str | tuple[str, str]] = [
            (f"{PERIODS[days]:<8}", _MUTED),
            (f"{money(sums):>10}", "bold"),
            tr("  {calls:>5} calls", calls=units.count(sums.calls)),
        ]  # fmt: skip
        share = "–" if sums.cache_share is None else f"{sums.cache_share:.0%}"
        further = [
            tr("   cache {share:>4}", share=share),
            tr("   out {output_tokens:>6}", output_tokens=units.count(sums.output_tokens)),
            f"   in {units.count(sums.fresh_tokens):>6}",
            tr("   read {cache_read:>6}", cache_read=units.count(sums.cache_read)),
            tr("   written {cache_write:>6}", cache_write=units.count(sums.cache_write)),
        ]
        room = width - sum(Content.assemble(part).cell_length for part in parts)
        for text in further:
            if len(text) > room:
                break
            parts.append((text, _MUTED))
            room -= len(text)
        lines.append(Content.assemble(*parts))
    return Content("\n").join(lines)


def state_lines(overview: Overview, width: int) -> Content:
    """Return active blocks with burn and forecast, vendors' limits, and how full the newest sessions' windows are."""
    now_ms = overview.now_ms
    lines = [_block(block, now_ms, width) for block in sorted(overview.blocks, key=lambda each: each.app)]
    by_app: dict[str, list[Limit]] = {}
    for limit in overview.limits:
        by_app.setdefault(limit.app, []).append(limit)
    for app, limits in sorted(by_app.items()):
        parts: list[Content | str | tuple[str, str]] = [(f"{app:<12}limits ", _MUTED)]
        for number, limit in enumerate(limits):
            resets = tr(" resets {clock}", clock=_clock(limit.resets_ms, now_ms)) if limit.resets_ms else ""
            parts += [" · " if number else "", f"{limit.span} ", (f"{limit.used:.0f} %", _level(limit.used / 100))]
            parts.append((resets, _MUTED))
        lines.append(Content.assemble(*parts))
    lines += [_context(fill, width) for fill in sorted(overview.contexts, key=lambda each: -each.at_ms)]
    if not lines:
        return Content.styled(tr("No block is active, and no session of the last day is known."), _MUTED)
    return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)


def _block(block: UsageBlock, now_ms: int, width: int) -> Content:
    gone = (now_ms - block.start_ms) / (block.end_ms - block.start_ms)
    left = max(block.end_ms - now_ms, 0) // 60_000
    burn, forecast = block.burn_per_hour(now_ms), block.forecast_usd(now_ms)
    parts: list[Content | str | tuple[str, str]] = [
        (f"{block.app:<12}block  ", _MUTED),
        (bar(gone, 8 if width < 100 else 16), "$series-1"),
        tr(" ≈ {left} h {left_2:02d} min left  ", left=left // 60, left_2=left % 60),
        (money(block.sums), "bold"),
    ]  # fmt: skip
    if burn is None or forecast is None:
        parts.append((tr("  no burn rate below 10 min"), _MUTED))
    else:
        parts.append(f"  {units.usd(burn[1])}/h → ≈ {units.usd(forecast)}")
        if width >= 84:
            parts.append((tr("  {count} tokens/h", count=units.count(burn[0])), _MUTED))
    return Content.assemble(*parts)


def _context(fill: ContextFill, width: int) -> Content:
    share = fill.share
    name = f"{fill.app:<12}context "
    where = f" {clean_line(fill.project or '–', 20)} · {clean_line(fill.session[:8], 8)}"
    if share is None:
        told = tr(
            " {tokens} tokens, window of {model} unknown",
            tokens=units.count(fill.tokens),
            model=clean_line(fill.model, 24),
        )
        return Content.assemble((name, _MUTED), told, (where, _MUTED))
    return Content.assemble(
        (f"{name}", _MUTED),
        (bar(share, 8 if width < 100 else 16), _level(share)),
        (f" {share:.0%}", _level(share)),
        f" of {units.count(fill.window)}",
        (where, _MUTED),
    )


def bar(share: float, cells: int) -> str:
    """Return a share as a bar of so many cells, without colour readable."""
    full = round(min(max(share, 0.0), 1.0) * cells)
    return "▓" * full + "░" * (cells - full)


def _level(share: float) -> str:
    return _BAD if share >= _FULL else _WARN if share >= _HIGH else _GOOD


def _clock(at_ms: int, now_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000)
    return f"{moment:%H:%M}" if at_ms - now_ms < 86_400_000 else f"{moment:%a %H:%M}"
