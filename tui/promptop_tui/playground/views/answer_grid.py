"""The answers side by side: as many as are readable, the others a key away."""

from __future__ import annotations

from textual.containers import Container

from promptop_tui.playground.views.answer_pane import AnswerPane

MIN_WIDTH = 44
"""Cells below which a pane's border cannot hold its figures."""
MIN_HEIGHT = 7
"""Rows below which a pane is more border than text."""


def fit_grid(count: int, width: int, height: int) -> tuple[int, int]:
    """Return columns and rows for ``count`` panes in so many cells: at least one pane, no more than needed."""
    most_columns = max(1, width // MIN_WIDTH)
    most_rows = max(1, height // MIN_HEIGHT)
    columns = max(1, min(most_columns, count))
    rows = max(1, min(most_rows, -(-count // columns)))
    # Fewer columns are wider: take as few as still show everything in the same number of rows.
    while columns > 1 and (columns - 1) * rows >= count:
        columns -= 1
    return columns, rows


class AnswerGrid(Container):
    """Holds the panes and shows the page that has the current one."""

    def __init__(self) -> None:
        super().__init__(id="answers")
        self.current = 0
        """Number of the pane that is looked at."""
        self.zoomed = False
        """Whether one pane has all the room."""

    @property
    def panes(self) -> list[AnswerPane]:
        """The panes in their order, visible or not."""
        return list(self.query_children(AnswerPane))

    async def show(self, titles: list[str], *, letters: bool = False) -> list[AnswerPane]:
        """Have one pane per title and return them; panes stay if the titles are the same as before.

        With ``letters`` only their number counts: which pane was whose must not tell which one is.
        """
        before = [pane.title_text for pane in self.panes]
        if len(before) != len(titles) if letters else before != titles:
            await self.remove_children()
            await self.mount(*(AnswerPane(title) for title in titles))
            self.current = 0
        self.lay_out()
        return self.panes

    def on_resize(self) -> None:
        """Show more or fewer of them."""
        self.lay_out()

    def look_at(self, number: int) -> AnswerPane | None:
        """Make a pane the current one and show it; None if there is none of that number."""
        panes = self.panes
        if not 0 <= number < len(panes):
            return None
        self.current = number
        self.lay_out()
        return panes[number]

    def zoom(self) -> None:
        """Give the current pane all the room, or share it out again."""
        self.zoomed = not self.zoomed
        self.lay_out()

    def lay_out(self) -> None:
        """Show the page of panes that holds the current one; the last of a row that is not full is wider."""
        panes = self.panes
        self.display = bool(panes)
        if not panes:
            return
        self.current = min(self.current, len(panes) - 1)
        columns, rows = (1, 1) if self.zoomed else fit_grid(len(panes), self.size.width, self.size.height)
        first = self.current // (columns * rows) * columns * rows
        page = panes[first : first + columns * rows]
        with self.app.batch_update():
            for number, pane in enumerate(panes, 1):
                pane.display = pane in page
                pane.show_place(number if len(page) < len(panes) else 0, len(panes))
                pane.styles.column_span = 1
            page[-1].styles.column_span = columns - (len(page) - 1) % columns
            self.styles.grid_size_columns = columns
            self.styles.grid_size_rows = -(-len(page) // columns)
