"""The larger part of the tab: the prompt, the answers under it, and how they compare."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import DataTable, Static

from promptop.runs.result import RunResult
from promptop_tui.editor.area import PromptArea
from promptop_tui.playground.grid import AnswerGrid
from promptop_tui.playground.overlay import DiffPage
from promptop_tui.playground.pane import AnswerPane
from promptop_tui.playground.table import ComparisonTable

EMPTY = """\
Nothing has run yet.

F5 sends the prompt to the chosen models.
F2 opens the editor; its playground key brings a prompt here."""


class Welcome(Static, can_focus=True):
    """What is shown before anything ran; takes the focus where there is no room for fields."""


class Stage(Vertical):
    """Holds the answers and does what concerns them alone: which one is looked at, how they compare."""

    def __init__(self) -> None:
        super().__init__(id="stage")

    def compose(self) -> ComposeResult:
        """Lay out prompt, answers and comparison."""
        yield PromptArea(id="prompt", placeholder="Write a prompt here, or press the playground key in the editor.")
        yield Welcome(EMPTY, id="empty", markup=False)
        yield AnswerGrid()
        yield ComparisonTable(id="comparison")
        yield Static(id="verdict", markup=False)

    def on_mount(self) -> None:
        """Make the prompt's field a plain one: counts and edges are the editor's."""
        area = self.query_one("#prompt", PromptArea)
        area.border_title = "prompt"
        area.show_tokens = False
        area.show_line_numbers = False

    @property
    def grid(self) -> AnswerGrid:
        """The panes."""
        return self.query_one(AnswerGrid)

    # Which one is looked at

    def look_at(self, number: int, *, focus: bool = False) -> None:
        """Show an answer and mark its row."""
        pane = self.grid.look_at(number)
        if pane is None:
            return
        self.query_one(ComparisonTable).mark(number)
        if focus:
            pane.focus()

    def look_at_next(self) -> None:
        """Look at the next answer; from elsewhere, go back to the one last looked at."""
        grid = self.grid
        if grid.panes:
            inside = isinstance(self.screen.focused, AnswerPane)
            self.look_at((grid.current + 1) % len(grid.panes) if inside else grid.current, focus=True)

    def hold_focus(self) -> None:
        """Give the focus to something that is shown, if nothing has it: the keys of this tab work from inside it."""
        if self.screen.focused is None and self.is_on_screen:
            pane = self.grid.look_at(self.grid.current)
            (pane or self.query_one(Welcome)).focus()

    @on(DataTable.RowHighlighted, "#comparison")
    def _row_chosen(self, event: DataTable.RowHighlighted) -> None:
        if event.data_table.has_focus:
            self.look_at(event.cursor_row)

    @on(DataTable.RowSelected, "#comparison")
    def _row_entered(self, event: DataTable.RowSelected) -> None:
        self.look_at(event.cursor_row, focus=True)

    @on(AnswerPane.Chosen)
    def _pane_chosen(self, event: AnswerPane.Chosen) -> None:
        grid = self.grid
        if event.pane in grid.panes:
            grid.current = grid.panes.index(event.pane)
            self.query_one(ComparisonTable).mark(grid.current)

    # How they compare

    def show_table(self, kept: Sequence[Sequence[RunResult]] | None) -> None:
        """Show the figures of all answers; of repeated calls those that were ``kept``."""
        self.query_one(ComparisonTable).show(self.grid.panes, kept)

    def show_verdict(self, lines: Sequence[str]) -> None:
        """Say how repeated calls differ, below the table."""
        self.query_one("#verdict", Static).update("\n".join(lines))

    @on(AnswerPane.DiffWanted)
    def _diff_wanted(self, event: AnswerPane.DiffWanted) -> None:
        """Compare an answer with the first one, and the first with the second."""
        panes = self.grid.panes
        other = panes[0] if event.pane is not panes[0] else panes[1] if len(panes) > 1 else None
        if other is None or other.result is None or event.pane.result is None:
            self.notify("A difference needs two finished answers.", severity="warning")
            return
        before, after = (other, event.pane) if other is panes[0] else (event.pane, other)
        assert before.result is not None and after.result is not None
        self.app.push_screen(DiffPage(before.title_text, before.result.text, after.title_text, after.result.text))
