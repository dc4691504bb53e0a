"""What the user looks at: window, moment, rows, chart, reading. State, and the commands that change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from promptop.base.texts import tr
from promptop_tui.monitor.analysis.token_histogram import bounds_of
from promptop_tui.monitor.data.snapshot import GROUPED_BY, SPANS, LogSnapshot, SnapshotQuery
from promptop_tui.monitor.views.charts import kinds_of

VIEWS = {
    "slow": "latency>={p95:.6f}",
    "failing": "status:error",
    "truncated": "finish:length,max_tokens",
    "thought only": "reasoning>0 -ttfo>0 status:ok stream:yes",
}
"""Views of the rows: those above the window's p95, those that failed, were cut, or came without visible text."""


@dataclass(frozen=True, slots=True)
class View:
    """One state of what is looked at."""

    asked: SnapshotQuery
    """What the user wants to see."""
    chart: str = ""
    """Key of the first chart; empty: the one that says most of the window's rows."""
    log_scale: bool = False
    cursor: int | None = None
    """Bucket of time that is read on the charts."""
    bar: int | None = None
    """Bar that is read on the histogram."""
    zoomed: bool = False
    inspected: bool = False
    """Whether the drawer is open that says what looks at the log cost."""

    @property
    def reads_bars(self) -> bool:
        """Whether the first chart that is shown is the histogram: the keys then read its bars."""
        return self.chart == "sizes"


