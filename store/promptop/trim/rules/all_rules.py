"""All rules, in the order in which they are asked: of two that want the same place, the earlier has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from promptop.prompts.structure import Structure
from promptop.trim.rules.markup_rules import JsonWhitespace, ListOverhead, MarkdownWeight, TableWeight
from promptop.trim.rules.message_rules import DeadExamples, OldHistory, RepeatedBlock, Thousands, Units
from promptop.trim.rules.phrase_rules import PHRASE_RULES, Hedges, HedgesChinese, Preambles, PreamblesChinese
from promptop.trim.rules.repeated_instructions import RepeatedAcross, RepeatedSentence, RestatedInstruction
from promptop.trim.rules.rule import Proposal, TrimRule


class _Pattern(TrimRule):
    pattern: ClassVar[re.Pattern[str]]
    replacement: ClassVar[str] = ""

    def find(self, structure: Structure) -> Iterator[Proposal]:
        for found in self.pattern.finditer(structure.text, structure.body_start):
            yield Proposal(*found.span(), found.expand(self.replacement))


class TrailingSpace(_Pattern):
    id = "trailing-space"
    description = "blanks at the end of a line"
    severity = "safe"
    pattern = re.compile(r"(?<=\S)[ \t]+(?=\r?\n|\Z)|(?<=\n)[ \t]+(?=\r?\n|\Z)")


class BlankLines(_Pattern):
    id = "blank-lines"
    description = "more than one empty line in a row"
    severity = "safe"
    pattern = re.compile(r"\n{3,}")
    replacement = "\n\n"


class RepeatedSpace(TrimRule):
    id = "repeated-space"
    description = "several blanks between words (not indentation, not tables)"
    severity = "safe"
    _blanks: ClassVar[re.Pattern[str]] = re.compile(r"(?<=[^\s|]) {2,}(?=[^\s|])")

    def find(self, structure: Structure) -> Iterator[Proposal]:
        for block in structure.prose:
            for found in self._blanks.finditer(structure.text, block.start, block.end):
                yield Proposal(*found.span(), " ")


class RuleLine(_Pattern):
    id = "rule-line"
    description = "long separator lines: three characters say as much"
    severity = "safe"
    pattern = re.compile(r"(?m)^(?P<mark>[-=*_#~])(?P=mark){3,}[ \t]*$")
    replacement = r"\g<mark>\g<mark>\g<mark>"


class RepeatedMarks(TrimRule):
    id = "repeated-marks"
    description = "several exclamation or question marks in a row"
    severity = "safe"
    _marks: ClassVar[re.Pattern[str]] = re.compile(
        r"(?<=[\w\u4e00-\u9fff*_)）”])(?P<mark>[!?！？。])(?P=mark)+(?=\s|$|[*_)）”])"
    )

    def find(self, structure: Structure) -> Iterator[Proposal]:
        for block in structure.prose:
            for found in self._marks.finditer(structure.text, block.start, block.end):
                yield Proposal(*found.span(), found["mark"])


RULES: tuple[TrimRule, ...] = (
    RepeatedSentence(),
    *(each() for each in PHRASE_RULES),
    Units(),
    RuleLine(),
    RepeatedMarks(),
    RepeatedSpace(),
    TrailingSpace(),
    BlankLines(),
    OldHistory(),
    DeadExamples(),
    RepeatedBlock(),
    RepeatedAcross(),
    RestatedInstruction(),
    Preambles(),
    PreamblesChinese(),
    Hedges(),
    HedgesChinese(),
    JsonWhitespace(),
    MarkdownWeight(),
    ListOverhead(),
    TableWeight(),
    Thousands(),
)
"""The safe ones first: what is checked by hand never hides what needs no look."""
