from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptop.base.errors import PromptopError, UsageError
from promptop.client.result import CallUsage, RunResult, State
from promptop.experiments.checks import parse_check


def answer(text: str, *, tokens: int | None = 5, state: State = "done") -> RunResult:
    return RunResult("m", "m", "m", text, state, usage=CallUsage(output_tokens=tokens))


@pytest.mark.parametrize(
    ("check", "text", "passed"),
    [
        ("contains:Paris", "It is Paris.", True),
        ("contains:paris", "It is Paris.", False),
        ("contains:a:b", "x a:b y", True),
        ("lacks:sorry", "It is Paris.", True),
        ("lacks:sorry", "I am sorry.", False),
        ("equals: yes ", "yes\n", True),
        ("equals:yes", "yes.", False),
        (r"regex:^\d{4}$", "1789", True),
        (r"regex:(?i)PARIS", "paris", True),
        (r"regex:^\d{4}$", "in 1789", False),
        ("json", '{"a": [1, 2]}', True),
        ("json", '```json\n{"a": 1}\n```', False),
        ("json", '{"a": NaN}', False),
        ("json", "[" * 200_000, False),
        ("max-tokens:5", "anything", True),
        ("max-tokens:4", "anything", False),
    ],
)
def test_checks(check: str, text: str, passed: bool) -> None:
    found = parse_check(check).judge(answer(text))
    assert found.passed is passed
    assert bool(found.why) is not passed


def test_a_call_without_a_whole_answer_fails_every_check() -> None:
    for state in ("failed", "cancelled"):
        assert not parse_check("lacks:x").judge(answer("", state=state)).passed  # type: ignore[arg-type]
    assert "unknown" in parse_check("max-tokens:5").judge(answer("a", tokens=None)).why


def schema(tmp_path: Path, value: Any) -> str:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return f"json-schema:{path}"


def test_json_schemas(tmp_path: Path) -> None:
    place = {"type": "object", "properties": {"year": {"$ref": "#/$defs/year"}}, "required": ["year"]}
    check = parse_check(schema(tmp_path, place | {"$defs": {"year": {"type": "integer", "minimum": 1}}}))
    assert check.judge(answer('{"year": 1789}')).passed
    assert check.judge(answer('{"year": 0}')).why == "$.year: 0 is less than the minimum of 1"
    assert "'year' is a required property" in check.judge(answer("{}")).why
    assert "not JSON" in check.judge(answer("in 1789")).why
    # Of the newest draft, where none is named.
    pair = parse_check(schema(tmp_path, {"prefixItems": [{"type": "string"}], "items": False}))
    assert (pair.judge(answer('["a"]')).passed, pair.judge(answer('["a", 1]')).passed) == (True, False)


def test_a_reference_to_an_address_is_not_fetched(tmp_path: Path) -> None:
    check = parse_check(schema(tmp_path, {"$ref": "http://schemas.example/one.json"}))
    found = check.judge(answer("{}"))
    assert not found.passed
    assert "not in it" in found.why


@pytest.mark.parametrize("wrong", ["contain:x", "contains", "regex:(", "max-tokens:few", "max-tokens:-1", "json:x", ""])
def test_a_check_that_cannot_be_judged_is_said(wrong: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_check(wrong)
    assert raised.value.remedy


def test_a_schema_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(PromptopError, match="cannot be read"):
        parse_check(f"json-schema:{tmp_path / 'missing.json'}")
    for value, said in (({"type": "objekt"}, "not a JSON schema"), ([1], "not a JSON object")):
        with pytest.raises(PromptopError, match=said):
            parse_check(schema(tmp_path, value))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(PromptopError, match="not JSON"):
        parse_check(f"json-schema:{tmp_path / 'bad.json'}")
