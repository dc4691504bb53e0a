"""Dataclasses from a TOML table, with every mistake named by its line: how a settings file is read."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from promptop.base.toml.lines import KeyLines


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a value of the right type cannot be used."""

    shown: str
    """The value for the message; a description where it may be a secret."""
    wanted: str
    """What to write instead, one sentence."""


Checks = Mapping[tuple[str, str], Callable[[Any], Wrong | None]]
"""(table, key), as in :data:`Choices` → what judges a value of the right type."""
Choices = Mapping[tuple[str, str], tuple[str, ...]]
"""(table, key) → the words that may stand there; ``table.*`` is each table of a table of tables."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in a settings file: where it stands, what is wrong, what to do."""

    path: Path
    line: int | None
    cause: str
    remedy: str

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.path}:{self.line}" if self.line else str(self.path)

    def __str__(self) -> str:
        return f"{self.place}: {self.cause}\n  → {self.remedy}"


class RecordReader:
    """Turns a parsed TOML table into dataclasses; each mistake is a problem, and the default stands in for it."""

    def __init__(
        self, path: Path, text: str, *, choices: Choices, derived: Collection[str], checks: Checks | None = None
    ) -> None:
        """``text`` is the file's, for the lines of problems; outer fields named in ``derived`` are not read."""
        self.path = path
        self.problems: list[Problem] = []
        self._lines = KeyLines(text)
        self._choices = choices
        self._derived = derived
        self._checks = checks or {}

    def read(self, kind: type[Any], table: dict[str, Any]) -> Any:
        """Return an instance of ``kind`` with what the table sets."""
        return self._record(kind, table, ())

    def note(self, place: tuple[str, ...], cause: str, remedy: str) -> None:
        """Add a problem at a key, given with the tables it lies in."""
        self.problems.append(Problem(self.path, self._lines.line_of(place), cause, remedy))

    def _record(self, kind: type[Any], table: dict[str, Any], place: tuple[str, ...]) -> Any:
        hints = typing.get_type_hints(kind)
        # In a table of tables (profiles) the key is the record's name.
        is_named = len(place) > 1 and "name" in hints
        left_out = {"name"} if is_named else set() if place else self._derived
        known = {f.name: f for f in fields(kind) if f.name not in left_out}
        values: dict[str, Any] = {}
        for key, value in table.items():
            here = (*place, key)
            if key not in known:
                near = nearest(key, known)
                hint = f"Did you mean {near!r}?" if near else f"Known here: {', '.join(known)}."
                self.note(here, f"unknown setting {key!r}", hint)
                continue
            read, ok = self._value(hints[key], value, here)
            check = self._checks.get(self._table_of(here))
            if ok and check is not None and (wrong := check(read)):
                self.note(here, f"{key!r} cannot be {wrong.shown}", wrong.wanted)
            elif ok:
                values[key] = read
            elif isinstance(value, dict) and not is_dataclass(hints[key]) and f"{key}s" in known:
                inner = f"{key}s.{next(iter(value), 'NAME')}"
                self.note(here, f"{key!r} is not a table", f"Did you mean [{'.'.join((*place, inner))}]?")
            else:
                default = known[key].default
                shown = "the default" if default is MISSING else repr(default)
                self.note(
                    here,
                    f"{key!r} cannot be {_shown(value)}",
                    f"{self._wanted(hints[key], place, key)}; {shown} is used.",
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
                    (*place, key),
                    f"{key!r} cannot be {_shown(item)}",
                    self._wanted(hint, place, key) + "; it is left out.",
                )
                continue
            out[key] = read
        return out, True

    def _choices_at(self, place: tuple[str, ...]) -> tuple[str, ...] | None:
        return self._choices.get(self._table_of(place))

    def _table_of(self, place: tuple[str, ...]) -> tuple[str, str]:
        *tables, key = place
        return f"{tables[0]}.*" if len(tables) > 1 else tables[0] if tables else "", key

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


def nearest(key: str, known: Iterable[str]) -> str:
    """Return the known name nearest to ``key``, case and ``-`` for ``_`` left aside; empty if none is near."""
    import difflib

    names = {name.lower().replace("-", "_"): name for name in known}
    found = difflib.get_close_matches(key.lower().replace("-", "_"), names, n=1, cutoff=0.6)
    return names[found[0]] if found else ""


def _shown(value: object) -> str:
    """Return a value for a message, cut: a settings file may hold what is long, or secret by mistake."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}…"
