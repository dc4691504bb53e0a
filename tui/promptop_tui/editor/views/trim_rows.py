"""How trims are listed: in which order, which of them, and each with the sentence around it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from promptop.base.sanitize import clean_line
from promptop.base.texts import tr

if TYPE_CHECKING:
    from promptop.trim import Edit

_FAR = 300
_LEFT_OF_TEXT = 14
_BEFORE_SHARE = 3
"""A row gives a third of its room to the text before the change."""
GONE, NEW = "$text-error strike", "bold $text-success"


class Order(Enum):
    """What stands first."""

    SAFE = "safe first"
    SAVING = "by saving"
    PLACE = "by place"

    @property
    def next(self) -> Order:
        """The order that follows when one key goes through them."""
        orders = list(Order)
        return orders[(orders.index(self) + 1) % len(orders)]


def filters(edits: Sequence[Edit]) -> list[str]:
    """Return what the list can be narrowed to: nothing, a severity, a rule; each only if it leaves something out."""
    found = [""]
    for names in (
        dict.fromkeys(sorted((edit.severity for edit in edits), reverse=True)),
        dict.fromkeys(edit.rule for edit in edits),
    ):
        if len(names) > 1:
            found += list(names)
    return found


def arranged(edits: Sequence[Edit], order: Order, only: str = "") -> list[int]:
    """Return the numbers of the edits that are listed, in their order; ``only`` is a severity or a rule."""
    shown = [at for at, edit in enumerate(edits) if only in ("", edit.severity, edit.rule)]
    if order is Order.SAVING:
        return sorted(shown, key=lambda at: (-edits[at].tokens_saved, at))
    if order is Order.SAFE:
        return sorted(shown, key=lambda at: (edits[at].severity != "safe", at))
    return shown


def in_context(text: str, edit: Edit, cells: int) -> Content:
    """Return one row: what goes is struck, what comes stands behind it, the sentence goes on around them.

    The change itself is seen whole where it fits into ``cells``; the text around it gives way first.
    """
    gone = clean_line(edit.before.replace("\n", "⏎"))
    new = clean_line(edit.after.replace("\n", "⏎"))
    first = text.rfind("\n", 0, edit.start) + 1
    last = text.find("\n", edit.end)
    head = clean_line(text[max(first, edit.start - _FAR) : edit.start]).lstrip()
    tail = clean_line(text[edit.end : min(last if last >= 0 else len(text), edit.end + _FAR)])
    room = max(8, cells)
    gap = " " if new and gone else ""
    gone = _cut(gone, max(8, room - cell_len(new) - cell_len(gap)))
    new = _cut(new, max(4, room - cell_len(gone) - cell_len(gap)))
    left = room - cell_len(gone) - cell_len(gap) - cell_len(new)
    head_room = min(cell_len(head), max(left // _BEFORE_SHARE, left - cell_len(tail)))
    head = _cut_left(head, head_room)
    tail = _cut(tail, max(0, left - cell_len(head)))
    return Content.assemble(head, (gone, GONE), gap, (new, NEW), tail)


def before_and_after(text: str, edit: Edit) -> tuple[Content, Content]:
    """Return the lines that hold an edit, whole, as they are and as they would be."""
    from promptop.trim import sentence_around

    before, after = sentence_around(text, edit)
    first = text.rfind("\n", 0, edit.start) + 1
    head = text[first : edit.start]
    old_tail = before[len(head) + len(edit.before) :]
    new_tail = after[len(head) + len(edit.after) :]
    old = Content.assemble(_lines(head), (_lines(edit.before), GONE), _lines(old_tail))
    new = Content.assemble(_lines(head), (_lines(edit.after), NEW), _lines(new_tail))
    return old, new


def _lines(text: str) -> str:
    return clean_line(text.replace("\n", "⏎"))


def _cut(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, max(0, cells - 1)).rstrip() + "…" if cells > 0 else ""


def _cut_left(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return text
    if cells <= 1:
        return ""
    kept = text
    while cell_len(kept) > cells - 1:
        kept = kept[1:]
    return "…" + kept


def row(text: str, edit: Edit, width: int) -> Content:
    """Draw one change in its sentence, in ``width`` cells: whether it needs a look, tokens, line."""
    return Content.assemble(
        ("  " if edit.severity == "safe" else "? ", "bold $text-warning"),
        (f"−{edit.tokens_saved:<4}", "bold"),
        (f"{edit.line:>5}  ", "$foreground 60%"),
        in_context(text, edit, width - _LEFT_OF_TEXT),
    )


def described(text: str, edit: Edit, month: str) -> Content:
    """Say of one change what it is for and what it saves, ``month`` in dollars; below, its lines before and after."""
    from promptop.trim import RULES

    rule = next((each for each in RULES if each.id == edit.rule), None)
    says = tr(
        "{rule} · {severity} · line {line} · −{tokens_saved} tokens, {month} a month",
        rule=edit.rule,
        severity=edit.severity,
        line=edit.line,
        tokens_saved=edit.tokens_saved,
        month=month,
    )
    what = f" · {clean_line(rule.description)}" if rule is not None else ""
    old, new = before_and_after(text, edit)
    return Content("\n").join([Content(says + what), Content.assemble("− ", old), Content.assemble("+ ", new)])
