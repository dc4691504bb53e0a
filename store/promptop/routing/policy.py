"""The routing policy: rules of the settings, asked in order; the first that holds names the model.

A rule is conditions and a model: ``prompt=greet* tag.team=ops -> gpt-4o-mini``, ``complexity<0.3 -> qwen-turbo``. Tiers
are rules by complexity, written as up to four models, simplest first. What is decided depends on nothing but the facts
of one request (:class:`RequestFacts`), so that a request on its way and a row of the log are judged by the same hand.
A rule that needs a fact which is not known does not hold: nothing is routed on a guess.
"""

from __future__ import annotations

import fnmatch
import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.prompts.complexity import THRESHOLDS, TIERS, points, read

if TYPE_CHECKING:
    from promptop.log.row import Row
    from promptop.settings import Settings

KEPT = "no rule"
"""``route_rule`` of a request that no rule holds for: it keeps its model."""
SCORED_CHARS = 4096
"""Characters of a task that are read for its complexity, half from its beginning and half from its end: the patterns
take 0.2 ms for 300 characters and 2 ms for this many, of each call."""
_TURNS = frozenset({"user", "tool", "assistant", "model", "function"})
"""Roles that are no instructions."""
_NAMES = ("model", "prompt", "app")
_CONDITION = re.compile(r"(?P<name>complexity|model|prompt|app|tag\.[^\s=!<>]+)(?P<sign>!=|<=|>=|=|<|>)(?P<value>\S+)")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FORM = "Write CONDITIONS -> MODEL, for example: complexity<0.3 -> gpt-4o-mini, or prompt=greet* tag.team=ops -> MODEL."


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What is known of a request."""

    model: str
    """The model that the caller names."""
    prompt: str | None = None
    """Its prompt's name in the library."""
    app: str | None = None
    tags: Mapping[str, object] = field(default_factory=dict)
    complexity: float | None = None
    """Score of its task, 0 … 1; None where the prompt is not at hand."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one request."""

    model: str
    """The model that it is sent to."""
    asked: str
    """The model that the caller named."""
    rule: str = KEPT
    """The rule that decided, as it is written."""

    @property
    def changes(self) -> bool:
        """Whether another model is asked than the one that was named."""
        return self.model != self.asked


@dataclass(frozen=True, slots=True)
class Condition:
    """One fact compared with a value; ``*`` in a name's value is any text."""

    name: str
    sign: str
    value: str

    def holds(self, facts: RequestFacts) -> bool:
        """Whether it holds; a fact that is not known holds for nothing, negated or not."""
        if self.name == "complexity":
            return facts.complexity is not None and _SIGNS[self.sign](facts.complexity, float(self.value))
        known = facts.tags.get(self.name[4:]) if self.name.startswith("tag.") else getattr(facts, self.name)
        if known is None:
            return False
        return fnmatch.fnmatchcase(str(known), self.value) == (self.sign == "=")


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions that must all hold, and the model that is asked then."""

    conditions: tuple[Condition, ...]
    model: str

    def __str__(self) -> str:
        return " ".join(f"{each.name}{each.sign}{each.value}" for each in self.conditions) + f" -> {self.model}"


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in the order in which they are asked."""

    rules: tuple[Rule, ...]

    @property
    def needs_complexity(self) -> bool:
        """Whether a rule asks for the complexity of the task, which has to be read from the prompt."""
        return any(each.name == "complexity" for rule in self.rules for each in rule.conditions)

    def decide(self, facts: RequestFacts) -> Decision:
        """Return the model for a request, and the rule that names it."""
        for rule in self.rules:
            if all(condition.holds(facts) for condition in rule.conditions):
                return Decision(rule.model, facts.model, str(rule))
        return Decision(facts.model, facts.model)


