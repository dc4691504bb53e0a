"""The search for units that carry weight: groups first, one failing case as the witness, halving, fresh confirmation.

It asks through one function and knows nothing of prompts, endpoints or money. With the same seed and the same answers
it asks the same questions in the same order, which is what makes a run resumable. The number of answers grows with the
units that carry, hardly with the length of the prompt. What it says of a unit rests on answers that were not used to
choose the unit: a witness is confirmed by fresh pairs, the set that is left out is looked at once more with fresh ones.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from promptop.experiments.proof import rule

ALPHA = 0.05
"""Chance of calling a unit load-bearing that is not."""
BLOCK = 8
"""Units that are left out together."""
MOST_PAIRS = 20
"""Fresh pairs of answers that a unit is given to be confirmed."""
MISSES = 2
CHECKS = 3
"""How often the final set is looked at again after a unit was put back."""
UNSEEN = 0.2
"""Without a bound below this, nothing is said of units that seem free."""
_STAKES = ((1.0, 0.35), (0.85, 0.4), (0.5, 0.25))
"""(stake, weight): five pairs without an exception confirm."""
_NONE: frozenset[int] = frozenset()

Ask = Callable[[int, frozenset[int]], Awaitable[bool]]
"""Takes a case and the units that are left out; returns whether a further answer passes. Ends the search by raising
:class:`OverError`."""

CARRIES, FREE, OPEN, PINNED = "load-bearing", "no measurable effect", "undecided", "pinned"


class OverError(Exception):
    """No further answer can be asked for: cap, stop, refusal. What is known stays."""


@dataclass(slots=True)
class UnitFinding:
    """What is known of one unit."""

    state: str = OPEN
    certainty: float | None = None
    """Lower bound, 0 to 1, of the chance that the state is right; None where nothing is claimed."""
    scores: list[float] = field(default_factory=list)
    """Per case: pass share without the unit minus with it."""
    witnesses: list[int] = field(default_factory=list)
    """Cases that break without it."""
    twin: int | None = None
    """The unit that says the same: each alone can go, both cannot."""

    @property
    def effect(self) -> float | None:
        """Drop of the pass share without the unit; None if it was not weighed."""
        return -sum(self.scores) / len(self.scores) if self.scores else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The drop's 95 % interval, valid however early the weighing stopped."""
        if not self.scores:
            return None
        return smallest_drop(self.scores), rule.largest_drop(self.scores, ALPHA / 2)


@dataclass(slots=True)
class Searched:
    """What a search came to, also where it was ended early."""

    units: dict[int, UnitFinding]
    removed: frozenset[int] = _NONE
    """What can be left out together."""
    sound: tuple[int, ...] = ()
    failing: tuple[int, ...] = ()
    """Cases that fail with the whole prompt: they can tell nothing."""
    wavers: bool = False
    bound: float | None = None
    """Largest drop of the whole set that the fresh answers leave possible (95 %)."""
    checked: bool = False
    """Whether the set was looked at with fresh answers and no case broke."""
    asked: int = 0
    """Answers, kept ones included."""
    phase: str = ""
    ended: str = ""
    """Why it ended early; empty if it did not."""

    @property
    def twins(self) -> list[tuple[int, int]]:
        """Pairs of units that are redundant to each other."""
        pairs = {(min(a, b.twin), max(a, b.twin)) for a, b in self.units.items() if b.twin is not None}
        return sorted(pairs)


