from __future__ import annotations

from typing import Any

import pytest

from promptop.budget.estimate import CostEstimate, ceiling, together
from promptop.client.request import RunRequest, text_of
from promptop.settings import Profile


def request(model: str, **values: Any) -> RunRequest:
    return RunRequest(profile=Profile(), model=model, messages=[{"role": "user", "content": "x"}], **values)


def test_the_most_that_calls_can_cost() -> None:
    found = ceiling([request("gpt-4o", max_tokens=500)], lambda _: 992, calls_each=3)
    assert (found.calls, found.open) == (3, ())
    assert 3 * 992 < found.input_tokens < 3 * 1050
    assert found.usd == pytest.approx(3 * 0.0075, rel=0.02)  # 1000 in, 500 out
    assert str(found).startswith("3 calls, at most $0.02")


def test_what_is_likely_stands_before_the_most() -> None:
    found = ceiling([request("gpt-4o")], lambda _: 992, lengths={"gpt-4o": 100.0})
    assert found.likely_usd is not None and found.usd is not None
    assert found.likely_usd < found.usd / 10
    assert "(lengths from the log), at most" in str(found)
    assert together([found, CostEstimate(1, 0, 1.0)]).likely_usd is None


def test_without_a_limit_the_models_own_counts() -> None:
    limited = ceiling([request("gpt-4o", max_tokens=100)], lambda _: 10).usd
    unlimited = ceiling([request("gpt-4o")], lambda _: 10).usd
    assert limited is not None and unlimited is not None
    assert unlimited > 10 * limited


def test_what_has_no_price_is_named_and_not_taken_for_nothing() -> None:
    mixed = ceiling([request("gpt-4o", max_tokens=5), request("my-own", max_tokens=5)], lambda _: 10)
    assert mixed.usd is not None
    assert mixed.open == ("my-own",)
    assert "+ 1 unknown" in str(mixed)
    alone = ceiling([request("my-own", max_tokens=5)], lambda _: 10)
    assert alone.usd is None
    assert str(alone) == "1 call, no known price"


def test_only_text_is_counted() -> None:
    parts = [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": "x"}}]
    messages: list[dict[str, Any]] = [{"content": "a"}, {"content": parts}, {"content": None}]
    assert text_of(messages) == "a\nb"
