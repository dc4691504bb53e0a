"""Each API read from bodies and streams as its server sends them, and from anything else without a fault."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptop import providers
from promptop.capture.parse.stream_reader import StreamReader
from promptop.providers import errors
from promptop.providers.api import AnswerFacts, RequestSummary, Writing
from promptop.providers.costs import cost_of
from promptop.providers.usage import Usage

RECORDED = Path(__file__).parent / "recorded"
ROOT = Path(__file__).parents[3] / "store" / "promptop"


def taken(value: Any, path: str = "") -> tuple[AnswerFacts, Usage, str]:
    """Return facts, usage and text of a whole body."""
    facts = AnswerFacts()
    found = providers.at_path(path)
    providers.take(value, facts, found[0] if found else None)
    text = "".join(piece.text for piece in providers.body_pieces(value, path) if piece.kind == "text")
    return facts, facts.read_usage(), text


RECORDINGS = sorted(RECORDED.glob("*.json"))


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.stem)
def test_a_recorded_answer_says_what_it_should(file: Path) -> None:
    recorded = json.loads(file.read_text(encoding="utf-8"))
    expected = recorded["expected"]
    reader = StreamReader(0.0, content_type=recorded["type"], path=recorded["path"])
    data = recorded["body"].encode()
    for start in range(0, len(data), 7):
        reader.feed(data[start : start + 7], 1.0)
    reader.finish(2.0, "eof")
    digest = reader.digest()
    usage = digest.facts.read_usage()
    seen = {
        "api": found[0].name if (found := providers.at_path(recorded["path"])) else None,
        "model": digest.facts.model,
        "text": digest.text("text"),
        "reasoning": digest.text("reasoning"),
        "tools": digest.text("tool"),
        "finish": digest.finish_reasons,
        "error": list(digest.facts.error) if digest.facts.error else None,
        "usage": {name: value for name in usage.__slots__ if (value := getattr(usage, name)) is not None},
    }
    assert seen == {**dict.fromkeys(seen, None), "model": "", "text": "", "reasoning": "", "tools": "", **expected}
    assert digest.complete or digest.facts.error


@pytest.mark.parametrize("name", ["chat", "responses", "anthropic"])
def test_what_is_written_is_read_again(name: str) -> None:
    api = providers.by_name(name)
    assert api is not None
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a river."}]
    built = api.build(Writing("m", messages, {"max_tokens": 50, "temperature": 0.5, "tools": [tool]}), None)
    assert built is not None
    asked = providers.read_request(built[0], "/v1" + api.path)
    assert (asked.model, asked.stream, asked.max_tokens, asked.temperature, asked.tools) == ("m", True, 50, 0.5, 1)
    assert asked.texts == [("system", "Be brief."), ("user", "Name a river.")]


_leaf = st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.sampled_from(["", "x", "error", "message"])
# fmt: off
_KEYS = [
    "choices", "delta", "message", "content", "text", "type", "usage", "error", "model", "id", "index",
    "tool_calls", "function", "arguments", "output", "item", "response", "candidates", "parts", "usageMetadata",
    "promptTokensDetails", "tokenCount", "modality", "groundingMetadata", "webSearchQueries", "done",
    "prompt_eval_count", "meta", "billed_units", "tokens", "usage", "data", "status", "background",
    "finish_reason", "finishReason", "stop_reason", "prompt_tokens", "prompt_tokens_details", "cached_tokens",
    "cost", "cost_details", "cache_creation", "server_tool_use", "messages", "system", "contents",
    "generationConfig", "options", "input", "prompt", "tools", "loc", "msg", "detail", "annotations", "audio",
    "delta", "thinking", "base_resp",
]
# fmt: on
_json = st.recursive(
    _leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(_json)
def test_any_json_is_survived_by_every_api(value: Any) -> None:
    facts = AnswerFacts()
    for api in providers.all_apis():
        if isinstance(value, dict):
            api.recognises(value)
            list(api.event_pieces(value))
            list(api.body_pieces(value))
            api.take(value, facts)
            api.read_request(value, RequestSummary())
            facts.read_usage()
        api.usage(value)
    errors.read(value)
    errors.of_body(value)
    errors.refuses_field(value, ("stream_options",))
    usage = facts.read_usage()
    for count in (usage.input_tokens, usage.output_tokens, usage.cache_read, usage.cache_write):
        assert count is None or (type(count) is int and count >= 0)


def test_cost_that_routers_report() -> None:
    own_key = {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.036}}
    assert providers.usage_of({"prompt_tokens": 9, **own_key}).cost_usd == 0.036
    assert providers.usage_of({"prompt_tokens": 9, **own_key, "cost": 0.002}).cost_usd == pytest.approx(0.038)
    silent = {"prompt_tokens": 9, "cost": 0, "is_byok": True, "cost_details": {}}
    assert providers.usage_of(silent).cost_usd is None, "unknown, and not free"
    assert providers.usage_of({"prompt_tokens": 9, "cost": {"total_cost": 0.005}}).cost_usd == 0.005
    parts = {"input_tokens_cost": 0.001, "request_cost": 0.005}
    assert providers.usage_of({"prompt_tokens": 9, "cost": parts}).cost_usd == pytest.approx(0.006)
    assert providers.usage_of({"prompt_tokens": 9, "cost_in_usd_ticks": 37_756_000}).cost_usd == pytest.approx(
        0.0037756
    )
    assert providers.usage_of({"prompt_tokens": 9, "cost": 0.004}).cost_usd == 0.004


def test_what_changes_the_price_of_tokens() -> None:
    said = {"input_tokens": 1_000_000, "output_tokens": 0, "cache_read_input_tokens": 0}
    haiku = ("claude-haiku-4-5",)
    assert cost_of(providers.usage_of(said), haiku).usd == pytest.approx(1.0)
    assert cost_of(providers.usage_of({**said, "service_tier": "batch"}), haiku).usd == pytest.approx(0.5)
    assert cost_of(providers.usage_of({**said, "inference_geo": "us"}), haiku).usd == pytest.approx(1.1)
    reserved = {"promptTokenCount": 10, "candidatesTokenCount": 1, "trafficType": "PROVISIONED_THROUGHPUT"}
    assert cost_of(providers.usage_of(reserved), ("gemini-2.5-flash",)).status == "unpriced"


def test_cached_tokens_under_whatever_name() -> None:
    beside = {"prompt_tokens": 17111, "completion_tokens": 100, "total_tokens": 17211, "cache_read_input_tokens": 17102}
    assert providers.usage_of(beside) == Usage(17111, 100, 17102)
    apart = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 5030, "cache_read_input_tokens": 5000}
    assert providers.usage_of(apart) == Usage(5010, 20, 5000)
    filled = {"prompt_tokens": 900, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0}}
    assert providers.usage_of({**filled, "prompt_cache_hit_tokens": 800}).cache_read == 800


def test_errors_become_one_line() -> None:
    assert errors.read({"error": {"message": "no", "code": "c"}}) == ("c", "no")
    assert errors.read([{"error": {"code": 400, "message": "nobody", "status": "X"}}]) == ("400", "nobody")
    assert errors.read({"error": "there is no model qwen9"}) == ("error", "there is no model qwen9")
    assert errors.read({"error": "invalid_grant", "message": "too late"}) == ("invalid_grant", "too late")
    told = errors.read({"detail": [{"loc": ["body", "messages"], "msg": "missing", "input": {"secret": 1}}]})
    assert told == ("error", "body.messages: missing")
    page = "<html><head><title>502 Bad&nbsp;Gateway</title></head><body><p>x</p></body></html>"
    assert errors.of_text(page) == "502 Bad Gateway"
    assert errors.of_text("<!doctype html><body><script>var a</script><p>Sign in</p>") == "Sign in"
    assert errors.of_text("plain\n words") == "plain words"


@pytest.mark.parametrize(
    ("body", "refuses"),
    [
        ({"error": {"message": "no such field", "param": "stream_options"}}, True),
        ({"error": "Unrecognized request argument supplied: stream_options"}, True),
        ({"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}, True),
        ({"message": "[{'loc': ('body', 'stream_options'), 'msg': 'extra', 'input': {'include_usage': True}}]"}, True),
        ({"detail": [{"loc": ["body", "messages"], "msg": "missing", "input": {"stream_options": {}}}]}, False),
        ({"error": {"message": "messages are missing", "request": {"stream_options": {}}}}, False),
        ({"error": {"message": "invalid request {'stream_options': {'include_usage': True}}"}}, False),
    ],
)
def test_a_repeated_request_is_no_refusal(body: Any, refuses: bool) -> None:
    assert errors.refuses_field(body, ("stream_options", "include_usage")) is refuses


WIRE_NAMES = (
    "prompt_tokens_details",
    "completion_tokens_details",
    "input_tokens_details",
    "cache_creation_input_tokens",
    "ephemeral_1h_input_tokens",
    "promptTokenCount",
    "candidatesTokenCount",
    "usageMetadata",
    "prompt_cache_hit_tokens",
    "prompt_eval_count",
    "billed_units",
    "toolUsePromptTokenCount",
    "thoughtsTokenCount",
    "completion_tokens",
)
ELSEWHERE = {
    # Columns of LiteLLM's, Langfuse's and Helicone's own tables, which are no wire format.
    "log/transfer/external_formats.py": {"completion_tokens"},
    # Finds the beginning of these objects in a body that is too large to be parsed.
    "capture/parse/response_parser.py": {"usageMetadata"},
    "capture/parse/outline.py": {"usageMetadata"},
    # Claude Code's events, mapped to the names of the API's usage, which providers read.
    "fleet/otlp/events.py": {"cache_creation_input_tokens"},
    # Attributes of OpenTelemetry's older conventions, and columns of LiteLLM's table.
    "fleet/otlp/spans.py": {"completion_tokens", "cache_creation_input_tokens"},
    "log/transfer/litellm_postgres.py": {"completion_tokens"},
}


def test_wire_formats_are_known_in_one_place() -> None:
    names = re.compile(rf"\b(?:{'|'.join(WIRE_NAMES)})\b")
    strays = {}
    for file in ROOT.rglob("*.py"):
        place = file.relative_to(ROOT).as_posix()
        if place.startswith("providers/"):
            continue
        found = set(names.findall(file.read_text(encoding="utf-8"))) - ELSEWHERE.get(place, set())
        if found:
            strays[place] = sorted(found)
    assert strays == {}


def test_other_packages_add_an_api_and_a_broken_one_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Added(providers.Api):
        name = "added"
        paths = (providers.Path("/added", "chat"),)

    class Entry:
        def __init__(self, name: str, found: Any) -> None:
            self.name, self.value, self._found = name, f"{name}:API", found

        def load(self) -> Any:
            if isinstance(self._found, Exception):
                raise self._found
            return self._found

    entries = [Entry("good", Added()), Entry("bad", ImportError("nothing")), Entry("odd", 7)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    monkeypatch.setattr(providers, "_loaded", False)
    monkeypatch.setattr(providers, "_known", providers.all_apis())
    monkeypatch.setattr(providers, "broken", {})
    try:
        providers.load_added()
        assert providers.by_name("added") is entries[0].load()
        assert providers.operation("/v1/added") == ("chat", None)
        assert set(providers.broken) == {"bad", "odd"}
    finally:
        providers.at_path.cache_clear()


def test_the_shipped_apis_are_entry_points_of_the_package() -> None:
    declared = (ROOT.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    for api in providers.all_apis():
        module = type(api).__module__
        if module.startswith("promptop.providers."):
            assert f'{api.name} = "{module}:' in declared