class ViewState:
    """Holds the present :class:`View`; every change goes through :meth:`update`, which tells the screen."""

    def __init__(
        self,
        query: SnapshotQuery,
        *,
        shown: Callable[[], LogSnapshot],
        changed: Callable[[View, View], object],
        tell: Callable[[str, str], object],
    ) -> None:
        """Start with ``query``; ``shown`` gives the last snapshot, ``changed`` takes the view before and after."""
        self.state = View(query)
        self._shown = shown
        self._changed = changed
        self._tell = tell
        self.commands: dict[str, Callable[..., object]] = {
            "span": self.show_span,
            "drill": self.drill,
            "view": self.next_rows,
            "chart": self.turn_chart,
            "zoom": self.zoom,
            "inspect": self.inspect,
            "own": self.turn_own,
            "by": self.turn_by,
            "log-scale": self.turn_scale,
            "read": self.read,
        }

    @property
    def asked(self) -> SnapshotQuery:
        """What the user wants to see."""
        return self.state.asked

    def update(self, **changes: Any) -> None:
        """Change fields of the view, and tell of it where that makes a difference."""
        before = self.state
        self.state = replace(before, **changes)
        if self.state != before:
            self._changed(before, self.state)

    def ask(self, **changes: Any) -> None:
        """Change fields of what is asked for."""
        self.update(asked=replace(self.asked, **changes))

    def show_span(self, name: str) -> None:
        """Look at another length of time."""
        self.update(cursor=None, asked=replace(self.asked, span=SPANS[name]))

    def drill(self) -> None:
        """Show the requests of the time, or of the bar, that is read on the chart."""
        state, shown = self.state, self._shown()
        if state.reads_bars and state.bar is not None:
            self._drill_bar(state.bar)
            return
        if state.cursor is None or shown.window is None:
            self._tell(tr("No time is selected on a chart."), tr("Choose one with ← and → or a click, then press d."))
            return
        step = shown.query.span.step_s * 1000
        start = shown.since_ms + state.cursor * step
        self.update(asked=replace(self.asked, moment_ms=(start, start + step)), zoomed=False)

    def _drill_bar(self, bar: int) -> None:
        """Show the requests of a bar: by input, or by output where no request has such an input."""
        shown = self._shown()
        sizes = shown.sizes
        if sizes is None or bar >= len(sizes.input):
            return
        low, high = bounds_of(sizes.first + bar)
        field = "in" if sizes.input[bar] else "out"
        name = (
            tr("{field} {low:,} to {high:,} tokens", field=field, low=low, high=high)
            if high > low
            else tr("{field} {low:,} tokens", field=field, low=low)
        )
        window = (shown.since_ms, shown.until_ms)
        asked = replace(self.asked, moment_ms=window, view=name, view_terms=f"{field}:{low}..{high}")
        self.update(asked=asked, zoomed=False)  # or the rows would stand behind the chart

    def next_rows(self) -> None:
        """Show the next view of the requests: all, slow, failing, truncated, thought only."""
        names = ["", *VIEWS]
        asked, window = self.asked, self._shown().window
        name = names[(names.index(asked.view) + 1) % len(names)] if asked.view in names else ""
        terms = VIEWS.get(name, "")
        if name == "slow":
            p95 = window.total.latency.quantile(0.95) if window else None
            terms = terms.format(p95=(p95 or 0.0) * 0.99)  # the percentile is known within 1 %
        self.ask(view=name, view_terms=terms, moment_ms=None)

    def turn_chart(self, by: int) -> None:
        """Show the next chart, or the one before."""
        kinds = kinds_of(self._shown(), self.state.chart)
        self.update(chart=kinds[by % len(kinds)].key)

    def zoom(self) -> None:
        """Give one chart the whole tab, or take it back."""
        self.update(zoomed=not self.state.zoomed)

    def inspect(self) -> None:
        """Open the drawer that says what looks at the log cost, or close it."""
        self.update(inspected=not self.state.inspected)

    def turn_own(self) -> None:
        """Count promptop's own benchmarks, proofs and batches in the figures, or leave them out again."""
        self.ask(own=not self.asked.own)

    def turn_by(self) -> None:
        """Group the figures by the next dimension: model, app, prompt, server called, calling host."""
        names = list(GROUPED_BY)
        place = names.index(self.asked.by) if self.asked.by in names else 0
        self.ask(by=names[(place + 1) % len(names)])

    def turn_scale(self) -> None:
        """Switch the axis of lines between linear and logarithmic; layers, bars and shares begin at 0."""
        self.update(log_scale=not self.state.log_scale)

    def read(self, by: int) -> None:
        """Read the values of a bucket earlier or later, from the newest at first; on the histogram those of a bar."""
        state, sizes = self.state, self._shown().sizes
        if state.reads_bars:
            last = len(sizes.input) - 1 if sizes is not None else -1
            if last >= 0:
                self.update(bar=(0 if by > 0 else last) if state.bar is None else max(0, min(state.bar + by, last)))
            return
        last = self.asked.span.buckets - 1
        self.update(cursor=last if state.cursor is None else max(0, min(state.cursor + by, last)))

    def pick(self, bucket: int, *, bar: bool) -> None:
        """Read what was clicked: a bucket of time, or a bar."""
        self.update(**{"bar" if bar else "cursor": bucket})

    def back(self) -> None:
        """Close what was opened last: reading, zoom, time, view, then the filter itself."""
        state, asked = self.state, self.asked
        if state.cursor is not None or state.bar is not None:
            self.update(cursor=None, bar=None)
        elif state.zoomed:
            self.update(zoomed=False)
        elif asked.moment_ms is not None:
            view, terms = ("", "") if asked.view not in VIEWS else (asked.view, asked.view_terms)
            self.ask(moment_ms=None, view=view, view_terms=terms)
        elif asked.view:
            self.ask(view="", view_terms="")
        elif asked.filter:
            self.ask(filter="")

    def narrow(self, terms: str) -> None:
        """Add terms to the filter, and show what matches."""
        combined = f"{self.asked.filter} {terms}".strip()
        self.ask(filter=combined, view="", view_terms="", moment_ms=None)

    def show_found(self, first_ms: int, last_ms: int, name: str, terms: str) -> None:
        """Show the rows that something was found in."""
        self.ask(moment_ms=(first_ms, last_ms + 1), view=name, view_terms=terms)
