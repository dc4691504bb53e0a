"""From rules to edits: what may be applied, what each saves, and the text that comes out.

Invariants, held by tests: after the safe rules every protected span is byte for byte what it was, negations and demands
are the same, no line, heading or message is emptied, the result never has more tokens, and trimming a trimmed text
changes nothing. The guards look at what comes out, so a rule that is wrong somewhere costs a saving and not a meaning.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from promptop.base.errors import UsageError
from promptop.prompts.structure import Block, Structure, read_structure
from promptop.trim import guards
from promptop.trim.rules.all_rules import RULES
from promptop.trim.rules.message_rules import KEEP_ROUNDS, OldHistory
from promptop.trim.rules.rule import Severity, TrimRule

_PASSES = 20
_CONTEXT = 160
_MOST_SKIPPED = 200


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
class Skipped:
    """A place that a rule would have changed, and why it was left."""

    line: int
    """From 1."""
    reason: str
    rule: str = ""
    text: str = ""
    """What the rule would have changed."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """What the rules say of a text: edits in order, none over another, and what was left."""

    edits: tuple[Edit, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class TrimmedText:
    """A text after its edits."""

    text: str
    edits: tuple[Edit, ...]
    """Offsets are those of the text that was given."""
    tokens_before: int
    tokens_after: int
    skipped: tuple[Skipped, ...] = ()


def chosen(
    select: Iterable[str] = (), *, safe_only: bool = False, rounds: int = KEEP_ROUNDS, off: Iterable[str] = ()
) -> tuple[TrimRule, ...]:
    """Return the rules with these ids, ``rounds`` of a conversation kept by old-history.

    Without ids: all but those of ``off`` and those that act on request alone. Raises :class:`UsageError` for an id that
    no rule has.
    """
    wanted, without = set(select), set(off)
    known = {rule.id for rule in RULES}
    if unknown := (wanted | without) - known:
        raise UsageError(f"There is no rule {min(unknown)!r}.", f"Rules: {', '.join(sorted(known))}.")
    return tuple(
        OldHistory(rounds) if isinstance(rule, OldHistory) else rule
        for rule in RULES
        if (rule.id in wanted if wanted else not rule.on_request)
        and rule.id not in without
        and not (safe_only and rule.severity != "safe")
    )


def find(text: str, rules: Sequence[TrimRule] | None = None) -> list[Edit]:
    """Return edits that may be applied to ``text``, one by one or together: in order, none over another."""
    return list(look(text, rules).edits)


def look(text: str, rules: Sequence[TrimRule] | None = None) -> Proposals:
    """Return the edits for ``text``, and where a rule saw something and left it."""
    return _Search(text, chosen() if rules is None else rules).run()


class _Lines:
    """Line numbers, from 1, by offset."""

    def __init__(self, text: str) -> None:
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def __call__(self, offset: int) -> int:
        return bisect_left(self._ends, offset) + 1


@dataclass(slots=True)
class _Taken:
    """Edits by place, so that a neighbour is found by bisection."""

    edits: list[Edit] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def is_free(self, start: int, end: int) -> bool:
        at = bisect_left(self.starts, start)
        return not (
            (at and self.edits[at - 1].end > start)
            or (at < len(self.starts) and (self.starts[at] < end or self.starts[at] == start))
        )

    def add(self, edit: Edit) -> None:
        insort(self.edits, edit, key=lambda each: each.start)
        insort(self.starts, edit.start)


class _Search:
    """One pass of the rules over a text."""

    def __init__(self, text: str, rules: Sequence[TrimRule]) -> None:
        self.text, self.rules = text, rules
        self.structure = read_structure(text)
        self.line_of = _Lines(text)
        self.skipped: dict[tuple[int, str], Skipped] = {}
        self.enters = {rule.id for rule in rules if rule.enters_protected}

    def run(self) -> Proposals:
        safe = self._proposed([rule for rule in self.rules if rule.severity == "safe"], _Taken())
        kept, doubtful = self._guarded(safe.edits)
        kept = self._with_protected_kept(self._without_emptied_messages(kept))
        taken = _Taken()
        for edit in kept:
            taken.add(edit)
        for edit in doubtful:
            if any(rule.severity == "check" for rule in self.rules) and taken.is_free(edit.start, edit.end):
                taken.add(replace(edit, severity="check"))
        checks = [rule for rule in self.rules if rule.severity == "check"]
        if checks:
            before = {(edit.start, edit.end) for edit in taken.edits}
            everything = self._proposed(checks, taken).edits
            new = [edit for edit in everything if (edit.start, edit.end) not in before]
            allowed = {(edit.start, edit.end) for edit in self._sound(new)} | before
            edits = [edit for edit in everything if (edit.start, edit.end) in allowed]
            edits = self._without_emptied_messages(edits)
        else:
            edits = taken.edits
        skipped = sorted(self.skipped.values(), key=lambda each: each.line)[:_MOST_SKIPPED]
        return Proposals(tuple(edits), tuple(skipped))

    def _proposed(self, rules: Sequence[TrimRule], taken: _Taken) -> _Taken:
        cover = self.structure.cover
        for rule in rules:
            for proposal in rule.find(self.structure):
                start, end, after = proposal.start, proposal.end, proposal.after
                before = self.text[start:end]
                if before == after:
                    continue
                if not rule.enters_protected:
                    touched = [
                        each
                        for each in cover.all_in(start, end)
                        if not any(a <= each.start and each.end <= b for a, b in proposal.kept)
                    ]
                    inside = None if touched or start < end else cover.first_in(start, end)
                    if touched or inside:
                        if before.strip():
                            self._skip(
                                start, rule, f"it is in {(touched[0] if touched else inside or touched[0]).reason}"
                            )
                        continue
                if taken.is_free(start, end):
                    taken.add(Edit(rule.id, rule.severity, start, end, before, after, self.line_of(start)))
        return taken

    def _skip(self, start: int, rule: TrimRule | None, reason: str, edit: Edit | None = None) -> None:
        line = self.line_of(start)
        name = rule.id if rule is not None else edit.rule if edit is not None else ""
        self.skipped.setdefault((line, reason), Skipped(line, reason, name, edit.before if edit is not None else ""))

    def _by_block(self, edits: Sequence[Edit]) -> tuple[list[tuple[Block, list[Edit]]], list[Edit]]:
        """Sort edits by the block of prose that they change; the rest stands between blocks."""
        groups: dict[int, tuple[Block, list[Edit]]] = {}
        others = []
        for edit in edits:
            middle = edit.start
            while middle < edit.end and self.text[middle].isspace():
                middle += 1
            block = self.structure.block_at(middle)
            if block is None or not block.is_prose:
                others.append(edit)
            else:
                groups.setdefault(block.start, (block, []))[1].append(edit)
        return list(groups.values()), others

    def _guarded(self, edits: Sequence[Edit]) -> tuple[list[Edit], list[Edit]]:
        """Return (what is safe, what needs a look): the guards are asked of each block as it would come out."""
        groups, kept = self._by_block(edits)
        doubtful: list[Edit] = []
        for block, inside in groups:
            meaning, grammar = self._judged(block, inside)
            if not meaning and not grammar:
                kept += inside
                continue
            good: list[Edit] = []
            for edit in inside:
                meaning, grammar = self._judged(block, [*good, edit])
                if not meaning and not grammar:
                    good.append(edit)
                elif meaning and not grammar:
                    doubtful.append(edit)
                else:
                    self._skip(edit.start, None, grammar, edit)
            kept += good
        return sorted(kept, key=lambda edit: edit.start), doubtful

    def _judged(self, block: Block, edits: Sequence[Edit]) -> tuple[str, str]:
        """Return what a block would lose in meaning, and what in grammar."""
        start, end = min(block.start, edits[0].start), max(block.end, edits[-1].end)
        before = self.text[start:end]
        after = apply(before, [replace(each, start=each.start - start, end=each.end - start) for each in edits])
        meaning = guards.meaning_lost(before, after)
        if not re.search(r"\w", after):
            whole = block.kind == "paragraph" and not guards.paragraph_needed(self.structure, block.start, block.end)
            return meaning, "" if whole else "nothing would be left of the line"
        return meaning, guards.grammar_lost(before, after)

    def _sound(self, edits: Sequence[Edit]) -> list[Edit]:
        """Leave out proposals to check that would leave a line empty or a sentence broken."""
        groups, kept = self._by_block([edit for edit in edits if edit.rule not in _LAYOUT])
        kept += [edit for edit in edits if edit.rule in _LAYOUT]
        for block, inside in groups:
            for edit in inside:
                _, grammar = self._judged(block, [edit])
                if not grammar:
                    kept.append(edit)
        return kept

    def _with_protected_kept(self, edits: list[Edit]) -> list[Edit]:
        """Leave out edits that would make or unmake a protected span: a fence that came to stand at a line's start."""
        before = self._kept_texts(self.structure)

        def kept(some: Sequence[Edit]) -> bool:
            return self._kept_texts(read_structure(apply(self.text, some))) == before

        if not edits or kept(edits):
            return edits
        good: list[Edit] = []

        def add(some: list[Edit]) -> None:  # by halves: nearly all of them are good
            if kept(sorted([*good, *some], key=lambda edit: edit.start)):
                good.extend(some)
            elif len(some) > 1:
                add(some[: len(some) // 2])
                add(some[len(some) // 2 :])
            else:
                self._skip(some[0].start, None, "what stands beside it would be read as something else", some[0])

        add(edits)
        return sorted(good, key=lambda edit: edit.start)

    @staticmethod
    def _kept_texts(structure: Structure) -> tuple[object, ...]:
        # A sentence that got short enough to be read as a label is still the same sentence.
        free = ("paragraph", "separator", "label")
        kinds = [(block.kind, block.message) for block in structure.blocks if block.kind not in free]
        spans = [structure.text[each.start : each.end] for each in structure.protected if each.reason != "a label"]
        return structure.roles, kinds, spans

    def _without_emptied_messages(self, edits: list[Edit]) -> list[Edit]:
        """Leave out what would leave a message without a word; whole messages that go are another matter."""
        kept = edits
        for start, end in self.structure.messages:
            inside = [edit for edit in edits if start <= edit.start < end]
            if inside and re.search(r"\w", self.text[start:end]):
                rest = apply(
                    self.text[start:end],
                    [replace(e, start=e.start - start, end=min(e.end, end) - start) for e in inside],
                )
                if not re.search(r"\w", rest):
                    kept = [edit for edit in kept if not start <= edit.start < end]
        return kept


_LAYOUT = frozenset(rule.id for rule in RULES if rule.enters_protected or rule.on_request) - {
    "restated",
    "repeated-across",
}


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


def sentence_around(text: str, edit: Edit) -> tuple[str, str]:
    """Return the lines that hold an edit, whole, before and after it: what a reader needs to judge it."""
    start = text.rfind("\n", 0, edit.start) + 1
    end = text.find("\n", max(edit.start, edit.end - 1) if edit.before.endswith("\n") else edit.end)
    end = len(text) if end < 0 else end
    return text[start:end], text[start : edit.start] + edit.after + text[edit.end : max(end, edit.end)]


def trim(
    text: str,
    encoding: str,
    rules: Sequence[TrimRule] | None = None,
    *,
    refused: Collection[tuple[str, str, str]] = (),
) -> TrimmedText:
    """Apply every edit that saves tokens under ``encoding``, until nothing is left to save: safe ones first.

    ``refused`` are edits that somebody turned down, as (rule, before, after).

    The app, the command line and a second run give the same text, as none of them applies edits in another way.
    """
    from promptop.tokens import TokenDocument

    rules = chosen() if rules is None else rules
    document = TokenDocument(encoding, text)
    first_count = document.count
    origin = list(range(len(text) + 1))
    applied: list[Edit] = []
    current = text
    skipped: tuple[Skipped, ...] | None = None
    for _ in range(_PASSES):
        found = look(current, rules)
        skipped = found.skipped if skipped is None else skipped
        wanted = [edit for edit in found.edits if (edit.rule, edit.before, edit.after) not in refused]
        done = _apply_saving(document, [edit for edit in wanted if edit.severity == "safe"])
        if not done:
            done = _apply_saving(document, [edit for edit in wanted if edit.severity == "check"])
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
    return TrimmedText(current, edits, first_count, document.count, skipped or ())


def _apply_saving(document: object, edits: Sequence[Edit]) -> list[Edit]:
    """Apply the edits that save tokens, from the last to the first, and return them in that order."""
    from promptop.tokens import TokenDocument

    assert isinstance(document, TokenDocument)
    done = []
    for edit in reversed(edits):
        count = document.count
        saved = count - document.replace(edit.start, edit.end, edit.after)
        if saved <= 0:
            document.replace(edit.start, edit.start + len(edit.after), edit.before)
            continue
        done.append(replace(edit, tokens_saved=saved))
    return done


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
