"""The routing policy: rules of the settings, and the facts that they are asked with."""

from __future__ import annotations

import json

import pytest

from promptop.base.errors import UsageError
from promptop.routing.policy import (
    KEPT,
    Policy,
    RequestFacts,
    complexity_of,
    facts_of_row,
    parse_rule,
    policy_of,
    tier_rules,
)
from promptop.settings import EditorSettings, RoutingSettings, Settings


def facts(model: str = "big", **more: object) -> RequestFacts:
    return RequestFacts(model, **more)  # type: ignore[arg-type]


def test_the_first_rule_that_holds_decides() -> None:
    policy = Policy((parse_rule("prompt=greet* -> tiny"), parse_rule("complexity<0.3 and model=big -> small")))
    assert policy.decide(facts(prompt="greeting", complexity=0.9)).model == "tiny"
    small = policy.decide(facts(prompt="report", complexity=0.1))
    assert (small.model, small.asked, small.changes) == ("small", "big", True)
    assert small.rule == "complexity<0.3 model=big -> small"
    kept = policy.decide(facts(prompt="report", complexity=0.3))
    assert (kept.model, kept.rule, kept.changes) == ("big", KEPT, False)


def test_a_fact_that_is_not_known_holds_for_no_condition() -> None:
    for text in ("prompt=* -> m", "prompt!=x -> m", "tag.team!=ops -> m", "complexity>=0 -> m", "app=* -> m"):
        assert Policy((parse_rule(text),)).decide(facts()).rule == KEPT, text


def test_tags_and_apps_are_compared_as_text() -> None:
    policy = Policy((parse_rule("tag.tier=3 app!=batch* -> small"),))
    assert policy.decide(facts(tags={"tier": 3}, app="web")).model == "small"
    assert policy.decide(facts(tags={"tier": 3}, app="batch-night")).model == "big"


@pytest.mark.parametrize(
    ("score", "model"), [(0.0, "a"), (0.29, "a"), (0.3, "big"), (0.6, "c"), (0.89, "c"), (0.9, "d")]
)
def test_tiers_are_rules_by_complexity(score: float, model: str) -> None:
    policy = Policy(tier_rules(("a", "", "c", "d")))
    assert policy.decide(facts(complexity=score)).model == model


def test_fewer_tiers_leave_the_hard_tasks_alone() -> None:
    policy = Policy(tier_rules(("a",)))
    assert [policy.decide(facts(complexity=each)).model for each in (0.1, 0.5)] == ["a", "big"]


def test_the_settings_rules_come_before_their_tiers() -> None:
    routing = RoutingSettings(tiers=("small", "middle"), rules=("prompt=legal -> careful",))
    policy = policy_of(Settings(routing=routing, editor=EditorSettings(tier_medium=0.5)))
    assert policy.needs_complexity
    assert policy.decide(facts(prompt="legal", complexity=0.1)).model == "careful"
    assert policy.decide(facts(complexity=0.45)).model == "small"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("complexity<0.3", "names no model"),
        ("complexity<0.3 -> a b", "names no model"),
        ("-> m", "has no condition"),
        ("complexity<3 -> m", "compares complexity with '3'"),
        ("complexity=0.3 -> m", "compares complexity"),
        ("prompt<a -> m", "compares prompt by '<'"),
        ("colour=red -> m", "not understood: 'colour=red'"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rule(text)
    assert says in str(caught.value)


def test_routing_without_a_rule_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="name no rule"):
        policy_of(Settings())


def test_a_long_conversation_does_not_make_a_short_question_hard() -> None:
    hard = "Build a distributed cache: 1000 lines of code, 20 files."
    assert complexity_of([("user", hard)]) == pytest.approx(0.7)
    assert complexity_of([("user", hard), ("assistant", "done"), ("user", "Thanks. What is its name?")]) == 0
    assert complexity_of([("system", hard), ("user", "Begin.")]) == pytest.approx(0.7)
    assert complexity_of([]) is None


def test_a_routed_row_is_judged_by_the_model_that_was_asked_for() -> None:
    row = {"request_model": "small", "routed_from": "big", "tags": json.dumps({"team": "ops"}), "task_complexity": 0.2}
    found = facts_of_row(row)
    assert (found.model, found.tags, found.complexity, found.prompt) == ("big", {"team": "ops"}, 0.2, None)
    assert facts_of_row({"request_model": "m", "tags": "no json"}).tags == {}
