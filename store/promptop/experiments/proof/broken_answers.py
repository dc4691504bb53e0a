"""Answers broken on purpose: a check that fails none of them tells nothing. Made from real answers, without a call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptop.client.result import RunResult
from promptop.experiments.checks import Check
from promptop.experiments.checks.answer_text import numbers_in

KINDS = ("empty", "first half", "refusal", "another case's answer", "number changed", "negation put in", "keys renamed")
_REFUSAL = "I'm sorry, but I can't help with that."
_DIGITS = re.compile(r"\d+")
_VERB = re.compile(r"\b(is|are|was|were|can|will|should|may|has|have|do|does)\b(?!\s+not\b)")
_NEGATED = re.compile(r"\b(is|are|was|were|can|will|should|may|has|have|do|does)\s+not\b")
MOST_ANSWERS = 20
"""Answers that are broken in each way."""


@dataclass(frozen=True, slots=True)
class Caught:
    """Which kinds of broken answers a check fails."""

    check: str
    kinds: frozenset[str]
    tried: frozenset[str]

    @property
    def tells(self) -> bool:
        """Whether it fails any of them."""
        return bool(self.kinds)

    def said(self) -> str:
        """Return it in words."""
        missed = [kind for kind in KINDS if kind in self.tried - self.kinds]
        if not self.kinds:
            return f"{self.check} fails none of {len(self.tried)} kinds of broken answers"
        rest = f" (not: {', '.join(missed)})" if missed else ""
        return f"{self.check} caught {len(self.kinds)} of {len(self.tried)} kinds of broken answers{rest}"


def broken(result: RunResult, other: RunResult | None = None) -> Iterator[tuple[str, RunResult]]:
    """Yield an answer broken in each way that changes it; ``other`` answers another case."""
    text = result.text
    forms: dict[str, str] = {
        "empty": "",
        "first half": text[: len(text) // 2],
        "refusal": _REFUSAL,
        "number changed": _other_number(text),
        "negation put in": negated(text),
        "keys renamed": _other_keys(text),
    }
    if other is not None:
        forms["another case's answer"] = other.text
    for kind in KINDS:
        if kind in forms and forms[kind].strip() != text.strip():
            calls = other.tool_calls if kind == "another case's answer" and other is not None else ()
            yield kind, replace(result, text=forms[kind], tool_calls=calls)


def caught(answers: Sequence[tuple[RunResult, Sequence[Check]]]) -> dict[str, Caught]:
    """Hold broken forms of answers against their cases' checks; returns what each check, by name, catches.

    Checks that ask a model are left out: planted faults test those.
    """
    kinds: dict[str, set[str]] = {}
    tried: dict[str, set[str]] = {}
    for place, (result, checks) in enumerate(answers[:MOST_ANSWERS]):
        other = answers[(place + 1) % len(answers)][0] if len(answers) > 1 else None
        judged = [check for check in checks if not check.is_asked]
        for kind, form in broken(result, other):
            for check in judged:
                tried.setdefault(check.name, set()).add(kind)
                mine = kinds.setdefault(check.name, set())
                if kind not in mine and not check.judge(form).passed:
                    mine.add(kind)
    return {name: Caught(name, frozenset(kinds[name]), frozenset(tried[name])) for name in tried}


def negated(text: str) -> str:
    """Return a text with a negation taken out, or put in where there is none."""
    if _NEGATED.search(text):
        return _NEGATED.sub(r"\1", text, count=1)
    if _VERB.search(text):
        return _VERB.sub(r"\1 not", text, count=1)
    if "不" in text:
        return text.replace("不", "", 1)
    return text.replace("是", "不是", 1)


def _other_number(text: str) -> str:
    if not numbers_in(text):
        return text
    last = None
    for last in _DIGITS.finditer(text):  # noqa: B007 - the last one is wanted
        pass
    if last is None:
        return text
    other = str(int(last[0]) + 1) if len(last[0]) < 16 else "1"
    return text[: last.start()] + other + text[last.end() :]


def _other_keys(text: str) -> str:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(_renamed(data), ensure_ascii=False) if isinstance(data, dict | list) else text


def _renamed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {f"{name}_": _renamed(each) for name, each in value.items()}
    return [_renamed(each) for each in value] if isinstance(value, list) else value
