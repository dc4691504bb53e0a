"""The last line of defence of the commands: no control character reaches a terminal, whoever wrote the text.

Tables, messages and errors clean what is foreign where they are made. What is written as it is for machines (CSV,
JSON, metrics), and file names in the errors of the system, meet a terminal only by accident: here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from promptop.base.sanitize import clean

ERASE = "\r\x1b[K"
"""Begins what a command writes over its own line; anywhere else it is not ours."""


class Guarded:
    """A stream to a terminal that pictures control characters; all else is the stream's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, cleaned; a carriage return and the erasing of the line pass where a write begins with them."""
        kept = next((start for start in (ERASE, "\r") if text.startswith(start) and text != "\r\n"), "")
        self._stream.write(kept + clean(text[len(kept) :]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> Guarded:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __iter__(self) -> Any:
        return iter(self._stream)


def guarded(stream: Any) -> Any:
    """Return a stream, or one that pictures control characters if it leads to a terminal."""
    if stream is None or isinstance(stream, Guarded) or not stream.isatty():
        return stream
    return Guarded(stream)


def wants_colour(stream: Any) -> bool:
    """Tell whether output is coloured: on a terminal, unless NO_COLOR or TERM=dumb; FORCE_COLOR wins over a pipe."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


_STYLES = {
    "heading": "1",
    "good": "32",
    "warning": "33",
    "bad": "31",
    "quiet": "2",
    "name": "36",
    "removed": "31",
    "removed word": "31;7",
    "added": "32",
    "added word": "32;7",
}
"""What is shown → SGR codes of the terminal's own sixteen colours, which its theme has made readable."""
Paint = Callable[[str, str], str]
"""Takes text and the name of a style, and returns the text as it is shown."""


def painter(stream: Any) -> Paint:
    """Return what colours text for a stream: ``paint(text, style)``; where colour is not wanted text stays as it is."""
    return _painted if wants_colour(stream) else plain


def plain(text: str, style: str) -> str:
    """Return the text as it is: the paint of files and pipes."""
    return text


def _painted(text: str, style: str) -> str:
    return f"\x1b[{_STYLES[style]}m{clean(text)}\x1b[0m" if text else text


def write_styled(stream: Any, text: str) -> None:
    """Write text that holds escape sequences of colours, past the guard; what is foreign in it is cleaned already."""
    (stream._stream if isinstance(stream, Guarded) else stream).write(text)


def unguard() -> None:
    """Give the standard streams back as they were: to the app, which draws on them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, Guarded):
            setattr(sys, name, stream._stream)


class guard_output:  # noqa: N801 - used as a context manager only
    """Guards the standard streams of a command."""

    def __enter__(self) -> None:
        self._before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = guarded(sys.stdout), guarded(sys.stderr)

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self._before
