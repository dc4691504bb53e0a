"""Where the keys of a TOML text stand, for messages about them: the parser gives values without places."""

from __future__ import annotations

import re

_STRING = r"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'"
_KEY = rf"(?:[A-Za-z0-9_-]+|{_STRING})"
_KEYS = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"[ \t]*\[\[?[ \t]*(?P<keys>{_KEYS})[ \t]*\]\]?")
_ASSIGNED = re.compile(rf"[ \t]*(?P<keys>{_KEYS})[ \t]*=")
_PART = re.compile(_KEY)
_LONG = re.compile(r'"""|\'\'\'')


class KeyLines:
    """Finds the line of a key of a valid TOML text."""

    def __init__(self, text: str) -> None:
        self._places: list[tuple[tuple[str, ...], int]] = []
        table: tuple[str, ...] = ()
        quotes = ""  # of a string over several lines that is open
        for number, line in enumerate(text.split("\n"), 1):
            if quotes:
                if quotes in line:
                    quotes = ""
                continue
            if header := _HEADER.match(line):
                table = _keys(header["keys"])
                self._places.append((table, number))
            elif assigned := _ASSIGNED.match(line):
                self._places.append(((*table, *_keys(assigned["keys"])), number))
            opened = _LONG.findall(line)
            if opened and len(opened) % 2:
                quotes = opened[-1]

    def line_of(self, place: tuple[str, ...]) -> int | None:
        """Return the line, from 1, of a key given with the tables it lies in, or of the nearest table around it."""
        for length in range(len(place), 0, -1):
            for found, number in self._places:
                if found == place[:length]:
                    return number
            # `profiles.mine.url = …` and `[profiles.mine]` are also where `profiles` begins.
            for found, number in self._places:
                if found[:length] == place[:length] and length == len(place):
                    return number
        return None


def _keys(text: str) -> tuple[str, ...]:
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _PART.findall(text))
