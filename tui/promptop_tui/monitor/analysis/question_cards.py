"""The three questions of the monitor as cards: healthy, fast, cheap. Pure functions of the snapshot and the present.

A card has one large figure, its verdict and further figures in the order in which they are needed. Where the window's
rows have no times (agents' and imported ones), the cards speak of what those rows have: tokens, the provider's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from promptop.base import units
from promptop.base.texts import mark, tr
from promptop_tui.monitor.analysis.tile_figures import Tile, figures_of

if TYPE_CHECKING:
    from promptop.alerts.changes import Change
    from promptop.alerts.watch import Present
    from promptop.log import Stats
    from promptop.settings import MonitorSettings
    from promptop_tui.monitor.data.snapshot import LogSnapshot

Tone = Literal["", "dim", "faint", "good", "warn", "bad", "money"]
_SILENT = 2

_OUTCOMES = {"limited_share", "timeout_share", "error_share", "retry_share", "truncated_share", "in_flight", "silence"}
_SPEED = {"ttft", "latency"}
_WORDS = {
    "limited_share": mark("429"),
    "timeout_share": mark("timeouts"),
    "error_share": mark("errors"),
    "retry_share": mark("retries"),
    "truncated_share": mark("cut answers"),
    "in_flight": mark("no answers"),
    "silence": mark("no calls"),
    "ttft": mark("TTFT"),
    "latency": mark("latency"),
    "cached_share": mark("cache"),
    "write_share": mark("cache writes"),
    "hit_share": mark("hits"),
    "input_a_call": mark("input"),
    "reasoning_a_call": mark("reasoning"),
    "output_a_call": mark("output"),
    "cost_a_call": mark("cost a call"),
    "cost": mark("spend"),
    "n": mark("calls"),
}


@dataclass(frozen=True, slots=True)
class CardRow:
    """A further figure of a card."""

    label: str
    value: str
    tone: Tone = ""
    extra: str = ""
    """How it moved, or what it is part of: left out where there is little room."""
    short: str = ""
    """The label where there is little room."""


@dataclass(frozen=True, slots=True)
class Card:
    """One question, answered."""

    key: str
    title: str
    hero: str
    """The large figure, without its unit."""
    unit: str
    label: str
    """What the large figure is."""
    short: str
    """The same where there is little room."""
    state: str = ""
    """The verdict, with its sign."""
    state_tone: Tone = "dim"
    change: str = ""
    change_tone: Tone = "faint"
    hero_tone: Tone = ""
    """``dim``: too few samples to trust, or out of date."""
    rows: tuple[CardRow, ...] = ()
    spark: tuple[float | None, ...] = ()
    spark_role: str = "area"
    late: tuple[bool, ...] = ()
    """Of each value of ``spark``: whether it is beyond its target or part of what is unusual."""


def cards_of(snapshot: LogSnapshot, settings: MonitorSettings, present: Present | None) -> tuple[Card, Card, Card]:
    """Return the three cards of a snapshot."""
    tiles = {tile.key: tile for tile in figures_of(snapshot, settings)}
    total = snapshot.window.total if snapshot.window is not None else None
    seen = _Seen(snapshot, present)
    cards: tuple[Card, Card, Card]
    if total is not None and not snapshot.is_timed:
        cards = _tokens(snapshot, total, tiles, seen), _cached(snapshot, total, tiles, seen), _cheap(tiles, total, seen)
    else:
        cards = (
            _healthy(snapshot, settings, total, seen),
            _fast(settings, tiles, total, seen),
            _cheap(tiles, total, seen),
        )
    if snapshot.unfiltered:  # the filter holds for the rows alone: what is not of it is not to be taken for it
        one, two, three = (
            replace(card, state="– of all calls", state_tone="dim", hero_tone="dim", rows=_dimmed(card.rows))
            for card in cards
        )
        return one, two, three
    return cards


def _dimmed(rows: tuple[CardRow, ...]) -> tuple[CardRow, ...]:
    return tuple(replace(row, tone="dim") for row in rows)


class _Seen:
    """What is unusual, as far as a card asks: only of the present and of all calls, not of a filter or the past."""

    def __init__(self, snapshot: LogSnapshot, present: Present | None) -> None:
        live = snapshot.query.until_ms is None and not snapshot.query.filter
        self.present = present if live else None
        self._snapshot = snapshot

    def change(self, figures: set[str]) -> Change | None:
        """Return the weightiest change of some figures."""
        changes = self.present.changes if self.present is not None else ()
        return next((each for each in changes if each.figure in figures), None)

    @property
    def until(self) -> str:
        """Say until when there were calls, where the log is silent beyond its rhythm; empty where it is not."""
        present = self.present
        if present is None or present.newest_ms is None or present.overdue(self._snapshot.now_ms) < _SILENT:
            return ""
        return tr("until {fromtimestamp:%H:%M}", fromtimestamp=datetime.fromtimestamp(present.newest_ms / 1000))

    def late(self, values: tuple[float | None, ...], change: Change | None, target: float) -> tuple[bool, ...]:
        """Say of each bucket whether it is beyond the target, or since the change began."""
        step = self._snapshot.query.span.step_s * 1000
        first = (change.since_ms - self._snapshot.since_ms) // step if change is not None else len(values)
        return tuple(
            value is not None and (value > target if target else index >= first) for index, value in enumerate(values)
        )


def _state(verdict: str, said: str, change: Change | None, seen: _Seen) -> tuple[str, Tone]:
    """Return the verdict: against the target where one is set, else against what is usual."""
    if seen.until:
        return tr("– not known now"), "dim"
    if verdict:
        return f"{'✓' if verdict == 'met' else '✗'} {said}", "dim" if verdict == "met" else "bad"
    if change is not None:
        return f"✗ {tr(_WORDS.get(change.figure, change.figure))}", "bad"
    if seen.present is not None and seen.present.ready:
        return tr("✓ as usual"), "dim"
    return "", "dim"


def _since(change: Change) -> str:
    factor = change.factor
    words = tr(_WORDS.get(change.figure, change.figure))
    extent = f" ×{factor:.1f}" if factor is not None and change.figure in _SPEED else ""
    return tr(
        "{words}{extent} since {fromtimestamp:%H:%M}",
        words=words,
        extent=extent,
        fromtimestamp=datetime.fromtimestamp(change.since_ms / 1000),
    )


def _moved(change: Change | None, text: str, seen: _Seen) -> tuple[str, Tone]:
    """Return what stands beside the large figure's label: since when it is odd, or how it moved."""
    if seen.until:
        return seen.until, "dim"
    if change is not None:
        return _since(change), "bad"
    return text, "faint"


