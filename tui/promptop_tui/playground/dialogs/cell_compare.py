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
from promptop.base.texts import tr
from promptop.experiments.grid.cells import GridCell
from promptop.experiments.grid.checker import text_of_answer
from promptop.experiments.grid.plan import PlannedCase
from promptop_tui.playground.dialogs.inspect_dialogs import DiffDialog
from promptop_tui.widgets.dialog import Dialog

MOST_BESIDE = 3
"""Answers that stand side by side; the others are a key away."""


class CellDialog(Dialog[None]):
    """A case, opened."""

    HELP = """
    The lines under an answer are its checks, with the reason where one does not pass; those that differ between the
    answers stand first, marked `≠`. The difference compares the first two answers that are shown; the next key shows
    the other ones.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,enter", "close", "Close", id="dialog.close_text", tooltip="Back to the grid", show=False),
        Binding("n", "next", "Next variants", id="cells.next", tooltip="Show the next variants"),
        Binding("d", "diff", "Diff", id="cells.diff", tooltip="How the first two shown answers differ"),
    ]

    def __init__(
        self,
        planned: PlannedCase,
        cells: Sequence[tuple[str, GridCell | None]],
        *,
        beside: int = MOST_BESIDE,
        title: str = "",
    ) -> None:
        """``cells`` are title and cell of each variant, None where it was not asked; ``beside`` of them are shown."""
        super().__init__(title or tr("case {id}", id=planned.case.id))
        self._given = planned.given
        self._beside = beside
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
        return self._cells[self._first : self._first + self._beside]

    async def _show(self) -> None:
        row = self.query_one("#cells", Horizontal)
        await row.remove_children()
        panes = []
        differing = _differing([cell for _, cell in self._shown if cell is not None])
        for title, cell in self._shown:
            pane = VerticalScroll(Static(_told(cell, differing), markup=False), classes="cell")
            pane.border_title = Content(clean_line(title, 60))
            panes.append(pane)
        await row.mount(*panes)
        if panes:
            panes[0].focus()

    async def action_next(self) -> None:
        """Show the next variants, the first ones behind the last."""
        step = self._first + self._beside
        self._first = step if step < len(self._cells) else 0
        await self._show()

    def action_diff(self) -> None:
        """Compare the first two answers that are shown."""
        answers = [
            (title, text_of_answer(cell.result)) for title, cell in self._shown if cell is not None and cell.whole
        ]
        if len(answers) < 2:
            self.notify(tr("A difference needs two answers."), severity="warning")
            return
        (before, one), (after, other) = answers[:2]
        self.app.push_screen(DiffDialog(before, one, after, other))


def _differing(cells: Sequence[GridCell]) -> frozenset[str]:
    """Return the checks that some of these answers pass and others do not."""
    said: dict[str, set[bool]] = {}
    for cell in cells:
        for name, checked in cell.checked.items():
            said.setdefault(name, set()).add(checked.passed)
    return frozenset(name for name, passes in said.items() if len(passes) > 1)


def _told(cell: GridCell | None, differing: frozenset[str] = frozenset()) -> Content:
    """Return an answer and what its checks say, those that differ first."""
    if cell is None:
        return Content(tr("not asked"))
    result = cell.result
    text = result.text or result.calls_text() or str(result.error or "(empty)")
    if not cell.whole:
        text = tr("(the history keeps no texts)")
    parts: list[str | tuple[str, str]] = [f"{clean(text)}\n"]
    for check in sorted(cell.checked.values(), key=lambda each: each.text not in differing):
        sign, style = ("✓", "$text-success") if check.passed else ("✗", "$text-error bold")
        mark = "≠ " if check.text in differing else ""
        why = f"  {clean_line(check.why, 200)}" if check.why else ""
        parts += [("\n" + f"{mark}{sign} {clean_line(check.text, 100)}", style), why]
    return Content.assemble(*parts)
