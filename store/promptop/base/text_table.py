"""Plain text tables whose columns align also where characters are two cells wide."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def width(text: str) -> int:
    """Return the cells that a text takes in a terminal, without its combining marks."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fitted(text: str, cells: int) -> str:
    """Return text cut or padded to a number of cells, ``…`` where it was cut."""
    if width(text) <= cells:
        return text + " " * (cells - width(text))
    out, used = "", 0
    for character in text:
        used += width(character)
        if used > cells - 1:
            break
        out += character
    return out + "…" + " " * (cells - 1 - width(out))


def right_aligned(text: str, cells: int) -> str:
    """Return text with blanks before it, so that it ends at a number of cells."""
    return " " * (cells - width(text)) + text


_NOT_FIRST = "，。；：？！、）”》】…,.;:?!)"


def wrapped(text: str, cells: int) -> list[str]:
    """Return text in lines of at most ``cells``, broken at blanks and between wide characters.

    A word longer than a line stands alone on one of its own.
    """
    lines, line = [], ""
    for piece in re.findall(r" |[^ \u2e80-\uffff]+|[\u2e80-\uffff]", text):
        if line and piece not in _NOT_FIRST and width(line) + width(piece) > cells:
            lines.append(line.rstrip())
            line = "" if piece == " " else piece
        else:
            line += piece
    return [*lines, line.rstrip()]


def text_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with a header; columns of numbers are aligned to the right."""
    widths = [max(width(cell) for cell in column) for column in zip(names, *rows, strict=True)]
    numeric = [bool(rows) and all(_is_number(cell) for cell in column) for column in zip(*rows, strict=True)] or [
        False
    ] * len(names)

    rule = ["─" * cells for cells in widths]
    return [_line(row, widths, numeric) for row in (names, rule, *rows)]


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Return rows with their columns aligned by cells, to the right but for the columns ``left``."""
    widths = [max(width(row[number]) for row in rows) for number in range(len(rows[0]))]
    return [_line(row, widths, [number not in left for number in range(len(row))]) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        " " * (cells - width(text)) + text if to_right else text + " " * (cells - width(text))
        for text, cells, to_right in zip(row, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _is_number(text: str) -> bool:
    return text == "NULL" or text.replace(".", "", 1).replace("-", "", 2).replace("e", "", 1).isdecimal()
