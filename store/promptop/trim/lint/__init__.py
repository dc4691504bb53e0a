"""Lint: what a prompt leaves open that a model will then decide, and what it asks that a model does badly.

A remark is only worth its line if most readers act on it, so each rule looks at instructions alone (never at code, data,
examples or tool parameters), matches whole words in the sentence that asks, and says which sentence it means. A remark
is silenced by ``<!-- lint-off: RULE -->`` on its line or the line before (alone at the top: for the whole prompt), by
``lint-off: [RULE]`` in the front matter, or by ``lint_off`` under ``[editor]`` in the settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from promptop.base.errors import UsageError
from promptop.prompts import Prompt, parse
from promptop.prompts.structure import Structure, read_structure
from promptop.trim.lint.base import LintCheck, Place, Severity
from promptop.trim.lint.code import CODE_CHECKS
from promptop.trim.lint.demands import DEMAND_CHECKS
from promptop.trim.lint.whole import WHOLE_CHECKS

__all__ = ["CHECKS", "LintCheck", "LintFinding", "Place", "Severity", "lint"]

CHECKS: tuple[LintCheck, ...] = (*WHOLE_CHECKS, *DEMAND_CHECKS, *CODE_CHECKS)
"""All checks, in the order in which they are listed."""

_OFF = re.compile(r"<!--[ \t]*(?:promptop[ \t]+)?lint-off[ \t]*:?[ \t]*(?P<rules>[\w, \t-]*?)[ \t]*-->")


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One remark and its place."""

    rule: str
    severity: Severity
    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    message: str
    start: int
    """Offset in characters of what it is about."""
    end: int
    sentence: str
    """The sentence that it is about; empty if it is about the whole prompt."""


def lint(text: str, select: Iterable[str] = (), *, off: Iterable[str] = ()) -> list[LintFinding]:
    """Return the remarks about a prompt, by line; those of the rules ``off`` and those silenced in it are left out.

    Raises :class:`UsageError` for a rule that does not exist, :class:`PromptopError` for broken front matter.
    """
    wanted, without = set(select), set(off)
    known = {check.id for check in CHECKS}
    if unknown := (wanted | without) - known:
        raise UsageError(f"There is no lint rule {min(unknown)!r}.", f"Rules: {', '.join(sorted(known))}.")
    prompt = parse(text)
    structure = read_structure(text)
    silenced = _silenced(text, prompt)
    found = []
    for check in CHECKS:
        if check.id in without or (wanted and check.id not in wanted):
            continue
        for place in check.look(structure, prompt):
            line = text.count("\n", 0, place.start) + 1
            rules = silenced.get(0, set()) | silenced.get(line, set())
            if check.id not in rules and "all" not in rules:
                found.append(_finding(check, structure, place, line))
    return sorted(found, key=lambda each: (each.line, each.rule, each.start))


def _finding(check: LintCheck, structure: Structure, place: Place, line: int) -> LintFinding:
    text = structure.text
    column = place.start - (text.rfind("\n", 0, place.start) + 1) + 1
    sentence = ""
    if place.end > place.start:
        sentence = next(
            (text[start:end] for _, start, end in structure.sentences if start <= place.start < end),
            text[text.rfind("\n", 0, place.start) + 1 :].split("\n", 1)[0],
        )
    return LintFinding(
        check.id, check.severity, line, column, place.message, place.start, place.end, " ".join(sentence.split())
    )


def _silenced(text: str, prompt: Prompt) -> dict[int, set[str]]:
    """Return the rules that are off by line; 0 stands for the whole prompt."""
    found: dict[int, set[str]] = {}
    front = prompt.front.get("lint-off", prompt.front.get("lint_off"))
    if isinstance(front, str):
        found[0] = {name.strip() for name in front.split(",")}
    elif isinstance(front, list):
        found[0] = {str(name) for name in front}
    body = text[: prompt.body_start].count("\n") + 1
    for comment in _OFF.finditer(text, prompt.body_start):
        rules = {name.strip() for name in comment["rules"].split(",") if name.strip()} or {"all"}
        line = text.count("\n", 0, comment.start()) + 1
        stands_alone = text[text.rfind("\n", 0, comment.start()) + 1 : comment.start()].strip() == ""
        places = (0,) if line == body and stands_alone else (line, line + 1)
        for at in places:
            found.setdefault(at, set()).update(rules)
    return found
