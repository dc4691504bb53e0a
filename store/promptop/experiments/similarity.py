"""How alike answers are: ROUGE-L F1 over words, and whether two sets differ by more than one set within itself.

A model that is asked the same thing twice seldom answers in the same words, so a similarity alone proves nothing: the
answers to a trimmed prompt are held against the baseline's answers, and these against each other. Words are those of
:func:`promptop.base.diff.words`, so that Chinese is compared character by character; case and white space do not
count.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from promptop.base import diff
from promptop.experiments.stats import FEWEST, quantile
from promptop.prompts.proof import Likeness

RESAMPLES = 2000
MOST_WORDS = 20_000
"""Words of an answer that are compared; the rest of a longer one is not looked at."""


def words(text: str) -> list[str]:
    """Return the words and marks of an answer, without white space, in lower case."""
    return [word for word in diff.words(text.lower()) if not word.isspace()][:MOST_WORDS]


def common(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    Bits of one integer stand for the positions of ``left`` (Hyyrö 2004), which takes 1 ms for 1,000 words of each.
    """
    places: dict[str, int] = {}
    for number, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << number
    whole = (1 << len(left)) - 1
    row = whole
    for word in right:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & whole
    return len(left) - row.bit_count()


def rouge_l(left: Sequence[str], right: Sequence[str]) -> float:
    """Return the F1 of two answers' longest common subsequence, 0 to 1; 1 for two empty ones."""
    size = len(left) + len(right)
    return 2 * common(left, right) / size if size else 1.0


def likeness(baseline: Sequence[str], other: Sequence[str]) -> Likeness | None:
    """Hold ``other`` answers against those of the baseline; None without two of the baseline and one other.

    The interval resamples answers, not pairs: pairs that share an answer are not independent. Pairs of an answer with
    itself, which resampling brings about, are left out.
    """
    if len(baseline) < 2 or not other:
        return None
    left, right = [words(text) for text in baseline], [words(text) for text in other]
    across = [[rouge_l(a, b) for b in right] for a in left]
    within = [[0.0] * len(left) for _ in left]
    for i, a in enumerate(left):
        for j in range(i):
            within[i][j] = within[j][i] = rouge_l(a, left[j])
    interval = None
    if min(len(left), len(right)) >= FEWEST:
        rng = random.Random(len(left) * 1000 + len(right))
        gaps = []
        for _ in range(RESAMPLES):
            rows = rng.choices(range(len(left)), k=len(left))
            gaps.append(
                _mean_across(across, rows, rng.choices(range(len(right)), k=len(right))) - _mean_within(within, rows)
            )
        gaps.sort()
        interval = (quantile(gaps, 0.025), quantile(gaps, 0.975))
    everyone = range(len(left))
    return Likeness(_mean_across(across, everyone, range(len(right))), _mean_within(within, everyone), interval)


def _mean_across(across: Sequence[Sequence[float]], rows: Sequence[int], columns: Sequence[int]) -> float:
    return sum(across[i][j] for i in rows for j in columns) / (len(rows) * len(columns))


def _mean_within(within: Sequence[Sequence[float]], rows: Sequence[int]) -> float:
    total, pairs = 0.0, 0
    for place, i in enumerate(rows):
        for j in rows[:place]:
            if i != j:
                total += within[i][j]
                pairs += 1
    return total / pairs if pairs else 1.0
