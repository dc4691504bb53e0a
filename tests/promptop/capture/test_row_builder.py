"""Rows of answers that are no plain chat: what is charged, what is counted once, and what is not an answer at all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

import promptop
from promptop.capture.parse import row_builder
from promptop.log import Row, Writer

ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Name a river."}]}
Send = Callable[..., Row]


@pytest.fixture
def send(tmp_path: Path) -> Send:
    """Return what sends one request through an observed client and gives its row."""
    path = tmp_path / "log.db"

    def sent(
        url: str,
        answer: Any,
        *,
        body: Any = None,
        method: str = "POST",
        kind: str = "application/json",
        status: int = 200,
    ) -> Row:
        content = answer if isinstance(answer, str) else json.dumps(answer)
        transport = httpx2.MockTransport(
            lambda _: httpx2.Response(status, headers={"content-type": kind}, content=content.encode())
        )
        with Writer(path) as writer:
            client = promptop.observe(httpx2.Client(transport=transport), log=writer)
            client.request(method, f"http://h.example{url}", json=(body or ASK) if method == "POST" else None).read()
            assert writer.flush()
        connection = sqlite3.connect(path)
        connection.row_factory = sqlite3.Row
        found = dict(connection.execute("SELECT * FROM requests ORDER BY id DESC LIMIT 1").fetchone())
        connection.close()
        found.pop("id")
        return Row(**found)

    return sent


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ("<html><title>Sign in</title></html>", "text/html", "an HTML page: Sign in"),
        ("OK", "text/plain", "text that is not JSON"),
        ("", "application/json", "nothing"),
        ({"status": "ok"}, "application/json", "JSON that is not an answer: status"),
        ("[]", "application/json", "JSON of no known form"),
    ],
)
def test_what_is_no_answer_under_200_is_a_failure(send: Send, answer: Any, kind: str, said: str) -> None:
    row = send("/v1/chat/completions", answer, kind=kind)
    assert row.error_type == "unexpected_content"
    assert row.error_message is not None
    assert row.error_message.endswith(said)
    assert (row.cost_usd, row.cost_status) == (None, None)


def test_foreign_json_is_not_repeated_in_the_row(send: Send) -> None:
    row = send("/v1/chat/completions", {"reply": "a private answer"})
    assert "private" not in json.dumps([getattr(row, name) for name in row.__slots__], default=str)


def test_what_has_no_known_price_is_unpriced_and_never_free(send: Send) -> None:
    for url, body, answer in (
        ("/v1/images/generations", {"model": "dall-e-3", "prompt": "a cup"}, {"created": 1, "data": []}),
        ("/v2/rerank", {"model": "rerank-v3.5", "query": "a"}, {"meta": {"billed_units": {"search_units": 1}}}),
        ("/v1/audio/speech", {"model": "gpt-4o-mini-tts", "input": "hello"}, {}),
    ):
        row = send(url, answer, body=body)
        assert (row.cost_usd, row.cost_status) == (None, "unpriced"), url
    free = send("/v1/moderations", {"results": []}, body={"model": "omni-moderation-latest", "input": "x"})
    assert (free.cost_usd, free.cost_status) == (None, None)


def test_speech_and_transcription_have_prices_of_their_own(send: Send) -> None:
    spoken = send("/v1/audio/speech", "mp3", body={"model": "tts-1", "input": "x" * 1000}, kind="audio/mpeg")
    assert (spoken.cost_usd, spoken.cost_status) == (0.015, "table")
    heard = send("/v1/audio/transcriptions", {"text": "hi", "duration": 60.0}, body={"model": "whisper-1"})
    assert (heard.cost_usd, heard.usage_output_tokens) == (pytest.approx(0.006), None)


def test_an_answer_in_the_background_is_counted_once(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"id": "resp_b", "object": "response", "model": "gpt-4o-mini", "background": True, "output": []}
    body = {"model": "gpt-4o-mini", "input": "hi", "background": True}
    receipt = send("/v1/responses", {**shape, "status": "queued", "usage": None}, body=body)
    assert (receipt.usage_output_tokens, receipt.cost_status) == (None, "unpriced")
    done = {**shape, "status": "completed", "usage": {"input_tokens": 1000, "output_tokens": 500}}
    first = send("/v1/responses/resp_b", done, method="GET")
    assert (first.usage_output_tokens, first.operation_name) == (500, "chat")
    assert first.cost_usd == pytest.approx(0.00045)
    again = send("/v1/responses/resp_b", done, method="GET")
    assert (again.usage_output_tokens, again.cost_usd) == (None, None)
    monkeypatch.setattr(row_builder, "_settled", type(row_builder._settled)())
    elsewhere = send("/v1/responses/resp_b", done, method="GET")
    assert elsewhere.usage_output_tokens is None, "another process finds it in the log"


def test_a_stored_answer_that_is_read_again_is_not_counted(send: Send) -> None:
    stored = {"id": "resp_s", "object": "response", "status": "completed", "model": "gpt-4o-mini", "output": []}
    stored["usage"] = {"input_tokens": 10, "output_tokens": 5}
    assert send("/v1/responses/resp_s", stored, method="GET").usage_output_tokens is None


def test_counts_that_cannot_be_are_ours(send: Send) -> None:
    said = {"choices": [{"index": 0, "message": {"content": "The Loire, then."}, "finish_reason": "stop"}]}
    for usage in (
        {"prompt_tokens": 9, "completion_tokens": -1},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": 9},
    ):
        row = send("/v1/chat/completions", {"model": "gpt-4o-mini", **said, "usage": usage})
        assert (row.usage_source, row.cost_status) == ("estimated", "estimated"), usage
        assert (row.usage_output_tokens or 0) > 1
        assert (row.cost_usd or 0) > 0


def test_an_estimate_without_its_input_has_no_price(send: Send) -> None:
    said = {"choices": [{"index": 0, "message": {"content": "The Loire."}, "finish_reason": "stop"}]}
    row = send("/v1/chat/completions", {"model": "gpt-4o-mini", **said}, body={"model": "gpt-4o-mini", "messages": []})
    assert (row.usage_input_tokens, row.cost_usd, row.cost_status) == (None, None, "unpriced")


def test_columns_of_json_stay_json(send: Send) -> None:
    said = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}
    usage = '{"prompt_tokens": 9, "completion_tokens": 2, "total_token": 1234567, "odd": NaN}'
    body = json.dumps({"model": "gpt-4o-mini", **said, "usage": 0}).replace('"usage": 0', f'"usage": {usage}')
    row = send("/v1/chat/completions", body)
    assert row.usage_raw is not None
    assert json.loads(row.usage_raw) == {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_token": 1234567,
        "odd": None,
    }


def test_the_words_of_an_error_stand_before_its_code(send: Send) -> None:
    error = {"error": {"message": "Nobody here knows the key that was sent", "code": "invalid_api_key"}}
    row = send("/v1/chat/completions", error, status=401)
    assert row.error_message is not None
    assert row.error_message.startswith("Nobody here knows")


def test_an_observed_client_keeps_what_its_class_overrides(tmp_path: Path) -> None:
    class Mine(httpx2.Client):
        calls = 0

        def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            type(self).calls += 1
            return super().send(request, **options)

        def __del__(self) -> None:
            type(self).calls = -1

    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json={}))
    with Writer(tmp_path / "log.db") as writer:
        mine = Mine(transport=transport)
        observed = promptop.observe(mine, log=writer)
        assert isinstance(observed, Mine)
        observed.post("http://h.example/v1/chat/completions", json=ASK)
        assert type(observed).calls == 1
        del observed
        assert Mine.calls != -1, "the copy does not close what the original still uses"
        mine.close()
