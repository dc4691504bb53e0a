"""The comparison as a widget: a small table that follows the panes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.text import Text
from textual.widgets import DataTable

from promptop.base import units
from promptop.base.texts import tr
from promptop.budget.traffic_volume import Volume
from promptop.client.result import RunResult
from promptop.experiments.comparison import (
    BEST,
    COLUMNS,
    ComparedColumn,
    ShownFigure,
    compare_groups,
    ending,
    side_by_side,
)
from promptop.experiments.stats import quantile
from promptop_tui.playground.views.answer_pane import MARKS, AnswerPane

NAME_WIDTH = (14, 28)
"""Cells of the model's name: at least and at most."""
ROOMY = 70
"""Cells from which on a name may take more than the least."""
END_WIDTH = 18
"""Cells of the reason why a call ended; left out first."""
INTERVAL_WIDTH = 16
"""Further cells of a column that shows the interval of its median."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the table is made from."""

    panes: Sequence[AnswerPane] = ()
    kept: Sequence[Sequence[RunResult]] | None = None
    """Results of repeated calls; None where each was made once."""
    intervals: Sequence[dict[str, str]] = ()
    """By row and column, once they were found."""
    best: Mapping[str, int] | None = None
    """Column → row of the best figure, once that was judged; None: what single calls can tell."""
    volume: Volume | None = None
    calls_per_day: float | None = None
    """Calls a day of this prompt, where the log knows it by itself; else all of the log's count."""

    @property
    def groups(self) -> Sequence[Sequence[RunResult]]:
        """The results of each row."""
        if self.kept is not None:
            return self.kept
        return [[] if pane.result is None else [pane.result] for pane in self.panes]


@dataclass(frozen=True, slots=True)
class _Laid:
    """A column that has its place."""

    column: ComparedColumn
    cells: Sequence[ShownFigure]
    width: int


def _extra(key: str, heading: str, width: int, wanted: int) -> ComparedColumn:
    """Return a column whose cells are made here: what it shows is not a figure of one call."""
    return ComparedColumn(key, heading, lambda _: None, units.count, None, width, wanted)


CHECKS = _extra("checks", "checks", 8, 7)
STARS = _extra("stars", "★", 4, 4)
MONTH = _extra("month", "$/month", 10, 3)
SHARE = _extra("share", "share", 7, 0)


def extra_cells(shown: Shown) -> list[tuple[ComparedColumn, list[ShownFigure]]]:
    """Return the columns that say more than one call does, where there is something to say."""
    panes, groups = shown.panes, shown.groups
    found: list[tuple[ComparedColumn, list[ShownFigure]]] = []
    if any(pane.check_counts for pane in panes):
        shares = [pane.check_counts[0] / pane.check_counts[1] if pane.check_counts else None for pane in panes]
        texts = [f"{pane.check_counts[0]}/{pane.check_counts[1]}" if pane.check_counts else "" for pane in panes]
        found.append((CHECKS, _marked(texts, shares, largest=True)))
    if any(pane.rating for pane in panes):
        stars = [None if pane.rating is None else float(pane.rating) for pane in panes]
        found.append((STARS, _marked([str(pane.rating or "") for pane in panes], stars, largest=True)))
    volume = shown.volume
    if volume is not None and volume.calls:
        costs = [_median_cost(group) for group in groups]
        months = [volume.month_usd(cost, shown.calls_per_day) for cost in costs]
        texts = [
            "" if not group else "n/a" if usd is None else units.usd(usd)
            for group, usd in zip(groups, months, strict=True)
        ]
        found.append((MONTH, _marked(texts, months, largest=False)))
        names = [(group[-1].request_model, group[-1].model) if group else () for group in groups]
        found.append((SHARE, [ShownFigure(units.share(volume.share(*each)) if each else "") for each in names]))
    return found


def _median_cost(group: Sequence[RunResult]) -> float | None:
    costs = sorted(
        result.cost_usd
        for result in group
        if result.state == "done" and result.cost_usd is not None and not result.cache_hit
    )
    return quantile(costs, 0.5) if costs else None


def _marked(texts: Sequence[str], values: Sequence[float | None], *, largest: bool) -> list[ShownFigure]:
    known = [value for value in values if value is not None]
    best = None
    if len(known) > 1 and min(known) != max(known):
        best = max(known) if largest else min(known)
    return [ShownFigure(text, value is not None and value == best) for text, value in zip(texts, values, strict=True)]


@dataclass(slots=True)
class _Layout:
    """Columns and widths, by which a table that only changed its figures is told from one that changed its form."""

    name: int = 0
    ends: int = 0
    columns: list[_Laid] = field(default_factory=list)

    @property
    def form(self) -> tuple[object, ...]:
        return (self.name, self.ends, tuple((laid.column.key, laid.width) for laid in self.columns))


