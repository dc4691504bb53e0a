"""A rule about instructions given twice in other words: "Answer in JSON." … "Remember: the answer must be JSON."

Two sentences say the same if nearly all words of meaning in the later one stand in the earlier one, its negations are
the same, and it has no number, quotation or name in a protected zone that the earlier one lacks. It is of severity
*check*: some prompts repeat on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from promptop.trim.protected_spans import Span, Zones, negations
from promptop.trim.rule import Proposal, Rule

_CONTAINED = 0.8
_FEWEST_WORDS = 3
_FEWEST_PAIRS = 4
_CJK = r"\u2e80-\u9fff"
_WORD = re.compile(rf"[^\W\d_{_CJK}]+")
_RUN = re.compile(rf"[{_CJK}]+")
_LEAD_ZH = re.compile(
    r"请|务必|记住|切记|再次|再强调一遍|强调|一定要?|必须|需要|应该|应当|你的?|您的?|的|了|都|要|一下|注意|如前所述|上面提到"
)
_OF_NO_MEANING = (
    "a an the to of in on at and or is are be been it its this that these those you your we our as with for by from so"
    " please always should must will shall would could can may need needs have has do does make makes sure ensure"
    " remember again note once more also just keep mind important mentioned above before earlier said all any each"
    " every use using"
)
_EMPTY = frozenset(_OF_NO_MEANING.split())


@dataclass(frozen=True, slots=True)
class _Said:
    span: Span
    words: frozenset[str]
    negations: tuple[str, ...]
    zones: frozenset[str]


class RestatedInstruction(Rule):
    """Drop a sentence that says again, in other words, what an earlier one has asked for."""

    id = "restated"
    description = "an instruction that was given before in other words"
    severity = "check"
    may_enter_zones = True

    def find(self, zones: Zones) -> Iterator[Proposal]:
        earlier: list[_Said] = []
        for start, end in zones.sentences:
            text = zones.text[start:end]
            if zones.role_at(start) == "assistant" or text.rstrip()[-1:] in "?？:：":
                continue
            words = _meaning(text)
            if len(words) < (_FEWEST_PAIRS if _RUN.search(text) else _FEWEST_WORDS):
                continue
            inside = frozenset(zones.text[a:b] for a, b in zones.protected if start <= a < end)
            said = _Said((start, end), words, tuple(sorted(negations(text))), inside)
            if any(_says(said, before) for before in earlier):
                yield Proposal(start, _behind(zones.text, end), "")
            else:
                earlier.append(said)


def _says(later: _Said, earlier: _Said) -> bool:
    return (
        later.negations == earlier.negations
        and later.zones <= earlier.zones
        and len(later.words & earlier.words) >= _CONTAINED * len(later.words)
    )


def _meaning(text: str) -> frozenset[str]:
    """Return the words of a sentence that carry meaning; pairs of characters stand for words in Chinese."""
    words = {word.removesuffix("s") for word in _WORD.findall(text.lower()) if word not in _EMPTY}
    for run in _RUN.findall(_LEAD_ZH.sub("", text)):
        words |= {run[at : at + 2] for at in range(len(run) - 1)}
    return frozenset(words)


def _behind(text: str, end: int) -> int:
    """Return the end of the blanks behind a sentence that is left out."""
    while end < len(text) and text[end] in " \t":
        end += 1
    return end
