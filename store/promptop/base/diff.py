"""What changed between two texts: by words, and by lines with the words that changed within them.

Chinese, Japanese and Korean have no spaces: their characters are compared one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Kind = Literal["same", "removed", "added"]
MOST_WORDS = 2000
"""Above this many pieces lines are compared: two unrelated texts of this length take 1.2 s, of twice that 3.1 s."""

_WORDS = re.compile(r"[^\W\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+|\s+|.", re.DOTALL)
_ALIKE = 0.4


def words(text: str) -> list[str]:
    """Return words (``foo_bar`` is one), spaces and marks; joined they are ``text``."""
    return _WORDS.findall(text)


# By words


@dataclass(frozen=True, slots=True)
class DiffRun:
    """A run of text that both have, or only one of them."""

    kind: Kind
    text: str


def word_diff(before: str, after: str) -> list[DiffRun]:
    """Return the pieces of both texts in order; without the added ones they are ``before``."""
    return list(_merged(_pieces(before, after)))


def similarity(pieces: list[DiffRun]) -> float:
    """Return the share of characters that both texts have, 0 to 1; 1 for two empty texts."""
    same = 2 * sum(len(piece.text) for piece in pieces if piece.kind == "same")
    total = same + sum(len(piece.text) for piece in pieces if piece.kind != "same")
    return same / total if total else 1.0


def marked(pieces: list[DiffRun]) -> str:
    """Return the difference as text: ``[-gone-]`` and ``{+new+}``, as word diffs of version control have it."""
    signs = {"same": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}
    return "".join(signs[piece.kind][0] + piece.text + signs[piece.kind][1] for piece in pieces)


def _pieces(before: str, after: str) -> Iterator[DiffRun]:
    left, right = words(before), words(after)
    if max(len(left), len(right)) > MOST_WORDS:
        left, right = before.splitlines(keepends=True), after.splitlines(keepends=True)
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            yield DiffRun("same", "".join(left[i1:i2]))
            continue
        if i2 > i1:
            yield DiffRun("removed", "".join(left[i1:i2]))
        if j2 > j1:
            yield DiffRun("added", "".join(right[j1:j2]))


def _merged(pieces: Iterator[DiffRun]) -> Iterator[DiffRun]:
    """Join what a single common space would tear apart: "a b" → "c d" reads better whole than in four pieces."""
    removed = added = ""
    waiting = ""
    for piece in pieces:
        if piece.kind == "same" and (not piece.text.isspace() or "\n" in piece.text or not (removed or added)):
            yield from _changed_pieces(removed, added)
            yield DiffRun("same", waiting + piece.text)
            removed = added = waiting = ""
        elif piece.kind == "same":
            waiting += piece.text
        else:
            removed, added = removed + waiting, added + waiting
            waiting = ""
            if piece.kind == "removed":
                removed += piece.text
            else:
                added += piece.text
    yield from _changed_pieces(removed, added)
    if waiting:
        yield DiffRun("same", waiting)


def _changed_pieces(removed: str, added: str) -> Iterator[DiffRun]:
    if removed:
        yield DiffRun("removed", removed)
    if added:
        yield DiffRun("added", added)


# By lines


@dataclass(frozen=True, slots=True)
class LinePart:
    """A piece of a line, and whether it is in one text alone."""

    text: str
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a diff; ``parts`` joined are the line without its end."""

    kind: Kind
    parts: tuple[LinePart, ...]
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


def line_diff(before: str, after: str) -> list[DiffLine]:
    """Return all lines of both texts in the order of reading; a removed line stands before the one that replaced it."""
    old, new = before.split("\n"), after.split("\n")
    lines: list[DiffLine] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs = zip(range(a, b), range(c, d), strict=True)
            lines += [DiffLine("same", (LinePart(old[i]),), i + 1, j + 1) for i, j in pairs]
        else:
            lines += _changed_lines(old[a:b], new[c:d], a, c)
    return lines


def _changed_lines(old: Sequence[str], new: Sequence[str], a: int, c: int) -> Iterator[DiffLine]:
    """Pair lines that are alike, in order, so that their words can be compared; the rest is removed or added whole."""
    j = 0
    for i, line in enumerate(old):
        match = next((k for k in range(j, len(new)) if _alike(line, new[k])), None)
        if match is None:
            yield DiffLine("removed", (LinePart(line, True),), a + i + 1, None)
            continue
        for k in range(j, match):
            yield DiffLine("added", (LinePart(new[k], True),), None, c + k + 1)
        left, right = _changed_words(line, new[match])
        yield DiffLine("removed", left, a + i + 1, None)
        yield DiffLine("added", right, None, c + match + 1)
        j = match + 1
    for k in range(j, len(new)):
        yield DiffLine("added", (LinePart(new[k], True),), None, c + k + 1)


def _alike(one: str, other: str) -> bool:
    matcher = SequenceMatcher(None, one[:400], other[:400], autojunk=False)
    return matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE


def _changed_words(one: str, other: str) -> tuple[tuple[LinePart, ...], tuple[LinePart, ...]]:
    old, new = words(one), words(other)
    left: list[LinePart] = []
    right: list[LinePart] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if b > a:
            left.append(LinePart("".join(old[a:b]), tag != "equal"))
        if d > c:
            right.append(LinePart("".join(new[c:d]), tag != "equal"))
    return tuple(left), tuple(right)


def folded(lines: Sequence[DiffLine], context: int = 3) -> list[DiffLine | Gap]:
    """Leave out lines that are the same and more than ``context`` lines away from a change."""
    near = [False] * len(lines)
    for at, line in enumerate(lines):
        if line.kind != "same":
            for k in range(max(0, at - context), min(len(lines), at + context + 1)):
                near[k] = True
    out: list[DiffLine | Gap] = []
    for line, is_near in zip(lines, near, strict=True):
        if is_near:
            out.append(line)
        elif out and isinstance(out[-1], Gap):
            out[-1] = Gap(out[-1].count + 1)
        else:
            out.append(Gap(1))
    return out
