"""Places in the draft as they are typed: a line, a line and a column, lines from here, a share of the text."""

from __future__ import annotations

import re

from promptop.base.texts import mark, tr

SAYS = mark("A line (120), line and column (120:5), lines from here (+10, -10), or a share of the text (50%).")
_PLACE = re.compile(
    r"\s*(?:(?P<sign>[+-])(?P<by>\d{1,9})|(?P<line>\d{1,9})(?:\s*[:,]\s*(?P<column>\d{1,9}))?|(?P<share>\d{1,3})\s*%)\s*"
)


def wrong(typed: str) -> str:
    """Return what is wrong with a place; an empty text if nothing is."""
    return "" if _PLACE.fullmatch(typed) else tr("That is no place. {says}", says=tr(SAYS))


def place(typed: str, row: int, lines: int) -> tuple[int, int]:
    """Return row and column, from 0, of a place that is typed while the cursor is at ``row`` of so many lines.

    Both may lie outside the text. Raises ValueError for what :func:`wrong` complains about.
    """
    found = _PLACE.fullmatch(typed)
    if found is None:
        raise ValueError(typed)
    if found["by"]:
        return row + int(found["sign"] + found["by"]), 0
    if found["share"]:
        return round((lines - 1) * int(found["share"]) / 100), 0
    return int(found["line"]) - 1, int(found["column"] or 1) - 1
