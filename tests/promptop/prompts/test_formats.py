"""Files of other programs as drafts, and messages that are more than text, there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptop.base.errors import PromptopError
from promptop.prompts import compose, parse
from promptop.prompts.document import Prompt
from promptop.prompts.formats import FORMATS, export, export_notes, read
from promptop.prompts.reader import Sending, prompt_from
from promptop.prompts.syntax.jinja import render
from promptop.prompts.syntax.yaml_values import read_yaml

IMAGE = {"type": "image_url", "image_url": {"url": "https://pictures.example/x.png"}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE, {"type": "text", "text": "Say."}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "a leaf"},
    {"role": "user", "content": "```\nnever closed", "name": "bo"},
    {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]},
    {"role": "user", "content": [{"type": "text", "text": "kept", "cache_control": {"type": "ephemeral"}}]},
    {"role": "user", "content": "<a>\nuser:\n</a>\n@image https://x.example\nuser:\n\\system:"},
    {"role": "assistant", "content": ""},
]


def test_messages_of_any_kind_are_composed_and_parsed_back() -> None:
    for count in range(1, len(MESSAGES) + 1):
        assert parse(compose(MESSAGES[:count])).openai() == MESSAGES[:count]
    text = compose(MESSAGES[:2])
    assert "@image https://pictures.example/x.png" in text
    with pytest.raises(PromptopError, match="'human'"):
        compose([{"role": "human", "content": "x"}])


PART = st.one_of(
    st.builds(
        lambda text: {"type": "text", "text": text}, st.sampled_from(["a", "user:", "b\n", "\n", "", "```", "@part x"])
    ),
    st.just(IMAGE),
    st.just({"type": "file", "file": {"file_id": "f"}}),
)


@given(st.lists(PART, min_size=2, max_size=5))
def test_parts_come_back_one_by_one(parts: list[dict[str, Any]]) -> None:
    chat = [{"role": "user", "content": parts}, {"role": "assistant", "content": "ok"}]
    assert parse(compose(chat)).openai() == chat


def test_a_request_body_goes_through_with_all_its_fields(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    body = {"model": "m", "messages": MESSAGES, "tools": tools, "top_k": 3, "n": 2, "stop": ["no", "1"], "stream": True}
    prompt = prompt_from(json.dumps(body))
    assert prompt.openai() == MESSAGES
    assert dict(prompt.parameters) == {"tools": tools, "top_k": 3, "n": 2, "stop": ["no", "1"]}
    assert any("stream" in str(note) for note in prompt.notes)
    again = json.loads(export(prompt, "json"))
    assert {**again, "stream": True} == body
    exact = prompt_from(json.dumps([{"role": "user", "content": "\nline ends stay\n\n"}]))
    assert exact.openai()[0]["content"] == "\nline ends stay\n\n"


def test_json_that_is_no_chat_is_text_and_said_where_it_looks_like_one() -> None:
    for text in ('{"a": 1}', "[1]", '{"role": "x"}'):
        assert (read(text).text, read(text).notes) == (text, ())
    for text, said in (
        ('[{"role": "user", "content": "x"},]', "not valid JSON"),
        ('[{"role": "human", "content": "x"}]', "'human'"),
        ('{"messages": [{"role": "user", "content": "x"}]}\n{"messages": []}', "batch"),
        ('{"contents": [{"parts": []}]}', "another API"),
    ):
        found = read(text)
        assert found.text == text
        assert said in str(found.notes[0])


def test_half_a_surrogate_pair_never_reaches_what_is_sent() -> None:
    prompt = prompt_from('[{"role": "user", "content": "a\\ud83d b \\ud83d\\ude00"}]')
    assert prompt.openai()[0]["content"] == "a\ufffd b 😀"
    assert any("U+FFFD" in str(note) for note in prompt.notes)


DOTPROMPT = """\
---
model: googleai/gemini-2.5-flash
config: {temperature: 0.4, maxOutputTokens: 20}
input:
  default: {guest: Ada}
