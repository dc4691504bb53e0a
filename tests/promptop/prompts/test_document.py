"""Prompts as text: markers, escapes, front matter, variables; and in the forms of other programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from promptop.base.errors import PromptopError, UsageError
from promptop.cli.main import main
from promptop.prompts import compose, parse
from promptop.prompts.formats import FORMATS, export, read
from promptop.simulator import SimulatedEndpoint

PROMPT = """\
---
name: tea
model: sim-fast
parameters:
  max_tokens: 12
  temperature: 0
sample: {topic: 绿茶 'n' "tea"}
---
system:
Be brief. It's $5.

user:
What is {{topic}}?
Second line: `x`
"""


def pairs(text: str) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in parse(text).messages]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", [("user", "")]),
        ("just text\r\nwith \u2028 breaks\n\n", [("user", "just text\r\nwith \u2028 breaks\n\n")]),
        ("system:\nA\n\nuser:\nB\n", [("system", "A"), ("user", "B")]),
        ("System:\r\nA\r\n# USER :\r\nB", [("system", "A"), ("user", "B")]),
        ("intro\nassistant:\nB", [("user", "intro"), ("assistant", "B")]),
        ("user：\n你好", [("user", "你好")]),
        ("the user: said\nuser: inline", [("user", "the user: said\nuser: inline")]),
        ("user:\n\\system:\nx\n\\\\user:", [("user", "system:\nx\n\\user:")]),
        ("user:\nA\nuser:\n", [("user", "A"), ("user", "")]),
    ],
)
def test_markers_make_messages(text: str, messages: list[tuple[str, str]]) -> None:
    assert pairs(text) == messages


def test_places_point_into_the_text() -> None:
    prompt = parse(PROMPT)
    assert [PROMPT[m.start : m.end] for m in prompt.messages] == [m.content for m in prompt.messages]
    assert (prompt.model, dict(prompt.parameters), prompt.name) == (
        "sim-fast",
        {"max_tokens": 12, "temperature": 0},
        "tea",
    )
    assert prompt.variables == ("topic",)
    assert prompt.openai()[1]["content"].startswith("What is 绿茶 'n' \"tea\"?")
    assert prompt.openai({"topic": "x"})[1]["content"].startswith("What is x?")


def test_the_front_matter_of_prompty_is_understood() -> None:
    old = "---\nmodel:\n  api: chat\n  configuration: {azure_deployment: gpt-4o}\n  parameters: {max_tokens: 5}\n---\nx"
    new = "---\nmodel:\n  id: gpt-4o\n  options: {maxOutputTokens: 5}\n---\nx"
    for text in (old, new):
        assert (parse(text).model, dict(parse(text).parameters)) == ("gpt-4o", {"max_tokens": 5})


@pytest.mark.parametrize("text", ["---\nmodel: [\n---\nx", "---\nmodel: a\n- b\n---\nx"])
def test_broken_front_matter_says_so(text: str) -> None:
    with pytest.raises(PromptopError, match="front matter") as raised:
        parse(text)
    assert raised.value.remedy


def test_a_rule_line_is_no_front_matter() -> None:
    assert pairs("---\nno end") == [("user", "---\nno end")]
    assert pairs("---\n---\nx") == [("user", "x")]
    for rules in ("---\n- a\n---\nx", "---\nTask: b\n---\nx", "---\nTask: [\n---\nx", "---\nA line.\n---\nx"):
        assert pairs(rules) == [("user", rules)]


ROLES = st.sampled_from(["system", "user", "assistant"])
CONTENT = st.lists(
    st.sampled_from(["user:", "\\user:", " ", "\n", "text", "---", "系统", "{{x}}", "\r", "# system:"])
).map("".join)


@given(st.lists(st.tuples(ROLES, CONTENT.map(lambda text: text.strip("\r\n"))), min_size=1, max_size=4))
def test_what_is_composed_is_parsed_back(messages: list[tuple[str, str]]) -> None:
    text = compose([{"role": role, "content": content} for role, content in messages])
    assert pairs(text) == messages


def test_chat_json_becomes_a_draft_and_other_json_stays() -> None:
    body = {
        "model": "gpt-4o",
        "max_tokens": 5,
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
    }
    text = read(json.dumps(body)).text
    assert (parse(text).model, dict(parse(text).parameters)) == ("gpt-4o", {"max_tokens": 5})
    assert pairs(text) == [("system", "S"), ("user", "U")]
    assert pairs(read(json.dumps(body["messages"])).text) == [("system", "S"), ("user", "U")]
    parts = [{"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {}}]}]
    assert parse(read(json.dumps(parts)).text).openai() == parts
    for other in ('{"a": 1}', "[1, 2]", "[not json", "[]", "{}", "plain"):
        assert read(other).text == other


@pytest.mark.parametrize("name", ["text", "prompty", "json"])
def test_forms_that_can_be_read_back_are(name: str) -> None:
    prompt = parse(PROMPT)
    again = parse(read(export(prompt, name)).text)
    assert again.openai() == (prompt.openai() if name != "text" else again.openai())
    if name == "text":
        assert [m.content for m in again.messages] == [m.content for m in prompt.messages]
    else:
        assert (again.model, dict(again.parameters)) == (prompt.model, dict(prompt.parameters))


def test_yaml_forms_hold_the_texts() -> None:
    prompt = parse(PROMPT)
    foo = yaml.safe_load(export(prompt, "promptfoo"))
    assert json.loads(foo["prompts"][0])[1] == {"role": "user", "content": prompt.messages[1].content}
    assert foo["providers"] == [{"id": "openai:chat:sim-fast", "config": {"max_tokens": 12, "temperature": 0}}]
    assert foo["tests"] == [{"vars": {"topic": "绿茶 'n' \"tea\""}}]
    llm = yaml.safe_load(export(prompt, "llm"))
    assert llm["system"] == "Be brief. It's $$5."
    assert llm["prompt"].startswith("What is $topic?")
    with pytest.raises(PromptopError, match="assistant"):
        export(parse("user:\nA\nassistant:\nB"), "llm")
    with pytest.raises(UsageError, match="no format"):
        export(prompt, "word")


@pytest.mark.parametrize("name", ["python", "curl"])
def test_exported_calls_run(name: str, tmp_path: Path) -> None:
    if name == "curl" and shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    prompt = parse(PROMPT)
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        environment = {**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": endpoint.base_url}
        command = [sys.executable, "-"] if name == "python" else ["sh"]
        text = export(prompt, name)
        assert "sk-" not in text
        done = subprocess.run(
            command, input=text, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        sent = endpoint.requests[-1]
    assert json.loads(sent.body)["messages"] == prompt.openai()
    assert json.loads(sent.body)["max_tokens"] == 12


def test_the_command_lists_writes_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.md"
    file.write_text(PROMPT)
    assert main(["export"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [each.name for each in FORMATS]
    assert main(["export", "--to", "json", "-m", "gpt-4o", "-v", "topic=coffee", str(file)]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["model"], body["messages"][1]["content"].splitlines()[0]) == ("gpt-4o", "What is coffee?")
    out = tmp_path / "out.json"
    assert main(["export", "--to", "json", "-o", str(out), str(file)]) == 0
    assert main(["export", "--to", "json", "-o", str(out), str(file)]) == 2
    assert main(["export", "--to", "json", "-v", "topic", str(file)]) == 2


def test_an_image_that_is_a_file_is_said_to_be_sent_as_text() -> None:
    found = parse("user:\nWhat is this?\n@image leaf.PNG\n")
    assert found.messages[0].content == "What is this?\n@image leaf.PNG"
    (note,) = found.notes
    assert (note.cause, note.line) == (
        "@image takes an address (https://… or data:image/…), not a file, so the line is sent as text",
        3,
    )
    assert not parse("user:\n@image https://example.org/leaf.png\n").notes
    assert not parse("user:\n@image of a cat\n").notes
