"""From rules to edits: what may be applied, what each saves, and the text that comes out.

Invariants, held by tests: protected zones come out as they went in (safe rules), negations are the same, no message is
emptied, the result never has more tokens, and trimming a trimmed text changes nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from promptop.base.errors import UsageError
from promptop.trim.protected_spans import Zones, negations
from promptop.trim.rule import Rule, Severity
from promptop.trim.rules import RULES
from promptop.trim.structure import KEEP_ROUNDS, OldHistory

_PASSES = 6
_CONTEXT = 160


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a text."""

    rule: str
    severity: Severity
    start: int
    """Offset in characters of the text it was found in."""
    end: int
    before: str
    after: str
    line: int
    """Line of its start, from 1."""
    tokens_saved: int = 0


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A text after its edits."""

    text: str
    edits: tuple[Edit, ...]
    """Offsets are those of the text that was given."""
    tokens_before: int
    tokens_after: int


def chosen(select: Iterable[str] = (), *, safe_only: bool = False, rounds: int = KEEP_ROUNDS) -> tuple[Rule, ...]:
    """Return the rules with these ids (all for none), ``rounds`` of a conversation kept by old-history.

    Raises :class:`UsageError` for an id that no rule has.
    """
    wanted = set(select)
    known = {rule.id for rule in RULES}
    if unknown := wanted - known:
        raise UsageError(f"There is no rule {min(unknown)!r}.", f"Rules: {', '.join(sorted(known))}.")
    return tuple(
        OldHistory(rounds) if isinstance(rule, OldHistory) else rule
        for rule in RULES
        if (rule.id in wanted if wanted else True) and not (safe_only and rule.severity != "safe")
    )


def find(text: str, rules: Sequence[Rule] = RULES) -> list[Edit]:
    """Return edits that may be applied to ``text``, one by one or together: in order, none over another."""
    zones = Zones(text)
    line_of = _Lines(text)
    taken: list[Edit] = []  # sorted by start, so that a neighbour is found by bisection
    starts: list[int] = []
    for rule in rules:
        for proposal in rule.find(zones):
            start, end, after = proposal.start, proposal.end, proposal.after
            before = text[start:end]
            if before == after or (not rule.may_enter_zones and zones.touches(start, end)):
                continue
            if negations(before) != negations(after) and not rule.may_enter_zones and rule.id != "repeated-sentence":
                continue
            at = bisect_left(starts, start)
            if (at and taken[at - 1].end > start) or (at < len(starts) and (starts[at] < end or starts[at] == start)):
                continue
            starts.insert(at, start)
            taken.insert(at, Edit(rule.id, rule.severity, start, end, before, after, line_of(start)))
    return _with_zones_kept(text, zones, _without_emptying(text, zones, taken))


class _Lines:
    """Line numbers, from 1, by offset."""

    def __init__(self, text: str) -> None:
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def __call__(self, offset: int) -> int:
        return bisect_left(self._ends, offset) + 1


def _with_zones_kept(text: str, zones: Zones, edits: list[Edit]) -> list[Edit]:
    """Leave out edits that would make or unmake a protected zone: a fence that came to stand at the start of a line."""
    # Rules that enter zones change them on purpose and are not asked.
    zone_rules = {rule.id for rule in RULES if rule.may_enter_zones}

    def kept(some: Sequence[Edit]) -> bool:
        after = Zones(apply(text, some))
        return [after.text[a:b] for a, b in after.protected] == [text[a:b] for a, b in zones.protected]

    outside = [edit for edit in edits if edit.rule not in zone_rules]
    if kept(outside):
        return edits
    good: list[Edit] = []

    def add(some: list[Edit]) -> None:  # by halves: nearly all of them are good
        if kept(sorted([*good, *some], key=lambda edit: edit.start)):
            good.extend(some)
        elif len(some) > 1:
            add(some[: len(some) // 2])
            add(some[len(some) // 2 :])

    add(outside)
    allowed = {(edit.start, edit.end) for edit in good}
    return [edit for edit in edits if edit.rule in zone_rules or (edit.start, edit.end) in allowed]


def _without_emptying(text: str, zones: Zones, edits: list[Edit]) -> list[Edit]:
    """Leave out what would leave a message without a word."""
    kept = edits
    for start, end in zones.messages:
        inside = [edit for edit in edits if start <= edit.start < end]
        if inside and re.search(r"\w", text[start:end]):
            rest = apply(text[start:end], [replace(e, start=e.start - start, end=e.end - start) for e in inside])
            if not re.search(r"\w", rest):
                kept = [edit for edit in kept if not start <= edit.start < end]
    return kept


def apply(text: str, edits: Sequence[Edit]) -> str:
    """Return the text with these edits, which are in order and do not overlap."""
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.after]
        at = edit.end
    return "".join([*parts, text[at:]])


def contexts(text: str, edit: Edit) -> tuple[str, str]:
    """Return a piece of the text around an edit, before and after it: the difference of their tokens is the saving.

    The piece ends at line breaks where they are near, since tokens seldom run over them.
    """
    start = text.rfind("\n", max(0, edit.start - _CONTEXT), edit.start) + 1 or max(0, edit.start - _CONTEXT)
    end = text.find("\n", edit.end, edit.end + _CONTEXT)
    end = min(len(text), edit.end + _CONTEXT) if end < 0 else end + 1
    return text[start:end], text[start : edit.start] + edit.after + text[edit.end : end]


def trim(text: str, encoding: str, rules: Sequence[Rule] = RULES) -> Trimmed:
    """Apply every edit that saves tokens under ``encoding``, again and again until nothing is left to save."""
    from promptop.tokens import TokenDocument

    document = TokenDocument(encoding, text)
    first_count = document.count
    origin = list(range(len(text) + 1))
    applied: list[Edit] = []
    current = text
    for _ in range(_PASSES):
        found = find(current, rules)
        done: list[Edit] = []
        for edit in reversed(found):
            count = document.count
            saved = count - document.replace(edit.start, edit.end, edit.after)
            if saved <= 0:
                document.replace(edit.start, edit.start + len(edit.after), edit.before)
                continue
            done.append(replace(edit, tokens_saved=saved))
        if not done:
            break
        moved: list[int] = []
        at = 0
        for edit in reversed(done):
            start = origin[edit.start]
            applied.append(replace(edit, start=start, end=origin[edit.end]))
            moved += origin[at : edit.start]
            moved += [start] * len(edit.after)
            at = edit.end
        origin = moved + origin[at:]
        current = document.text
    edits = _merged(text, current, origin, applied)
    return Trimmed(current, edits, first_count, document.count)


def _merged(text: str, result: str, origin: list[int], applied: list[Edit]) -> tuple[Edit, ...]:
    """Join edits that later passes made over each other, and give all of them offsets of the first text."""
    merged: list[Edit] = []
    for edit in sorted(applied, key=lambda each: (each.start, each.end)):
        if merged and edit.start <= merged[-1].end and (edit.start < merged[-1].end or edit.start == merged[-1].start):
            last = merged[-1]
            names = dict.fromkeys([*last.rule.split("+"), edit.rule])
            severity: Severity = "check" if "check" in (last.severity, edit.severity) else "safe"
            saved = last.tokens_saved + edit.tokens_saved
            end = max(last.end, edit.end)
            merged[-1] = replace(last, rule="+".join(names), severity=severity, end=end, tokens_saved=saved)
        else:
            merged.append(edit)
    told = []
    line_of = _Lines(text)
    for edit in merged:
        after = result[bisect_left(origin, edit.start) : bisect_left(origin, edit.end)]
        before = text[edit.start : edit.end]
        told.append(replace(edit, before=before, after=after, line=line_of(edit.start)))
    return tuple(told)
