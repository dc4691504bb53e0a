"""Rules about layout that costs tokens: JSON that is indented, lists and tables that are drawn for the eye, bold marks.

All are of severity *check*, and act only where they are named: a model that is to copy a layout needs to see it, and a
list of fifty bold marks hides the proposals that are worth a look.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import ClassVar

from promptop.prompts.structure import Span, Structure
from promptop.trim.rules.rule import Proposal, TrimRule


class JsonWhitespace(TrimRule):
    """Write JSON in fences, and JSON of several lines outside of them, without the blanks between its tokens."""

    id = "json-whitespace"
    description = "blanks and line breaks in JSON that change no value"
    severity = "check"
    on_request = True
    enters_protected = True
    _fence: ClassVar[re.Pattern[str]] = re.compile(
        r"^[ \t]*```(?:json)?[ \t]*\n(?P<fenced>[ \t]*[\[{].*?)\n[ \t]*```", re.DOTALL | re.IGNORECASE | re.MULTILINE
    )
    _bare: ClassVar[re.Pattern[str]] = re.compile(r"^[ \t]*(?P<open>[\[{])[ \t]*$", re.MULTILINE)
    _outside_strings: ClassVar[re.Pattern[str]] = re.compile(r'("(?:[^"\\]|\\.)*")|\s+', re.DOTALL)
    _decoder: ClassVar[json.JSONDecoder] = json.JSONDecoder()

    def find(self, structure: Structure) -> Iterator[Proposal]:
        for start, end in self._places(structure):
            before = structure.text[start:end]
            try:
                value = json.loads(before)
            except (ValueError, RecursionError):
                continue  # not JSON, or JSON with holes to fill in
            after = self._outside_strings.sub(lambda part: part[1] or "", before)
            if after != before and json.loads(after) == value:
                yield Proposal(start, end, after)

    def _places(self, structure: Structure) -> Iterator[Span]:
        for found in self._fence.finditer(structure.text, structure.body_start):
            yield found.span("fenced")
        behind = structure.body_start
        for found in self._bare.finditer(structure.text, structure.body_start):
            start = found.start("open")
            if start < behind or any(
                block.kind == "fence" and block.start <= start < block.end for block in structure.blocks
            ):
                continue
            try:
                _, end = self._decoder.raw_decode(structure.text, start)
            except (ValueError, RecursionError):
                continue
            behind = end
            yield start, end


class ListOverhead(TrimRule):
    """Set one plain mark and one blank before the items of a list.

    Empty lines between items are left: under every encoding that is packed, two line breaks are one token.
    """

    id = "list-overhead"
    description = "wide or unusual bullets: a dash and a blank say as much"
    severity = "check"
    on_request = True
    _mark: ClassVar[re.Pattern[str]] = re.compile(r"(?m)^[ \t]*(?P<mark>[•●▪◦·]|[-*+](?=[ \t]{2,}))[ \t]*(?=\S)")

    def find(self, structure: Structure) -> Iterator[Proposal]:
        for found in self._mark.finditer(structure.text, structure.body_start):
            yield Proposal(found.start("mark"), found.end(), "- ")


class TableWeight(TrimRule):
    """Write Markdown tables without the blanks that align their columns."""

    id = "table-weight"
    enters_protected = True
    description = "blanks and dashes that only align the columns of a Markdown table"
    severity = "check"
    on_request = True
    _rule: ClassVar[re.Pattern[str]] = re.compile(
        r"(?m)^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)+\|?[ \t]*$"
    )
    _row: ClassVar[re.Pattern[str]] = re.compile(r"(?m)^[ \t]*\|[^\n]*\|[ \t]*$")
    _padding: ClassVar[re.Pattern[str]] = re.compile(r"(?<=\|) {2,}(?=\S)|(?<=\S) {2,}(?=\|)")

    _code: ClassVar[re.Pattern[str]] = re.compile(r"`+[^`\n]+`+")

    def find(self, structure: Structure) -> Iterator[Proposal]:
        text = structure.text
        for block in structure.blocks:
            if block.kind != "table":
                continue
            for found in self._rule.finditer(text, block.start, block.end):
                yield Proposal(*found.span(), re.sub(r"-+", "-", re.sub(r"[ \t]", "", found[0])))
            code = [found.span() for found in self._code.finditer(text, block.start, block.end)]
            for row in self._row.finditer(text, block.start, block.end):
                for found in self._padding.finditer(text, row.start(), row.end()):
                    if not any(start < found.end() and found.start() < end for start, end in code):
                        yield Proposal(*found.span(), " ")


class MarkdownWeight(TrimRule):
    """Leave out marks that make words bold or italic."""

    id = "markdown-weight"
    description = "bold and italic marks around words"
    severity = "check"
    on_request = True
    _bold: ClassVar[re.Pattern[str]] = re.compile(
        r"(?<![*\w])(?P<mark>\*\*\*|\*\*|__)(?=\S)(?P<text>[^*_\n]{1,120}?)(?<=\S)(?P=mark)(?![*\w])"
    )

    def find(self, structure: Structure) -> Iterator[Proposal]:
        for found in self._bold.finditer(structure.text, structure.body_start):
            yield Proposal(*found.span(), found["text"])
