"""The search against planted prompts: what carries is found, what does not is not called so, and it stays cheap."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from promptop.experiments.ablation.search import CARRIES, FREE, Search, Searched, smallest_drop

UNITS, CASES = 40, 30
ONE_AT_A_TIME = (UNITS + 1) * CASES * 3
"""Calls of leaving out each unit alone, three answers a case, and those of the baseline."""


@dataclass
class Planted:
    """A prompt with known effects; a sound answer fails with ``noise``, a broken case passes with ``luck``."""

    seed: int
    noise: float = 0.0
    luck: float = 0.0
    calls: int = 0
    carries: dict[int, frozenset[int]] = field(default_factory=dict)
    twins: list[tuple[int, int, frozenset[int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        order = self.rng.sample(range(UNITS), UNITS)
        shares = (1.0, 1.0, 0.5, 0.5, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1)
        self.carries = {order.pop(): self.some(share) for share in shares}
        self.twins = [(order.pop(), order.pop(), self.some(share)) for share in (0.5, 0.2)]
        self.guard = (order.pop(), order.pop(), self.some(0.2))
        """Its going breaks cases while the other one stands."""
        self.fillers = order
        self.suspected = frozenset(unit for unit in order if self.rng.random() < 0.6)

    def some(self, share: float) -> frozenset[int]:
        return frozenset(self.rng.sample(range(CASES), max(1, round(share * CASES))))

    def is_broken(self, case: int, removed: frozenset[int]) -> bool:
        first, second, cases = self.guard
        return (
            any(case in broken for unit, broken in self.carries.items() if unit in removed)
            or any(a in removed and b in removed and case in broken for a, b, broken in self.twins)
            or (first in removed and second not in removed and case in cases)
        )

    async def ask(self, case: int, removed: frozenset[int]) -> bool:
        self.calls += 1
        rate = self.luck if self.is_broken(case, removed) else 1 - self.noise
        return self.rng.random() < rate

    def drop(self, removed: frozenset[int]) -> float:
        return sum(self.is_broken(case, removed) for case in range(CASES)) / CASES


def searched(planted: Planted, **options: int) -> Searched:
    first = sorted(planted.suspected)
    rest = [unit for unit in range(UNITS) if unit not in planted.suspected]
    blocks = [part[at : at + 8] for part in (first, rest) for at in range(0, len(part), 8)]
    search = Search(range(UNITS), blocks, CASES, planted.ask, seed=planted.seed, **options)
    return asyncio.run(search.run())


@dataclass
class Sums:
    """Shares over many planted prompts."""

    recovered: float = 0
    kept: float = 0
    claimed: int = 0
    false: int = 0
    false_fillers: float = 0
    free: int = 0
    false_free: int = 0
    named: float = 0
    calls: float = 0
    drop: float = 0


def measure(prompts: int, noise: float, luck: float) -> Sums:
    sums = Sums()
    for seed in range(prompts):
        planted = Planted(seed, noise, luck)
        found = searched(planted)
        states = {unit: each.state for unit, each in found.units.items()}
        sums.recovered += sum(states[unit] == CARRIES for unit in planted.carries) / 10 / prompts
        sums.kept += sum(unit not in found.removed for unit in planted.carries) / 10 / prompts
        claims = [unit for unit, state in states.items() if state == CARRIES]
        wrong = [unit for unit in claims if unit in planted.fillers]
        sums.claimed += len(claims)
        sums.false += len(wrong)
        sums.false_fillers += len(wrong) / len(planted.fillers) / prompts
        free = [unit for unit, state in states.items() if state == FREE]
        sums.free += len(free)
        sums.false_free += sum(unit in planted.carries for unit in free)
        sums.named += sum((min(a, b), max(a, b)) in found.twins for a, b, _ in planted.twins) / 2 / prompts
        sums.calls += planted.calls / prompts
        sums.drop += planted.drop(found.removed) / prompts
    return sums


@pytest.mark.parametrize(
    ("noise", "luck", "twins"), [(0.0, 0.0, 0.9), (0.02, 0.0, 0.9), (0.05, 0.1, 0.6), (0.1, 0.2, 0.3)]
)
def test_a_search_finds_what_carries_and_claims_little_else(noise: float, luck: float, twins: float) -> None:
    sums = measure(30, noise, luck)
    assert sums.recovered >= 0.9
    assert sums.kept >= 0.9
    assert sums.false <= 0.05 * sums.claimed
    assert sums.false_fillers <= 0.05
    assert sums.false_free <= 0.05 * max(1, sums.free)
    assert sums.named >= twins
    assert sums.calls <= ONE_AT_A_TIME / 3
    assert sums.drop <= 0.02


def test_the_same_answers_lead_to_the_same_questions() -> None:
    one, two = Planted(5, 0.05, 0.1), Planted(5, 0.05, 0.1)
    assert searched(one) == searched(two) and one.calls == two.calls


def test_a_cap_of_calls_ends_it_and_what_is_said_stays_true() -> None:
    for most in (20, 60, 150, 400, 700):
        planted = Planted(3)
        found = searched(planted, most=most)
        assert planted.calls <= most and (found.ended == "calls" or planted.calls < most)
        for unit, each in found.units.items():
            assert each.state != CARRIES or unit not in planted.fillers
            assert each.state != FREE or unit not in planted.carries


def test_several_at_once_find_the_same() -> None:
    planted = Planted(4)
    found = searched(planted, at_once=6)
    assert {unit for unit, each in found.units.items() if each.state == CARRIES} >= set(planted.carries)
    assert planted.drop(found.removed) == 0


def test_too_few_cases_call_nothing_free() -> None:
    async def ask(case: int, removed: frozenset[int]) -> bool:
        return True

    found = asyncio.run(Search(range(6), [[0, 1, 2], [3, 4, 5]], 8, ask).run())
    assert found.removed == frozenset(range(6)) and found.bound is not None and found.bound > 0.2
    assert not any(each.state == FREE for each in found.units.values())


def test_an_interval_has_no_lower_end_without_losses() -> None:
    assert smallest_drop([0.0] * 50) == 0
    assert 0.5 < smallest_drop([-1.0] * 30) < 1
