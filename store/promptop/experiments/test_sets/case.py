"""One case of a test set, and the set: variables or messages, what is expected, checks, weight, tags, files."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.experiments.checks import Check, Spec, parse_check

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One input with what is right for it."""

    id: str
    vars: Mapping[str, Any] = field(default_factory=dict)
    """Variable → text or JSON."""
    messages: tuple[Message, ...] = ()
    """In place of variables: the conversation that stands in for the prompt's user part."""
    expected: Any = None
    """What is right; without checks it means ``equals``."""
    checks: tuple[Spec, ...] = ()
    weight: float = 1.0
    """How many real inputs it stands for."""
    tags: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Paths beside the set's file: text fills the variable of its name, images and PDF become parts."""
    critical: bool = False
    """Whether losing it makes a proof *worse*, whatever else is allowed."""
    seen: Any = None
    """What was answered in the log: what was said, not what is right."""
    where: str = ""
    """File and line, for messages."""

    def values(self) -> dict[str, str]:
        """Return the variables as texts."""
        return {name: value if isinstance(value, str) else _json(value) for name, value in self.vars.items()}

    def specs(self) -> list[Spec]:
        """Return its checks; ``expected`` alone means ``equals``."""
        if self.checks or self.expected is None:
            return list(self.checks)
        if isinstance(self.expected, list):
            return [{"type": "equals-any", "value": self.expected, "name": "expected"}]
        return [{"type": "equals", "value": self.expected, "name": "expected"}]

    def parsed(self, folder: Path | None, *, python: bool = False) -> list[Check]:
        """Return its own checks; raise :class:`UsageError` with file and line for one that could never be judged."""
        found = []
        for spec in self.specs():
            try:
                found.append(parse_check(spec, python=python, expected=self.expected, folder=folder, shared=False))
            except UsageError as error:
                raise UsageError(f"{self.where}: {error.cause}", error.remedy) from None
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the case as a line of a JSONL file; what is empty is left out."""
        shape = {
            "id": self.id,
            "vars": dict(self.vars) or None,
            "messages": [dict(message) for message in self.messages] or None,
            "expected": self.expected,
            "checks": [each if isinstance(each, str) else dict(each) for each in self.checks] or None,
            "weight": self.weight if self.weight != 1 else None,
            "tags": list(self.tags) or None,
            "files": list(self.files) or None,
            "critical": self.critical or None,
            "seen": self.seen,
        }
        return {name: value for name, value in shape.items() if value is not None}


@dataclass(frozen=True, slots=True)
class TestSet:
    """Cases in order, with the checks that hold for all of them."""

    __test__ = False  # it is not a class of tests

    cases: tuple[Case, ...]
    checks: tuple[Spec, ...] = ()
    path: Path | None = None
    notes: tuple[str, ...] = ()
    """What a reader should know: proposals, items that were left out."""

    @property
    def folder(self) -> Path | None:
        """Where the files of cases are looked for."""
        return self.path.parent if self.path is not None else None

    @property
    def digest(self) -> str:
        """Name of this set's content: cases in order, files by what is in them."""
        found = hashlib.blake2b(digest_size=12)
        for case in self.cases:
            found.update(_json(case.to_json() | {"seen": None}).encode("utf-8", "surrogatepass"))
            for name in case.files:
                found.update(hashlib.blake2b(self.read(case, name)).digest())
        found.update(_json([each if isinstance(each, str) else dict(each) for each in self.checks]).encode())
        return found.hexdigest()

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags, in the order in which they come."""
        return tuple(dict.fromkeys(tag for case in self.cases for tag in case.tags))

    def read(self, case: Case, name: str) -> bytes:
        """Return the content of a case's file; raise :class:`UsageError` for one outside the set's folder."""
        folder = (self.folder or Path()).resolve()
        path = (folder / name.removeprefix("file://")).resolve()
        if not path.is_relative_to(folder):
            raise UsageError(
                f"{case.where}: {clean_line(name, 80)} lies outside the folder of the test set.", "Move it there."
            )
        try:
            if path.stat().st_size > MOST_BYTES:
                raise UsageError(f"{case.where}: {clean_line(name, 80)} is larger than 20 MB.", "Make it smaller.")
            return path.read_bytes()
        except OSError as error:
            raise UsageError(
                f"{case.where}: {clean_line(name, 80)} cannot be read ({error.strerror}).",
                "Files lie beside the test set.",
            ) from None

    def ordered(self, seed: int = 1) -> list[Case]:
        """Return the cases drawn by weight with a fixed seed, so that each tag comes early.

        What stands for many inputs is likely to be asked before a run may stop; cases of one weight are shuffled.
        """
        rng = random.Random(seed)
        groups: dict[str, list[Case]] = {}
        for case in self.cases:
            groups.setdefault(case.tags[0] if case.tags else "", []).append(case)
        for group in groups.values():
            rng.shuffle(group)
            if len({case.weight for case in group}) > 1:
                # Efraimidis and Spirakis: sorted by these keys, a case comes next with a chance of its weight's share.
                keys = {case.id: rng.expovariate(1.0) / case.weight for case in group}
                group.sort(key=lambda case: keys[case.id])
        # Each case's place in its group as a share of the group: groups of all sizes are spread over the whole.
        placed = [
            ((place + rng.random()) / len(group), case) for group in groups.values() for place, case in enumerate(group)
        ]
        return [case for _, case in sorted(placed, key=lambda each: each[0])]

    def tagged(self, wanted: Sequence[str]) -> TestSet:
        """Return the part of the set that has one of these tags; raise :class:`UsageError` if that is nothing."""
        cases = tuple(case for case in self.cases if set(case.tags) & set(wanted))
        if not cases:
            raise UsageError(f"No case has the tag {', '.join(wanted)}.", f"Tags: {', '.join(self.tags) or 'none'}.")
        return TestSet(cases, self.checks, self.path, self.notes)


MOST_BYTES = 20 << 20
"""Largest file of a case."""


def digest_id(content: Any) -> str:
    """Return an id made from what a case holds."""
    return hashlib.blake2b(_json(content).encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
