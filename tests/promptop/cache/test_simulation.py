"""What a log says a cache would have saved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptop.cache import Policy
from promptop.cache.simulation import LoggedRequest, Variant, VariantOutcome, history, simulate, vectors
from promptop.log import Row


def asked(*pairs: tuple[float, int], cost: float | None = 0.5) -> list[LoggedRequest]:
    return [LoggedRequest(round(at * 1000), key, cost) for at, key in pairs]


def one(requests: list[LoggedRequest], ttl_s: float | None = None, size: int | None = None) -> VariantOutcome:
    (outcome,) = simulate(requests, [Variant(ttl_s, size)])
    return outcome


def row(at_s: float, prompt: str = "p", **values: object) -> Row:
    made = Row(
        started_ms=round(at_s * 1000),
        operation_name="chat",
        request_model="gpt-4o",
        request_temperature=0.0,
        prompt_hash=prompt,
        http_response_status_code=200,
        cost_usd=0.5,
    )
    for name, value in values.items():
        setattr(made, name, value)
    return made


def test_an_entry_lasts_from_the_call_that_filled_it() -> None:
    requests = asked((0, 1), (6, 1), (11, 1), (16, 1), (30, 1))
    assert one(requests, ttl_s=10).hits == 2  # 6 by the first; 11 fetches anew, 16 by that; 30 fetches again
    assert one(requests, ttl_s=5).hits == 0  # at its very end an entry may no longer be given
    outcome = one(requests)
    assert (outcome.hits, outcome.asked, outcome.saved_usd, outcome.ratio) == (4, 5, 2.0, 0.8)


def test_a_small_cache_drops_what_was_used_longest_ago() -> None:
    requests = asked((0, 1), (1, 2), (2, 1), (3, 3), (4, 1), (5, 2))
    outcome = one(requests, size=2)
    assert (outcome.hits, outcome.most_entries) == (2, 2)
    assert one(requests, size=3).hits == 3
    assert one(requests, size=1).hits == 0


def test_failed_answers_fill_nothing_and_unknown_costs_are_counted() -> None:
    failing = [LoggedRequest(0, 1, None, kept=False), LoggedRequest(1000, 1, 0.25), LoggedRequest(2000, 1, None)]
    outcome = one(failing)
    assert (outcome.hits, outcome.saved_usd, outcome.unpriced) == (1, 0.0, 1)
    assert one([]).ratio is None


def test_only_what_a_cache_would_be_asked_is_replayed() -> None:
    rows = [
        row(0),
        row(1, request_temperature=None),
        row(2, request_temperature=0.7),
        row(3, request_tools=2),
        row(4, request_choice_count=3),
        row(5, prompt_hash=None),
        row(6, operation_name="embeddings", request_temperature=None),
    ]
    found = history(rows)
    assert [each.at_ms for each in found.asked] == [0, 6000]
    assert found.refused.total() == 5
    assert found.refused["sampled: temperature above 0 or not given"] == 2
    assert len(history(rows, Policy(any_temperature=True, tools=True)).asked) == 5


def test_requests_differ_by_every_logged_parameter() -> None:
    changes = {
        "request_model": "gpt-4o-mini",
        "request_max_tokens": 5,
        "request_seed": 7,
        "request_stream": 1,
        "server_address": "elsewhere",
        "request_stop_sequences": '["x"]',
        "prompt_hash": "q",
    }
    rows = [row(0), *(row(1, **{name: value}) for name, value in changes.items())]
    assert len({each.key for each in history(rows).asked}) == len(rows)
    assert len({each.key for each in history([row(0), row(9)]).asked}) == 1


def test_the_caches_own_keys_count_where_they_are_logged() -> None:
    before = row(0)
    fetched = row(1, cache_key="aa", cache_level="miss", request_temperature=None)
    before.request_temperature = None
    hit = row(2, cache_key="aa", cache_level="memory", cost_usd=0.0, saved_usd=0.3, request_temperature=None)
    other = row(3, cache_key="bb", cache_level="miss", request_temperature=None)
    found = history([other, hit, fetched, before], Policy(any_temperature=True))
    assert [each.at_ms for each in found.asked] == [0, 1000, 2000, 3000]
    first, second, third, fourth = found.asked
    assert second.key == third.key != fourth.key
    assert found.exact == 3
    assert third.cost_usd == 0.3
    assert found.spent_usd == 0.5 + 0.5 + 0.3 + 0.5
    # One of the two keys is taken for what was asked before keys were logged; the other stays apart.
    assert first.key in (second.key, fourth.key)


def test_calls_that_the_cache_was_asked_for_are_replayed_whatever_the_policy_now() -> None:
    found = history([row(0, cache_key="aa", cache_level="miss", request_temperature=0.9)])
    assert len(found.asked) == 1


def test_thresholds_answer_other_wordings_of_prompts_that_the_log_has_kept() -> None:
    texts = {
        "p1": "how do I sort a list",
        "p2": "how can I sort a list?",
        "p3": "how do I sort a set",
        "p4": "how can I sort a list?",
    }
    near = {
        "how do I sort a list": (1.0, 0.0),
        "how can I sort a list?": (0.95, 0.31),
        "how do I sort a set": (1.0, 0.01),
    }

    def body_of(row: Row) -> str | None:
        text = texts.get(row.prompt_hash or "")
        body = {"model": row.request_model, "temperature": 0, "messages": [{"role": "user", "content": text}]}
        return json.dumps(body) if text else None

    def call(minute: float, prompt: str, **values: Any) -> Row:
        known: dict[str, Any] = {"request_model": "gpt-4o", "request_temperature": 0.0, "cost_usd": 0.01, **values}
        return Row(started_ms=round(minute * 60_000), operation_name="chat", prompt_hash=prompt, **known)

    rows = [call(0, "p1"), call(1, "p2"), call(2, "p3"), call(3, "p4", request_model="gpt-4o-mini"), call(200, "p2")]
    for row in rows:
        row.url_path = "/v1/chat/completions"
    found = history([*rows, call(4, "not kept")], body_of=body_of)
    assert (len(found.asked), found.worded) == (6, 5)
    progress: list[tuple[int, int]] = []
    known = vectors(found.asked, near.__getitem__, lambda done, total: progress.append((done, total)))
    assert progress == [(1, 3), (2, 3), (3, 3)]
    variants = [Variant(None), Variant(None, None, 0.9), Variant(None, None, 0.99), Variant(3600.0, None, 0.9)]
    outcomes = simulate(found.asked, variants, known)
    assert [(o.hits, o.similar) for o in outcomes] == [(1, 0), (2, 2), (1, 0), (1, 1)]
    assert outcomes[1].saved_usd == pytest.approx(0.02)
