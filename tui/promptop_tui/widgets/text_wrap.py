"""Soft wrapping by cells: words stay whole, Chinese breaks between characters but not before its closing marks."""

from __future__ import annotations

from rich.cells import get_character_cell_size

TAB = "    "
_CLOSING = frozenset("，。、；：？！）》】」』”’…—·,.;:?!)]}%")
_OPENING = frozenset("（《【「『“‘([{")


def wrap(text: str, width: int) -> list[str]:
    """Return the rows of one paragraph (no newline, no tab), none wider than ``width`` cells; joined they are ``text``.

    Greedy from the left, so that appending to a wrapped text changes its last row only.
    """
    if width <= 0:
        return [text]
    if text.isascii():
        return _wrap_ascii(text, width)
    rows: list[str] = []
    start = index = cells = 0
    breakable = -1
    before = ""
    wide_before = False
    while index < len(text):
        char = text[index]
        size = get_character_cell_size(char)
        if (
            index > start
            and (before == " " or wide_before or size == 2)
            and size
            and char != " "
            and char not in _CLOSING
            and before not in _OPENING
        ):
            breakable = index
        if cells + size > width and index > start and char != " ":
            cut = breakable if breakable > start else index
            rows.append(text[start:cut])
            start = index = cut
            cells, breakable, before, wide_before = 0, -1, "", False
            continue
        cells += size
        if size:
            before, wide_before = char, size == 2
        index += 1
    rows.append(text[start:])
    return rows


def _wrap_ascii(text: str, width: int) -> list[str]:
    """Cut at the last space that lets the row fit; spaces at a row's end may hang over its edge."""
    rows: list[str] = []
    start, length = 0, len(text)
    while length - start > width:
        end = start + width
        if text[end] == " ":
            cut = end
        else:
            cut = text.rfind(" ", start, end) + 1
            if cut <= start:
                rows.append(text[start:end])
                start = end
                continue
        while cut < length and text[cut] == " ":
            cut += 1
        rows.append(text[start:cut])
        start = cut
    if start < length or not rows:  # spaces that end a text hang over the edge; they begin no row
        rows.append(text[start:])
    return rows