class Search:
    """One search. :attr:`found` can be looked at while it runs."""

    def __init__(
        self,
        units: Sequence[int],
        blocks: Sequence[Sequence[int]],
        cases: int,
        ask: Ask,
        *,
        seed: int = 1,
        at_once: int = 1,
        most: int | None = None,
        weigh: int = 8,
    ) -> None:
        """``blocks`` are the units that may go, in groups; ``most`` answers are asked for, ``weigh`` cases a unit."""
        self.found = Searched({unit: UnitFinding() for unit in units})
        free = {unit for block in blocks for unit in block}
        for unit, finding in self.found.units.items():
            finding.state = OPEN if unit in free else PINNED
        self._blocks = [list(block) for block in blocks]
        self._cases, self._ask_one, self._most, self._weigh = cases, ask, most, weigh
        self._rng = random.Random(f"ablation {seed}")
        self._at_once = max(1, at_once)
        self._needed: set[int] = set()

    async def run(self) -> Searched:
        """Search; return what is known, also where an end came early."""
        found = self.found
        try:
            await self._baseline()
            if found.sound:
                await self._leave_out()
                await self._check_all()
                self._settle_states()
                await self._weigh_units()
        except OverError as error:
            found.ended = str(error)
        self._settle_states()
        return found

    # Answers

    async def _ask(self, case: int, removed: frozenset[int]) -> bool:
        if self._most is not None and self.found.asked >= self._most:
            raise OverError("calls")
        self.found.asked += 1
        return await self._ask_one(case, removed)

    async def _ask_all(self, cases: Sequence[int], removed: frozenset[int]) -> list[bool]:
        # All of them end before the search goes on or is over: none is left behind.
        answers = await asyncio.gather(*(self._ask(case, removed) for case in cases), return_exceptions=True)
        passed = [each for each in answers if not isinstance(each, BaseException)]
        for each in answers:
            if isinstance(each, BaseException):
                raise each
        return passed

    async def _passes(self, case: int, removed: frozenset[int], first: bool | None = None) -> bool:
        """Ask until two of at most three answers agree."""
        votes = [] if first is None else [first]
        while votes.count(True) < 2 and votes.count(False) < 2:
            votes.append(await self._ask(case, removed))
        return votes.count(True) == 2

    # Phases

    async def _baseline(self) -> None:
        found = self.found
        found.phase = "baseline"
        sound: list[int] = []
        failing: list[int] = []
        for at in range(0, self._cases, self._at_once):
            cases = range(at, min(self._cases, at + self._at_once))
            first = await self._ask_all(cases, _NONE)
            second = await self._ask_all(cases, _NONE)
            for case, one, two in zip(cases, first, second, strict=True):
                passed = one
                if one != two:
                    found.wavers = True
                    passed = await self._ask(case, _NONE)
                (sound if passed else failing).append(case)
        found.sound, found.failing = tuple(sound), tuple(failing)

    async def _leave_out(self) -> None:
        found = self.found
        blocks = list(self._blocks)
        of = len(blocks)
        while blocks:
            group, misses = blocks.pop(0), 0
            found.phase = f"leaving out groups, {len(blocks) + 1} to go (of {of})"
            while group:
                witness = await self._screen(found.removed | frozenset(group))
                if witness is None:
                    found.removed |= frozenset(group)
                    break
                unit = await self._locate(witness, found.removed, group)
                if unit is None:
                    if found.removed and not await self._passes(witness, found.removed):
                        await self._put_back(witness)  # what went out before breaks it, not this group
                    misses += 1
                    if misses > MISSES:  # a case that cannot make up its mind: smaller groups, single units stay
                        half = len(group) // 2
                        blocks[:0] = [group[:half], group[half:]] if half else []
                        break
                    self._rng.shuffle(group)
                    continue
                group.remove(unit)
                # As located: beside what stood before it in the group, it is the one that turns the case.
                await self._convict(unit, witness, found.removed | frozenset(group))

    async def _screen(self, removed: frozenset[int]) -> int | None:
        """Ask the sound cases once each, a failing one again; return the first that breaks.

        Where the baseline wavers the first answer does not count: of thirty cases some fail once by chance.
        """
        order = self._rng.sample(self.found.sound, len(self.found.sound))
        for at in range(0, len(order), self._at_once):
            cases = order[at : at + self._at_once]
            for case, passed in zip(cases, await self._ask_all(cases, removed), strict=True):
                if not passed and not await self._passes(case, removed, None if self.found.wavers else False):
                    return case
        return None

    async def _locate(self, case: int, kept: frozenset[int], group: Sequence[int]) -> int | None:
        """Halve: the unit of ``group`` whose going, behind those before it, breaks the case; None if it is none."""
        low, high = 0, len(group)
        while high - low > 1:
            middle = (low + high) // 2
            if await self._passes(case, kept | frozenset(group[:middle])):
                low = middle
            else:
                high = middle
        if not group or not await self._passes(case, kept | frozenset(group[:low])):
            return None
        return group[low] if not await self._passes(case, kept | frozenset(group[: low + 1])) else None

    async def _put_back(self, case: int) -> bool:
        """Find what of the units that are out breaks a case, and put it back."""
        gone = sorted(self.found.removed)
        unit = await self._locate(case, _NONE, gone)
        if unit is None:
            return False
        self.found.removed -= {unit}
        await self._convict(unit, case, self.found.removed)
        return True

    async def _convict(self, unit: int, case: int, beside: frozenset[int]) -> None:
        """Keep a unit, confirm by fresh answers that the case needs it, and see whether another says the same."""
        finding = self.found.units[unit]
        finding.witnesses.append(case)
        self._needed.add(unit)
        # Alone first: what breaks without anything else out needs no further set.
        alone = not await self._passes(case, frozenset({unit}))
        base = _NONE if alone else beside
        wealth = await self._confirm(case, base, base | {unit})
        if wealth >= 1 / ALPHA:
            finding.state, finding.certainty = CARRIES, 1 - 1 / wealth
        if alone:
            return
        twin = await self._twin(unit, case, beside)
        if twin is not None:
            finding.twin, self.found.units[twin].twin = twin, unit

    async def _twin(self, unit: int, case: int, beside: frozenset[int]) -> int | None:
        """Return the unit that says the same as ``unit``, confirmed by fresh answers."""
        gone = sorted(beside - {unit})
        other = await self._locate(case, frozenset({unit}), gone)
        if other is None:
            return None
        both = frozenset({unit, other})
        if await self._passes(case, both) or not await self._passes(case, frozenset({other})):
            return None
        return other if await self._confirm(case, frozenset({unit}), both) >= 1 / ALPHA else None

    async def _confirm(self, case: int, with_it: frozenset[int], without_it: frozenset[int]) -> float:
        """Return the wealth, at most what it takes, against "the case passes no more often with the unit"."""
        gains: list[int] = []
        wealth = 1.0
        while len(gains) < MOST_PAIRS and wealth < 1 / ALPHA:
            pair = [with_it, without_it]
            swapped = self._rng.random() < 0.5
            if swapped:
                pair.reverse()
            answers = [await self._ask(case, each) for each in pair]
            if swapped:
                answers.reverse()
            gains.append(int(answers[0]) - int(answers[1]))
            wealth = sum(weight * math.prod(1 + stake * gain for gain in gains) for stake, weight in _STAKES)
            if len(gains) >= 6 and wealth < 0.3:
                break
        return wealth

    async def _check_all(self) -> None:
        """Look at the whole set with fresh answers; what breaks a case is put back, and the rest is looked at again."""
        found = self.found
        if not found.removed:
            return
        found.phase = "checking the whole set"
        answers = 3 if found.wavers else 1
        # Where the baseline is steady its answers are known.
        before = await self._shares(_NONE, answers) if found.wavers else [1.0] * len(found.sound)
        for _ in range(CHECKS):
            if not found.removed:
                return
            after = await self._shares(found.removed, answers)
            scores = [there - here for here, there in zip(before, after, strict=True)]
            found.bound = rule.largest_drop(scores, ALPHA)
            suspects = [case for case, score in zip(found.sound, scores, strict=True) if score <= -0.6]
            broken = [case for case in suspects if not await self._passes(case, found.removed)]
            self._scores = scores
            if not broken:
                found.checked = True
                return
            if not any([await self._put_back(case) for case in broken[:1]]):
                return

    async def _shares(self, removed: frozenset[int], answers: int) -> list[float]:
        """Return the share of each sound case's fresh answers that pass."""
        shares = []
        for at in range(0, len(self.found.sound), self._at_once):
            cases = self.found.sound[at : at + self._at_once]
            rounds = [await self._ask_all(cases, removed) for _ in range(answers)]
            shares += [sum(each) / answers for each in zip(*rounds, strict=True)]
        return shares

    _scores: Sequence[float] = ()

    def _settle_states(self) -> None:
        """Say of the units that are out what the look at the whole set carries."""
        found = self.found
        carried = found.checked and found.bound is not None and found.bound <= UNSEEN
        for unit in found.removed:
            finding = found.units[unit]
            finding.state, finding.certainty = (FREE, 1 - ALPHA) if carried else (OPEN, None)
            finding.scores = list(self._scores) if found.checked else []

    async def _weigh_units(self) -> None:
        """Measure what each unit that carries is worth: alone out of the trimmed prompt, on cases drawn at random."""
        found = self.found
        found.phase = "weighing units"
        if self._weigh < 1:
            return
        order = self._rng.sample(found.sound, len(found.sound))[: self._weigh]
        before = [int(each) for each in await self._all_of(order, found.removed)]
        for unit in sorted(self._needed):
            after = await self._all_of(order, found.removed | {unit})
            found.units[unit].scores = [int(there) - here for here, there in zip(before, after, strict=True)]

    async def _all_of(self, cases: Sequence[int], removed: frozenset[int]) -> list[bool]:
        answers: list[bool] = []
        for at in range(0, len(cases), self._at_once):
            answers += await self._ask_all(cases[at : at + self._at_once], removed)
        return answers


def smallest_drop(scores: Iterable[float], alpha: float = ALPHA / 2) -> float:
    """Return the drop that the scores show at least, 0 to 1: the lower end of an interval."""
    known = list(scores)
    low, high = 0.0, 1.0
    if rule.log_fell(known) < -math.log(alpha):
        return 0.0
    for _ in range(30):
        middle = (low + high) / 2
        if rule.log_fell(known, middle) >= -math.log(alpha):
            low = middle
        else:
            high = middle
    return low


def likely_calls(units: int, cases: int) -> int:
    """Return about how many answers a search asks for: a fifth of the units taken to carry."""
    needed = max(1, round(units / 5))
    return round(2 * cases + cases * (units / BLOCK) + needed * (24 + cases / 3) + 2 * cases)