def _counted(label: str, number: int, of: int, tone: Tone, *, short: str = "") -> CardRow:
    """Return a row of a count with its share; none of it is faint."""
    share = units.share(number / of) if number and of else ""
    return CardRow(label, units.count(number), tone if number else "faint", share, short)


def _healthy(snapshot: LogSnapshot, settings: MonitorSettings, total: Stats | None, seen: _Seen) -> Card:
    target = settings.slo_error_rate
    if total is None:
        return Card("healthy", tr("Healthy?"), units.UNKNOWN, "", tr("answered"), tr("answered"))
    asked = total.answered + total.errors + total.rate_limited
    rate = total.answered / asked if asked else None
    worst = max((each for each in (total.error_rate, total.rejected_rate) if each is not None), default=None)
    verdict = "" if worst is None or not target else "met" if worst <= target else "missed"
    change = seen.change(_OUTCOMES)
    least = f"{(1 - target) * 100:g} %"
    state, tone = _state(
        verdict,
        tr("below {least}", least=least) if verdict == "missed" else tr("{least} or more", least=least),
        change,
        seen,
    )
    before = snapshot.comparable
    moved, moved_tone = _moved(change, "" if before is None else _points(rate, before), seen)
    flying = seen.present.open_calls if seen.present is not None else None
    rows = [
        _counted(tr("rejected (429)"), total.rate_limited, total.upstream, "bad", short="429"),
        _counted(tr("failed"), total.errors, total.answered + total.errors, "bad"),
        CardRow(
            tr("in flight"), units.count(flying) if flying is not None else units.UNKNOWN, "" if flying else "faint"
        ),
        CardRow(tr("timed out"), units.count(total.timeouts), "bad" if total.timeouts else "faint"),
        _counted(tr("cut by length"), total.truncated, total.answered, "warn", short=tr("cut")),
        _counted(tr("cancelled"), total.cancelled, total.upstream, ""),
        CardRow(tr("requests"), units.count(total.n)),
    ]
    if flying is None:
        rows.append(rows.pop(2))
    values = snapshot.series(lambda stats: float(stats.errors + stats.rate_limited))
    few = asked < units.FEW
    hero = _percent(rate)
    return Card(
        "healthy",
        tr("Healthy?"),
        hero,
        " %" if rate is not None else "",
        tr("answered, n={asked}{more}", asked=units.count(asked), more=" few" if few else ""),
        "answered",
        state,
        tone,
        moved,
        moved_tone,
        "dim" if few or seen.until else "",
        tuple(rows),
        values,
        "line",
        tuple(bool(value) for value in values),
    )