def parse_rule(text: str) -> Rule:
    """Read one rule; raise :class:`UsageError` that says what is wrong with it."""
    shown = repr(clean_line(text, 80))
    left, arrow, model = text.partition("->")
    model = model.strip()
    if not arrow or not model or len(model.split()) != 1:
        raise UsageError(f"The routing rule {shown} names no model.", _FORM)
    conditions = []
    for word in left.split():
        if word == "and":
            continue
        found = _CONDITION.fullmatch(word)
        if found is None:
            raise UsageError(
                f"The routing rule {shown} has a condition that is not understood: {clean_line(word, 40)!r}.", _FORM
            )
        conditions.append(_condition(shown, found["name"], found["sign"], found["value"]))
    if not conditions:
        raise UsageError(f"The routing rule {shown} has no condition.", f"model=* holds always. {_FORM}")
    return Rule(tuple(conditions), model)


def _condition(shown: str, name: str, sign: str, value: str) -> Condition:
    if name == "complexity":
        try:
            is_score = sign in _SIGNS and 0 <= float(value) <= 1
        except ValueError:
            is_score = False
        if not is_score:
            raise UsageError(
                f"The routing rule {shown} compares complexity with {value!r}.",
                "Complexity is a score from 0 to 1: complexity<0.3, complexity>=0.6.",
            )
    elif sign not in ("=", "!="):
        raise UsageError(f"The routing rule {shown} compares {name} by {sign!r}.", "Names are compared by = and !=.")
    return Condition(name, sign, value)


def tier_rules(models: Sequence[str], thresholds: Sequence[float] = THRESHOLDS) -> tuple[Rule, ...]:
    """Return the rules of tiers: ``models`` simplest first; an empty name leaves its tier to the model asked for.

    A list shorter than the tiers leaves the hard ones alone. Raises :class:`UsageError` for more models than tiers.
    """
    if len(models) > len(TIERS):
        raise UsageError(f"There are {len(models)} tier models and {len(TIERS)} tiers.", f"Tiers: {', '.join(TIERS)}.")
    limits = sorted(thresholds)[: len(TIERS) - 1]
    rules = []
    for at, model in enumerate(models):
        if not model:
            continue
        within = [Condition("complexity", ">=", f"{limits[at - 1]:g}")] if at else []
        if at < len(limits):
            within.append(Condition("complexity", "<", f"{limits[at]:g}"))
        rules.append(Rule(tuple(within), model))
    return tuple(rules)


def policy_of(settings: Settings) -> Policy:
    """Return the policy of the settings: their rules, then their tiers.

    Raises :class:`UsageError` for a rule that cannot be read, and where there is none.
    """
    routing, editor = settings.routing, settings.editor
    thresholds = (editor.tier_medium, editor.tier_complex, editor.tier_expert)
    rules = (*map(parse_rule, routing.rules), *tier_rules(routing.tiers, thresholds))
    if not rules:
        raise UsageError(
            "Routing is asked for, and the settings name no rule.",
            'Write tiers = ["SMALL", "MEDIUM", …] or rules = ["complexity<0.3 -> SMALL"] in [routing].',
        )
    return Policy(rules)


def task_of(texts: Sequence[tuple[str, str]]) -> str:
    """Return the task in messages, (role, text) each: the instructions and the last turn of the user.

    What was said before is context: a long conversation does not make a short question hard.
    """
    last = max((at for at, (role, _) in enumerate(texts) if role == "user"), default=-1)
    parts = [text for at, (role, text) in enumerate(texts) if at == last or role not in _TURNS]
    return "\n".join(parts)


def complexity_of(texts: Sequence[tuple[str, str]]) -> float | None:
    """Return the score of the task in messages; None where they hold no text."""
    task = task_of(texts)
    if not task.strip():
        return None
    half = SCORED_CHARS // 2
    return points(read(task if len(task) <= SCORED_CHARS else f"{task[:half]}\n{task[-half:]}"))


def facts_of_row(row: Row | Mapping[str, Any]) -> RequestFacts:
    """Return the facts of a logged request, as they were before any routing."""
    get = row.get if isinstance(row, Mapping) else lambda name: getattr(row, name)
    try:
        tags = json.loads(get("tags") or "{}")
    except ValueError:
        tags = {}
    return RequestFacts(
        model=get("routed_from") or get("request_model") or "",
        prompt=get("prompt_name"),
        app=get("app"),
        tags=tags if isinstance(tags, dict) else {},
        complexity=get("task_complexity"),
    )
