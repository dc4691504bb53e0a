"""Where the arrow keys take the cursor: over whole characters as people see them."""

from __future__ import annotations

from textual.document._document import Location
from textual.document._document_navigator import DocumentNavigator

from promptop_tui.widgets.prompt_area.graphemes import next_boundary, previous_boundary


class GraphemeNavigator(DocumentNavigator):
    """Textual's navigator, which steps over code points, with steps that keep clusters whole."""

    def get_location_left(self, location: Location) -> Location:
        """Return the place before the character on the left; the end of the line above at a line's start."""
        row, column = location
        if column == 0:
            return super().get_location_left(location)
        return row, previous_boundary(self._document.get_line(row), column)

    def get_location_right(self, location: Location) -> Location:
        """Return the place behind the character on the right; the start of the line below at a line's end."""
        row, column = location
        line = self._document.get_line(row)
        if column >= len(line):
            return super().get_location_right(location)
        return row, next_boundary(line, column)
