"""Models as judges: a rubric asked about one answer, and two answers held against each other, blind and in both orders.

A judge is a model like any other: it may prefer what stands first, or see nothing at all. So a pair counts only if the
same answer wins in both orders, and a judge is tested in the same run, on answers with planted faults and on pairs that
are alike, before anything it says is evidence.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from promptop.base import units
from promptop.client.request import RunRequest
from promptop.client.result import CAP, RunResult
from promptop.settings import Profile

MOST_WITHOUT = 0.30
"""Share of pairs without a verdict above which nothing is concluded."""
PLANTED = 10
FOUND = 8
"""Of ten planted faults a judge must find eight, in both orders."""
ALIKE = 10
"""Pairs of two baseline answers that are shown to it."""
LEVEL = 0.05
LIMIT = 300
"""Tokens of a judge's answer."""
_PAIR = """You compare two answers to the same request. You are not told who wrote them. Judge only by the criterion.
Criterion: {rubric}
Answer with one line of JSON and nothing else: {{"reason": "one sentence", "winner": "A"}}, "B", or "same" where neither
meets the criterion better."""
_SINGLE = """You judge one answer to a request by one criterion, and by nothing else.
Criterion: {rubric}
Answer with one line of JSON and nothing else: {{"reason": "one sentence", "met": true}} or false."""
DEFAULT_RUBRIC = "Which answer serves the request better: right, complete, and in the form that was asked for?"
_WINNER = re.compile(r"(?i)\b(A|B|same|tie|equal)\b")

Ask = Callable[[RunRequest], Awaitable[RunResult]]
Side = Literal["first", "second", "same"]


