"""The units of a prompt: what ablation leaves out as one piece, and the text without some of them.

Prose is cut into sentences; a list item, a table, a code block and an example are one unit each. What would break the
prompt rather than shorten it (a variable, a tag, the last message) is pinned: it is shown and never left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from promptop.prompts.structure import Block, Structure, read_structure, sentences_of

_SENTENCES = frozenset({"paragraph"})
_WHOLE = frozenset({"item", "fence", "code", "table", "example", "data", "form"})
_HEADS = frozenset({"heading", "label"})
_VARIABLE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_CAUTION = re.compile(
    r"\b(?:never|must not|do not|don't|confidential|personal data|legal|privacy|medical)\b|不得|禁止|严禁|绝不",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of a prompt; offsets are in characters of its text."""

    number: int
    kind: str
    """``sentence``, ``item``, ``example``, ``code``, ``table`` or ``data``."""
    start: int
    end: int
    """What is shown: without the blanks and the bullet around it."""
    cut_start: int
    cut_end: int
    """What goes when the unit goes."""
    section: int
    pinned: str = ""
    """Why it is never left out."""
    caution: bool = False
    """Whether it reads like a prohibition or a matter of law: free on these cases is not free."""


def units_of(text: str) -> tuple[Unit, ...]:
    """Return the units of a prompt in order, none over another."""
    structure = read_structure(text)
    found: list[Unit] = []

    def add(kind: str, span: tuple[int, int], cut: tuple[int, int], section: int, pinned: str = "") -> None:
        piece = text[span[0] : span[1]]
        if not piece.strip():
            return
        pinned = pinned or ("has a variable" if _VARIABLE.search(text[cut[0] : cut[1]]) else "")
        found.append(Unit(len(found), kind, *span, *cut, section, pinned, bool(_CAUTION.search(piece))))

    turns = _turns(structure)
    done: set[int] = set()
    for block in structure.blocks:
        if block.message in done:
            continue
        if block.message in turns:
            first, last = turns[block.message]
            done.update(range(first, last + 1))
            start, end = structure.messages[first][0], structure.messages[last][1]
            add("example", (start, end), (_line_before(text, start), end), -1 - first)
            continue
        if block.kind in _SENTENCES:
            spans = list(sentences_of(text, block.start, block.end))
            for at, (start, end) in enumerate(spans):
                stop = spans[at + 1][0] if at + 1 < len(spans) else block.end
                alone = len(spans) == 1
                cut = _lines(text, start, end) if alone else (start, stop)
                add("sentence", (start, end), cut, block.section)
        elif block.kind in _WHOLE:
            kind = {"fence": "code", "form": "data"}.get(block.kind, block.kind)
            add(kind, (block.start, block.end), _lines(text, block.start, block.end), block.section)
    return _with_a_message_left(structure, tuple(found))


def without(text: str, units: Sequence[Unit], removed: Collection[int]) -> str:
    """Return the text without these units; a heading goes with the last unit that it heads."""
    gone = set(removed)
    cuts = [(unit.cut_start, unit.cut_end) for unit in units if unit.number in gone]
    if not cuts:
        return text
    structure = read_structure(text)
    cuts += [_lines(text, head.start, head.end) for head in _emptied_heads(structure, units, gone)]
    parts, at = [], 0
    for start, end in sorted(cuts):
        parts.append(text[at : max(at, start)])
        at = max(at, end)
    return _tidied("".join([*parts, text[at:]]), structure.body_start)


def blocks_of(
    units: Sequence[Unit], suspected: Collection[int], size: int, *, tokens: Callable[[Unit], int] | None = None
) -> list[list[int]]:
    """Return the units in groups that are left out together: what is suspected first, then section by section."""
    free = [unit for unit in units if not unit.pinned]
    if tokens is not None:
        free.sort(key=lambda unit: (unit.section, -tokens(unit), unit.number))
    first = [unit.number for unit in free if unit.number in suspected]
    rest = [unit.number for unit in free if unit.number not in suspected]
    return [part[at : at + size] for part in (first, rest) for at in range(0, len(part), size)]


def _emptied_heads(structure: Structure, units: Sequence[Unit], gone: Collection[int]) -> list[Block]:
    """Return the headings below which everything up to the next heading is left out."""
    found = []
    for at, head in enumerate(structure.blocks):
        if head.kind not in _HEADS:
            continue
        below: list[Block] = []
        for block in structure.blocks[at + 1 :]:
            if block.kind in _HEADS or block.message != head.message:
                break
            below.append(block)
        inside = [unit for unit in units if any(each.start <= unit.start < each.end for each in below)]
        is_whole = all(block.kind in _SENTENCES | _WHOLE for block in below)
        if inside and is_whole and all(unit.number in gone for unit in inside):
            found.append(head)
    return found


def _turns(structure: Structure) -> dict[int, tuple[int, int]]:
    """Return messages that are few-shot turns: a user's and the assistant's answer to it, before the last user's."""
    roles = structure.roles
    last = max((at for at, role in enumerate(roles) if role == "user"), default=-1)
    found = {}
    for at in range(len(roles) - 1):
        if roles[at] == "user" and roles[at + 1] == "assistant" and at + 1 < last:
            found[at] = found[at + 1] = (at, at + 1)
    return found


def _with_a_message_left(structure: Structure, units: tuple[Unit, ...]) -> tuple[Unit, ...]:
    """Pin the largest unit of a message that could be emptied; a system message may go, where another one stays."""
    found = list(units)
    others = {at for at, role in enumerate(structure.roles) if role not in ("system", "developer")}
    for at, (start, end) in enumerate(structure.messages):
        if at not in others and others:
            continue
        inside = [unit for unit in units if start <= unit.start and unit.end <= end and unit.kind != "example"]
        free = [unit for unit in inside if not unit.pinned]
        if not free or len(free) < len(inside):
            continue
        pieces = [(unit.cut_start, unit.cut_end) for unit in inside]
        rest = "".join(
            char
            for offset, char in enumerate(structure.text[start:end], start)
            if not any(low <= offset < high for low, high in pieces)
        )
        heads = [block for block in structure.blocks if block.message == at and block.kind in _HEADS]
        for block in heads:
            rest = rest.replace(structure.text[block.start : block.end], "")
        if not re.search(r"\w", rest):
            largest = max(free, key=lambda unit: unit.end - unit.start)
            found[largest.number] = replace(largest, pinned="the message would be empty")
    return tuple(found)


def _lines(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span with its whole lines, bullet and line end included, where nothing else stands on them."""
    first = text.rfind("\n", 0, start) + 1
    before = text[first:start]
    if re.fullmatch(r"[ \t>]*(?:[-*+•]|\d+[.)、])?[ \t]*(?:\[[ xX]\][ \t]*)?", before):
        start = first
    stop = text.find("\n", max(start, end - 1))
    if stop >= 0 and not text[end:stop].strip():
        end = stop + 1
    return start, end


def _line_before(text: str, start: int) -> int:
    """Return the start of the role line above a message."""
    line = text.rfind("\n", 0, max(0, start - 1)) + 1
    return (
        line if text[line:start].strip().rstrip(":").isalpha() or text[line:start].lower().startswith("user") else start
    )


def _tidied(text: str, body_start: int) -> str:
    """Return the text without the runs of empty lines and the trailing blanks that cuts leave behind."""
    head, body = text[:body_start], text[body_start:]
    return head + re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+(?=\n)", "", body))
