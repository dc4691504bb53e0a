"""Lines that are switched off: they stay in the file, and are neither sent nor counted.

::

    {{!-- off
    Lines that the next call is to do without.
    --}}

The marks are a Handlebars comment on lines of their own. Another comment of Handlebars is text like any other: only the
word ``off`` makes a block. A block without its closing line reaches to the end of the text.
"""

from __future__ import annotations

import re

OPEN = "{{!-- off"
CLOSE = "--}}"

_OPEN = re.compile(r"[ \t]*\{\{!--[ \t]*off\b(?!.*--\}\}[ \t]*\r?$).*")
_CLOSE = re.compile(r"[ \t]*--\}\}[ \t]*\r?")
_BLOCK = re.compile(
    r"^[ \t]*\{\{!--[ \t]*off\b(?![^\n]*--\}\}[ \t]*\r?$)[^\n]*"
    r"(?:\n(?![ \t]*--\}\}[ \t]*\r?$)[^\n]*)*(?:\n[^\n]*(?:\n|\Z))?",
    re.MULTILINE,
)


def is_open(line: str) -> bool:
    """Tell whether a line begins a block that is off."""
    return "{{!--" in line and _OPEN.fullmatch(line) is not None


def is_close(line: str) -> bool:
    """Tell whether a line ends a block that is off."""
    return "--}}" in line and _CLOSE.fullmatch(line) is not None


def spans(text: str, start: int = 0) -> tuple[tuple[int, int], ...]:
    """Return the blocks that are off as offsets in characters, marks and the last line break included."""
    if "{{!--" not in text:
        return ()
    return tuple(found.span() for found in _BLOCK.finditer(text, start))


def without(text: str) -> str:
    """Return a text without what is off."""
    return _BLOCK.sub("", text) if "{{!--" in text else text