@dataclass(frozen=True, slots=True)
class JudgeModel:
    """Who judges."""

    profile: Profile
    model: str
    rubric: str = ""

    def request(self, system: str, text: str) -> RunRequest:
        """Return a call of the judge."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        return RunRequest(
            profile=self.profile,
            model=self.model,
            messages=messages,
            temperature=0.0,
            max_tokens=LIMIT,
            label=f"judge {self.model}",
        )


@dataclass(slots=True)
class JudgeRecord:
    """What a judge said in a run, and what it is worth."""

    model: str
    calls: int = 0
    usd: float = 0.0
    unpriced: int = 0
    is_capped: bool = False
    """Whether a cap refused a call of its."""
    refused: str = ""
    """Why its endpoint answers no call of its: a refused key, an unknown model, no money left."""
    unread: int = 0
    """Answers that hold no verdict."""
    first: int = 0
    """Verdicts for the answer that stood first."""
    second: int = 0
    planted: int = 0
    found: int = 0
    alike: int = 0
    alike_wins: list[int] = field(default_factory=lambda: [0, 0])
    pairs: int = 0
    without: int = 0
    """Pairs in which the two orders disagree, or said nothing."""
    scores: dict[str, float] = field(default_factory=dict)
    """Case → +1 where the trimmed answer wins in both orders, −1 where it loses, 0 where they are alike."""
    unseen: int = 0
    """Cases whose texts were not kept, so that they could not be shown to it after a restart."""
    disagreed: list[str] = field(default_factory=list)
    """Cases without a verdict."""
    same_family: bool = False

    @property
    def first_share(self) -> float:
        """Share of its verdicts that went to what stood first."""
        total = self.first + self.second
        return self.first / total if total else 0.0

    def fault(self) -> str:
        """Return why it is not evidence; empty if it is."""
        if self.is_capped:
            return f"was ended by the cap after {self.calls} calls"
        if self.refused:
            return f"could not be asked ({self.refused})"
        if not self.calls:
            return "was not asked"
        if not self.planted:
            lost = f": the texts of {self.unseen} cases were not kept" if self.unseen else ""
            return f"was not tested on planted faults{lost}"
        if self.planted and self.found < math.ceil(self.planted * FOUND / PLANTED):
            place = ""
            if self.first + self.second >= 10 and not 0.2 <= self.first_share <= 0.8:
                where, share = (
                    ("first", self.first_share) if self.first_share > 0.5 else ("second", 1 - self.first_share)
                )
                place = f"took the {where} answer in {share:.0%}, "
            return f"{place}found {self.found} of {self.planted} planted faults in both orders"
        wins = self.alike_wins
        if sum(wins) and _two_sided(max(wins), sum(wins)) < LEVEL:
            return f"prefers one of two equal sides ({wins[0]} to {wins[1]})"
        if self.pairs and self.without > MOST_WITHOUT * self.pairs:
            return f"gave no verdict on {self.without} of {self.pairs} pairs"
        return ""

    def said(self) -> str:
        """Return what it found, or why that is not evidence."""
        why = self.fault()
        family = " It is of the same family as the model under test." if self.same_family else ""
        if why:
            return f"judge {self.model} {why}: no evidence; {self._price()}.{family}"
        wins, losses = (sum(score == side for score in self.scores.values()) for side in (1.0, -1.0))
        unseen = f", {self.unseen} not shown (their texts were not kept)" if self.unseen else ""
        return (
            f"judge {self.model}: {wins} won, {losses} lost, {sum(not score for score in self.scores.values())} alike,"
            f" {self.without} of {self.pairs} pairs without a verdict{unseen}; found {self.found} of {self.planted}"
            f" planted faults; {self._price()}.{family}"
        )

    def _price(self) -> str:
        usd = f"{units.usd(self.usd)}{' and more that has no price' if self.usd and self.unpriced else ''}"
        return f"{self.calls} call{'s' * (self.calls != 1)}, {usd if self.usd or not self.unpriced else 'unpriced'}"

    def to_json(self) -> dict[str, Any]:
        """Return the shape of the commands."""
        return {
            "model": self.model,
            "evidence": not self.fault(),
            "why_not": self.fault() or None,
            "calls": self.calls,
            "cost_usd": self.usd,
            "unpriced": self.unpriced,
            "pairs": self.pairs,
            "without_verdict": self.without,
            "disagreement": self.without / self.pairs if self.pairs else None,
            "first_share": self.first_share,
            "planted": self.planted,
            "found": self.found,
            "same_family": self.same_family,
            "disagreed": self.disagreed,
            "unseen": self.unseen,
        }


def _two_sided(most: int, n: int) -> float:
    return min(1.0, sum(math.comb(n, k) for k in range(most, n + 1)) / float(2 ** (n - 1)))


@dataclass(frozen=True, slots=True)
class Grading:
    """What grading answers by rubrics took in a run, and how often the judge contradicts itself."""

    model: str
    verdicts: int
    met: int
    calls: int
    usd: float
    unpriced: int
    """Calls without a price."""
    unread: int
    """Answers of the judge that hold no verdict."""
    equal: int
    """Groups of equal answers to one case under one rubric."""
    unlike: int
    """Of these groups, those with verdicts for and against."""

    def said(self) -> str:
        """Return it in one line."""
        price = f"{units.usd(self.usd)}{f' and {self.unpriced} unpriced' if self.unpriced else ''}"
        none = f", {self.unread} without a verdict" if self.unread else ""
        unlike = f" · contradicts itself on {self.unlike} of {self.equal} equal answers" if self.equal else ""
        return (
            f"judge {self.model}: {self.met} of {self.verdicts} rubrics met{none} ·"
            f" {self.calls} call{'s' * (self.calls != 1)}, {price}{unlike}"
        )


class Judge:
    """Asks a judging model, and keeps the record of what it said."""

    def __init__(self, who: JudgeModel, ask: Ask, *, seed: int = 1, record: JudgeRecord | None = None) -> None:
        """``ask`` makes a call, with its money and its retries."""
        self._who = who
        self._ask = ask
        self._rng = random.Random(seed)
        self.record = record or JudgeRecord(who.model)

    async def pair(self, given: str, before: str, after: str) -> float | None:
        """Return +1 if ``after`` wins in both orders, −1 if it loses, 0 if both are alike; None without a verdict."""
        orders = [(before, after, 1.0), (after, before, -1.0)]
        if self._rng.random() < 0.5:
            orders.reverse()
        scores = []
        for first, second, sign in orders:
            said = await self._compare(given, first, second)
            scores.append(None if said is None else {"first": -sign, "second": sign, "same": 0.0}[said])
        return scores[0] if None not in scores and scores[0] == scores[1] else None

    async def _compare(self, given: str, first: str, second: str) -> Side | None:
        rubric = self._who.rubric or DEFAULT_RUBRIC
        text = f"Request:\n{given}\n\nAnswer A:\n{first}\n\nAnswer B:\n{second}"
        answer = await self._asked(_PAIR.format(rubric=rubric), text)
        said = winner_of(answer)
        record = self.record
        record.unread += said is None
        record.first += said == "first"
        record.second += said == "second"
        return said

    async def met(self, rubric: str, given: str, answer: str) -> str | None:
        """Return why an answer does not meet a rubric, empty if it does; None without a verdict."""
        said = await self._asked(_SINGLE.format(rubric=rubric), f"Request:\n{given}\n\nAnswer:\n{answer}")
        data = _object_in(said)
        met = data.get("met")
        if isinstance(met, bool):
            return "" if met else str(data.get("reason") or "the judge says no")
        word = said.strip().lower()
        if word.startswith(("yes", "true")):
            return ""
        if word.startswith(("no", "false")):
            return "the judge says no"
        self.record.unread += 1
        return None

    async def test(self, planted: Sequence[tuple[str, str, str]], alike: Sequence[tuple[str, str, str]]) -> None:
        """Show it answers with planted faults (request, good, broken) and pairs of equal standing."""
        record = self.record
        for given, good, bad in planted[:PLANTED]:
            record.planted += 1
            record.found += await self.pair(given, good, bad) == -1.0
        for given, left, right in alike[:ALIKE]:
            record.alike += 1
            score = await self.pair(given, left, right)
            if score:
                record.alike_wins[score > 0] += 1

    async def judge_case(self, case: str, given: str, before: str, after: str) -> float | None:
        """Judge the answers of a case; texts that are alike are not asked about."""
        if before == after:
            self.record.scores[case] = 0.0
            return 0.0
        self.record.pairs += 1
        score = await self.pair(given, before, after)
        if score is None:
            self.record.without += 1
            self.record.disagreed.append(case)
        else:
            self.record.scores[case] = score
        return score

    async def _asked(self, system: str, text: str) -> str:
        if self.record.refused:
            return ""
        result = await self._ask(self._who.request(system, text))
        if result.error is not None and result.error.type == CAP:
            self.record.is_capped = True
            return ""
        self.record.calls += 1
        if result.cost_usd is not None:
            self.record.usd += result.cost_usd
        else:
            self.record.unpriced += 1
        return result.text if result.state == "done" else ""


def winner_of(text: str) -> Side | None:
    """Read a judge's verdict: JSON with ``winner``, or the bare word."""
    said = str(_object_in(text).get("winner") or "")
    if not said:
        words = _WINNER.findall(text) if len(text) < 40 else []
        said = words[0] if len({word.lower() for word in words}) == 1 else ""
    names: Mapping[str, Side] = {"a": "first", "b": "second", "same": "same", "tie": "same", "equal": "same"}
    return names.get(said.strip().lower())


def _object_in(text: str) -> dict[str, Any]:
    """Return the JSON object of a judge's answer, which may stand in a fence or behind a sentence."""
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        try:
            found = json.loads(text[start : end + 1])
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}
    return {}


def family_of(model: str) -> str:
    """Return the family of a model's name, to tell whether a judge is of the same as the model under test."""
    from promptop import models

    found = models.find(model)
    return (found.family if found is not None else "") or re.split(r"[-_/:.\d]", model.lower().rpartition("/")[2])[0]
