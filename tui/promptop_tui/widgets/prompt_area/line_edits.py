"""Edits of whole lines, worked out without a widget: indent, move, duplicate, switch off.

Each function returns one :class:`LineEdit`, which is one step of undo; None where there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.document._document import Location, Selection

from promptop.prompts.comments import CLOSE, OPEN, is_close, is_open

_LOOKED_AT = 200
_UNITS = (2, 3, 4, 8)
_USUAL_UNIT = 2


@dataclass(frozen=True, slots=True)
class LineEdit:
    """The lines ``first`` to ``last`` are replaced by ``lines``, and then ``selection`` is selected."""

    first: int
    last: int
    lines: tuple[str, ...]
    selection: Selection


def selected_lines(selection: Selection) -> tuple[int, int]:
    """Return the first and the last line of a selection; a line that it ends in front of is not one of them."""
    top, bottom = sorted(selection)
    last = bottom[0] - 1 if bottom[1] == 0 and bottom[0] > top[0] else bottom[0]
    return top[0], last


def indentation(line: str) -> str:
    """Return the white space that a line begins with."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def unit_near(lines: Sequence[str], first: int, last: int) -> str:
    """Return one step of indentation as the lines around [first, last] have it: a tab, or 2 to 8 blanks; else two.

    The lines themselves do not count, so that Tab and Shift-Tab take each other back.
    """
    around = [*lines[max(0, first - _LOOKED_AT) : first], *lines[last + 1 : last + 1 + _LOOKED_AT]]
    margins = [indentation(line) for line in around if line.strip()]
    if any(margin.startswith("\t") for margin in margins):
        return "\t"
    return " " * min((len(margin) for margin in margins if len(margin) in _UNITS), default=_USUAL_UNIT)


def indent(lines: Sequence[str], selection: Selection) -> LineEdit:
    """Move the selected lines one step to the right; blank lines stay."""
    first, last = selected_lines(selection)
    unit = unit_near(lines, first, last)
    new = tuple(unit + line if line.strip() else line for line in lines[first : last + 1])
    return LineEdit(first, last, new, _shifted(selection, first, lines, new))


def dedent(lines: Sequence[str], selection: Selection) -> LineEdit | None:
    """Move the selected lines one step to the left, as far as they have a margin."""
    first, last = selected_lines(selection)
    unit = unit_near(lines, first, last)
    new = tuple(_without_step(line, unit) for line in lines[first : last + 1])
    if list(new) == list(lines[first : last + 1]):
        return None
    return LineEdit(first, last, new, _shifted(selection, first, lines, new))


def _without_step(line: str, unit: str) -> str:
    if line.startswith("\t"):
        return line[1:]
    blanks = len(line) - len(line.lstrip(" "))
    step = len(unit) if unit != "\t" else 4
    return line[min(blanks, step) :]


def _shifted(selection: Selection, first: int, old: Sequence[str], new: Sequence[str]) -> Selection:
    """Keep the same characters selected while their lines grow or shrink on the left."""

    def moved(place: Location) -> Location:
        row, column = place
        if not first <= row < first + len(new):
            return place
        grown = len(new[row - first]) - len(old[row])
        return row, max(0, column + grown) if column else 0

    return Selection(moved(selection.start), moved(selection.end))


def move(lines: Sequence[str], selection: Selection, *, down: bool) -> LineEdit | None:
    """Swap the selected lines with the line below or above them."""
    first, last = selected_lines(selection)
    if (last + 1 >= len(lines)) if down else first == 0:
        return None
    block = tuple(lines[first : last + 1])
    by = 1 if down else -1
    if down:
        return LineEdit(first, last + 1, (lines[last + 1], *block), _by_rows(selection, by, len(lines)))
    return LineEdit(first - 1, last, (*block, lines[first - 1]), _by_rows(selection, by, len(lines)))


def duplicate(lines: Sequence[str], selection: Selection, *, down: bool) -> LineEdit:
    """Repeat the selected lines; the copy below is selected with ``down``, else the one above."""
    first, last = selected_lines(selection)
    block = tuple(lines[first : last + 1])
    by = len(block) if down else 0
    return LineEdit(first, last, block + block, _by_rows(selection, by, len(lines) + len(block)))


def _by_rows(selection: Selection, rows: int, count: int) -> Selection:
    def moved(place: Location) -> Location:
        return max(0, min(place[0] + rows, count)), place[1]

    return Selection(moved(selection.start), moved(selection.end))


def toggle_off(lines: Sequence[str], selection: Selection) -> LineEdit | None:
    """Switch the selected lines off for the next call, or on again if they lie in a block that is off.

    Blocks that are off inside the lines become part of the new one.
    """
    first, last = selected_lines(selection)
    block = block_around(lines, first, last)
    if block is not None:
        top, bottom = block
        end = bottom if is_close(lines[bottom]) else bottom + 1
        new = tuple(lines[top + 1 : end])
        rows = Selection(*((max(top, min(row - 1, end - 2)), column) for row, column in selection))
        return LineEdit(top, bottom, new or ("",), rows)
    inside = [line for line in lines[first : last + 1] if not is_open(line) and not is_close(line)]
    if not any(line.strip() for line in inside):
        return None
    dropped = last + 1 - first - len(inside)
    rows = Selection(*((min(row + 1, last + 1 - dropped), column) for row, column in selection))
    return LineEdit(first, last, (OPEN, *inside, CLOSE), rows)


def block_around(lines: Sequence[str], first: int, last: int) -> tuple[int, int] | None:
    """Return the first and the last line of the block that is off around all of the lines; None if there is none."""
    top = next(
        (row for row in range(first, -1, -1) if is_open(lines[row]) or (row < first and is_close(lines[row]))), -1
    )
    if top < 0 or not is_open(lines[top]):
        return None
    bottom = next((row for row in range(top + 1, len(lines)) if is_close(lines[row])), len(lines) - 1)
    return (top, bottom) if bottom >= last else None
