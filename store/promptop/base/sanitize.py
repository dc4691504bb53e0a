"""Text that came from elsewhere, made safe to show in a terminal.

A model's answer, a log row or a file name may hold escape sequences: OSC 52 writes the reader's clipboard, C1
controls do the same without an ESC byte, and bidirectional overrides show text in another order than it has.
Everything foreign passes :func:`clean` before it reaches a widget or stdout; the app's line filter uses the same table
as the last line of defence. What is stored, counted and sent is never changed.
"""

from __future__ import annotations

import re
from typing import Any

_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SEPARATORS = (0x2028, 0x2029)
_SURROGATES = range(0xD800, 0xE000)
_UNSEEN = (0x00AD, 0x034F, 0x180E, 0x200B, *range(0x2060, 0x2065), 0xFEFF, 0xE0001, *range(0xE0020, 0xE0080))
"""Characters without a width (zero-width blanks, tags) that hide text from whoever reads it, not from a model."""
_PICTURES = 0x2400
_REPLACEMENT = 0xFFFD

SHOWN: dict[int, int] = {
    **{code: _PICTURES + code for code in range(0x20)},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), _REPLACEMENT),
    **dict.fromkeys(_BIDI, _REPLACEMENT),
    **dict.fromkeys(_SEPARATORS, 0x2424),
    **dict.fromkeys(_SURROGATES, _REPLACEMENT),
    **dict.fromkeys(_UNSEEN, _REPLACEMENT),
}
"""Code point → the one-cell code point that is shown instead: control pictures, ``␤`` and ``�``."""

_BLOCK = {code: shown for code, shown in SHOWN.items() if code not in (0x09, 0x0A)}
_JOINER = re.compile(r"(?<![^\x00-\x7f\u200c\u200d])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f\u200c\u200d])")
"""A joiner that joins nothing; between two letters or two emoji it belongs to the text."""
_LINE = {**SHOWN, 0x09: 0x20, 0x0A: 0x20, 0x0D: 0x20}


_LONE = re.compile(r"[\ud800-\udfff]")


def has_lone_surrogate(value: Any) -> bool:
    """Tell whether a text, or one in lists and mappings of JSON, holds half of a surrogate pair."""
    if isinstance(value, str):
        return not value.isascii() and _LONE.search(value) is not None
    if isinstance(value, dict):
        return any(has_lone_surrogate(each) for pair in value.items() for each in pair)
    return isinstance(value, list | tuple) and any(has_lone_surrogate(each) for each in value)


def whole_text(value: Any) -> Any:
    """Return JSON with the surrogates of its texts joined to characters, and U+FFFD for halves without the other.

    UTF-8 has no form for half a pair: what holds one can be neither printed nor sent nor kept.
    """
    if isinstance(value, str):
        if value.isascii() or _LONE.search(value) is None:
            return value
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {whole_text(key): whole_text(each) for key, each in value.items()}
    return [whole_text(each) for each in value] if isinstance(value, list | tuple) else value


def clean(text: str) -> str:
    """Return text for a block of lines: newlines and tabs stay, CRLF becomes a newline, other controls are pictured."""
    if text.isprintable() and text.isascii():
        return text
    return _JOINER.sub(chr(_REPLACEMENT), text.replace("\r\n", "\n").translate(_BLOCK))


def clean_line(text: str, limit: int = 0) -> str:
    """Return text for one line: white space controls become blanks; cut to ``limit`` characters with ``…`` if given."""
    if limit and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable() and text.isascii():
        return text
    return _JOINER.sub(chr(_REPLACEMENT), text.translate(_LINE))
