"""The rule of a proof: from one score per case to proven, worse or undecided, valid however early the run stops.

A *score* is the share of a case's answers that pass after trimming minus the share before, −1 to +1. Against each
hypothesis under test a wealth is multiplied by ``1 + stake × gain`` case by case, for a few fixed stakes side by side.
If the hypothesis is true no factor is worth more than 1 on average, so by Ville's inequality the wealth ever reaches
``1 / alpha`` with a chance of at most ``alpha``: looking after each case and stopping at any moment cost nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ALPHA = 0.05
"""Chance of a false *proven*."""
ALPHA_FELL = 0.025
ALPHA_LOST = 0.025
"""*Worse* is said in two ways, by the mean and by the second look; their chances of being false add up to 5 %."""
MARGIN = 0.10
"""Drop of the mean pass share that still counts as held."""
MOST_SUSPECTS = 6
FRESH = 5
"""Second look: cases that are asked again at most, and fresh answers of each side."""
FLOOR = 3
"""A check that the baseline passes in less than so many margins of its cases tells nothing."""
_HELD = ((1.0, 0.85), (0.7, 0.05), (0.45, 0.05), (0.2, 0.05))
"""(share of the largest stake, weight): 30 cases without a loss reach 20 at a margin of 10 points."""
_FELL = ((1.0, 0.4), (0.6, 0.3), (0.3, 0.3))
"""(stake, weight): seven losses without a gain reach 40."""
_DIGITS = 9
"""Scores are rounded to so many places, so that equal ones are multiplied as one power."""


def _counted(scores: Iterable[float]) -> Counter[float]:
    return Counter(round(score, _DIGITS) for score in scores)


def _log_wealth(counts: Mapping[float, int], shift: float, sign: float, stakes: Sequence[tuple[float, float]]) -> float:
    parts = []
    for stake, weight in stakes:
        total = math.log(weight)
        for score, times in counts.items():
            factor = 1 + stake * (sign * score + shift)
            if factor <= 1e-12:
                total = -math.inf
                break
            total += times * math.log(factor)
        parts.append(total)
    top = max(parts)
    return top + math.log(sum(math.exp(part - top) for part in parts)) if top > -math.inf else -math.inf


def log_held(scores: Iterable[float], margin: float = MARGIN) -> float:
    """Return the log of the wealth against "the mean score is −margin or lower"."""
    return _log_held(_counted(scores), margin)


def _log_held(counts: Mapping[float, int], margin: float) -> float:
    most = 1 / (1 - margin)
    return _log_wealth(counts, margin, 1.0, [(share * most, weight) for share, weight in _HELD])


def log_fell(scores: Iterable[float], floor: float = 0.0) -> float:
    """Return the log of the wealth against "the mean score is −floor or higher"."""
    return _log_wealth(_counted(scores), -floor, -1.0, [(stake / (1 + floor), weight) for stake, weight in _FELL])


def largest_drop(scores: Iterable[float], alpha: float = ALPHA) -> float:
    """Return the smallest margin at which these scores count as held, 0 to 1: "at most so much less passes"."""
    counts = _counted(scores)
    if not counts:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if 0 < middle < 1 and _log_held(counts, middle) >= -math.log(alpha):
            high = middle
        else:
            low = middle
    return high


def could_see(cases: int, alpha: float = ALPHA) -> float:
    """Return the smallest drop that so many cases can rule out, if none of them is lost."""
    return largest_drop([0.0] * cases, alpha)


def cases_needed(margin: float = MARGIN, alpha: float = ALPHA) -> int:
    """Return how many cases without a loss show that the drop is below ``margin``."""
    low, high = 1, 1
    while _log_held({0.0: high}, margin) < -math.log(alpha):
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if _log_held({0.0: middle}, margin) < -math.log(alpha):
            low = middle + 1
        else:
            high = middle
    return high


def further_cases(scores: Sequence[float], margin: float, alpha: float = ALPHA, most: int = 10_000) -> int | None:
    """Return how many further cases without a loss would hold the margin; None above ``most``."""
    counts = _counted(scores)

    def held(further: int) -> bool:
        more = Counter(counts)
        more[0.0] += further
        return _log_held(more, margin) >= -math.log(alpha)

    if not held(most):
        return None
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if held(middle):
            high = middle
        else:
            low = middle + 1
    return low


def lost_for_sure(before: int, after: int, n: int, suspects: int, alpha: float = ALPHA_LOST) -> bool:
    """Whether a suspect is lost: ``before`` and ``after`` of ``n`` fresh answers a side passed.

    Fisher's exact test, one-sided, at ``alpha`` over the number of suspects. The answers that made it a suspect are
    not among the fresh ones, so choosing suspects costs nothing.
    """
    return fisher(before, n, after, n) <= alpha / max(suspects, 1)


def fisher(before: int, of_before: int, after: int, of_after: int) -> float:
    """Return the chance of at most ``after`` passes of the second side, both sides passing alike (one-sided)."""
    passes, total = before + after, of_before + of_after
    lowest = max(0, passes - of_before)
    ways = sum(math.comb(passes, k) * math.comb(total - passes, of_after - k) for k in range(lowest, after + 1))
    return ways / math.comb(total, of_after)


def fallen(log_wealths: Mapping[str, float], alpha: float = ALPHA_FELL) -> list[str]:
    """Return the checks that fell, the strongest first; one false name among them has a chance of ``alpha`` (Holm)."""
    found: list[str] = []
    ordered = sorted(log_wealths, key=lambda name: -log_wealths[name])
    for place, name in enumerate(ordered):
        if log_wealths[name] < math.log((len(ordered) - place) / alpha):
            break
        found.append(name)
    return found


@dataclass(frozen=True, slots=True)
class Decision:
    """What may be said of checks, and why."""

    word: str
    """``proven``, ``worse`` or ``undecided``."""
    why: str
    fell: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    """Checks that tell nothing."""
    short: tuple[str, ...] = ()
    """Checks that are not held so far."""
    bound: float | None = None
    """The largest drop that the scores leave possible, over all checks that tell something."""


def decide(
    scores: Mapping[str, Sequence[float]],
    baseline: Mapping[str, float],
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
    caught: Mapping[str, bool] | None = None,
    lost: Sequence[str] = (),
    counted: frozenset[str] | None = None,
) -> Decision:
    """Judge checks by their cases' ``scores`` and the ``baseline``'s pass shares.

    ``caught`` says of a check whether a broken answer fails it, ``lost`` names the cases that are
    :func:`lost_for_sure`. At least one check of ``counted`` (all, if None) must tell something.
    """
    fell = fallen({name: log_fell(each) for name, each in scores.items()})
    if fell or lost:
        reasons = [f"passes less often: {', '.join(fell)}"] if fell else []
        reasons += [f"lost for sure: {', '.join(lost)}"] if lost else []
        return Decision("worse", "; ".join(reasons), fell=tuple(fell))
    idle = [
        name
        for name in scores
        if baseline.get(name, 0.0) < FLOOR * margin or (caught is not None and not caught.get(name, False))
    ]
    telling = [name for name in scores if name not in idle]
    if not [name for name in telling if counted is None or name in counted]:
        return Decision("undecided", "no check tells anything", idle=tuple(idle))
    if idle:
        return Decision("undecided", f"these checks tell nothing: {', '.join(idle)}", idle=tuple(idle))
    drops = {name: largest_drop(scores[name], alpha) for name in telling}
    worst = max(drops.values())
    short = [name for name in telling if log_held(scores[name], margin) < -math.log(alpha)]
    if short:
        said = ", ".join(f"{name}: at most {drops[name]:.0%} fewer pass" for name in short)
        return Decision("undecided", said, short=tuple(short), bound=worst)
    return Decision("proven", f"at most {worst:.1%} fewer pass", bound=worst)


def is_hopeless(scores: Sequence[float], left: int, margin: float = MARGIN, alpha: float = ALPHA) -> bool:
    """Whether the margin cannot be held any more, even if none of the ``left`` cases is lost."""
    return log_held([*scores, *([0.0] * left)], margin) < -math.log(alpha)


def attempt_alpha(failed_before: int, alpha: float = ALPHA) -> float:
    """Return the chance that a further attempt may be false: each one that failed before halves it."""
    return float(alpha / 2**failed_before)
