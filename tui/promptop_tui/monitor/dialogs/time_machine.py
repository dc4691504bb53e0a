"""The log's last days under another model, price list, cache, tier, router or a shorter prompt. Nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from promptop.base import units
from promptop.base.errors import PromptopError
from promptop.settings import Settings
from promptop.whatif.projection import Interval, Projection, project
from promptop.whatif.wanted import Wanted, scenarios_of
from promptop_tui.widgets.form_modal import FormField, FormModal
from promptop_tui.widgets.picker_modal import PickerModal
from promptop_tui.widgets.table import Cell, Column

DAYS = 7
LOOKED_AT = 200_000
"""Rows of the stretch that are read at most: four seconds."""

COLUMNS: tuple[Column, ...] = (
    Column("scenario", "scenario", 10, fit=True, most=48),
    Column("moved", "calls changed", 13, rank=4, right=True),
    Column("usd", "cost", 6, right=True, fit=True),
    Column("usd_bounds", "95 %", 6, rank=1, right=True, fit=True),
    Column("usd_error", "back-test", 9, rank=2, right=True),
    Column("p95", "p95", 6, right=True, fit=True),
    Column("p95_bounds", "95 %", 6, rank=1, right=True, fit=True),
    Column("p95_error", "back-test", 9, rank=2, right=True),
)
_FIELDS = (
    ("models", "model", "gpt-4o-mini, or gpt-4o->gpt-4o-mini"),
    ("prices", "price list", "a prices.toml, or now"),
    ("cache_ttls", "cache TTL", "5m, 1h, none"),
    ("tiers", "tier", "batch or flex"),
    ("routers", "router", "complexity<0.3 -> MODEL; prompt=greet* -> MODEL"),
    ("trims", "trim", "PROMPT=TOKENS that it is shorter"),
)


def cells_of(found: Projection) -> Sequence[Cell]:
    """Return the cells of :data:`COLUMNS`."""
    usd = [units.usd(found.usd.value), _bounds(found.usd, units.usd), _error(found.usd)]
    p95 = [units.seconds(found.p95_s.value), _bounds(found.p95_s, units.seconds), _error(found.p95_s)]
    return (found.name, units.count(found.moved), usd[0], (usd[1], "muted"), (usd[2], "muted"), p95[0],
            (p95[1], "muted"), (p95[2], "muted"))  # fmt: skip


def _bounds(found: Interval, show: Callable[[float | None], str]) -> str:
    if found.low is None or found.high is None:
        return units.UNKNOWN
    return f"{show(found.low)} … {show(found.high)}"


def _error(found: Interval) -> str:
    return units.UNKNOWN if found.error is None else f"{found.error:+.0%}".replace("-", "−")


def notes_of(found: Projection) -> str:
    """Return what a scenario takes for granted and leaves out."""
    notes = [f"{found.calls:,} answered calls, {found.moved:,} of them changed.", *found.assumes]
    if found.unpriced:
        notes.append(f"{found.unpriced:,} calls have no known price.")
    if found.untimed and found.p95_s.value is None and found.calls:
        notes.append(f"No p95: the time of {found.untimed:,} calls is not known.")
    notes.append("95 %: another stretch of this length. Back-test: the second half, predicted from the first alone.")
    return "\n".join(notes)


class ScenarioForm(FormModal[Wanted]):
    """What is to be tried; several of a kind are parted by ``|``."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "compute", "Compute", id="whatif.compute", tooltip="compute these scenarios", priority=True),
    ]
    HELP = """\
Each line is a scenario of its own; several of a kind are parted by `|`. Empty lines are left out; where all are empty,
a response cache of an hour and the batch tier are shown. `promptop whatif` takes the same words."""

    def __init__(self, wanted: Wanted) -> None:
        lines = [FormField(key, label, " | ".join(getattr(wanted, key)), hint) for key, label, hint in _FIELDS]
        super().__init__("what if", lines, classes="-small -single")

    def on_mount(self) -> None:
        """Say how several are written."""
        self.say("Several of a kind: parted by |. Nothing is sent.")

    def action_compute(self) -> None:
        """Close with what is written."""
        values = self.values()
        parts = {key: tuple(part.strip() for part in text.split("|") if part.strip()) for key, text in values.items()}
        self.dismiss(Wanted(**{field.name: parts.get(field.name, ()) for field in fields(Wanted)}))


class TimeMachineDialog(PickerModal[Projection, None]):
    """A table of scenarios beside what was, each with its interval and how wrong such a forecast was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "change", "Scenarios", id="whatif.change", tooltip="another model, price list, cache, tier, …"),
        Binding("c", "cache", "Cache charts", id="whatif.cache", tooltip="response caches by TTL, size and threshold"),
        Binding("q", "close", "Back", id="whatif.back", tooltip="back to the monitor", show=False),
    ]
    HELP = """\
What the calls of the last days would have cost and taken otherwise. Nothing is sent. `w` changes what is tried: another
model, price list, cache TTL, tier, router rule or a trimmed prompt. The interval is that of another stretch of the same
length; the back-test predicts the second half of the stretch from the first alone and says by how much it was wrong."""

    def __init__(
        self,
        period: str,
        paths: Sequence[Path],
        bounds_ms: tuple[int, int],
        where: str,
        settings: Settings,
        show_cache: Callable[[], None],
    ) -> None:
        """Try scenarios on what began in ``bounds_ms`` and matches ``where``; ``show_cache`` opens a cache's charts."""
        super().__init__(
            f"time machine, {period}",
            lambda _: self._projections(),
            columns=COLUMNS,
            cells=cells_of,
            preview=notes_of,
            classes="-page",
        )
        self._paths, self._bounds_ms, self._where = tuple(paths), bounds_ms, where
        self._settings = settings
        self._show_cache = show_cache
        self._wanted = Wanted()

    def _projections(self) -> list[Projection]:
        """Return what each scenario comes to; runs on a thread."""
        from promptop.cli.shared.model_names import no_such_model, note_of
        from promptop.log import LogReader, parse_filter
        from promptop.whatif.calls import calls_of

        since, until = self._bounds_ms
        with LogReader(self._paths) as log:
            rows = log.between(since, until, LOOKED_AT, parse_filter(self._where))
        rows.reverse()
        if len(rows) == LOOKED_AT:
            raise PromptopError(
                f"The last {DAYS} days have more than {LOOKED_AT:,} calls.", "Filter them first: / on the monitor."
            )

        def require_known(name: str) -> None:
            if note_of(name) and not any(name in (row.request_model, row.response_model) for row in rows):
                raise no_such_model(name)

        told: list[str] = []
        wanted = list(scenarios_of(self._wanted, self._settings, rows, require_known=require_known, tell=told.append))
        calls, _ = calls_of(rows)
        if rows:  # the halves of the back-test are of what the log has
            since = max(since, rows[0].started_ms or since)
        for text in told:
            self.app.call_from_thread(self.notify, text, markup=False)
        return [project(scenario, calls, since, until) for scenario in wanted]

    def take(self, item: Projection) -> None:
        """Change what is tried."""
        self.action_change()

    def action_change(self) -> None:
        """Ask what is to be tried."""

        def changed(wanted: Wanted | None) -> None:
            if wanted is not None:
                self._wanted = wanted
                self.tell("computing …")
                self.read_again()

        self.app.push_screen(ScenarioForm(self._wanted), changed)

    def action_cache(self) -> None:
        """Open the charts of response caches."""
        self._show_cache()
