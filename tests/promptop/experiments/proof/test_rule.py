"""The rule of a proof, by sums that can be done in full and by simulation: it claims no more than was shown."""

from __future__ import annotations

import math
import random
import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptop.experiments.proof import rule

SCORES = st.lists(st.sampled_from([-1.0, -2 / 3, -1 / 3, 0.0, 0.0, 0.0, 1 / 3, 1.0]), min_size=1, max_size=60)


def test_thirty_clean_cases_prove_ten_points_and_sixty_one_prove_five() -> None:
    assert [rule.cases_needed(margin) for margin in (0.05, 0.1, 0.15, 0.2)] == [61, 30, 20, 14]
    assert 0.096 < rule.could_see(30) < 0.1
    assert rule.decide({"a": [0.0] * 30}, {"a": 1.0}).word == "proven"
    assert rule.decide({"a": [0.0] * 29}, {"a": 1.0}).word == "undecided"
    assert rule.decide({"a": [0.0] * 61}, {"a": 1.0}, margin=0.05).word == "proven"
    assert rule.decide({"a": [0.0] * 60}, {"a": 1.0}, margin=0.05).word == "undecided"


@pytest.mark.parametrize("chances", [{-1.0: 0.1, 1.0: 0.0}, {-1.0: 0.3, 1.0: 0.2}, {-1.0: 0.55, 1.0: 0.45}])
def test_the_wealth_is_worth_one_at_most_on_average_at_the_margin(chances: dict[float, float]) -> None:
    steps = {**chances, 0.0: 1 - sum(chances.values())}
    for n in (1, 4, 7):
        mean = sum(
            math.prod(steps[step] for step in path) * math.exp(rule.log_held(path)) for path in product(steps, repeat=n)
        )
        assert mean <= 1 + 1e-9


def test_the_wealth_of_a_fall_is_worth_one_at_most_where_nothing_fell() -> None:
    steps = {-1.0: 0.2, 1.0: 0.2, 0.0: 0.6}
    for n in (4, 7):
        paths = list(product(steps, repeat=n))
        mean = sum(math.prod(steps[step] for step in path) * math.exp(rule.log_fell(path)) for path in paths)
        assert mean <= 1 + 1e-9


@given(SCORES, st.floats(0.02, 0.5), st.floats(0.02, 0.5))
def test_what_holds_at_a_margin_holds_at_every_larger_one(scores: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    drop = rule.largest_drop(scores)
    if rule.log_held(scores, low) >= math.log(20):
        assert drop <= low + 1e-6
        assert rule.log_held(scores, high) >= math.log(20)


@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_cases_does_not_matter(scores: list[float], rng: random.Random) -> None:
    mixed = scores[:]
    rng.shuffle(mixed)
    assert rule.log_held(scores) == pytest.approx(rule.log_held(mixed))


def played(rng: random.Random, base: float, drop: float, together: bool, cases: int, answers: int) -> str:
    """Play one proof that looks after each case and stops when it is sure."""
    scores: list[float] = []
    passed = 0.0
    for _ in range(cases):
        before, after = base, max(base - drop, 0.0)
        if together:
            own = 1.0 if base == 1.0 else rng.betavariate(base, 1 - base)
            before, after = own, 0.0 if drop and rng.random() < drop / base else own
        counts = [sum(rng.random() < rate for _ in range(answers)) / answers for rate in (before, after)]
        scores.append(counts[1] - counts[0])
        passed += counts[0]
        found = rule.decide({"c": scores}, {"c": passed / len(scores)})
        if found.word != "undecided":
            return found.word
    return "undecided"


@pytest.mark.parametrize(
    ("base", "answers", "together"),
    [
        (0.95, 1, True),
        *(
            pytest.param(base, answers, together, marks=pytest.mark.world)
            for base, answers, together in product((1.0, 0.95), (1, 3), (False, True))
            if (base, answers, together) not in ((0.95, 1, True), (1.0, 3, False), (1.0, 3, True))
        ),
    ],
)
def test_a_drop_of_the_margin_is_proven_in_at_most_five_of_a_hundred_runs(
    base: float, answers: int, together: bool
) -> None:
    rng = random.Random(11)
    plays = 120
    words = [played(rng, base, 0.10, together, 60, answers) for _ in range(plays)]
    assert words.count("proven") <= 0.05 * plays + 3 * math.sqrt(plays * 0.05 * 0.95)


def test_a_clean_trim_is_proven() -> None:
    rng = random.Random(12)
    assert all(played(rng, 1.0, 0.0, False, 60, 1) == "proven" for _ in range(5))


@pytest.mark.world
def test_nothing_lost_is_seldom_called_worse() -> None:
    rng = random.Random(12)
    words = [played(rng, 0.9, 0.0, False, 40, 1) for _ in range(120)]
    assert words.count("worse") <= 0.05 * 120 + 3 * math.sqrt(120 * 0.05 * 0.95)


def test_a_suspect_is_lost_only_by_fresh_answers() -> None:
    assert rule.lost_for_sure(5, 0, 5, 6)
    assert not rule.lost_for_sure(5, 1, 5, 6)
    assert rule.fisher(8, 8, 4, 8) == pytest.approx(0.0385, abs=1e-4)
    assert rule.fisher(3, 4, 1, 4) == pytest.approx(17 / 70)
    assert rule.fisher(5, 5, 5, 5) == 1.0


def test_a_check_that_tells_nothing_proves_nothing() -> None:
    assert rule.decide({"json": [0.0] * 100}, {"json": 0.0}).idle == ("json",)
    assert rule.decide({"a": [0.0] * 60}, {"a": 1.0}, caught={"a": False}).word == "undecided"
    mixed = rule.decide({"a": [0.0] * 60, "b": [0.0] * 60}, {"a": 1.0, "b": 0.1})
    assert (mixed.word, mixed.idle) == ("undecided", ("b",))
    assert rule.decide({"answered": [0.0] * 60}, {"answered": 1.0}, counted=frozenset()).word == "undecided"


def test_several_checks_are_named_only_by_holms_steps() -> None:
    assert rule.fallen({"a": math.log(80), "b": math.log(41)}) == ["a", "b"]
    assert rule.fallen({"a": math.log(79), "b": math.log(79)}) == []
    worse = rule.decide({"a": [-1.0] * 8 + [0.0] * 20, "b": [0.0] * 28}, {"a": 1.0, "b": 1.0})
    assert (worse.word, worse.fell) == ("worse", ("a",))


def test_advice_says_how_many_cases_are_missing() -> None:
    assert rule.further_cases([0.0] * 10, 0.1) == 20
    more = rule.further_cases([-1.0] + [0.0] * 29, 0.1)
    assert more is not None and rule.log_held([-1.0] + [0.0] * (29 + more), 0.1) >= math.log(20)
    assert rule.attempt_alpha(0) == 0.05 and rule.attempt_alpha(2) == 0.0125


def test_a_verdict_over_a_thousand_cases_is_quick() -> None:
    rng = random.Random(3)
    scores = {str(check): rng.choices([-1 / 3, 0.0, 0.0, 1 / 3], k=1000) for check in range(5)}
    begun = time.perf_counter()
    rule.decide(scores, dict.fromkeys(scores, 1.0))
    assert time.perf_counter() - begun < 0.5  # 13 ms on an idle core; the bound leaves room for a loaded one
