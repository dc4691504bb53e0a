"""Tables as lines of text, aligned by terminal cells: a Chinese character takes two."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Return rows with their columns aligned by cells, to the right but for the columns ``left``."""
    from rich.cells import cell_len

    widths = [max(cell_len(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = []
    for row in rows:
        padded = []
        for number, (text, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - cell_len(text))
            padded.append(text + blank if number in left else blank + text)
        lines.append("  ".join(padded).rstrip())
    return lines
