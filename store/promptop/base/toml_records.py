"""Dataclasses from a TOML table, with every mistake named by its line: how a settings file is read."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

Choices = Mapping[tuple[str, str], tuple[str, ...]]
"""(table, key) → the words that may stand there; ``table.*`` is each table of a table of tables."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in a settings file: where it stands, what is wrong, what to do."""

    path: Path
    line: int | None
    cause: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.cause}\n  → {self.remedy}"


class RecordReader:
    """Turns a parsed TOML table into dataclasses; each mistake is a problem, and the default stands in for it."""

    def __init__(self, path: Path, text: str, *, choices: Choices, derived: Collection[str]) -> None:
        """``text`` is the file's, for the lines of problems; fields named in ``derived`` are not read."""
        self.path = path
        self.lines = text.splitlines()
        self.problems: list[Problem] = []
        self._choices = choices
        self._derived = derived

    def read(self, kind: type[Any], table: dict[str, Any]) -> Any:
        """Return an instance of ``kind`` with what the table sets."""
        return self._record(kind, table, ())

    def note(self, place: tuple[str, ...], cause: str, remedy: str) -> None:
        """Add a problem at a key, given with the tables it lies in."""
        self.problems.append(Problem(self.path, self._line_of(place), cause, remedy))

    def _line_of(self, place: tuple[str, ...]) -> int | None:
        """Find the line of a key below its table's header; None if it is written in another form."""
        header, key = ".".join(place[:-1]), place[-1]
        inside = ""
        for number, line in enumerate(self.lines, 1):
            if found := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
                inside = found[1].replace('"', "")
                if inside == ".".join(place):
                    return number
            elif inside == header and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return None

    def _record(self, kind: type[Any], table: dict[str, Any], place: tuple[str, ...]) -> Any:
        hints = typing.get_type_hints(kind)
        # In a table of tables (profiles) the key is the record's name.
        is_named = len(place) > 1 and "name" in hints
        known = {f.name: f for f in fields(kind) if f.name not in self._derived and not (is_named and f.name == "name")}
        values: dict[str, Any] = {}
        for key, value in table.items():
            here = (*place, key)
            if key not in known:
                near = _nearest(key, known)
                hint = f"Did you mean {near!r}?" if near else f"Known here: {', '.join(known)}."
                self.note(here, f"unknown setting {key!r}", hint)
                continue
            read, ok = self._value(hints[key], value, here)
            if ok:
                values[key] = read
            else:
                default = known[key].default
                shown = "the default" if default is MISSING else repr(default)
                self.note(
                    here, f"{key!r} cannot be {value!r}", f"{self._wanted(hints[key], place, key)}; {shown} is used."
                )
        if is_named:
            values["name"] = place[-1]
        return kind(**values)

    def _value(self, hint: Any, value: Any, place: tuple[str, ...]) -> tuple[Any, bool]:
        if is_dataclass(hint) and isinstance(hint, type):
            return (self._record(hint, value, place), True) if isinstance(value, dict) else (None, False)
        origin = typing.get_origin(hint)
        if origin is tuple:
            ok = isinstance(value, list) and all(isinstance(item, str) for item in value)
            return (tuple(value) if ok else None), ok
        if origin is not None and not isinstance(hint, types.UnionType):
            return self._mapping(typing.get_args(hint)[1], value, place)
        if hint is float:
            ok = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
            return (float(value) if ok else None), ok
        if hint is bool:
            return value, isinstance(value, bool)
        if hint is int:
            return value, isinstance(value, int) and not isinstance(value, bool) and value >= 0
        choices = self._choices_at(place)
        return value, isinstance(value, hint) and (choices is None or value in choices)

    def _mapping(self, hint: Any, value: Any, place: tuple[str, ...]) -> tuple[Any, bool]:
        if not isinstance(value, dict):
            return None, False
        out = {}
        for key, item in value.items():
            read, ok = self._value(hint, item, (*place, key))
            if not ok:
                self.note(
                    (*place, key), f"{key!r} cannot be {item!r}", self._wanted(hint, place, key) + "; it is left out."
                )
                continue
            out[key] = read
        return out, True

    def _choices_at(self, place: tuple[str, ...]) -> tuple[str, ...] | None:
        *tables, key = place
        table = f"{tables[0]}.*" if len(tables) > 1 else tables[0] if tables else ""
        return self._choices.get((table, key))

    def _wanted(self, hint: Any, place: tuple[str, ...], key: str) -> str:
        if choices := self._choices_at((*place, key)):
            return "Write one of " + ", ".join(choices)
        if is_dataclass(hint):
            return "Write a table"
        origin = typing.get_origin(hint)
        if origin is tuple:
            return "Write a list of strings"
        if origin is not None:
            return "Write a table"
        return {
            str: "Write a string",
            int: "Write a whole number ≥ 0",
            float: "Write a number ≥ 0",
            bool: "Write true or false",
        }.get(hint, "Check it")


def _nearest(key: str, known: Mapping[str, object]) -> str:
    import difflib

    found = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return found[0] if found else ""