def _percent(rate: float | None) -> str:
    """Return a share in percent without its sign: a part that is not the whole never reads 100."""
    if rate is None:
        return units.UNKNOWN
    percent = rate * 100
    if percent == 100:
        return "100"
    return f"{min(percent, 99.99):.2f}" if percent >= 99.9 else f"{percent:.1f}"


def _points(rate: float | None, before: Stats) -> str:
    """Return by how many points of a percentage the share of answered calls moved."""
    asked = before.answered + before.errors + before.rate_limited
    if rate is None or not asked:
        return ""
    moved = (rate - before.answered / asked) * 100
    return "=" if abs(moved) < 0.05 else tr("{more}{abs:.1f} points", more="+" if moved > 0 else "−", abs=abs(moved))


def _split(value: str) -> tuple[str, str]:
    """Return a figure and its unit."""
    number, blank, unit = value.partition(" ")
    return (number, f" {unit}") if blank and number not in ("", "≈") else (value, "")


def _verdict_words(tile: Tile) -> str:
    limit = tile.target.lstrip("≤≥")
    over = tile.target.startswith("≤")
    if tile.verdict == "met":
        return tr("below {limit}", limit=limit) if over else tr("{limit} or more", limit=limit)
    return tr("over {limit}", limit=limit) if over else tr("below {limit}", limit=limit)


def _fast(settings: MonitorSettings, tiles: dict[str, Tile], total: Stats | None, seen: _Seen) -> Card:
    first = total is None or total.ttft.n > 0
    tile = tiles["ttft"] if first else tiles["latency"]
    other = tiles["latency"] if first else tiles["ttft"]
    target = settings.slo_ttft_s if first else settings.slo_latency_s
    change = seen.change(_SPEED)
    missed = next((each for each in (tile, other) if each.verdict == "missed"), tile)
    state, tone = _state(
        missed.verdict or other.verdict, _verdict_words(missed if missed.verdict else other), change, seen
    )
    moved, moved_tone = _moved(change, tile.change, seen)
    hero, unit = _split(tile.value)
    rows: list[CardRow] = []
    if total is not None:
        if first:
            rows.append(CardRow(tr("TTFT p50"), units.seconds(total.ttft.quantile(0.5))))
            rows.append(_moving(tr("total p95"), other, "bad" if other.verdict == "missed" else ""))
            rows.append(_moving(tr("tokens/s"), tiles["tokens"]))
            rows.append(CardRow(tr("TTFT p99"), units.seconds(total.ttft.quantile(0.99))))
            rows.append(CardRow(tr("total p50"), units.seconds(total.latency.quantile(0.5))))
            rows.append(CardRow(tr("total p99"), units.seconds(total.latency.quantile(0.99))))
        else:
            rows.append(CardRow(tr("total p50"), units.seconds(total.latency.quantile(0.5))))
            rows.append(CardRow(tr("total p99"), units.seconds(total.latency.quantile(0.99))))
            rows.append(_moving(tr("tokens/s"), tiles["tokens"]))
        rows.append(_moving(tr("requests/s"), tiles["rate"], short=tr("req/s")))
        out = total.errors + total.cancelled
        if out > 0.05 * max(total.upstream, 1):  # a hang makes percentiles look better
            rows.insert(1, CardRow(tr("left out"), tr("{out} failed", out=units.count(out)), "warn"))
    label = "TTFT p95" if first else "total p95"
    return Card(
        "fast",
        tr("Fast?"),
        hero,
        unit,
        f"{label}, {tile.samples}" if tile.samples else label,
        label,
        state,
        tone,
        moved,
        moved_tone,
        "dim" if tile.few or seen.until else "",
        tuple(rows),
        tile.spark,
        "area",
        seen.late(tile.spark, change, target),
    )


def _moving(label: str, tile: Tile, tone: Tone = "", *, short: str = "") -> CardRow:
    """Return a tile as a row: with its budget where it has one, else with how it moved."""
    if tile.target.startswith("≤$"):
        return CardRow(label, tile.value, "bad" if tile.verdict == "missed" else tone, f"of {tile.target[1:]}", short)
    return CardRow(label, tile.value, tone, tile.change if tile.change != "=" else "", short)


