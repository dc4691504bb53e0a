"""A request too large to be held, read as it passes: its parameters, and how much text is in it.

Of its JSON a skeleton is kept, in which long strings are empty; their characters are counted by script as they go by.
The skeleton is JSON of the same shape, so whatever reads requests reads it. Pictures and sound (base64) are no text:
where there are some, the size of the input is not known from here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from promptop.providers.api import loads
from promptop.tokens.scripts import Chars, add, chars_by_script

_SHORT = 256
"""Bytes up to which a string is kept."""
_FULL = 512 * 1024
"""Bytes of the skeleton from which on only strings near its top are kept."""
_MOST = 4 * 1024 * 1024
"""Bytes of the largest skeleton; a request that makes a larger one is not understood."""
_NEAR_TOP = 2
_PIECE = 64 * 1024
_MEDIA = re.compile(rb"data:[\w.+-]+/[\w.+-]+;base64,|[A-Za-z0-9+/_=-]{200,}\Z")
_IN_STRING = re.compile(rb'["\\]')
_OUTSIDE = re.compile(rb'["{}\[\]]')


class LargeRequest:
    """One request's JSON, fed as it comes."""

    __slots__ = ("_broken", "_depth", "_escaped", "_inside", "_long", "_media", "_skeleton", "_text", "chars", "media")

    def __init__(self) -> None:
        self.chars: Chars = (0, 0, 0, 0)
        """Characters of the long strings, by script."""
        self.media = False
        """Whether some of them are no text."""
        self._skeleton = bytearray()
        self._text = bytearray()
        """What has come of the string that is being read, as far as it has not been counted."""
        self._depth = 0
        self._inside = self._escaped = self._long = self._media = self._broken = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        for start in range(0, len(data), _PIECE):
            self._feed(data[start : start + _PIECE])

    def parsed(self) -> Any:
        """Return the skeleton's JSON; None for what is none, or not whole."""
        if self._broken or self._inside or self._depth:
            return None
        return loads(bytes(self._skeleton))

    def _feed(self, data: bytes) -> None:
        if self._broken:
            return
        place, end = 0, len(data)
        while place < end:
            if not self._inside:
                found = _OUTSIDE.search(data, place)
                stop = found.end() if found else end
                self._skeleton += data[place:stop]
                place = stop
                if found:
                    mark = found[0]
                    if mark == b'"':
                        self._inside, self._long, self._media = True, False, False
                    else:
                        self._depth += 1 if mark in b"{[" else -1
                continue
            if self._escaped:
                self._text += data[place : place + 1]
                self._escaped = False
                place += 1
                continue
            found = _IN_STRING.search(data, place)
            stop = found.start() if found else end
            self._text += data[place:stop]
            place = stop
            if found:
                place += 1
                if found[0] == b"\\":
                    self._text += b"\\"
                    self._escaped = True
                else:
                    self._end_string()
            if len(self._text) > _PIECE and not self._escaped:
                self._count(whole=False)
        if len(self._skeleton) > _MOST:
            self._broken = True
            self._skeleton.clear()
            self._text.clear()

    def _end_string(self) -> None:
        self._inside = False
        keeps = len(self._skeleton) < _FULL or self._depth <= _NEAR_TOP
        if not self._long and len(self._text) <= _SHORT and keeps:
            self._skeleton += self._text
            self._text.clear()
        else:
            self._count(whole=True)
        self._skeleton += b'"'

    def _count(self, *, whole: bool) -> None:
        """Count what has come of a long string; what may be half of an escape waits for the rest."""
        text = bytes(self._text)
        if not self._long:
            self._media = _MEDIA.match(text[:_SHORT]) is not None
            self.media = self.media or self._media
        self._long = True
        self._text.clear()
        if self._media:
            return
        if not whole:
            cut = text.rfind(b"\\", len(text) - 12)
            cut = len(text) - 4 if cut < 0 else cut - (cut > 0 and text[cut - 1 : cut] == b"\\")
            while cut < len(text) and text[cut] & 0xC0 == 0x80:  # a character may be cut through
                cut += 1
            text, rest = text[:cut], text[cut:]
            self._text += rest
        try:
            plain = json.loads(b'"' + text + b'"', strict=False)
        except ValueError:
            plain = text.decode("utf-8", "replace")
        self.chars = add(self.chars, chars_by_script(plain))
