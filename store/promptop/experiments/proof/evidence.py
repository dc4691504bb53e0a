"""What two sides' answers say where no check does: facts that flipped, and how alike the texts are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from promptop.client.result import RunResult
from promptop.experiments.checks.answer_text import negations_in, numbers_in, stance_of
from promptop.experiments.grid.checker import answer_digest, text_of_answer
from promptop.experiments.similarity import rouge_l, words

Facts = tuple[tuple[str, Any], ...]


def facts_of(result: RunResult) -> Facts:
    """Return the facts of an answer: numbers, negations, yes or no, JSON values, tool calls with arguments."""
    text = result.text
    found: list[tuple[str, Any]] = [("calls", tuple((name, _canonical(said)) for name, said in result.tool_calls))]
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict | list):
        found.append(("json", tuple(sorted(_leaves(data, "$")))))
        return tuple(found)
    found.append(("numbers", tuple(sorted(set(numbers_in(text))))))
    found.append(("negations", negations_in(text)))
    found.append(("stance", stance_of(text)))
    return tuple(found)


def _canonical(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return text


def _leaves(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [leaf for name, each in value.items() for leaf in _leaves(each, f"{path}.{name}")]
    if isinstance(value, list):
        return [leaf for number, each in enumerate(value) for leaf in _leaves(each, f"{path}[{number}]")]
    # Long texts inside JSON are wording, not facts.
    return [(path, str(value))] if not isinstance(value, str) or len(value) <= 40 else [(path, "text")]


def flipped(before: Sequence[RunResult], after: Sequence[RunResult]) -> list[str]:
    """Return which kinds of facts all of the baseline's answers agree on and all trimmed answers have otherwise."""
    if not before or not after:
        return []
    left, right = [dict(facts_of(each)) for each in before], [dict(facts_of(each)) for each in after]
    names = {name for each in (*left, *right) for name in each}
    kinds = []
    for name in sorted(names):
        said = {json.dumps(each.get(name), default=str) for each in left}
        others = [json.dumps(each.get(name), default=str) for each in right]
        if len(said) == 1 and all(other not in said for other in others):
            kinds.append(name)
    return kinds


def likeness_score(before: Sequence[RunResult], after: Sequence[RunResult]) -> float | None:
    """Return how much less alike the sides are than the baseline is to itself, −1 to +1; None below two answers."""
    if len(before) < 2 or not after:
        return None
    left, right = [words(text_of_answer(each)) for each in before], [words(text_of_answer(each)) for each in after]
    within = [rouge_l(a, b) for a, b in combinations(left, 2)]
    across = [rouge_l(a, b) for a in left for b in right]
    return sum(across) / len(across) - sum(within) / len(within)


def same_texts(results: Sequence[RunResult]) -> bool:
    """Whether all answers are the same to the letter."""
    return len({answer_digest(each) for each in results}) <= 1
