"""The last line of defence between foreign text and the terminal."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from promptop.base.sanitize import SHOWN


class ControlCharacters(LineFilter):
    """Replaces control and bidirectional characters in what is about to be painted.

    Widgets clean foreign text themselves (:mod:`promptop.base.sanitize`), but Static, Log, DataTable, Markdown and
    Footer pass an ESC on as it is: one forgotten call would let an answer write the clipboard (OSC 52). Each
    replacement is one cell wide, so the layout does not move.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return ``segments`` unchanged if they are clean, which they nearly always are."""
        for text, _, control in segments:
            if not control and not text.isprintable():
                break
        else:
            return segments
        return [
            segment if segment.control else Segment(segment.text.translate(SHOWN), segment.style)
            for segment in segments
        ]
