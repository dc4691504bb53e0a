"""The answers of one case side by side: what was asked, what each variant said, and what each check says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from promptop.base.sanitize import clean, clean_line
from promptop.experiments.grid.cells import GridCell
from promptop.experiments.grid.plan import PlannedCase
from promptop_tui.playground.dialogs.inspect_dialogs import DiffDialog
from promptop_tui.widgets.dialog import Dialog

MOST_BESIDE = 3
"""Answers that stand side by side; the others are a key away."""


class CellDialog(Dialog[None]):
    """A case, opened."""

    HELP = """
    What failed stands left. The lines under an answer are its checks, with the reason where one does not pass. The
    difference compares the first two answers that are shown; the next key shows the other variants.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,enter", "close", "Close", id="dialog.close_text", tooltip="Back to the grid", show=False),
        Binding("n", "next", "Next variants", id="cells.next", tooltip="Show the next variants"),
        Binding("d", "diff", "Diff", id="cells.diff", tooltip="How the first two shown answers differ"),
    ]

    def __init__(self, planned: PlannedCase, cells: Sequence[tuple[str, GridCell | None]]) -> None:
        """``cells`` are title and cell of each variant; None where it was not asked."""
        super().__init__(f"case {planned.case.id}")
        self._given = planned.given
        self._cells = tuple(cells)
        self._first = 0

    def compose(self) -> ComposeResult:
        """Lay out the input over the answers."""
        with self.frame():
            yield Static(clean(self._given[:2000]), id="cell-given", markup=False)
            yield Horizontal(id="cells")

    def on_mount(self) -> None:
        """Show the first answers."""
        self.call_later(self._show)

    @property
    def _shown(self) -> Sequence[tuple[str, GridCell | None]]:
        return self._cells[self._first : self._first + MOST_BESIDE]

    async def _show(self) -> None:
        row = self.query_one("#cells", Horizontal)
        await row.remove_children()
        panes = []
        for title, cell in self._shown:
            pane = VerticalScroll(Static(_told(cell), markup=False), classes="cell")
            pane.border_title = Content(clean_line(title, 60))
            panes.append(pane)
        await row.mount(*panes)
        if panes:
            panes[0].focus()

    async def action_next(self) -> None:
        """Show the next variants, the first ones behind the last."""
        step = self._first + MOST_BESIDE
        self._first = step if step < len(self._cells) else 0
        await self._show()

    def action_diff(self) -> None:
        """Compare the first two answers that are shown."""
        answers = [(title, cell.result.text) for title, cell in self._shown if cell is not None]
        if len(answers) < 2:
            self.notify("A difference needs two answers.", severity="warning")
            return
        (before, one), (after, other) = answers[:2]
        self.app.push_screen(DiffDialog(before, one, after, other))


def _told(cell: GridCell | None) -> Content:
    """Return an answer and what its checks say."""
    if cell is None:
        return Content("not asked")
    result = cell.result
    text = result.text or result.calls_text() or str(result.error or "(empty)")
    parts: list[str | tuple[str, str]] = [f"{clean(text)}\n"]
    for check in cell.checked.values():
        sign, style = ("✓", "$text-success") if check.passed else ("✗", "$text-error bold")
        why = f"  {clean_line(check.why, 200)}" if check.why else ""
        parts += [("\n" + f"{sign} {clean_line(check.text, 100)}", style), why]
    return Content.assemble(*parts)
