"""The routing policy in the proxy: the model that goes upstream, and the decision in the row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from promptop.base.errors import UsageError
from promptop.cli import main as cli
from promptop.routing.policy import Policy, parse_rule
from promptop.settings import CacheSettings
from promptop.simulator import SimulatedEndpoint


def test_calls_are_routed_before_the_cache_is_asked(serve: Callable[..., Any]) -> None:
    policy = Policy((parse_rule("tag.team=ops -> sim-slow"), parse_rule("complexity<0.3 -> sim-fast")))
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        served = serve(endpoint.base_url, cache=CacheSettings(disk=False), routing=policy)
        with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as sdk:
            for model in ("gpt-4o", "sim-fast"):
                stream = sdk.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": "Hi"}], temperature=0, max_tokens=5, stream=True
                )
                assert {chunk.model for chunk in stream} == {"sim-fast"}
        rows = served.rows(2)
        assert len(endpoint.requests) == 1
    assert [row.request_model for row in rows] == ["sim-fast", "sim-fast"]
    assert [row.routed_from for row in rows] == ["gpt-4o", "sim-fast"]
    assert {row.route_rule for row in rows} == {"complexity<0.3 -> sim-fast"}
    assert [row.cache_level for row in rows] == ["miss", "memory"]
    assert rows[0].cache_lookup_s is not None and rows[0].usage_source == "reported"


def test_the_command_needs_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["proxy", "--route", "--upstream", "http://127.0.0.1:1/v1"]) == UsageError.exit_code
    assert "name no rule" in capsys.readouterr().err
