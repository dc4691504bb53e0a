"""Soft wrapping that costs what the edit costs: an index by blocks instead of a list of all rows.

The widget asks for the height at each repaint and for the rows around the cursor at each key. Textual's own wrapped
document sums and rebuilds over all lines for that (566 ms a key at 5 MB of short lines). Here a block keeps the
number of its lines and rows, a change touches one block, and a change in a long line re-wraps only until the breaks
fall into step with the old ones.

Breaks: after white space, and beside characters of two cells (Chinese, Japanese, emoji), but not before closing
punctuation of theirs. Tabs stop at multiples of the tab width within their row.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate, pairwise

from rich.cells import get_character_cell_size, split_graphemes
from textual._cells import cell_len
from textual.document._document import DocumentBase, Location
from textual.document._wrapped_document import WrappedDocument
from textual.expand_tabs import expand_tabs_inline
from textual.geometry import Offset

from promptop.base.sanitize import SHOWN
from promptop_tui.widgets.prompt_area.graphemes import previous_boundary

SHOWN_IN_LINE = {code: shown for code, shown in SHOWN.items() if code not in (0x09, 0x0A)}
"""What the area paints for a character of a line; tabs are expanded instead."""

_NO_START = frozenset("，。、；：？！）》」』】〕”’…‥・ー々〉％ゝゞぁぃぅぇぉっゃゅょァィゥェォッャュョ")
_JOINS = frozenset("\u200d\ufe0e\ufe0f\u20e3")
_NO_BREAKS: list[int] = []  # shared by all lines that fit; never changed in place
_BLOCK = 512


class _Widths(dict[int, str]):
    """Code point → one character whose own code is the width in cells, so that ``translate`` measures a line."""

    def __missing__(self, code: int) -> str:
        # Variation selector 16 may widen the character before it: counted as one, a row is never too long.
        width = 1 if code in SHOWN_IN_LINE or code == 0xFE0F else get_character_cell_size(chr(code))
        self[code] = found = chr(width)
        return found


_widths = _Widths()


def wrap_line(text: str, width: int, tab: int, start: int = 0, limit: int | None = None) -> list[int]:
    """Return the columns at which rows after the first begin; ``start`` is the start of a row, ``width`` is in cells.

    With ``limit`` no more than so many breaks are looked for.
    """
    if width <= 0:
        return _NO_BREAKS
    if text.isascii() and "\t" not in text:
        return _wrap_ascii(text, width, start, limit)
    if "\t" in text:
        return _wrap_tabs(text, width, tab, start, limit)
    part = text[start:] if start else text
    # 60 ns a character for both; a loop in Python over the characters takes four times that.
    reach = list(accumulate(map(ord, part.translate(_widths)), initial=0))
    breaks: list[int] = []
    position, total, size = 0, reach[-1], len(part)
    while total - reach[position] > width and position < size and (limit is None or len(breaks) < limit):
        end = bisect_right(reach, reach[position] + width, position + 1) - 1
        position = _break_near(part, position, max(end, position + 1))
        if position >= size:
            break
        breaks.append(start + position)
    return breaks


def _wrap_ascii(text: str, width: int, position: int, limit: int | None) -> list[int]:
    breaks: list[int] = []
    size = len(text)
    while size - position > width and (limit is None or len(breaks) < limit):
        end = position + width
        space = text.rfind(" ", position, end)
        position = end if space < position else space + 1
        breaks.append(position)
    return breaks or _NO_BREAKS


def _wrap_tabs(text: str, width: int, tab: int, start: int, limit: int | None) -> list[int]:
    breaks: list[int] = []
    position = column = start
    cells = 0
    size = len(text)
    while column < size and (limit is None or len(breaks) < limit):
        character = text[column]
        wide = tab - cells % tab if character == "\t" else ord(_widths[ord(character)])
        if cells + wide > width and column > position:
            position = _break_near(text, position, column)
            breaks.append(position)
            column, cells = position, 0
            continue
        cells += wide
        column += 1
    return breaks


def _break_near(text: str, position: int, end: int) -> int:
    """Return the best place for a break in ``position < place <= end``; ``end`` is what fits."""
    place = end
    while place > position:
        before = text[place - 1]
        after = text[place] if place < len(text) else " "
        wide = _widths[ord(before)] == "\x02" or _widths[ord(after)] == "\x02"
        if before in " \t" or (wide and after not in _NO_START and after not in _JOINS and before != "\u200d"):
            return place
        place -= 1
    place = end
    while place - 1 > position and place < len(text) and (text[place] in _JOINS or text[place - 1] == "\u200d"):
        place -= 1
    return place


class BlockWrappedDocument(WrappedDocument):
    """Wrapped document whose cost for an edit does not grow with the number of lines."""

    def __init__(self, document: DocumentBase, width: int = 0, tab_width: int = 4) -> None:
        self.document = document
        self._breaks: list[list[int]] = []
        self._block_lines: list[int] = []
        self._block_rows: list[int] = []
        self._rows = 0
        self._width = width
        self._tab_width = tab_width
        self.wrap(width, tab_width)

    @property
    def height(self) -> int:
        """Rows of the whole text."""
        return self._rows

    @property
    def wrapped(self) -> bool:
        """Whether the text fits without wrapping (Textual's sense of the name)."""
        return self._rows == len(self._breaks)

    @property
    def lines(self) -> list[list[str]]:
        """All rows of all lines; for tests."""
        return [self.get_sections(index) for index in range(len(self._breaks))]

    def wrap(self, width: int, tab_width: int | None = None) -> None:
        """Wrap the whole document; ``width`` 0 means no wrapping."""
        self._width = width
        if tab_width:
            self._tab_width = tab_width
        tab = self._tab_width
        half = width // 2  # a shorter line fits even if all its characters take two cells (tabs are checked)
        self._breaks = [
            wrap_line(line, width, tab) if len(line) > half or "\t" in line else _NO_BREAKS
            for line in self.document.lines
        ]
        self._block_lines, self._block_rows = self._blocks(0, len(self._breaks))
        self._rows = sum(self._block_rows)

    def _blocks(self, first: int, end: int) -> tuple[list[int], list[int]]:
        lines, rows = [], []
        for at in range(first, end, _BLOCK):
            part = self._breaks[at : min(at + _BLOCK, end)]
            lines.append(len(part))
            rows.append(sum(map(len, part)) + len(part))
        return lines, rows

    def wrap_range(self, start: Location, old_end: Location, new_end: Location) -> None:
        """Wrap what an edit changed; called after the document has changed, with the edit's old and new end."""
        top = min(start[0], len(self._breaks) - 1)
        old_bottom = max(top, min(old_end[0], len(self._breaks) - 1))
        new_bottom = max(top, min(new_end[0], self.document.line_count - 1))
        width, tab = self._width, self._tab_width
        old = self._breaks[top : old_bottom + 1]
        line = self.document.get_line(top)
        if top == old_bottom == new_bottom and width and len(line) > 4 * width:
            new = [self._rewrap(line, old[0], start[1], old_end[1], new_end[1])]
        else:
            lines = self.document.lines[top : new_bottom + 1]
            new = [wrap_line(line, width, tab) for line in lines]
        self._breaks[top : old_bottom + 1] = new
        first_block, first_line = self._block_of(top)
        last_block, end_line = first_block, first_line + self._block_lines[first_block]
        while end_line <= old_bottom:
            last_block += 1
            end_line += self._block_lines[last_block]
        count = end_line - first_line - len(old) + len(new)
        grown = sum(map(len, new)) + len(new) - sum(map(len, old)) - len(old)
        if count > 2 * _BLOCK or not count:
            lines_, rows_ = self._blocks(first_line, first_line + count)
        else:
            lines_, rows_ = [count], [sum(self._block_rows[first_block : last_block + 1]) + grown]
        self._block_lines[first_block : last_block + 1] = lines_
        self._block_rows[first_block : last_block + 1] = rows_
        self._rows += grown

    def _rewrap(self, line: str, old: list[int], column: int, old_end: int, new_end: int) -> list[int]:
        """Wrap a long line again from a little before the edit, until a break meets one of before."""
        # A break depends on its row's text and one character more, so rows further up than one cannot change.
        keep = old[: max(0, bisect_right(old, column) - 3)]
        moved = new_end - old_end
        position = keep[-1] if keep else 0
        breaks = list(keep)
        reach = 2 * self._width + 2
        following = bisect_left(old, old_end)
        while True:
            # The window must show the character after the break; marks of no width may ask for a longer one.
            window = reach
            while True:
                piece = line[position : position + window]
                next_break = wrap_line(piece, self._width, self._tab_width, 0, 1)
                if (next_break and next_break[0] + 1 < len(piece)) or position + window >= len(line):
                    break
                window *= 4
            if not next_break:
                return breaks
            position += next_break[0]
            breaks.append(position)
            if position > new_end:
                was = position - moved
                following = bisect_left(old, was, following)
                if following < len(old) and old[following] == was:
                    breaks.extend(place + moved for place in old[following + 1 :])
                    return breaks

    def _block_of(self, line: int) -> tuple[int, int]:
        """Return the block that holds a line, and the block's first line."""
        first = 0
        for block, count in enumerate(self._block_lines):
            if line < first + count:
                return block, first
            first += count
        last = len(self._block_lines) - 1
        return last, first - self._block_lines[last]

    def row_of(self, line: int) -> int:
        """Return the first row of a line."""
        block, first = self._block_of(line)
        between = self._breaks[first:line]
        return sum(self._block_rows[:block]) + sum(map(len, between)) + len(between)

    def line_at(self, row: int) -> tuple[int, int]:
        """Return the line that a row shows and which of the line's rows it is; the last one for rows below the text."""
        if row >= self._rows:
            return len(self._breaks) - 1, len(self._breaks[-1])
        line = 0
        for count, rows in zip(self._block_lines, self._block_rows, strict=True):
            if row < rows:
                break
            row -= rows
            line += count
        while row > len(self._breaks[line]):
            row -= len(self._breaks[line]) + 1
            line += 1
        return line, row

    def get_offsets(self, line_index: int) -> list[int]:
        """Return the columns at which the rows after the first of a line begin."""
        if not 0 <= line_index < len(self._breaks):
            raise ValueError(f"Line {line_index} is not one of the document's {len(self._breaks)}.")
        return self._breaks[line_index]

    def get_tab_widths(self, line_index: int) -> list[int]:
        """Return nothing: tabs are measured within their row."""
        return []

    def row_span(self, line: int, section: int) -> tuple[int, int]:
        """Return the columns where a row of a line begins and ends."""
        breaks = self._breaks[line]
        start = breaks[section - 1] if section else 0
        return start, breaks[section] if section < len(breaks) else len(self.document.get_line(line))

    def get_sections(self, line_index: int) -> list[str]:
        """Return the rows of a line as text."""
        line = self.document.get_line(line_index)
        places = [0, *self._breaks[line_index], len(line)]
        return [line[start:end] for start, end in pairwise(places)]

    def location_to_offset(self, location: Location) -> Offset:
        """Return the cell at which a location is painted, relative to the text's first row."""
        line = max(0, min(location[0], len(self._breaks) - 1))
        breaks = self._breaks[line]
        section = bisect_right(breaks, location[1])
        start = breaks[section - 1] if section else 0
        return Offset(self.cells(self.document.get_line(line)[start : location[1]]), self.row_of(line) + section)

    def offset_to_location(self, offset: Offset) -> Location:
        """Return the location that is painted at a cell."""
        line, section = self.line_at(max(0, offset.y))
        return line, self.get_target_document_column(line, max(0, offset.x), section)

    def get_target_document_column(self, line_index: int, x_offset: int, y_offset: int) -> int:
        """Return the column that is painted at a cell of a row of a line; rows count from the end if negative."""
        breaks = self._breaks[line_index]
        section = y_offset if y_offset >= 0 else len(breaks) + 1 + y_offset
        start, end = self.row_span(line_index, section)
        line = self.document.get_line(line_index)
        column = start + self._column(line[start:end], x_offset)
        # The place behind the last character belongs to the last row; elsewhere it is the start of the next.
        if section == len(breaks):
            return column
        return min(column, max(start, previous_boundary(line, end)))

    def cells(self, text: str) -> int:
        """Return the width in cells of the beginning of a row as it is painted."""
        shown = text.translate(SHOWN_IN_LINE)
        return cell_len(expand_tabs_inline(shown, self._tab_width) if "\t" in shown else shown)

    def _column(self, text: str, cell: int) -> int:
        cells = 0
        if not text.isascii() and any(character in text for character in _JOINS):
            tab = self._tab_width
            for first, _, wide in split_graphemes(text)[0]:
                cells += tab - cells % tab if text[first] == "\t" else wide
                if cells > cell:
                    return first
            return len(text)
        for column, character in enumerate(text):
            tab = self._tab_width
            cells += tab - cells % tab if character == "\t" else ord(_widths[ord(character)])
            if cells > cell:
                return column
        return len(text)