def _cheap(tiles: dict[str, Tile], total: Stats | None, seen: _Seen) -> Card:
    spend, today, month = tiles["spend"], tiles["today"], tiles["month"]
    change = seen.change(set(_WORDS) - _OUTCOMES - _SPEED)
    judged = next((each for each in (month, today, spend) if each.verdict == "missed"), month)
    words = (
        tr("in budget")
        if judged.verdict == "met"
        else tr("{short} over {lstrip}", short=judged.short, lstrip=judged.target.lstrip("≤"))
    )
    state, tone = _state(judged.verdict, words, change, seen)
    moved, moved_tone = _moved(change, spend.change, seen)
    timed = total is None or total.lookups > 0
    rows = [
        _moving(tr("today"), today),
        _moving(tr("month"), month),
        _moving(tr("cache hits"), tiles["cache"], short=tr("hits"))
        if timed
        else _moving(tr("cached"), tiles["cached"]),
    ]
    if total is not None:
        rows.append(_moving(tr("cached input"), tiles["cached"], short=tr("cached"))) if timed else None
        rows.append(CardRow(tr("saved by hits"), units.usd(total.saved_usd))) if total.saved_pico else None
        rows.append(CardRow(tr("unpriced"), units.count(total.unpriced), "warn")) if total.unpriced else None
        priced = total.n - total.unpriced
        rows.append(CardRow(tr("a call"), units.usd(total.cost_usd / priced) if priced else units.UNKNOWN))
        rows.append(CardRow(tr("hits, n"), units.count(total.lookups), "dim")) if timed else None
    return Card(
        "cheap",
        tr("Cheap?"),
        spend.value,
        "",
        "spent" if not spend.note else tr("spent, {note}", note=spend.note),
        "spent",
        state,
        tone,
        moved,
        moved_tone,
        "dim" if seen.until else "",
        tuple(rows),
        spend.spark,
        "series-6",
        seen.late(spend.spark, change, 0.0),
    )


def _tokens(snapshot: LogSnapshot, total: Stats, tiles: dict[str, Tile], seen: _Seen) -> Card:
    """Return, in place of what needs outcomes and times, how many tokens were used, by kind."""
    tokens = total.input_tokens + total.output_tokens
    change = seen.change({"n", "input_a_call", "output_a_call", "reasoning_a_call"})
    moved, moved_tone = _moved(change, tiles["tokens"].change, seen)
    value = units.count(tokens)
    hero, unit = (value[:-1], f" {value[-1]}") if value[-1:].isalpha() else (value, "")
    rows = (
        CardRow(tr("fresh input"), units.count(max(total.input_tokens - total.cache_read, 0))),
        CardRow(tr("cached input"), units.count(total.cache_read)),
        CardRow(tr("output"), units.count(total.output_tokens)),
        CardRow(tr("reasoning"), units.count(total.reasoning), "" if total.reasoning else "faint"),
        CardRow(tr("calls"), units.count(total.n)),
        CardRow(tr("tokens a call"), units.count(tokens / total.n)),
    )
    values = snapshot.series(lambda stats: float(stats.input_tokens + stats.output_tokens))
    return Card(
        "healthy", tr("How much?"), hero, unit, "tokens", "tokens", *_state("", "", change, seen), moved, moved_tone,
        "dim" if seen.until else "", rows, values, "area", seen.late(values, change, 0.0),
    )  # fmt: skip


def _cached(snapshot: LogSnapshot, total: Stats, tiles: dict[str, Tile], seen: _Seen) -> Card:
    """Return, in place of times, how much of the input the provider had in its cache; and sessions."""
    tile = tiles["cached"]
    change = seen.change({"cached_share", "write_share"})
    moved, moved_tone = _moved(change, tile.change, seen)
    hero, unit = _split(tile.value)
    sessions = units.count(snapshot.sessions)
    rows = (
        CardRow(tr("sessions"), sessions),
        CardRow(
            tr("calls a session"), units.count(total.n / snapshot.sessions) if snapshot.sessions else units.UNKNOWN
        ),
        CardRow(tr("written to it"), units.count(total.cache_write)),
        CardRow(tr("requests/s"), tiles["rate"].value),
        _counted(tr("failed"), total.errors, total.n, "bad"),
    )
    pick: Callable[[Stats], float | None] = lambda stats: stats.cached_share  # noqa: E731 (named for its type)
    values = snapshot.series(pick)
    return Card(
        "fast", tr("Cached?"), hero, unit, tr("of the input"), tr("of input"),
        *_state("", "", change, seen), moved, moved_tone,
        "dim" if seen.until else "", rows, values, "area", seen.late(values, change, 0.0),
    )  # fmt: skip


__all__ = ["Card", "CardRow", "cards_of"]
