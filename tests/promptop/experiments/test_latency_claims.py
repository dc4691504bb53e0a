"""The claim lab: arms that differ in one thing, and verdicts that say no more than was seen."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from promptop.base.errors import UsageError
from promptop.client.http.timings import Stages
from promptop.client.result import CallUsage, RunResult
from promptop.experiments.latency_claims import CLAIMS, LONGER, NAMES, ClaimsRun, judge, superiority
from promptop.log import Writer

Ask = Callable[..., Any]
CLAIM = {claim.name: claim for claim in CLAIMS}


def answers(
    seed: int, ttft: float, n: int = 12, tokens: int = 40, http: str = "HTTP/2", **values: Any
) -> list[RunResult]:
    rng = random.Random(seed)
    return [
        RunResult(
            "m",
            "m",
            "m",
            "text",
            "done",
            ttft_s=(first := ttft * rng.uniform(0.9, 1.1)),
            duration_s=first + tokens / 100,
            total_s=first + tokens / 100,
            usage=CallUsage(values.pop("input", 10) if "input" in values else 10, tokens, 0, 0, "reported"),
            stages=Stages(http_version=http),
            connection_reused=True,
            **values,
        )
        for _ in range(n)
    ]


def test_arms_differ_in_the_one_thing_that_is_claimed(ask: Ask) -> None:
    run = ClaimsRun(ask(max_tokens=80), [], 5)
    by_title = {arm.title: arm for arm in run.trial.arms}
    limits = {title: arm.request.max_tokens for title, arm in by_title.items()}
    assert {limit for title, limit in limits.items() if title != "max_tokens 20"} == {80}
    assert by_title["temperature 1"].request.temperature == 1.0
    assert not by_title["in one piece"].streamed
    assert not by_title["HTTP/1.1"].request.profile.http2
    assert by_title["a connection for each call"].request.profile.keep_alive == 0
    prompt, longer = by_title["the prompt"], by_title[f"the prompt + {LONGER:,} tokens"]
    assert prompt.nonce and longer.nonce
    assert longer.request.messages[0]["content"].endswith(prompt.request.messages[0]["content"])
    # What needs no arm of its own is asked once: the plain request serves five of the seven claims.
    assert len(run.trial.arms) == 10
    assert all(arm.request.retries == 0 for arm in run.trial.arms)


def test_the_longer_prompt_costs_more_and_is_priced_so(ask: Ask) -> None:
    prompt = ClaimsRun(ask(max_tokens=8), ["prompt"], 5).trial.estimate()
    plain = ClaimsRun(ask(max_tokens=8), ["streaming"], 5).trial.estimate()
    assert prompt.calls == plain.calls == 12
    assert prompt.usd is not None and plain.usd is not None and prompt.usd > 5 * plain.usd


def test_a_difference_is_said_with_its_size_and_none_is_said_plainly() -> None:
    found = judge(CLAIM["prompt"], ("a", "b"), answers(1, 0.2), answers(2, 0.4), 0.99)
    assert found.verdict == "changes"
    first = found.found[0]
    assert (first.difference.metric.key, first.superiority, first.said()) == (
        "ttft_s",
        1.0,
        "; slower in 100 % of pairs",
    )
    assert found.sentences()[0] == "Does a longer prompt change latency? yes, measurably"
    same = judge(CLAIM["prompt"], ("a", "b"), answers(1, 0.2), answers(3, 0.2), 0.99)
    assert same.verdict == "no measurable difference"
    assert "no measurable difference (within" in same.sentences()[2]


def test_many_claims_at_once_find_nothing_by_chance() -> None:
    rng = random.Random(8)
    wide = narrow = 0
    for _ in range(8):
        left = answers(rng.randrange(10**6), 0.2, n=8)
        right = answers(rng.randrange(10**6), 0.2, n=8)
        narrow += judge(CLAIM["connection"], ("a", "b"), left, right, 0.5).verdict == "changes"
        wide += judge(CLAIM["connection"], ("a", "b"), left, right, 1 - 0.05 / 18).verdict == "changes"
    assert wide == 0 < 2 < narrow


def test_what_an_endpoint_does_not_do_is_not_testable() -> None:
    left = answers(1, 0.2, http="HTTP/1.1")
    http = judge(CLAIM["http2"], ("a", "b"), left, answers(2, 0.4, http="HTTP/1.1"), 0.95)
    assert (http.verdict, http.found) == ("not testable", ())
    assert "answered with HTTP/1.1" in http.note
    assert judge(CLAIM["http2"], ("a", "b"), left, answers(2, 0.4), 0.95).verdict == "changes"
    refused = answers(3, 0.2, changes=("temperature not sent: o3 does not take it",))
    assert judge(CLAIM["temperature"], ("a", "b"), refused, refused, 0.95).verdict == "not testable"
    assert judge(CLAIM["connection"], ("a", "b"), left, answers(2, 0.2, n=3), 0.95).verdict == "too few"
    assert judge(CLAIM["connection"], ("a", "b"), left, [], 0.95).verdict == "too few"


def test_superiority_counts_ties_half() -> None:
    assert superiority([1, 2], [2, 3]) == 0.875
    assert superiority([1], [1]) == 0.5


def test_names_are_checked(ask: Ask) -> None:
    with pytest.raises(UsageError, match="no claim 'magic'"):
        ClaimsRun(ask(), ["magic"], 5)
    with pytest.raises(UsageError, match="3 rounds"):
        ClaimsRun(ask(), ["stop"], 3)
    assert len(NAMES) == 7


async def test_claims_are_tested_against_an_endpoint(log: Writer, ask: Ask) -> None:
    run = ClaimsRun(ask(max_tokens=40), ["max_tokens", "streaming", "http2"], 5)
    outcome = await run.work({"log": log.path})
    by_name = {finding.claim: finding for finding in outcome.findings}
    assert "output 40 → 10 tokens" in by_name["max_tokens"].note
    assert by_name["streaming"].found[0].difference.metric.name == "first text"
    assert by_name["http2"].verdict == "not testable"  # plain HTTP
    assert outcome.answered == 5 * len(run.trial.arms)
    assert outcome.footnote() == "Intervals of 99.29 %, since 7 differences are judged at once."
    assert outcome.spent_usd > 0
