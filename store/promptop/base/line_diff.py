"""What changed between two texts: by lines, and within a changed line by words (by characters where CJK has none)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Kind = Literal["same", "removed", "added"]

_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7ff\uff00-\uffef]|\w+|\s+|[^\w\s]")
_ALIKE = 0.4


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line, and whether it is in one text alone."""

    text: str
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a diff; ``parts`` joined are the line without its end."""

    kind: Kind
    parts: tuple[Part, ...]
    before: int | None
    """Line number in the first text, from 1."""
    after: int | None

    @property
    def text(self) -> str:
        """The line."""
        return "".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that are the same in both texts and were left out."""

    count: int


def diff(before: str, after: str) -> list[Line]:
    """Return all lines of both texts in the order of reading; a removed line stands before the one that replaced it."""
    old, new = before.split("\n"), after.split("\n")
    found: list[Line] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs = zip(range(a, b), range(c, d), strict=True)
            found += [Line("same", (Part(old[i]),), i + 1, j + 1) for i, j in pairs]
        else:
            found += _changed(old[a:b], new[c:d], a, c)
    return found


def _changed(old: Sequence[str], new: Sequence[str], a: int, c: int) -> Iterator[Line]:
    """Pair lines that are alike, in order, so that their words can be compared; the rest is removed or added whole."""
    j = 0
    for i, line in enumerate(old):
        match = next((k for k in range(j, len(new)) if _alike(line, new[k])), None)
        if match is None:
            yield Line("removed", (Part(line, True),), a + i + 1, None)
            continue
        for k in range(j, match):
            yield Line("added", (Part(new[k], True),), None, c + k + 1)
        left, right = _words(line, new[match])
        yield Line("removed", left, a + i + 1, None)
        yield Line("added", right, None, c + match + 1)
        j = match + 1
    for k in range(j, len(new)):
        yield Line("added", (Part(new[k], True),), None, c + k + 1)


def _alike(one: str, other: str) -> bool:
    matcher = SequenceMatcher(None, one[:400], other[:400], autojunk=False)
    return matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE


def _words(one: str, other: str) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    old, new = _WORD.findall(one), _WORD.findall(other)
    left: list[Part] = []
    right: list[Part] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if b > a:
            left.append(Part("".join(old[a:b]), tag != "equal"))
        if d > c:
            right.append(Part("".join(new[c:d]), tag != "equal"))
    return tuple(left), tuple(right)


def folded(lines: Sequence[Line], context: int = 3) -> list[Line | Gap]:
    """Leave out lines that are the same and more than ``context`` lines away from a change."""
    near = [False] * len(lines)
    for at, line in enumerate(lines):
        if line.kind != "same":
            for k in range(max(0, at - context), min(len(lines), at + context + 1)):
                near[k] = True
    out: list[Line | Gap] = []
    for line, is_near in zip(lines, near, strict=True):
        if is_near:
            out.append(line)
        elif out and isinstance(out[-1], Gap):
            out[-1] = Gap(out[-1].count + 1)
        else:
            out.append(Gap(1))
    return out
