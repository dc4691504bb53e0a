"""What can be done with the requests of the table: open, compare, copy, hand over, order, choose columns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.files import state_dir
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.monitor.controllers.log_reading import LogReading
from promptop_tui.monitor.controllers.open_in import message_for
from promptop_tui.monitor.controllers.view_state import ViewState
from promptop_tui.monitor.data.queries import OlderRows, RankedRows, RowFound
from promptop_tui.monitor.data.snapshot import SnapshotQuery
from promptop_tui.monitor.views.request_table import RequestTable
from promptop_tui.monitor.views.row_cells import name_of
from promptop_tui.monitor.views.status_line import StatusLine

if TYPE_CHECKING:
    from promptop.log import StoredRow


class RequestActions:
    """Acts on the row under the cursor, and on the order of all rows."""

    def __init__(
        self,
        host: Widget,
        view: ViewState,
        reading: LogReading,
        *,
        table: Callable[[], RequestTable],
        status: Callable[[], StatusLine],
        tell: Callable[[str, str], object],
    ) -> None:
        self._host = host
        self._view = view
        self._reading = reading
        self._table = table
        self._status = status
        self._tell = tell
        self.marked: StoredRow | None = None
        """The request that the next marked one is compared with."""
        self.commands: dict[str, Callable[..., object]] = {
            "hand-over": self.fetch,
            "mark": self.mark,
            "order": self.turn_order,
            "reverse": self.reverse,
            "columns": self.choose_columns,
        }

    # One request

    def fetch(self, purpose: str) -> None:
        """Have the row under the cursor read whole: to show it, copy it, or open it elsewhere."""
        row = self._table().current
        if row is not None:
            self._reading.reader.fetch(row.id, purpose, row.source)

    def take_row(self, found: RowFound) -> None:
        """Do with a row what it was read for."""
        from promptop_tui.monitor.dialogs.detail import DetailDialog
        from promptop_tui.monitor.dialogs.request_compare import curl, pair_lines

        app = self._host.app
        if found.row is not None and found.purpose == "compare" and found.other is not None:
            title = tr("requests {name_of} and {name_of_2}", name_of=name_of(found.row), name_of_2=name_of(found.other))
            app.push_screen(DetailDialog(title, pair_lines(found.row, found.other), goes_on=False))
            return
        if found.row is not None and found.purpose == "curl":
            text, whole = curl(found.row, found.body)
            app.copy_to_clipboard(text)
            what = (
                tr("Copied as curl.") if whole else tr("Copied as curl, without the prompt: the log does not keep it.")
            )
            self._host.notify(what, markup=False)
            return
        try:
            if found.row is None or found.purpose != "show":
                self._host.post_message(message_for(found))
                return
        except PromptopError as error:
            self._tell(error.cause, error.remedy)
            return
        app.push_screen(DetailDialog(self._title(found.row), found.lines), self._after_detail)

    def _title(self, row: StoredRow) -> str:
        paths = self._reading.paths
        if len(paths) == 1:
            return f"request {row.id}"
        return tr("request {id} of {str}", id=row.id, str=clean_line(str(paths[row.source]), 60))

    def _after_detail(self, where: str | None) -> None:
        if where:
            self.fetch(where)

    def mark(self) -> None:
        """Mark the request under the cursor; with one marked before, compare the two."""
        row = self._table().current
        if row is None:
            return
        marked, self.marked = self.marked, None
        if marked is None:
            self.marked = row
            self._host.notify(
                tr("Request {name_of} is marked: x on another one compares them.", name_of=name_of(row)), markup=False
            )
        elif (marked.source, marked.id) != (row.source, row.id):
            self._host.app.clear_notifications()  # the one that says how would cover the comparison
            self._reading.reader.fetch_pair(marked.id, row.id, (marked.source, row.source))
        else:
            self._host.notify(tr("Request {name_of} is no longer marked.", name_of=name_of(row)), markup=False)

    # Older ones

    def load_older(self) -> None:
        """Ask for the page before the oldest row that is loaded."""
        table, reading = self._table(), self._reading
        place, rows = table.feed.older_from, table.feed.rows
        if table.order != "time" or place is None or reading.loading_older:
            return
        reading.loading_older = True
        oldest = (rows[0].started_ms or 0, rows[0].id, rows[0].source) if rows else None
        reading.reader.older(self._view.asked, place, oldest)

    def take_older(self, found: OlderRows) -> None:
        """Put a page of older rows in front."""
        table = self._table()
        self._reading.loading_older = False
        if _rows_of(found.query) == _rows_of(self._view.asked):
            table.take_older(found.rows, older_from=found.older_from)
            if table.hungry:  # a filter that matches little: the search goes on while there is room
                self.load_older()

    # Order and columns

    def turn_order(self) -> None:
        """Order the window's requests by the next figure."""
        self._table().turn_order()
        self.ask_for_order()

    def reverse(self) -> None:
        """Put the smallest first, or the largest again."""
        table = self._table()
        if table.order != "time":
            table.turn_round()
            self.ask_for_order()

    def ask_for_order(self) -> None:
        """Have the window looked through for the rows that come first."""
        table = self._table()
        self._status().order = "" if table.order == "time" else tr("{first_are} first …", first_are=self._first_are)
        table.await_ranked()
        self._reading.reader.order(self._view.asked, table.order, smallest=table.smallest)

    @property
    def _first_are(self) -> str:
        table = self._table()
        return f"{'smallest' if table.smallest else 'largest'} {table.order}"

    def take_ranked(self, found: RankedRows) -> None:
        """Show the rows that come first in an order."""
        table = self._table()
        if (found.query, found.figure, found.smallest) != (self._view.asked, table.order, table.smallest):
            return
        table.take_ranked(found.rows, found.since_ms)
        back = datetime.fromtimestamp(found.reached_ms / 1000)
        window = tr("the time chosen") if found.query.moment_ms else found.query.span.name
        reach = (
            tr(" of {window} first", window=window)
            if found.done
            else tr(" first, looked back to {back:%d %b %H:%M} …", back=back)
        )
        self._status().order = self._first_are + reach

    def use_columns(self) -> None:
        """Show the columns that were chosen last time."""
        from promptop_tui.monitor.dialogs.columns import hidden_columns

        if hidden := hidden_columns(state_dir() / "columns.json"):
            self._table().hide(hidden)

    def choose_columns(self) -> None:
        """Choose the columns; they are remembered."""
        from promptop_tui.monitor.dialogs.columns import ColumnsDialog, keep_hidden

        table = self._table()

        def chosen(hidden: frozenset[str] | None) -> None:
            if hidden is None or hidden == table.hidden:
                return
            table.hide(hidden)
            path = state_dir() / "columns.json"
            try:
                keep_hidden(path, hidden)
            except OSError as error:
                self._tell(
                    tr("{path} cannot be written ({strerror}).", path=path, strerror=error.strerror),
                    tr("The columns hold until you leave."),
                )

        self._host.app.push_screen(ColumnsDialog(table.hidden), chosen)


def _rows_of(query: SnapshotQuery) -> tuple[str, int | None, tuple[int, int] | None]:
    """Return what a query says of the rows."""
    return query.rows_filter, query.until_ms, query.moment_ms
