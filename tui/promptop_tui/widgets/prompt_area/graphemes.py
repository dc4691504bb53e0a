"""Where the cursor may stand: between characters as people see them, not between code points.

A family emoji is seven code points, a flag two, a letter with a combining accent two. Text of one byte a character has
no such clusters, so that the segmentation of Unicode (UAX 29, the ``regex`` package) is loaded only for other lines.
"""

from __future__ import annotations

_REACH = 128
"""Code points looked at on each side: longer clusters are broken there, and a long line costs no more than a short."""


def next_boundary(line: str, column: int) -> int:
    """Return the column behind the character at ``column``; the line's length at its end."""
    if column >= len(line):
        return len(line)
    following = line[column : column + _REACH]
    if following.isascii():
        return column + 1
    import regex

    found = regex.match(r"\X", following)
    return column + (found.end() if found else 1)


def previous_boundary(line: str, column: int) -> int:
    """Return the column at which the character before ``column`` begins; 0 at the line's start."""
    if column <= 1:
        return 0
    start = max(0, column - _REACH)
    before = line[start:column]
    if before[-2:].isascii():
        return column - 1
    import regex

    last = len(before) - 1
    for found in regex.finditer(r"\X", before):
        last = found.start()
    return start + last
