"""Fewer rounds of a conversation: in the proxy that shortens it on its way, and in run and compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from promptop.base.errors import UsageError
from promptop.cli import main as cli
from promptop.cli.shared.conversation import shortened
from promptop.simulator import SimulatedEndpoint

TALK: list[Any] = [
    {"role": "user", "content": "What is a token?"},
    {"role": "assistant", "content": "A piece of a word."},
    {"role": "user", "content": "And a prompt?"},
    {"role": "assistant", "content": "What a model is given."},
    {"role": "user", "content": "Give an example."},
]
FILE = "system:\nBe brief.\n\n" + "\n\n".join(f"{each['role']}:\n{each['content']}" for each in TALK) + "\n"


def test_the_proxy_leaves_rounds_out(serve: Callable[..., Any]) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        served = serve(endpoint.base_url, shorten=partial(shortened, keep=1, older="dropped"))
        with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as sdk:
            messages = [{"role": "system", "content": "Be brief."}, *TALK]
            sdk.chat.completions.create(model="sim-fast", messages=messages, max_tokens=5)
            sdk.chat.completions.create(model="sim-fast", messages=messages[-1:], max_tokens=5)
        sent = [json.loads(each.body)["messages"] for each in endpoint.requests]
    assert [len(each) for each in sent] == [4, 1]
    assert sent[0] == [messages[0], *TALK[2:]]


def test_a_summary_goes_where_anthropic_has_instructions(serve: Callable[..., Any]) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        served = serve(endpoint.base_url, shorten=partial(shortened, keep=0, older="summary"))
        with anthropic.Anthropic(base_url=served.base_url.removesuffix("/v1"), api_key="k", max_retries=0) as sdk:
            sdk.messages.create(model="sim-fast", max_tokens=5, system="Be brief.", messages=TALK)
        (request,) = endpoint.requests
    sent = json.loads(request.body)
    assert sent["messages"] == TALK[-1:]
    assert [block["text"].splitlines()[0] for block in sent["system"]] == [
        "Be brief.",
        "Earlier in this conversation, in short:",
    ]


@pytest.mark.parametrize(("context", "count"), [("dropped", 4), ("summary", 4), ("keyword", 4)])
def test_run_sends_the_last_rounds(
    context: str, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "talk.md"
    file.write_text(FILE, encoding="utf-8")
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        words = ["-m", "sim-fast", "--max-tokens", "5", "--rounds", "1", "--context", context]
        words += ["--base-url", endpoint.base_url, "--log", str(tmp_path / "log.db")]
        assert cli.main(["run", str(file), *words]) == 0
        sent = json.loads(endpoint.requests[-1].body)["messages"]
    assert len(sent) == count
    assert [each["content"] for each in sent[1:]] == [each["content"] for each in TALK[2:]]
    assert ("in short" in sent[0]["content"]) is (context == "summary")
    assert f"1 of 2 earlier rounds are sent whole; the others: {context}" in capsys.readouterr().err


def test_a_number_below_0_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["proxy", "--rounds", "-1", "--upstream", "http://127.0.0.1:1/v1"]) == UsageError.exit_code
    assert "--rounds -1 is not valid" in capsys.readouterr().err
