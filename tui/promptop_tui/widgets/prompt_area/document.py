"""The text of the editor, kept exactly, and its soft wrapping.

Textual's own document splits on every Unicode line break and joins with one of them, so that U+2028, U+0085, VT, FF
and mixed CRLF come out changed, and the tokens counted are of another text. Here only ``\\n`` ends a line and every
other code point stays where it is. Positions are ``(row, column)`` in characters, offsets are in characters too.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.document._document import Document, EditResult, Location


@dataclass(frozen=True, slots=True)
class EditSpan:
    """One change of the text: what stood at ``offset`` and what stands there now."""

    offset: int
    """Offset of the first changed character."""
    start: Location
    old_end: Location
    new_end: Location
    replaced: str
    inserted: str


class ExactDocument(Document):
    """Lines that were split on ``\\n`` alone; ``text`` gives back what was put in, byte for byte."""

    def __init__(self, text: str) -> None:
        self._newline = "\n"
        self._lines = text.split("\n")
        self.length = len(text)
        """Characters in the text."""
        self.pending: list[EditSpan] = []
        """Changes since :meth:`take_pending` was called last, oldest first."""
        # Offset of the start of one line; moving it costs only the lines between, and typing stays in one place.
        self._anchor_row = 0
        self._anchor_offset = 0

    def take_pending(self) -> list[EditSpan]:
        """Return the changes since the last call."""
        spans, self.pending = self.pending, []
        return spans

    def replace_range(self, start: Location, end: Location, text: str) -> EditResult:
        """Replace the text between two locations; each change of the document passes here."""
        lines = self._lines
        top_row, top_column = min(start, end)
        row, column = max(start, end)
        last = len(lines) - 1
        if row > last:
            row, column = last, len(lines[-1])
        if top_row > last:
            top_row, top_column = last, len(lines[-1])
        # Columns past the end of a line mean its end, as slices have it: spans must hold true locations.
        top_column, column = min(top_column, len(lines[top_row])), min(column, len(lines[row]))
        offset = self.offset_at((top_row, top_column))
        replaced = self.get_text_range((top_row, top_column), (row, column))
        inserted = text.split("\n")
        inserted[0] = lines[top_row][:top_column] + inserted[0]
        new_end = (top_row + len(inserted) - 1, len(inserted[-1]))
        inserted[-1] += lines[row][column:]
        lines[top_row : row + 1] = inserted
        self.length += len(text) - len(replaced)
        self.pending.append(EditSpan(offset, (top_row, top_column), (row, column), new_end, replaced, text))
        return EditResult(new_end, replaced)

    def get_text_range(self, start: Location, end: Location) -> str:
        """Return the text between two locations, in either order."""
        (row, column), (end_row, end_column) = min(start, end), max(start, end)
        lines = self._lines
        if row == end_row:
            return lines[row][column:end_column]
        if end_row >= len(lines):
            end_row, end_column = len(lines) - 1, len(lines[-1])
        return "\n".join([lines[row][column:], *lines[row + 1 : end_row], lines[end_row][:end_column]])

    def offset_at(self, location: Location) -> int:
        """Return the offset of a location; the cost grows with the lines between it and the last one asked for."""
        row, column = location
        anchor = self._anchor_row
        if anchor >= len(self._lines):
            anchor = self._anchor_offset = 0
        if row >= anchor:
            between = self._lines[anchor:row]
            self._anchor_offset += sum(map(len, between)) + len(between)
        else:
            between = self._lines[row:anchor]
            self._anchor_offset -= sum(map(len, between)) + len(between)
        self._anchor_row = row
        return self._anchor_offset + column

    def location_at(self, offset: int) -> Location:
        """Return the location of an offset; one outside the text is moved to its nearest end."""
        offset = max(0, min(offset, self.length))
        row = min(self._anchor_row, len(self._lines) - 1)
        start = self.offset_at((row, 0))
        lines = self._lines
        while start > offset:
            row -= 1
            start -= len(lines[row]) + 1
        while start + len(lines[row]) < offset:
            start += len(lines[row]) + 1
            row += 1
        self._anchor_row, self._anchor_offset = row, start
        return row, offset - start

    def get_index_from_location(self, location: Location) -> int:
        """Return the offset of a location (Textual's name for :meth:`offset_at`)."""
        return self.offset_at(location)

    def get_location_from_index(self, index: int) -> Location:
        """Return the location of an offset (Textual's name for :meth:`location_at`)."""
        if not 0 <= index <= self.length:
            raise ValueError(f"Index {index!r} does not correspond to a location in the document.")
        return self.location_at(index)
