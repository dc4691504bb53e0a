"""The steps of undo as plain data, so that they can be kept on disk and taken back after a restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual.document._document import EditResult, Location, Selection
from textual.document._edit import Edit
from textual.document._history import EditHistory

MOST_CHARACTERS = 200_000
"""Characters of undone and redone text that are kept at most; the oldest steps go first."""

Step = tuple[tuple[str, Location, Location, Location, str, Selection | None], ...]
"""Edits that are undone together: text, from, to, end of the result, text that it replaced, selection before."""


def steps(history: EditHistory, most: int = MOST_CHARACTERS) -> tuple[list[Step], list[Step]]:
    """Return the steps that undo and redo would take, the next one last; what exceeds ``most`` is left out."""
    left = most
    kept: list[list[Step]] = []
    for stack in (history._redo_stack, history._undo_stack):
        found: list[Step] = []
        for batch in reversed(stack):
            left -= sum(len(edit.text) + len(edit._edit_result.replaced_text) for edit in batch if edit._edit_result)
            if left < 0:
                break
            found.append(tuple(_plain(edit) for edit in batch if edit._edit_result is not None))
        kept.append(found[::-1])
    return kept[1], kept[0]


def restore(history: EditHistory, undo: Iterable[Step], redo: Iterable[Step]) -> None:
    """Give a history these steps; what it had is forgotten."""
    history.clear()
    history._undo_stack.extend([_edit(each) for each in step] for step in undo)
    history._redo_stack.extend([_edit(each) for each in step] for step in redo)
    history.checkpoint()


def from_json(value: object) -> list[Step]:
    """Read steps as ``json.dumps`` wrote them; raises ValueError, TypeError or IndexError for anything else."""
    if not isinstance(value, list):
        raise TypeError("Steps are a list.")
    return [tuple(_read(each) for each in step) for step in value]


def _plain(edit: Edit) -> tuple[str, Location, Location, Location, str, Selection | None]:
    result = edit._edit_result
    assert result is not None
    return (
        edit.text,
        edit.from_location,
        edit.to_location,
        result.end_location,
        result.replaced_text,
        edit._original_selection,
    )


def _edit(plain: tuple[str, Location, Location, Location, str, Selection | None]) -> Edit:
    text, start, end, result_end, replaced, selection = plain
    edit = Edit(text, start, end, False)
    edit._edit_result = EditResult(result_end, replaced)
    edit._original_selection = selection
    return edit


def _read(value: Sequence[Any]) -> tuple[str, Location, Location, Location, str, Selection | None]:
    text, start, end, result_end, replaced, selection = value
    if not (isinstance(text, str) and isinstance(replaced, str)):
        raise TypeError("The texts of a step are strings.")
    chosen = Selection(_place(selection[0]), _place(selection[1])) if selection is not None else None
    return text, _place(start), _place(end), _place(result_end), replaced, chosen


def _place(value: Sequence[Any]) -> Location:
    row, column = value
    return int(row), int(column)
