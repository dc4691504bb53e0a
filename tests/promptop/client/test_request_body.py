from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from promptop.client.http.endpoints import RefusedFields
from promptop.client.request import RunRequest
from promptop.client.request_body import body_of, find_model, repair
from promptop.settings import Profile


def request(model: str, **values: Any) -> RunRequest:
    return RunRequest(profile=Profile(), model=model, messages=[{"role": "user", "content": "hi"}], **values)


def refusal(message: str, param: str | None = None, code: str | None = None) -> Any:
    return SimpleNamespace(body={"message": message}, param=param, code=code, message=message)


def test_max_tokens_goes_into_the_field_that_the_model_takes() -> None:
    for model, field in (("gpt-4o", "max_tokens"), ("o3", "max_completion_tokens"), ("some-local", "max_tokens")):
        asked = request(model, max_tokens=7)
        body, changes = body_of(asked, find_model(asked), RefusedFields())
        assert body[field] == 7
        assert len([name for name in body if name.startswith("max_")]) == 1
        assert changes == []


def test_what_the_catalogue_knows_to_be_refused_is_not_sent_and_said() -> None:
    asked = request("o3", temperature=0.2, stop=("END",), seed=1)
    body, changes = body_of(asked, find_model(asked), RefusedFields())
    assert "temperature" not in body
    assert any("temperature" in change for change in changes)


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (refusal("Unsupported parameter", "seed", "unsupported_parameter"), "seed"),
        (refusal("Unrecognized request argument supplied: seed"), "seed"),
        (refusal("'stream_options' is not supported by this model"), "stream_options"),
        (refusal("Extra inputs are not permitted: top_p"), "top_p"),
    ],
)
def test_a_refused_field_is_dropped_and_remembered(error: Any, gone: str) -> None:
    asked, learned = request("m", seed=1, top_p=0.5, temperature=0.1), RefusedFields()
    body, _ = body_of(asked, None, learned)
    assert repair(body, error, learned, asked)
    body, changes = body_of(asked, None, learned)
    assert gone not in body
    assert {"seed", "top_p", "temperature"} - {gone} <= set(body)
    assert bool(changes) == (gone != "stream_options")


def test_max_tokens_is_renamed_before_it_is_dropped() -> None:
    asked, learned = request("m", max_tokens=5), RefusedFields()
    error = refusal(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens",
        "unsupported_parameter",
    )
    body, _ = body_of(asked, None, learned)
    assert repair(body, error, learned, asked)
    body, changes = body_of(asked, None, learned)
    assert body["max_completion_tokens"] == 5
    assert "max_tokens sent as max_completion_tokens" in changes[0]
    other = refusal("unknown field max_completion_tokens", "max_completion_tokens", "unknown_parameter")
    assert repair(body, other, learned, asked)
    body, changes = body_of(asked, None, learned)
    assert not [name for name in body if name.startswith("max_")]
    assert "not sent" in changes[0]
    assert not repair(body, other, learned, asked)


@pytest.mark.parametrize(
    "error",
    [
        refusal("Invalid 'temperature': decimal above maximum value.", "temperature", "decimal_above_max_value"),
        refusal("Your prompt was flagged.", None, "invalid_prompt"),
        refusal("model is not supported", "model", "unsupported_value"),
    ],
)
def test_a_wrong_value_is_no_reason_to_drop_a_field(error: Any) -> None:
    asked, learned = request("m", temperature=0.5), RefusedFields()
    body, _ = body_of(asked, None, learned)
    assert not repair(body, error, learned, asked)
    assert learned == RefusedFields()