def lay_out(shown: Shown, width: int) -> _Layout:
    """Choose the columns that fit beside the name, the most wanted first; then intervals, then the endings."""
    extras = {column.key: (column, cells) for column, cells in extra_cells(shown)}
    everything = [*COLUMNS, *(column for column, _ in extras.values())]
    least, most = NAME_WIDTH
    if width >= ROOMY:  # names first: rows that cannot be told apart say nothing
        least = min(most, max((least, *(cell_len(pane.title_text) + 3 for pane in shown.panes))))
    left = width - least
    chosen: list[ComparedColumn] = []
    for column in sorted(everything, key=lambda each: -each.wanted):
        if column.width > left:
            break
        left -= column.width
        chosen.append(column)
    plain = [column for column in COLUMNS if column in chosen]
    rows = compare_groups(shown.groups, plain, shown.best)
    wide: set[str] = set()
    for column in sorted(plain, key=lambda each: -each.wanted):
        if any(column.key in row for row in shown.intervals) and left >= INTERVAL_WIDTH:
            left -= INTERVAL_WIDTH
            wide.add(column.key)
    laid: list[_Laid] = []
    for column in everything:
        if column not in chosen:
            continue
        if column.key in extras:
            laid.append(_Laid(column, extras[column.key][1], column.width))
            continue
        cells = [row[plain.index(column)] for row in rows]
        if column.key in wide:
            spans = [f" [{row[column.key]}]" if column.key in row else "" for row in shown.intervals]
            cells = [ShownFigure(cell.text + span, cell.best) for cell, span in zip(cells, spans, strict=True)]
        laid.append(_Laid(column, cells, column.width + INTERVAL_WIDTH * (column.key in wide)))
    left += least
    ends = END_WIDTH if left >= most + END_WIDTH else 0
    return _Layout(min(most, max(least, left - ends)), ends, laid)


def volume_line(shown: Shown) -> str:
    """Say what volume a month's cost was reckoned with."""
    if shown.volume is None or not shown.volume.calls:
        return ""
    if shown.calls_per_day is not None:
        return tr(
            "$/month at {calls_per_day} calls a day of this prompt", calls_per_day=units.rate(shown.calls_per_day)
        )
    return tr("$/month at the log's {calls_per_day} calls a day", calls_per_day=units.rate(shown.volume.calls_per_day))


class ComparisonTable(DataTable[Text]):
    """One row per answer; choosing a row looks at its pane."""

    HELP = """
    One row per answer. `*` marks the best figure of a column where that can be told: of single calls only tokens and
    cost, of repeated ones what differs by more than chance. `≈` marks estimates,
    `n/a` a model without a price. Repeated calls show medians and, where there is room, their 95 % intervals.
    `$/month` is what a month costs if every call that the log saw in the last week costs as much as this one; `share`
    is the share of those calls that went to this model. Up and down look at an answer, enter goes into it.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id, cursor_type="row", cell_padding=0)
        self.add_class("panel")
        self._shown = Shown()
        self._form: tuple[object, ...] = ()

    def on_resize(self) -> None:
        """Choose the columns that fit."""
        self.call_after_refresh(lambda: self.show(self._shown))

    def show(self, shown: Shown) -> None:
        """Show the answers' figures, or the medians of repeated calls; a handful of rows, so they are filled anew."""
        self._shown = shown
        repeated = shown.kept is not None
        together = "" if repeated else side_by_side([each for group in shown.groups for each in group])
        parts = ["comparison", "medians" if repeated else "", tr("{best} best", best=BEST), together]
        self.border_title = " · ".join(part for part in parts if part)
        cursor = self.cursor_row
        layout = lay_out(shown, self.scrollable_content_region.width or self.app.size.width)
        self.border_subtitle = volume_line(shown) if any(laid.column is MONTH for laid in layout.columns) else ""
        with self.prevent(DataTable.RowHighlighted):
            if layout.form == self._form:
                self.clear()
            else:
                self._form = layout.form
                self.clear(columns=True)
                self.add_column("model", width=layout.name)
                for laid in layout.columns:
                    self.add_column(Text(laid.column.heading + " ", justify="right"), width=laid.width)
                if layout.ends:
                    self.add_column(" end", width=layout.ends)
            for at, (pane, group) in enumerate(zip(shown.panes, shown.groups, strict=True)):
                times = f"{len(group)}× " if repeated else ""
                name = Text(f"{MARKS[pane.state]} {times}{pane.title_text}", no_wrap=True)
                name.truncate(layout.name - 1, overflow="ellipsis")
                cells = [
                    Text(cell.text + (BEST if cell.best else " "), style="bold" if cell.best else "", justify="right")
                    for cell in (laid.cells[at] for laid in layout.columns)
                ]
                self.add_row(name, *cells, *([Text(f" {ending(pane.result)}")] if layout.ends else []))
            if 0 <= cursor < self.row_count:
                self.move_cursor(row=cursor, scroll=False)
        # Said outright: a DataTable measures its rows when it is idle, and a layout before that cut the last ones off.
        self.styles.height = self.row_count + self.header_height + self.gutter.height

    def mark(self, number: int) -> None:
        """Put the cursor on a row."""
        if 0 <= number < self.row_count:
            with self.prevent(DataTable.RowHighlighted):
                self.move_cursor(row=number)
