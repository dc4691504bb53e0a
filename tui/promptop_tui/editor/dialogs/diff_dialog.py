"""What changed since the baseline: lines and words, with what they mean in tokens and dollars."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from rich.cells import cell_len
from textual import work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget

from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.widgets.dialog import TextDialog

if TYPE_CHECKING:
    from promptop.base.diff import DiffLine, Gap

Result = TypeVar("Result")
_LONGEST = 200_000
_MOST_LINES = 2000
_HEAD = 11
"""Cells of the line numbers and the sign."""
_STYLES = {"removed": ("− ", "$text-error"), "added": ("+ ", "$text-success"), "same": ("  ", "$foreground 60%")}


def room_in(scroll: Widget) -> int:
    """Return the cells of a line in what scrolls, beside the bar that may come to stand there."""
    return scroll.content_region.width - scroll.styles.scrollbar_size_vertical


def render(lines: Sequence[DiffLine | Gap], width: int = 0) -> Content:
    """Draw a diff: a sign and a colour for each line, changed words bold and underlined.

    With a ``width`` in cells lines are folded behind their sign: Textual folds at blanks alone, and Chinese has none.
    """
    from promptop.base.diff import Gap

    drawn = []
    for line in lines[:_MOST_LINES]:
        if isinstance(line, Gap):
            drawn.append(Content.styled(tr("         … {count} lines", count=line.count), "$foreground 60%"))
            continue
        sign, style = _STYLES[line.kind]
        whole = len(line.parts) == 1
        parts = [
            (clean_line(part.text), f"{style} bold underline" if part.is_changed and not whole else style)
            for part in line.parts
        ]
        numbers = f"{line.before or '':>4}{line.after or '':>4} "
        for at, row in enumerate(_folded(parts, width - _HEAD) if width > 2 * _HEAD else [parts]):
            head = numbers if at == 0 else " " * len(numbers)
            drawn.append(Content.assemble((head, "$foreground 60%"), (sign if at == 0 else "  ", style), *row))
    if len(lines) > _MOST_LINES:
        drawn.append(Content.styled(tr("… {n:,} lines more", n=len(lines) - _MOST_LINES), "$foreground 60%"))
    return Content("\n").join(drawn)


def _folded(parts: Sequence[tuple[str, str]], width: int) -> list[list[tuple[str, str]]]:
    """Cut styled pieces into rows of at most ``width`` cells, at the last blank of a row if there is one."""
    rows: list[list[tuple[str, str]]] = []
    cells = [(character, style) for text, style in parts for character in text]
    start = used = 0
    blank = -1
    for at, (character, _) in enumerate(cells):
        wide = cell_len(character)
        if used + wide > width and at > start:
            cut = blank + 1 if blank >= start and cell_len(character) == 1 else at
            rows.append(_joined(cells[start:cut]))
            used = sum(cell_len(each) for each, _ in cells[cut:at])
            start, blank = cut, -1
        used += wide
        if character == " ":
            blank = at
    rows.append(_joined(cells[start:]))
    return rows


def _joined(cells: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join neighbours of one style."""
    return [("".join(character for character, _ in group), style) for style, group in groupby(cells, lambda c: c[1])]


class DiffDialog(TextDialog[Result], Generic[Result]):
    """The way from one text to another, compared on a thread for the width that its lines have."""

    def __init__(
        self, title: str, before: str, after: str, *, head: str, context: int | None = None, too_long: str
    ) -> None:
        """``context`` lines are kept around each change; ``too_long`` is said of texts that are not compared."""
        super().__init__(title, tr("comparing …"), head=head)
        self._before, self._after = before, after
        self._around, self._too_long = context, too_long

    def on_mount(self) -> None:
        """Compare away from the screen."""
        if self._before == self._after:
            self.show_text(tr("Nothing has changed."))
        elif len(self._before) + len(self._after) > _LONGEST:
            self.show_text(self._too_long)
        else:
            self.call_after_refresh(self._begin)  # the width is known after the first layout

    def _begin(self) -> None:
        self._compare(room_in(self.query_one("#dialog-scroll")))

    @work(thread=True, exclusive=True, group="compare", description="compare two texts")
    def _compare(self, width: int) -> None:
        from promptop.base.diff import folded, line_diff

        before, after = (text.replace("\r\n", "\n") for text in (self._before, self._after))
        if before == after:
            drawn = Content(tr("Only the line ends differ."))
        else:
            lines = line_diff(before, after)
            drawn = render(folded(lines) if self._around is None else folded(lines, self._around), width)
        self.app.call_from_thread(self.show_text, drawn)


class ChangesDialog(DiffDialog[bool]):
    """What changed since the baseline; returns True if the baseline is to come back."""

    HELP = """\
The baseline is the text as it was opened, or as it was when {editor.baseline} was pressed. Words that changed within
a line are bold and underlined. {changes.restore} puts the baseline back; undo in the draft brings the present text
again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "r", "dismiss(True)", "Restore", id="changes.restore", tooltip="Put the baseline back (undo takes it back)"
        ),
    ]

    def __init__(self, before: str, after: str, figures: str) -> None:
        super().__init__(
            tr("Changes since the baseline"),
            before,
            after,
            head=figures,
            too_long=tr("The texts are too long to be compared here: promptop diff compares files."),
        )
