"""Rules about whole messages and blocks: conversation history, dead examples, blocks said before; and numbers.

All are of severity *check*, but for units: what they take out was said on purpose once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from promptop.prompts.structure import Span, Structure
from promptop.trim.rules.rule import Proposal, TrimRule

KEEP_ROUNDS = 6
"""Rounds of a conversation that are kept before the pending turn."""
_LONG_BLOCK = 100


def _starts(structure: Structure) -> list[int]:
    """Return where each message begins, its marker line included; the last entry is the end of the text."""
    starts = []
    at = structure.body_start
    for start, end in structure.messages:
        while at < start and structure.text[at] in "\r\n":
            at += 1
        starts.append(at)
        at = end
    return [*starts, len(structure.text)]


def _rounds(structure: Structure) -> list[tuple[int, int]]:
    """Return rounds as [first, last) numbers of messages: a user message and all that answers it, tools included."""
    users = [at for at, role in enumerate(structure.roles) if role == "user"]
    return list(zip(users, [*users[1:], len(structure.roles)], strict=False)) if users else []


class OldHistory(TrimRule):
    """Drop whole rounds, oldest first, so that no tool result loses the call that it answers."""

    id = "old-history"
    description = f"rounds of a conversation before the last {KEEP_ROUNDS} and the pending turn"
    severity = "check"
    enters_protected = True

    def __init__(self, keep: int = KEEP_ROUNDS) -> None:
        self.keep = keep

    def find(self, structure: Structure) -> Iterator[Proposal]:
        starts = _starts(structure)
        rounds = _rounds(structure)
        pending = 1  # the last round, whether it was answered or not
        for first, last in rounds[: max(0, len(rounds) - pending - self.keep)]:
            if not {"system", "developer"} & set(structure.roles[first:last]):
                yield Proposal(starts[first], starts[last], "")


class DeadExamples(TrimRule):
    """Drop an exchange before the pending turn, or an example under a heading, that an earlier one has shown."""

    id = "dead-example"
    description = "a few-shot example that an earlier one has shown already"
    severity = "check"
    enters_protected = True
    _heading: ClassVar[re.Pattern[str]] = re.compile(
        r"(?im)^[ \t]*(?:#{1,6}[ \t]*|\*\*)?(?:examples?|示例|样例|例子?)[ \t]*[\d一二三四五六七八九十]+"
        r"[ \t]*[:：.、)]?(?:\*\*)?[ \t]*"
    )

    def find(self, structure: Structure) -> Iterator[Proposal]:
        starts = _starts(structure)
        seen = set()
        for first, last in _rounds(structure)[:-1]:
            if structure.roles[first:last] != ("user", "assistant"):
                continue
            shown = tuple(" ".join(structure.text[a:b].split()).casefold() for a, b in structure.messages[first:last])
            if shown in seen:
                yield Proposal(starts[first], starts[last], "")
            seen.add(shown)
        for message in structure.messages:
            yield from self._headed(structure, *message)

    def _headed(self, structure: Structure, start: int, end: int) -> Iterator[Proposal]:
        """Find examples under headings ("Example 2:") whose text an earlier one of the message has."""
        heads = list(self._heading.finditer(structure.text, start, end))
        shown = set()
        for head, following in zip(heads, [*heads[1:], None], strict=False):
            stop = following.start() if following is not None else self._last(structure.text, head.end(), end)
            said = " ".join(structure.text[head.end() : stop].split()).casefold()
            if said in shown:
                yield Proposal(head.start(), stop, "")
            elif said:
                shown.add(said)

    @staticmethod
    def _last(text: str, start: int, end: int) -> int:
        """Return the end of the last example: an empty line ends it, as nothing else tells where it does."""
        found = re.compile(r"\n[ \t]*\n").search(text, start + 1, end)
        return found.end() if found else end


class RepeatedBlock(TrimRule):
    """Put a reference in place of a block that an earlier message holds."""

    id = "repeated-block"
    description = "a paragraph that another message holds, or a code block said before: a reference to it instead"
    severity = "check"
    enters_protected = True

    def find(self, structure: Structure) -> Iterator[Proposal]:
        seen: dict[str, Span] = {}
        for message in structure.messages:
            for start, end in _blocks(structure, message):
                text = structure.text[start:end]
                said = " ".join(text.split())
                if sum(2 if ord(c) > 0x2E80 else 1 for c in said) < _LONG_BLOCK:
                    continue
                # Paragraphs that one message says twice are sentences said twice, which have a rule of their own.
                if said not in seen:
                    seen[said] = message
                elif seen[said] != message or (start, end) in _fences(structure):
                    yield Proposal(start, end, _reference(said))


def _blocks(structure: Structure, message: Span) -> Iterator[Span]:
    """Cut a message into fences, and into paragraphs between them."""
    at, end = message
    fences = [span for span in _fences(structure) if at <= span[0] and span[1] <= end]
    for start, stop in [*fences, (end, end)]:
        for found in re.finditer(r"\S(?:[^\n]|\n(?![ \t]*\n))*", structure.text[at:start]):
            yield at + found.start(), at + found.start() + len(found[0].rstrip())
        if stop > start:
            yield start, stop
        at = stop


def _fences(structure: Structure) -> list[Span]:
    """Return the fences of a text."""
    return [(block.start, block.end) for block in structure.blocks if block.kind == "fence"]


def _reference(said: str) -> str:
    """Name a block by its first words, letters alone: what it quotes is not quoted again."""
    chinese = re.match(r"\W*([\u4e00-\u9fff]{2,8})", said)
    if chinese:
        return f"（同上文：{chinese[1]}…）"
    words = re.findall(r"[^\W\d_]+", said)[:4]
    return f"(as above: {' '.join(words)} …)" if words else "(as above)"


class Thousands(TrimRule):
    """Write 1,000,000 as 1000000 where that is fewer tokens; a list of numbers looks the same, hence *check*."""

    id = "thousands"
    description = "commas in large numbers (not in code or quotes)"
    severity = "check"
    enters_protected = True
    on_request = True
    _number: ClassVar[re.Pattern[str]] = re.compile(r"(?<![\w.,$€¥£-])\d{1,3}(?:,\d{3})+(?![\w,.]*\d)")

    def find(self, structure: Structure) -> Iterator[Proposal]:
        numbers = {(each.start, each.end) for each in structure.protected if each.reason == "a number"}
        for found in self._number.finditer(structure.text, structure.body_start):
            if found.span() in numbers:  # a zone of its own, not a part of code, a quotation or an address
                yield Proposal(*found.span(), found[0].replace(",", ""))


class Units(TrimRule):
    """Write units behind a number by their symbols."""

    id = "units"
    description = "units behind numbers by their symbols: 50 milliseconds → 50 ms, 20 percent → 20%"
    severity = "safe"
    _any_unit: ClassVar[re.Pattern[str]] = re.compile(
        r"\d[ \t]*(?:per|milli|micro|kilo|centi|mega|giga|degrees|摄氏)", re.IGNORECASE
    )
    _units: ClassVar[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
        (re.compile(rf"(?<=\d){name}", re.IGNORECASE), symbol)
        for name, symbol in (
            (r"[ \t]*(?:percent|per cent)\b", "%"),
            (r"[ \t]+milliseconds?\b", " ms"),
            (r"[ \t]+microseconds?\b", " µs"),
            (r"[ \t]+kilomet(?:er|re)s?\b", " km"),
            (r"[ \t]+centimet(?:er|re)s?\b", " cm"),
            (r"[ \t]+millimet(?:er|re)s?\b", " mm"),
            (r"[ \t]+kilograms?\b", " kg"),
            (r"[ \t]+megabytes?\b", " MB"),
            (r"[ \t]+gigabytes?\b", " GB"),
            (r"[ \t]+kilobytes?\b", " kB"),
            (r"[ \t]+degrees celsius\b", " °C"),
            (r"[ \t]*摄氏度", "°C"),
        )
    )

    def find(self, structure: Structure) -> Iterator[Proposal]:
        for block in structure.prose:
            if not self._any_unit.search(structure.text, block.start, block.end):
                continue
            for pattern, symbol in self._units:
                for found in pattern.finditer(structure.text, block.start, block.end):
                    yield Proposal(*found.span(), symbol)
