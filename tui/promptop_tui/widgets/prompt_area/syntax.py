"""Colours of a prompt: roles, headings, variables, tags, code, front matter, and what is switched off.

Only the rows on the screen are looked at, by their own characters and the state that they begin in. The state comes
from an index of the few lines that may change it (fences, rules, marks of what is off): typing costs the lines that
were typed in, and the index is read anew only when one of those lines changed or moved.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache

from promptop.prompts.comments import is_close, is_open
from promptop.prompts.document import ROLES
from promptop_tui.widgets.prompt_area.code_colours import CODE_PARTS, code_parts, language_of
from promptop_tui.widgets.prompt_area.document import EditSpan, ExactDocument

Place = tuple[int, int, str]
"""Start column, end column, component class."""

_PREFIX = "prompt-area--"
_KINDS = ("role", "heading", "variable", "tag", "code", "front", "off", "comment", "bold")
SYNTAX_CLASSES = tuple(_PREFIX + name for name in (*_KINDS, *(f"code-{kind}" for kind in CODE_PARTS)))
_LONG = 2_000
"""Characters above which a line is looked at in parts: one of 100 KB would cost milliseconds a key."""
_MARGIN = 200


class State(Enum):
    """What a line begins in."""

    TEXT = "text"
    CODE = "code"
    FRONT = "front"
    OFF = "off"


_RULE, _OFF, _ON = 100, 110, 111
_BEGINNINGS = frozenset("`~-{ \t\ufeff")
_FENCE = re.compile(r"[ \t]*(?P<mark>`{3,}|~{3,})(?P<info>[^\n]*)")
_FRONT_RULE = re.compile(r"\ufeff?---[ \t]*\r?")
_INFO = 64
"""Set in the mark of a fence that has an info string: it opens code and never closes it."""

_ROLE = re.compile(r"[ \t]*(?:#[ \t]*)?(?:" + "|".join(ROLES) + r")[ \t]*[:：][ \t]*\r?", re.IGNORECASE)
_HEADING = re.compile(r"[ \t]{0,3}#{1,6}[ \t]+\S|[ \t]*【[^】\n]{1,60}】[ \t]*[:：]?[ \t]*$")
_INLINE = re.compile(
    r"(?P<comment>\{\{!.*?\}\}|\{#.*?#\}|<!--.*?-->)"
    r"|(?P<variable>\{\{[^{}\n]{1,200}\}\}\}?|\{%[^%\n]{1,200}%\})"
    r"|(?P<code>`[^`\n]+`)"
    r"|(?P<tag></?[A-Za-z_\u4e00-\u9fff][\w.:\-]*(?:[ \t][^<>\n]{0,300})?/?>)"
    r"|(?P<bold>\*\*[^*\n]+\*\*)"
)
_VARIABLE_ONLY = re.compile(r"(?P<variable>\{\{[^{}\n]{1,200}\}\}\}?)")


class SyntaxIndex:
    """Which lines begin in what, kept up with edits."""

    def __init__(self, document: ExactDocument) -> None:
        self._document = document
        self._rows, self._marks = _marked(document.lines, 0)
        self._stretches: tuple[list[int], list[State]] | None = None

    def move(self, span: EditSpan) -> None:
        """Follow an edit of the document, which has happened."""
        first, old_last, last = span.start[0], span.old_end[0], span.new_end[0]
        rows, marks = self._rows, self._marks
        low, high = bisect_left(rows, first), bisect_right(rows, old_last)
        new_rows, new_marks = _marked(self._document.lines[first : last + 1], first)
        if last != old_last:
            rows[high:] = [row + last - old_last for row in rows[high:]]
        elif rows[low:high] == new_rows and marks[low:high] == new_marks:
            return
        rows[low:high], marks[low:high] = new_rows, new_marks
        self._stretches = None

    def state(self, line: int) -> State:
        """Return what a line begins in; fence lines themselves are code, the rules of front matter are front matter."""
        if self._stretches is None:
            self._stretches = self._read()
        starts, states = self._stretches
        return states[bisect_right(starts, line) - 1]

    def language(self, line: int) -> str:
        """Return the language of the fenced code that a line stands in, if its colours are known; else nothing."""
        if self.state(line) is not State.CODE or self._stretches is None:
            return ""
        starts, _ = self._stretches
        fence = starts[bisect_right(starts, line) - 1]
        return "" if fence == line else language_of(self._document.get_line(fence))

    def _read(self) -> tuple[list[int], list[State]]:
        """Return where stretches of one state begin, and their states."""
        starts, states = [0], [State.TEXT]
        fence = 0

        def begin(row: int, state: State) -> None:
            if starts[-1] == row:
                states[-1] = state
            else:
                starts.append(row)
                states.append(state)

        for at, (row, mark) in enumerate(zip(self._rows, self._marks, strict=True)):
            state = states[-1]
            if state is State.FRONT:
                is_end = mark == _RULE
            elif state is State.OFF:
                is_end = mark == _ON
            elif state is State.CODE:
                is_end = mark < _RULE and not mark & _INFO and _closes(mark, fence)
            else:
                is_end = False
                if mark == _RULE and row == 0 and _RULE in self._marks[at + 1 :]:
                    begin(row, State.FRONT)
                elif mark == _OFF:
                    begin(row, State.OFF)
                elif mark < _RULE:
                    begin(row, State.CODE)
                    fence = mark
            if is_end:
                begin(row + 1, State.TEXT)
        return starts, states


def spans(text: str, state: State, first: int, behind: int, language: str = "") -> tuple[Place, ...]:
    """Return what is coloured in the columns [first, behind) of a line that begins in ``state``.

    ``language`` is that of the fenced code around it.
    """
    if len(text) <= _LONG:
        return _spans(text, state, language)
    start = max(0, first - _MARGIN)
    found = _spans(text[start : behind + _MARGIN], state, language, start == 0)
    return tuple((place[0] + start, place[1] + start, place[2]) for place in found)


@lru_cache(4096)
def _spans(text: str, state: State, language: str = "", is_start: bool = True) -> tuple[Place, ...]:
    whole = (0, len(text))
    if state is State.OFF:
        return ((*whole, _PREFIX + "off"),)
    if state is State.FRONT:
        return ((*whole, _PREFIX + "front"),)
    if state is State.CODE:
        if language and not _FENCE.match(text):
            inside = [(start, end, f"{_PREFIX}code-{kind}") for start, end, kind in code_parts(text, language)]
        else:
            inside = [(*whole, _PREFIX + "code")]
        return (*inside, *_inline(text, _VARIABLE_ONLY))
    if is_start and _ROLE.fullmatch(text):
        return ((*whole, _PREFIX + "role"),)
    if is_start and _HEADING.match(text):
        return ((*whole, _PREFIX + "heading"), *_inline(text, _INLINE))
    return _inline(text, _INLINE)


def _inline(text: str, pattern: re.Pattern[str]) -> tuple[Place, ...]:
    found = []
    for match in pattern.finditer(text):
        name = str(match.lastgroup)
        found.append((match.start(), match.end(), _PREFIX + name))
        if name in ("bold", "tag", "code"):
            found += [
                (inner.start(), inner.end(), _PREFIX + "variable")
                for inner in _VARIABLE_ONLY.finditer(text, match.start(), match.end())
            ]
    return tuple(found)


def _mark(line: str, is_first: bool) -> int:
    start = line.lstrip(" \t\ufeff")[:5]
    if start.startswith(("```", "~~~")):
        found = _FENCE.match(line)
        if found is None or ("`" in found["info"] and found["mark"][0] == "`"):
            return 0
        length = min(len(found["mark"]), 15)
        return length + (16 if found["mark"][0] == "~" else 0) + (_INFO if found["info"].strip() else 0)
    if start.startswith("---"):
        return _RULE if _FRONT_RULE.fullmatch(line) and (is_first or line[0] == "-") else 0
    if start.startswith("--}}"):
        return _ON if is_close(line) else 0
    return _OFF if start.startswith("{{!--") and is_open(line) else 0


def _closes(mark: int, fence: int) -> bool:
    return (mark & 16) == (fence & 16) and (mark & 15) >= (fence & 15)


def _marked(lines: Sequence[str], first: int) -> tuple[list[int], list[int]]:
    """Return the rows that may change the state, and their marks; ``first`` is the row of the first line."""
    rows, marks = [], []
    for row, line in enumerate(lines, first):
        # Most lines are told apart by their first characters: 20 ms for 170,000 lines.
        if line[:1] in _BEGINNINGS and (mark := _mark(line, row == 0)):
            rows.append(row)
            marks.append(mark)
    return rows, marks
