"""What the monitor shows, as one immutable value: built by the reader's thread, looked at by the UI thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from promptop.log import Stats, StoredRow, Window
    from promptop_tui.monitor.analysis.spending import LoggedSpend
    from promptop_tui.monitor.analysis.token_histogram import TokenSizes


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time to look at, cut into buckets that the log's rollups are made of."""

    name: str
    seconds: int
    step_s: int

    @property
    def buckets(self) -> int:
        """Number of buckets; the last one is under way."""
        return self.seconds // self.step_s


SPANS: dict[str, Span] = {
    span.name: span
    for span in (
        Span("5m", 300, 5),
        Span("1h", 3_600, 60),
        Span("24h", 86_400, 900),
        Span("7d", 604_800, 7_200),
        Span("30d", 2_592_000, 21_600),
    )
}


GROUPED_BY = ("model", "app", "prompt", "server", "host")
"""What the figures can be grouped by; the first three are kept in sums, the others are counted from rows."""


@dataclass(frozen=True, slots=True)
class SnapshotQuery:
    """What the screen wants to see."""

    span: Span = SPANS["1h"]
    until_ms: int | None = None
    """End of the window; None: now, and moving."""
    filter: str = ""
    """Expression that rows, tiles and charts are limited to."""
    view: str = ""
    """Name of a view: rows alone are limited further, by ``view_terms``."""
    view_terms: str = ""
    moment_ms: tuple[int, int] | None = None
    """Stretch of time whose rows are shown instead of the newest ones."""

    own: bool = False
    """Whether promptop's own benchmarks, proofs and batches count in figures and findings; rows show them always."""
    by: str = "model"
    """Dimension of the groups: one of :data:`GROUPED_BY`."""
    sizes: bool = False
    """Whether the histogram of tokens is wanted, which is counted from rows."""

    @property
    def rows_filter(self) -> str:
        """Expression for the rows."""
        return f"{self.filter} {self.view_terms}".strip()

    @property
    def counts_own(self) -> bool:
        """Whether promptop's own measuring calls count: where they are asked for, or the filter names an app."""
        from promptop.log.own_calls import are_asked_for

        return self.own or are_asked_for(self.filter)

    @property
    def tails(self) -> bool:
        """Whether the newest rows are shown as they come."""
        return self.until_ms is None and self.moment_ms is None

    def bounds_ms(self, now_ms: int) -> tuple[int, int]:
        """Return start and end of the window, Unix milliseconds: whole buckets, the last one under way."""
        step = self.span.step_s * 1000
        last = ((now_ms if self.until_ms is None else self.until_ms) // step + 1) * step
        return last - self.span.seconds * 1000, last


State = Literal["loading", "ok", "empty", "problem"]


@dataclass(frozen=True, slots=True)
class LogSnapshot:
    """One look at the log."""

    version: int = 0
    query: SnapshotQuery = field(default_factory=SnapshotQuery)
    now_ms: int = 0
    since_ms: int = 0
    until_ms: int = 0
    state: State = "loading"
    cause: str = ""
    remedy: str = ""
    trouble: str = ""
    """What keeps rows from coming in or going on, in words; the figures are shown all the same."""
    window: Window | None = None
    previous: Stats | None = None
    """The window of the same length before this one."""
    groups_before: Mapping[str, Stats] = field(default_factory=dict)
    """The groups of that window."""
    by: str = "model"
    """Dimension of the groups; not the one asked for where that would take reading too many rows."""
    sessions: int | None = None
    """Conversations in the window, where its rows have no times of their own; None where they have."""
    spend: LoggedSpend | None = None
    reach: tuple[int, int] | None = None
    """First and last start of all rows, Unix milliseconds."""
    sizes: TokenSizes | None = None
    """Tokens of requests, where the query wants them."""
    fresh: tuple[StoredRow, ...] = ()
    """Rows that came since the snapshot before, oldest first."""
    restart: bool = False
    """Whether ``fresh`` replaces all rows shown: another filter, another file."""
    older_from: tuple[int, ...] | None = None
    """After a restart: the id in each log before which older rows are looked for; None if there are none."""
    unfiltered: bool = False
    """Whether the figures leave the filter out, because the window has too many rows to read each of them."""
    reads: int = 0
    """Queries of the log that this snapshot took."""
    took_s: float = 0.0
    """Seconds that they took."""

    @property
    def filled_to_ms(self) -> int | None:
        """Start of the oldest row, while rows of long ago come in: an import, or the demo's day; None otherwise."""
        newest = self.reach[1] if self.reach is not None else 0
        from promptop_tui.monitor.views.row_cells import LATE_MS

        late = any(newest - (row.started_ms or newest) > LATE_MS for row in self.fresh)
        return self.reach[0] if late and not self.restart and self.reach is not None else None

    @property
    def comparable(self) -> Stats | None:
        """The window before this one, if the log has nine tenths of it: else a change would be a fiction."""
        return self.previous if self._covers_before else None

    @property
    def comparable_groups(self) -> Mapping[str, Stats]:
        """Its groups; empty where the log does not have it."""
        return self.groups_before if self._covers_before else {}

    @property
    def _covers_before(self) -> bool:
        span = self.query.span.seconds * 1000
        covered = self.reach is not None and self.reach[0] <= self.since_ms - 0.9 * span
        return covered and self.filled_to_ms is None  # what is being filled has no window before yet

    @property
    def is_timed(self) -> bool:
        """Whether any call of the window has a duration: rows of agents and of imports may have none."""
        return self.window is None or not self.window.total.n or self.window.total.latency.n > 0

    @property
    def ahead_ms(self) -> int:
        """How far the latest row lies in the future; 0 if it does not."""
        return max(self.reach[1] - self.now_ms, 0) if self.reach is not None else 0

    def series(
        self, value: Callable[[Stats], float | None], *, absent: float | None = None
    ) -> tuple[float | None, ...]:
        """Return ``value`` of each bucket's stats over the whole window; ``absent`` where a bucket has no rows."""
        step = self.query.span.step_s * 1000
        found = self.window.buckets if self.window else ()
        out: list[float | None] = [absent if found else None] * self.query.span.buckets
        for start, stats, _ in found:
            index = (start - self.since_ms) // step
            if 0 <= index < len(out):
                out[index] = value(stats)
        return tuple(out)

    def group_series(
        self, group: str, value: Callable[[Stats], float | None], *, absent: float | None = None
    ) -> tuple[float | None, ...]:
        """Return ``value`` of one group's stats in each bucket."""
        step = self.query.span.step_s * 1000
        out: list[float | None] = [absent] * self.query.span.buckets
        for start, _, groups in self.window.buckets if self.window else ():
            index = (start - self.since_ms) // step
            if 0 <= index < len(out) and group in groups:
                out[index] = value(groups[group])
        return tuple(out)
