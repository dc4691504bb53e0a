"""Rules about what is said twice: a sentence word for word, or an instruction in other words.

Only a sentence of running text that stands in the same section word for word goes as *safe*. A line under another
heading, tool, tag or example says something about that one, and a list item is a step that a procedure counts on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from promptop.prompts.structure import Block, Structure
from promptop.trim.guards import demands, negations
from promptop.trim.rules.phrase_rules import without_gap
from promptop.trim.rules.rule import Proposal, TrimRule
from promptop.trim.verbs import is_order

_SHORTEST = 24
"""Columns of a sentence that counts as one; shorter ones may be meant to come twice."""
_FEWEST_WORDS = 3
_FEWEST_PAIRS = 4
_CONTAINED_ZH = 0.85
_CJK = r"\u2e80-\u9fff"
_WORD = re.compile(rf"[^\W\d_{_CJK}]+")
_RUN = re.compile(rf"[{_CJK}]+")
_LEAD_ZH = re.compile(
    r"请|务必|记住|切记|再次|再强调一遍|强调|一定要?|必须|需要|应该|应当|你的?|您的?|的|了|都|要|一下|注意|如前所述|上面提到"
)
_REMINDER = re.compile(
    r"(?:again|remember|reminder|once (?:more|again)|to (?:repeat|reiterate)|as (?:mentioned|stated|said|noted)"
    r"|in other words|i repeat"
    r"|don['’]t forget|do not forget)\b|再次|记住|切记|再强调|重申|如前|也就是说|换句话说|请务必记住",
    re.IGNORECASE,
)
"""How a sentence begins that says something of another section again."""
_INSISTS = re.compile(r"(?:make sure|always)\b", re.IGNORECASE)
"""The same within a section only: under another heading it begins a rule of that one."""
_OF_NO_MEANING = (
    "a an the to of in on at and or is are be been it its this that these those you your we our as with for by from so"
    " please always should must will shall would could can may need needs have has do does make makes sure ensure"
    " remember again note once more also just keep mind important mentioned above before earlier said all any each"
    " every use using other words what which who"
)
_EMPTY = frozenset(_OF_NO_MEANING.split())


def _said(text: str) -> str:
    return " ".join(text.split()).casefold().lstrip("-*•0123456789.) ")


def _columns(text: str) -> int:
    return sum(2 if ord(sign) > 0x2E80 else 1 for sign in text)


_ON_ALL_ANSWERS = re.compile(
    r"(?:answer|respond|reply|be|keep|stay|speak)\b(?!.*\b(?:if|when|then|next|again|this|that|these)\b)|(?:请)?(?:回答|回复|保持|使用[^，。]{1,8}(?:回答|回复))",
    re.IGNORECASE,
)
"""A demand on every answer, which holds wherever it stands; another order may be a step that comes again."""


class RepeatedSentence(TrimRule):
    id = "repeated-sentence"
    description = "a sentence of running text that the same section has said before"
    severity = "safe"

    def find(self, structure: Structure) -> Iterator[Proposal]:
        seen: set[tuple[int, str]] = set()
        last = (-1, "")
        for block, start, end in structure.sentences:
            said = _said(structure.text[start:end])
            if block.kind != "paragraph" or _columns(said) < _SHORTEST or said[-1] in ":：":
                last = (-1, "")
                continue
            key = (block.section, said)
            is_again = key == last or (key in seen and _ON_ALL_ANSWERS.match(said) is not None)
            last = key
            if is_again and structure.cover.first_in(start, end) is None:
                yield Proposal(*without_gap(structure.text, block, start, end), "")
            seen.add(key)


_POINTS = re.compile(
    r"\b(?:this|that|these|those|the above|the following|(?:above|below)(?=[.,;)]|$))\b"
    r"|[此该这那]|上述|以上|以下|下面|上面",
    re.IGNORECASE,
)
"""What a sentence points with: the same words may speak of something else."""


class RepeatedAcross(TrimRule):
    id = "repeated-across"
    description = "a sentence that another message has said before, or this paragraph with the same numbers and names"
    severity = "check"
    enters_protected = True

    def find(self, structure: Structure) -> Iterator[Proposal]:
        seen: dict[str, Block] = {}
        for block, start, end in structure.sentences:
            text = structure.text[start:end]
            said = _said(text)
            if _columns(said) < _SHORTEST or said[-1] in ":：":
                continue
            before = seen.get(said)
            if before is None:
                seen[said] = block
            elif _POINTS.search(text):
                continue  # "this guideline" is another one here
            elif before.message != block.message or (before is block and _asks(text)):
                yield Proposal(*without_gap(structure.text, block, start, end), "")


def _asks(sentence: str) -> bool:
    """Tell whether a sentence asks for something rather than says how something is."""
    return is_order(sentence) or bool(negations(sentence) or demands(sentence))


@dataclass(frozen=True, slots=True)
class _Instruction:
    block: Block
    start: int
    end: int
    words: frozenset[str]
    negations: tuple[str, ...]
    protected: frozenset[str]


class RestatedInstruction(TrimRule):
    """Drop a sentence that says again, in other words, what an earlier one has asked for."""

    id = "restated"
    description = "an instruction that was given before in other words"
    severity = "check"
    enters_protected = True
    _unsaid: ClassVar[str] = "?？:："

    def find(self, structure: Structure) -> Iterator[Proposal]:
        text = structure.text
        earlier: list[_Instruction] = []
        for block, start, end in structure.sentences:
            said = text[start:end]
            if said.rstrip()[-1:] in self._unsaid:
                continue
            words = _meaning(said)
            if len(words) < (_FEWEST_PAIRS if _RUN.search(said) else _FEWEST_WORDS):
                continue
            inside = frozenset(text[each.start : each.end] for each in structure.cover.all_in(start, end))
            one = _Instruction(block, start, end, words, tuple(sorted(negations(said))), inside)
            is_reminder, insists = _REMINDER.match(said) is not None, _INSISTS.match(said) is not None
            near = [
                before
                for before in earlier
                if before.block is block
                or (is_reminder and before.block.message == block.message)
                or (insists and before.block.section == block.section)
            ]
            is_item = block.kind == "item" and block.start == start and end >= block.end
            if (not is_item or is_reminder or insists) and any(_says(one, before) for before in near):
                yield Proposal(*without_gap(text, block, start, end), "")
            else:
                earlier.append(one)


def _says(later: _Instruction, earlier: _Instruction) -> bool:
    if later.negations != earlier.negations or not later.protected <= earlier.protected:
        return False
    is_chinese = any(word > "\u2e80" for word in later.words)
    return len(later.words & earlier.words) >= (_CONTAINED_ZH if is_chinese else 1) * len(later.words)


def _meaning(text: str) -> frozenset[str]:
    """Return the words of a sentence that carry meaning; pairs of characters stand for words in Chinese."""
    words = {word.removesuffix("s") or word for word in _WORD.findall(text.lower()) if word not in _EMPTY}
    for run in _RUN.findall(_LEAD_ZH.sub("", text)):
        words |= {run[at : at + 2] for at in range(len(run) - 1)}
    return frozenset(words)
