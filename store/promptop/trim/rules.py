"""The rules: each finds places where a prompt can be said with less, in English and in Chinese.

A rule proposes; :mod:`.engine` decides. It drops what touches a protected zone, changes the negations, empties a
message or saves no token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Literal

from promptop.trim import phrases
from promptop.trim.markup_rules import JsonWhitespace, ListOverhead, MarkdownWeight, TableWeight
from promptop.trim.protected_spans import Zones
from promptop.trim.repeated_instructions import RestatedInstruction
from promptop.trim.rule import Proposal, Rule
from promptop.trim.structure import DeadExamples, OldHistory, RepeatedBlock, Thousands, Units


class _Pattern(Rule):
    pattern: ClassVar[re.Pattern[str]]
    replacement: ClassVar[str] = ""

    def find(self, zones: Zones) -> Iterator[Proposal]:
        for found in self.pattern.finditer(zones.text, zones.body_start):
            yield Proposal(*found.span(), found.expand(self.replacement))


class TrailingSpace(_Pattern):
    id = "trailing-space"
    description = "blanks at the end of a line"
    severity = "safe"
    pattern = re.compile(r"[ \t]+(?=\r?\n|\Z)")


class BlankLines(_Pattern):
    id = "blank-lines"
    description = "more than one empty line in a row"
    severity = "safe"
    pattern = re.compile(r"\n{3,}")
    replacement = "\n\n"


class RepeatedSpace(_Pattern):
    id = "repeated-space"
    description = "several blanks between words (not indentation, not tables)"
    severity = "safe"
    pattern = re.compile(r"(?<=[^\s|]) {2,}(?=[^\s|])")
    replacement = " "


class RuleLine(_Pattern):
    id = "rule-line"
    description = "long separator lines: three characters say as much"
    severity = "safe"
    pattern = re.compile(r"(?m)^(?P<mark>[-=*_#~])(?P=mark){3,}[ \t]*$")
    replacement = r"\g<mark>\g<mark>\g<mark>"


class RepeatedMarks(_Pattern):
    id = "repeated-marks"
    description = "several exclamation or question marks in a row"
    severity = "safe"
    pattern = re.compile(r"(?P<mark>[!?！？。])(?P=mark)+")
    replacement = r"\g<mark>"


class _Phrases(Rule):
    """Phrases from a table; what is removed at the start of a sentence hands its capital on."""

    table: ClassVar[tuple[tuple[str, str], ...]]
    begins: ClassVar[Literal["", "clause"]] = ""
    _compiled: ClassVar[tuple[tuple[re.Pattern[str], str], ...]]

    def __init_subclass__(cls) -> None:
        cls._compiled = tuple(
            (re.compile(pattern, re.IGNORECASE | re.MULTILINE), after) for pattern, after in cls.table
        )

    def find(self, zones: Zones) -> Iterator[Proposal]:
        for pattern, replacement in self._compiled:
            for found in pattern.finditer(zones.text, zones.body_start):
                start, end = found.span()
                first = zones.text[start]
                if self.begins and "\u4e00" <= first <= "\u9fff" and not zones.begins_clause(start):
                    continue
                after = found.expand(replacement)
                if first.isupper() and zones.begins_sentence(start):
                    following = zones.text[end : end + 1]
                    if after:
                        after = after[0].upper() + after[1:]
                    elif following.isascii() and following.islower() and not zones.touches(end, end + 1):
                        end, after = end + 1, following.upper()
                yield Proposal(start, end, after)


class PoliteEnglish(_Phrases):
    id = "polite-en"
    description = "politeness that a model does not need (please, could you, thanks)"
    severity = "safe"
    table = phrases.POLITE_EN


class PoliteChinese(_Phrases):
    id = "polite-zh"
    description = "客套话：请你帮我、麻烦你、能否、非常感谢 …"
    severity = "safe"
    table = phrases.POLITE_ZH
    begins = "clause"


class ShorterEnglish(_Phrases):
    id = "shorter-en"
    description = "a long phrase for which there is a short word"
    severity = "safe"
    table = phrases.SHORTER_EN


class ShorterChinese(_Phrases):
    id = "shorter-zh"
    description = "冗长说法：进行分析、总结一下、在…的情况下 …"
    severity = "safe"
    table = phrases.SHORTER_ZH


class Hedges(_Phrases):
    id = "hedge"
    description = "words that soften or strengthen without changing what is asked"
    severity = "check"
    table = phrases.HEDGES


class Preambles(_Phrases):
    id = "preamble"
    description = "role play that newer models do not need"
    severity = "check"
    table = phrases.PREAMBLES


class RepeatedSentence(Rule):
    id = "repeated-sentence"
    description = "a sentence that the same message has said before"
    severity = "safe"

    def find(self, zones: Zones) -> Iterator[Proposal]:
        yield from _repeated(zones, same_message=True)


class RepeatedAcross(Rule):
    id = "repeated-across"
    description = "a sentence that another message has said before, or one that holds numbers, quotes or code"
    severity = "check"
    may_enter_zones = True

    def find(self, zones: Zones) -> Iterator[Proposal]:
        yield from _repeated(zones, same_message=False)


def _repeated(zones: Zones, *, same_message: bool) -> Iterator[Proposal]:
    """Find sentences said before; short ones (labels, list items) may be meant to come twice."""
    seen: dict[str, tuple[int, int]] = {}
    for start, end in zones.sentences:
        text = zones.text[start:end]
        said = " ".join(text.split()).casefold().lstrip("-*•0123456789.) ")
        if sum(2 if ord(c) > 0x2E80 else 1 for c in said) < 24 or said[-1] in ":：":
            continue
        message = zones.message_of(start)
        if said not in seen:
            seen[said] = message
        elif (seen[said] == message and not zones.touches(start, end)) == same_message:
            behind = end
            while behind < len(zones.text) and zones.text[behind] in " \t":
                behind += 1
            before = start
            if behind == len(zones.text) or zones.text[behind] == "\n":  # at the end of a line: what separated it goes
                while before > message[0] and zones.text[before - 1] in " \t":
                    before -= 1
            yield Proposal(before, behind, "")


RULES: tuple[Rule, ...] = (
    OldHistory(),
    DeadExamples(),
    RepeatedBlock(),
    RepeatedSentence(),
    RepeatedAcross(),
    RestatedInstruction(),
    JsonWhitespace(),
    PoliteEnglish(),
    PoliteChinese(),
    ShorterEnglish(),
    ShorterChinese(),
    Preambles(),  # after the safe words at its edges, which it would hide from who takes the safe ones alone
    Hedges(),
    MarkdownWeight(),
    ListOverhead(),
    TableWeight(),
    Thousands(),
    Units(),
    RuleLine(),
    RepeatedMarks(),
    RepeatedSpace(),
    TrailingSpace(),
    BlankLines(),
)
"""All rules, in the order in which they are asked: of two that want the same place, the earlier has it."""