output: {format: json, schema: {dish: string}}
---
{{role "system"}}
You wait.
{{history}}
{{role "model"}}
Yes?
{{role "user"}}
Serve {{guest}} {{media url=photo}}{{#each dishes}}{{this}}{{/each}}
"""
GITHUB = """\
name: t
model: openai/gpt-4o
modelParameters: {maxCompletionTokens: 5, topP: 0.5}
messages:
  - {role: system, content: 'Be {{tone}}'}
  - {role: user, content: '{{input}}'}
testData:
  - {input: tea, tone: dry, expected: x}
"""
PROMPTFOO = """\
prompts: ['Hi {{ name | upper }} {{ "{" }}% x']
providers: [{id: 'openai:chat:gpt-4o', config: {temperature: 0.1, apiKey: no}}]
tests: [{vars: {name: ada}}]
"""


def messages_of(prompt: Prompt) -> list[tuple[str, Any]]:
    return [(each["role"], each["content"]) for each in prompt.openai()]


@pytest.mark.parametrize(
    ("name", "text", "model", "parameters", "messages"),
    [
        (
            "g.prompt", DOTPROMPT, "googleai/gemini-2.5-flash", {"temperature": 0.4, "max_tokens": 20},
            [("system", "You wait."), ("assistant", "Yes?"), ("user", [
                {"type": "text", "text": "Serve Ada "}, {"type": "image_url", "image_url": {"url": "{{photo}}"}},
                {"type": "text", "text": "{{#each dishes}}{{this}}{{/each}}"}])],
        ),
        (
            "t.prompt.yml", GITHUB, "openai/gpt-4o", {"max_tokens": 5, "top_p": 0.5},
            [("system", "Be dry"), ("user", "tea")],
        ),
        ("p.yaml", PROMPTFOO, "gpt-4o", {"temperature": 0.1}, [("user", "Hi ADA {% x")]),
        (
            "t.yaml", "system: S\nprompt: 'A: $input, ${more}s $$5'\ndefaults: {input: tea}\noptions: {seed: 3}", "",
            {"seed": 3}, [("system", "S"), ("user", "A: tea, {{more}}s $5")],
        ),
        ("s.yaml", "system: S", "", {}, [("system", "S"), ("user", "{{input}}")]),
        ("l.yaml", "_type: prompt\ntemplate: 'Say {x} as {{j}}'", "", {}, [("user", "Say {{x}} as {j}")]),
        (
            "k.yaml", "template: 'Say {{$x}}'\ninput_variables: [{name: x, default: tea}]\n"
            "execution_settings: {default: {max_tokens: 5}}", "", {"max_tokens": 5}, [("user", "Say tea")],
        ),
        ("c.toml", 'prompt = "Do {{args}}"', "", {}, [("user", "Do {{args}}")]),
        ("m.yml", "- {role: system, content: S}\n- {role: user, content: U}", "", {}, [("system", "S"), ("user", "U")]),
    ],
)  # fmt: skip
def test_prompts_of_other_programs_are_read(
    name: str, text: str, model: str, parameters: dict[str, Any], messages: list[tuple[str, Any]]
) -> None:
    draft = read(text, name)
    prompt = parse(draft.text)
    assert draft.kind
    assert (prompt.model, dict(prompt.parameters)) == (model, parameters)
    assert messages_of(prompt) == messages


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("g.prompt", DOTPROMPT, "{{history}}"),
        ("g.prompt", DOTPROMPT, "{{#each dishes}}"),
        ("g.prompt", DOTPROMPT, "schema of its output"),
        ("c.yaml", "a: 1", "not a prompt of a form"),
        ("c.yaml", "a: [", "not valid YAML"),
        ("p.yaml", "prompts: [a, b]\nproviders: [x, y]", "1 more"),
        ("t.yaml", "prompt: x\nfragments: [f]", "fragments"),
    ],
)
def test_what_is_left_out_is_said(name: str, text: str, said: str) -> None:
    notes = Sending([prompt_from(text, name=name)], {}).notes()
    assert any(said in str(note) for note in notes)


def test_prompty_reads_the_environment_and_files_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_DEPLOYMENT", "gpt-4o")
    monkeypatch.setenv("A_SECRET_KEY", "sk-planted")
    (tmp_path / "sample.json").write_text('{"customer": {"name": "Ada", "orders": [{"id": "01"}]}}')
    (tmp_path / "tools.json").write_text('[{"type": "function", "function": {"name": "look"}}]')
    head = "---\nmodel:\n  api: chat\n  configuration: {azure_deployment: '${env:A_DEPLOYMENT:x}'}\n"
    text = (
        head + "sample: ${file:sample.json}\ntools: ${file:tools.json}\n---\nuser:\n"
        "{{customer.name}} {{customer.orders[0].id}}"
    )
    prompt = parse(text, folder=tmp_path)
    assert (prompt.model, prompt.openai()[0]["content"]) == ("gpt-4o", "Ada 01")
    for value, said in (
        ("${file:../x.json}", "outside"),
        ("${file:nowhere.json}", "nowhere.json"),
        ("${env:A_SECRET_KEY}", "not put into a prompt"),
    ):
        found = parse(f"---\nname: x\nsample: {{a: '{value}'}}\n---\n{{{{a}}}}", folder=tmp_path)
        assert any(said in str(note) for note in found.notes)
        assert "sk-planted" not in json.dumps(found.openai())


def test_tools_of_prompty_2_become_those_of_the_api() -> None:
    text = """\
---
name: x
model: {id: gpt-4o}
tools:
  - name: look
    kind: function
    description: Look up.
    parameters:
      - {name: at, kind: string, required: true, description: Where}
      - {name: deep, kind: boolean}
  - {name: web, kind: mcp}
---
user:
hi
"""
    prompt = parse(text)
    function = prompt.parameters["tools"][0]["function"]
    assert function["parameters"] == {
        "type": "object",
        "properties": {"at": {"type": "string", "description": "Where"}, "deep": {"type": "boolean"}},
        "required": ["at"],
    }
    assert any("web" in str(note) for note in prompt.notes)


def test_exports_keep_parts_or_refuse_and_warn_of_other_template_languages() -> None:
    prompt = parse(compose(MESSAGES[:4]))
    for each in FORMATS:
        if each.name == "llm":
            with pytest.raises(PromptopError):
                export(prompt, each.name)
        else:
            assert "pictures.example" in export(prompt, each.name)
    assert "promptop alone" in str(export_notes(prompt, "prompty")[0])
    odd = parse("{{user-name}} {{#if x}}")
    assert "{{user_name}}" in export(odd, "prompty")
    assert "{{#if x}}" in str(export_notes(odd, "promptfoo")[0])
    assert export_notes(odd, "json") == []


@pytest.mark.parametrize(
    "text", ["{{#if x}}y{{/if}} {{a}}", '{"k": {{a}}}', "{{{a}}} {% b %} {# c #}", '{{"j": 1}} {{}}']
)
def test_what_is_exported_as_a_template_renders_to_what_is_sent(text: str) -> None:
    prompt = parse(text).with_values({"a": "1"})
    sent = prompt.openai()[0]["content"]
    for name in ("prompty", "promptfoo"):
        again = prompt_from(export(prompt, name), name="x.yaml" if name == "promptfoo" else "x.prompty")
        assert again.openai()[0]["content"] == sent
    written = json.loads(read_yaml(export(prompt, "promptfoo"))["prompts"][0])[0]["content"]
    assert render(written, {"a": "1"})[0] == sent
