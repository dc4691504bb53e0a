"""What a response cache would have saved of the window's calls: by TTL, by size, by threshold. Nothing is sent.

The log is read and replayed on a thread of this page's own, so that the monitor below goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static
from textual.worker import get_current_worker

from promptop.base import units
from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop.cache.key import Policy
from promptop.cache.simulation import RequestHistory, Variant, VariantOutcome, history, simulate, vectors
from promptop_tui.widgets.chart import Chart
from promptop_tui.widgets.form_modal import FormModal
from promptop_tui.widgets.plot import Plot, Series

LOOKED_AT = 20_000
"""Newest calls of the window that are replayed: two seconds."""
WORDED = 2_000
"""Newest calls whose prompts are compared by meaning: their vectors take about 10 ms each."""
TTLS: tuple[float | None, ...] = (60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0, None)
SIZES: tuple[int | None, ...] = (10, 30, 100, 300, 1000, 10_000, None)
THRESHOLDS: tuple[float | None, ...] = (None, 0.97, 0.95, 0.93, 0.9, 0.85)
DIMENSIONS = ("TTL", "size", "threshold")


@dataclass(frozen=True, slots=True)
class DimensionResult:
    """What was found in one dimension."""

    dimension: str
    policy: Policy
    asked: int = 0
    refused: int = 0
    reasons: str = ""
    spent_usd: float = 0.0
    upper: int = 0
    """Requests that are told apart by what is logged of them, so that hits are an upper bound."""
    simulated: bool = False
    outcomes: tuple[VariantOutcome, ...] = ()
    problem: str = ""


def name_of(variant: Variant, dimension: str) -> str:
    """Return what a bar is called."""
    if dimension == "threshold":
        return "off" if variant.threshold is None else f"{variant.threshold:g}"
    if dimension == "size":
        return "any" if variant.max_entries is None else f"{variant.max_entries:,}"
    if variant.ttl_s is None:
        return "none"
    unit, size = next((u, s) for u, s in (("d", 86_400), ("h", 3600), ("m", 60)) if variant.ttl_s >= s)
    return f"{variant.ttl_s / size:g}{unit}"


def variants_of(dimension: str, ttl_s: float | None) -> list[Variant]:
    """Return what is tried in a dimension; sizes and thresholds keep the TTL of the settings."""
    if dimension == "TTL":
        return [Variant(ttl) for ttl in TTLS]
    if dimension == "size":
        return [Variant(ttl_s, size) for size in SIZES]
    return [Variant(ttl_s, None, threshold) for threshold in THRESHOLDS]


def plots_of(answer: DimensionResult) -> tuple[Plot, Plot]:
    """Return the charts of an answer: share of hits, and dollars saved."""
    names = tuple(name_of(outcome.variant, answer.dimension) for outcome in answer.outcomes)
    label = "SIMULATED · " if answer.simulated else ""
    empty = answer.problem or tr("no call of this window could have been asked of a cache")
    found = answer.outcomes if answer.asked else ()
    ratios = Series("hits", tuple(outcome.ratio for outcome in found), "cache-hit")
    saved = Series("saved", tuple(outcome.saved_usd for outcome in found), "cost")
    readings = tuple(f"{answer.dimension} {name}" for name in names)
    unpriced = max((outcome.unpriced for outcome in found), default=0)
    note = tr("{unpriced:,} hits unpriced", unpriced=unpriced) if unpriced else ""
    ratio = Plot(
        tr("{label}hit ratio by {dimension}", label=label, dimension=answer.dimension),
        series=(ratios,) if found else (),
        unit="share",
        names=names,
        readings=readings,
        empty=empty,
    )
    money = Plot(
        tr("{label}saved by {dimension}", label=label, dimension=answer.dimension),
        series=(saved,) if found else (),
        unit="usd",
        names=names,
        readings=readings,
        note=note,
        empty="",
    )
    return ratio, money


def reading_of(answer: DimensionResult, bar: int) -> str:
    """Return what one variant would have done, in a sentence."""
    outcome = answer.outcomes[bar]
    name = name_of(outcome.variant, answer.dimension)
    similar = tr(", {similar:,} of them by meaning", similar=outcome.similar) if answer.dimension == "threshold" else ""
    hits = tr(
        "{hits:,} of {asked:,} hit ({ratio}){similar}",
        hits=outcome.hits,
        asked=outcome.asked,
        ratio=units.share(outcome.ratio),
        similar=similar,
    )
    return tr(
        "{dimension} {name}: {hits}, {saved_usd} saved, at most {most_entries:,} entries",
        dimension=answer.dimension,
        name=name,
        hits=hits,
        saved_usd=units.usd(outcome.saved_usd),
        most_entries=outcome.most_entries,
    )


class WhatIfDialog(FormModal[None]):
    """Two charts over the variants of one dimension, and what they are counted from."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,w", "close", "Back", id="whatif.close", tooltip="back to the monitor", show=False),
        Binding("tab", "turn(1)", "TTL, size, …", id="whatif.next", tooltip="by TTL, by size, by threshold"),
        Binding("shift+tab", "turn(-1)", "Before", show=False, id="whatif.before", tooltip="the dimension before"),
        Binding("left", "read(-1)", "Read", show=False, id="whatif.left", tooltip="read the bar before"),
        Binding("right", "read(1)", "Read", id="whatif.right", tooltip="read the next bar"),
        Binding("a", "sampled", "Sampled", id="whatif.sampled", tooltip="count sampled answers as cacheable, or not"),
    ]
    HELP = """\
The calls of the window, replayed in order against caches of several TTLs, sizes and thresholds; nothing is sent. Sizes
and thresholds keep the TTL of the settings. Where a row has no cache key, calls are told apart by what is logged of
them: an upper bound. Thresholds need kept prompts (`bodies = "full"` in `[log]`) and the local model (extra
`semantic`).
`←` `→` read a bar, `a` counts sampled answers too. `promptop cache simulate` prints the same."""

    dimension: reactive[str] = reactive(DIMENSIONS[0])
    bar: reactive[int | None] = reactive(None)

    @dataclass
    class Found(Message):
        """A replay is over, on its thread."""

        answer: DimensionResult

    def __init__(
        self, period: str, paths: Sequence[Path], since_ms: int, until_ms: int, where: str, policy: Policy, ttl_s: float
    ) -> None:
        """Replay what started in [since, until) and matches ``where``; ``ttl_s`` is the settings', 0 for ever."""
        self._charts = (Chart(id="whatif-ratio"), Chart(id="whatif-saved"))
        self._reading = Static("", id="whatif-reading", markup=False)
        self._about = Static("", id="whatif-about", markup=False)
        body = (Horizontal(*self._charts, id="whatif-charts"), self._reading, self._about)
        super().__init__(period, body=body, classes="-page")
        self._period = period
        self._paths = tuple(paths)
        self._since_ms, self._until_ms, self._where = since_ms, until_ms, where
        self._policy = policy
        self._ttl_s = ttl_s or None
        self._answer: DimensionResult | None = None

    def on_mount(self) -> None:
        """Replay in the first dimension."""
        self._ask()

    def watch_dimension(self) -> None:
        """Replay in another dimension."""
        if self.is_mounted:
            self._ask()

    def watch_bar(self, bar: int | None) -> None:
        """Read a bar on both charts."""
        for chart in self.query(Chart):
            chart.cursor = bar
        found = self._answer
        known = found is not None and bar is not None and bar < len(found.outcomes) and found.asked
        text = reading_of(found, bar) if known and found is not None and bar is not None else "← → reads a bar"
        self._reading.update(clean(f" {text}"))

    def _ask(self) -> None:
        self._answer = None
        self.bar = None
        for chart in self.query(Chart):
            chart.plot = Plot("", names=(" ",), empty="replaying …")
        names = " ".join(f"[{name}]" if name == self.dimension else name for name in DIMENSIONS)
        self.retitle(tr(" what a cache would do, {period} · by {names}", period=self._period, names=names).strip())
        self._about.update("")
        self._replay(self.dimension, self._policy)

    @work(thread=True, exclusive=True, group="whatif", description="replay the window against caches")
    def _replay(self, dimension: str, policy: Policy) -> None:
        worker = get_current_worker()
        try:
            answer = self._replayed(dimension, policy)
        except PromptopError as error:
            answer = DimensionResult(dimension, policy, problem=str(error))
        if not worker.is_cancelled:
            self.post_message(self.Found(answer))

    def _replayed(self, dimension: str, policy: Policy) -> DimensionResult:
        from promptop.log import LogReader, parse_filter
        from promptop.log.write.bodies import read_body

        with LogReader(self._paths) as log:
            worded = dimension == "threshold"
            most = WORDED if worded else LOOKED_AT
            rows = log.between(self._since_ms, self._until_ms, most, parse_filter(self._where))

            def body_of(source: int, row_id: int) -> str | None:
                body = read_body(log.paths[source], row_id)
                return body.request if body is not None else None

            found = history(rows, policy, (lambda row: body_of(row.source, row.id)) if worded else None)
        known = self._vectors(found) if worded and found.asked else {}
        outcomes = simulate(found.asked, variants_of(dimension, self._ttl_s), known)
        return DimensionResult(
            dimension,
            policy,
            asked=len(found.asked),
            refused=found.refused.total(),
            reasons="; ".join(f"{count:,} {reason}" for reason, count in found.refused.most_common(3)),
            spent_usd=found.spent_usd,
            upper=len(found.asked) - found.exact,
            simulated=found.simulated,
            outcomes=tuple(outcomes),
        )

    @staticmethod
    def _vectors(found: RequestHistory) -> dict[str, bytes]:
        from promptop.cache.semantic.embedding import LocalEmbedder

        if not found.worded:
            raise PromptopError(
                "The log has kept no prompt of these calls, so that none can be compared.",
                'Keep prompts from now on: bodies = "full" in [log].',
            )
        embed = LocalEmbedder()
        worker = get_current_worker()

        def give_up(done: int, total: int) -> None:
            if worker.is_cancelled:
                raise PromptopError("The page was left.")

        return vectors(found.asked, embed, partial(give_up))

    @on(Found)
    def _found(self, message: Found) -> None:
        answer = message.answer
        if answer.dimension != self.dimension or answer.policy != self._policy:
            return
        self._answer = answer
        self.watch_bar(self.bar)
        charts = list(self.query(Chart))
        for chart, plot in zip(charts, plots_of(answer), strict=True):
            chart.plot = plot
        about = [
            tr(
                " {asked:,} calls could be asked of a cache; they cost {spent_usd}",
                asked=answer.asked,
                spent_usd=units.usd(answer.spent_usd),
            )
        ]
        if answer.refused:
            about.append(tr("{refused:,} could not: {reasons}", refused=answer.refused, reasons=answer.reasons))
        if answer.upper:
            about.append(tr("{upper:,} are told apart by what is logged of them: an upper bound", upper=answer.upper))
        sampled = tr("counted too") if answer.policy.any_temperature else tr("left out (a counts them)")
        about.append(tr("sampled answers are {sampled}", sampled=sampled))
        if answer.problem:
            about = [f" {answer.problem}"]
        self._about.update(clean("\n ".join(about)))

    @on(Chart.Picked)
    def _picked(self, message: Chart.Picked) -> None:
        self.bar = message.bucket

    def action_turn(self, by: int) -> None:
        """Try another dimension."""
        self.dimension = DIMENSIONS[(DIMENSIONS.index(self.dimension) + by) % len(DIMENSIONS)]

    def action_read(self, by: int) -> None:
        """Read the bar beside."""
        count = len(variants_of(self.dimension, self._ttl_s))
        self.bar = (0 if by > 0 else count - 1) if self.bar is None else max(0, min(count - 1, self.bar + by))

    def action_sampled(self) -> None:
        """Count sampled answers, or leave them out."""
        self._policy = replace(self._policy, any_temperature=not self._policy.any_temperature)
        self._ask()
