"""Line ends as a property of the file: the area holds plain line breaks where all of a file's lines end in CRLF."""

from __future__ import annotations


def split_line_ends(text: str) -> tuple[str, str]:
    """Return a text's line ends and the text with plain line breaks.

    A text that mixes them keeps each as it is: none of its lines may change unless it is edited.
    """
    breaks = text.count("\n")
    if breaks and text.count("\r\n") == breaks:
        return "\r\n", text.replace("\r\n", "\n")
    return "\n", text
