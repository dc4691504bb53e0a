"""Each exported form read by its own ecosystem: the openai SDK's types, llm's template loader, promptfoo's shape."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from promptop.prompts import parse
from promptop.prompts.formats import export

PROMPT = """\
---
name: tea
model: gpt-4o-mini
parameters: {max_tokens: 12, temperature: 0, stop: ["\\n\\n", 结束]}
sample: {topic: 绿茶 'n' "tea" $5, 主题: "a: b\\n{% c", user.name: 林}
---
system:
Be brief. It costs $5; keep {% raw %} and {# this #} as they are.

user:
What is {{topic}}? 关于{{ 主题 }}的{{topic}}s for {{user.name}}.
"""

# What promptfoo 0.123's own validator (`promptfoo validate config`) asks of the members that we write; it was run on
# this export by hand. Its package is too large to install for a test.
PROMPTFOO = {
    "type": "object",
    "additionalProperties": False,
    "required": ["prompts", "providers", "tests"],
    "properties": {
        "description": {"type": "string"},
        "prompts": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "providers": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["id"],
                "properties": {"id": {"type": "string", "pattern": "^openai:chat:."}, "config": {"type": "object"}},
            },
        },
        "tests": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": False, "properties": {"vars": {"type": "object"}}},
        },
    },
}


@pytest.mark.slow
def test_llm_loads_the_template_and_fills_it(tmp_path: Path) -> None:
    from llm.cli import load_template

    path = tmp_path / "tea.yaml"
    path.write_text(export(parse(PROMPT), "llm"))
    template = load_template(str(path))
    assert (template.model, template.options) == ("gpt-4o-mini", parse(PROMPT).parameters)
    prompt, system = template.evaluate("")
    filled = parse(PROMPT).openai()
    assert (system, prompt) == (filled[0]["content"], filled[1]["content"])
    prompt, _ = template.evaluate("", {"topic": "coffee"})
    assert prompt is not None
    assert "coffees" in prompt
    bare = tmp_path / "bare.yaml"
    bare.write_text(export(parse("About {{topic}} in {{var1}}，{{主题}}."), "llm"))
    assert load_template(str(bare)).vars() == {"topic", "var1", "var2"}


def test_prompty_loads_the_file_and_renders_it(tmp_path: Path) -> None:
    import prompty

    original = parse(PROMPT)
    path = tmp_path / "tea.prompty"
    path.write_text(export(original, "prompty"))
    agent = prompty.load(path)
    assert (agent.name, agent.model.id, agent.model.provider, agent.model.api_type) == (
        "tea",
        "gpt-4o-mini",
        "openai",
        "chat",
    )
    options = agent.model.options
    assert (options.max_output_tokens, options.temperature, options.stop_sequences) == (12, 0, ["\n\n", "结束"])
    assert {each.name: each.default for each in agent.inputs} == original.sample
    again = parse(path.read_text())
    assert (again.model, again.parameters, again.sample) == (original.model, original.parameters, original.sample)
    assert again.openai() == original.openai()
    plain = parse("system:\nBe brief.\n\nuser:\nOn {{topic}}: {{reader}}\n")
    path.write_text(export(replace(plain, sample={"topic": '茶 "x"'}, parameters={"n": 2}), "prompty"))
    agent = prompty.load(path)
    assert agent.model.options.additional_properties == {"n": 2}
    sent = prompty.prepare(agent, {"topic": '茶 "x"', "reader": "林"})
    assert [(each.role, each.text) for each in sent] == [("system", "Be brief."), ("user", 'On 茶 "x": 林')]


def test_promptfoo_has_the_shape_and_its_variables_are_objects() -> None:
    config = yaml.safe_load(export(parse(PROMPT), "promptfoo"))
    jsonschema.validate(config, PROMPTFOO)
    assert config["tests"][0]["vars"]["user"] == {"name": "林"}
    contents = [message["content"] for message in json.loads(config["prompts"][0])]
    assert contents[0] == 'Be brief. It costs $5; keep {{ "{" }}% raw %} and {{ "{" }}# this #} as they are.'
    assert "{{ 主题 }}" in contents[1]
    jsonschema.validate(yaml.safe_load(export(parse("Hi"), "promptfoo")), PROMPTFOO)


def test_the_request_is_one_of_the_sdk() -> None:
    from openai.types.chat import completion_create_params
    from pydantic import TypeAdapter

    body: Any = json.loads(export(parse(PROMPT), "json"))
    adapter = TypeAdapter(completion_create_params.CompletionCreateParamsNonStreaming)
    read = adapter.validate_python(body)
    assert [message["role"] for message in read["messages"]] == ["system", "user"]
    assert read["stop"] == ["\n\n", "结束"]
    with pytest.raises(ValueError, match="temperature"):
        adapter.validate_python({**body, "temperature": "warm"})
    wrong = adapter.validate_python({**body, "messages": [{"role": "stranger", "content": "x"}]})
    with pytest.raises(ValueError, match="role"):
        list(wrong["messages"])  # the SDK's list is looked at when it is read
