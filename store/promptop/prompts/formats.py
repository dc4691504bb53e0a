"""A prompt in the forms that other programs read, and back: chat messages as JSON, .prompty, curl, Python, YAML.

:func:`read` turns what was opened into the text of a draft (see :mod:`.document`); :func:`export` writes a prompt in
one of :data:`FORMATS`. A key never stands in an export: programs take it from ``OPENAI_API_KEY``.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from promptop.base.errors import PromptopError, UsageError
from promptop.prompts.document import PROMPTY_OPTIONS, Prompt, compose
from promptop.prompts.receipt import Receipt, stamped

DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_URL = "https://api.openai.com/v1"
_NAMED = re.compile(r"\{\{\s*(?P<name>[^\W\d][\w.]*)\s*\}\}(?P<behind>[A-Za-z0-9_]?)")
_REQUEST_KEYS = (
    "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed", "n", "frequency_penalty",
    "presence_penalty", "response_format", "reasoning_effort",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Format:
    """One form of a prompt."""

    name: str
    suffix: str
    """Suffix of a file of this form."""
    description: str
    write: Callable[[Prompt], str]
    keeps_variables: bool = True
    """Whether ``{{names}}`` stay; else sample values stand in for them."""


def read(text: str) -> str:
    """Return the draft text for what a file holds: chat messages in JSON become marker lines, other text stays.

    JSON is a list of messages, or a request body with ``messages``; its model and parameters become front matter.
    """
    if text.lstrip("\ufeff \t\r\n")[:1] not in ("[", "{"):
        return text
    try:
        value = json.loads(text.lstrip("\ufeff"))
    except ValueError:
        return text  # text that begins with a bracket
    messages = value.get("messages") if isinstance(value, dict) else value
    if not isinstance(messages, list) or not messages or not all(_is_message(each) for each in messages):
        return text  # JSON of another kind is a prompt's data, and stays as it is
    front = {}
    if isinstance(value, dict):
        if isinstance(value.get("model"), str):
            front["model"] = value["model"]
        parameters = {key: value[key] for key in _REQUEST_KEYS if key in value}
        if parameters:
            front["parameters"] = parameters
    return _front(front) + compose(messages)


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.get("role") in ("system", "developer", "user", "assistant", "tool")
        and ("content" in value or "tool_calls" in value)
    )


def export(prompt: Prompt, name: str, receipt: Receipt | None = None) -> str:
    """Write a prompt in the form ``name``, with its trim receipt where the form has a place for one.

    Raises :class:`UsageError` if there is no such form.
    """
    for each in FORMATS:
        if each.name == name:
            written = each.write(prompt)
            return stamped(written, name, receipt) if receipt is not None else written
    raise UsageError(f"There is no format {name!r}.", "Formats: " + ", ".join(each.name for each in FORMATS) + ".")


def _yaml(value: Mapping[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Long texts as literal blocks, which people can read."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        # A block cannot carry trailing blanks on its lines or other line breaks; such a text is quoted.
        is_plain = "\n" in value and not re.search(r"[ \t]+\n|[\r\x85\u2028\u2029]|^\s", value)
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if is_plain else None)

    Dumper.add_representer(str, text)
    dumped: str = yaml.dump(dict(value), Dumper=Dumper, allow_unicode=True, sort_keys=False, width=100_000)
    return dumped


def _front(front: Mapping[str, Any]) -> str:
    return f"---\n{_yaml(front)}---\n" if front else ""


def _body(prompt: Prompt) -> dict[str, Any]:
    parameters = {key: value for key, value in prompt.parameters.items() if value is not None}
    return {"model": prompt.model or DEFAULT_MODEL, "messages": prompt.openai(), **parameters}


def _text(prompt: Prompt) -> str:
    return compose(prompt.messages)


def _markdown(prompt: Prompt) -> str:
    title = [f"# {prompt.name}", ""] if prompt.name else []
    parts = [f"## {message.role}\n\n{message.content}\n" for message in prompt.messages]
    return "\n".join([*title, *parts])


def _prompty(prompt: Prompt) -> str:
    """Write a file of Prompty 2; :func:`~promptop.prompts.parse` reads those of Prompty 1 too."""
    front: dict[str, Any] = {"name": prompt.name or "prompt"}
    if prompt.description:
        front["description"] = prompt.description
    front["model"] = {"id": prompt.model or DEFAULT_MODEL, "provider": "openai", "apiType": "chat"}
    options: dict[str, Any] = {}
    for name, value in prompt.parameters.items():
        if name == "stop":
            options["stopSequences"] = [value] if isinstance(value, str) else value
        elif name in PROMPTY_OPTIONS:
            options[PROMPTY_OPTIONS[name]] = value
        else:
            options.setdefault("additionalProperties", {})[name] = value
    if options:
        front["model"]["options"] = options
    if prompt.variables or prompt.sample:
        names = dict.fromkeys([*prompt.variables, *prompt.sample])
        front["inputs"] = [
            {"name": name, "kind": "string", **({"default": prompt.sample[name]} if name in prompt.sample else {})}
            for name in names
        ]
    front["template"] = {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}}
    roles = "\n\n".join(
        f"{message.role}:\n" + compose([message]).removeprefix(f"{message.role}:\n").rstrip("\n")
        for message in prompt.messages
    )
    return _front(front) + roles + "\n"


def _json(prompt: Prompt) -> str:
    return json.dumps(_body(prompt), ensure_ascii=False, indent=2) + "\n"


def _curl(prompt: Prompt) -> str:
    body = json.dumps(_body(prompt), ensure_ascii=False, indent=2)
    return (
        f'curl -sS "${{OPENAI_BASE_URL:-{DEFAULT_URL}}}/chat/completions" \\\n'
        '  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body)}\n"
    )


def _python(prompt: Prompt) -> str:
    body = _body(prompt)
    messages = "".join(
        f'        {{"role": {message["role"]!r}, "content": {message["content"]!r}}},\n'
        for message in body.pop("messages")
    )
    rest = "".join(f"    {key}={value!r},\n" for key, value in body.items())
    return (
        "from openai import OpenAI\n\nclient = OpenAI()  # takes OPENAI_API_KEY and OPENAI_BASE_URL\n"
        f"answer = client.chat.completions.create(\n{rest}    messages=[\n{messages}    ],\n)\n"
        "print(answer.choices[0].message.content)\n"
    )


def _promptfoo(prompt: Prompt) -> str:
    """Write a configuration of promptfoo, which renders texts by Nunjucks: dots in names are members of objects."""
    messages = [
        # Statements and comments of Nunjucks that stand in the text are text.
        {"role": message.role, "content": re.sub(r"\{(?=[%#])", '{{ "{" }}', message.content)}
        for message in prompt.messages
    ]
    provider: dict[str, Any] = {"id": f"openai:chat:{prompt.model or DEFAULT_MODEL}"}
    if prompt.parameters:
        provider["config"] = dict(prompt.parameters)
    variables: dict[str, Any] = {}
    for name, value in prompt.sample.items():
        *path, last = name.split(".")
        place = variables
        for step in path:
            inner = place.get(step)
            place[step] = place = inner if isinstance(inner, dict) else {}
        place[last] = value
    tests: dict[str, Any] = {"vars": variables} if variables else {}
    return _yaml(
        {
            "description": prompt.name or "exported by promptop",
            "prompts": [json.dumps(messages, ensure_ascii=False)],
            "providers": [provider],
            "tests": [tests],
        }
    )


def _llm(prompt: Prompt) -> str:
    """Write a template of the llm command: one system and one prompt text, variables as ``$name``.

    Its variables are those of Python's ``string.Template``: ASCII names alone. Others are numbered: ``$var1`` …
    """
    unsupported = [message.role for message in prompt.messages if message.role not in ("system", "developer", "user")]
    users = [message for message in prompt.messages if message.role == "user"]
    if unsupported or len(users) > 1:
        what = f"a message of the role {unsupported[0]}" if unsupported else "several user messages"
        raise PromptopError(f"An llm template cannot hold {what}.", "Export it as json, prompty or python.")

    plain = {name for name in prompt.variables if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)}
    free = (name for number in itertools.count(1) if (name := f"var{number}") not in plain)
    names = {name: name if name in plain else next(free) for name in prompt.variables}

    def variable(found: re.Match[str]) -> str:
        name, behind = names[found["name"]], found["behind"]
        # Braces where a letter follows; without them llm can say which variable is missing.
        return f"${{{name}}}{behind}" if behind else f"${name}"

    def variables(text: str) -> str:
        return _NAMED.sub(variable, text.replace("$", "$$"))

    systems = [message.content for message in prompt.messages if message.role in ("system", "developer")]
    template: dict[str, Any] = {"model": prompt.model or DEFAULT_MODEL}
    if systems:
        template["system"] = variables("\n\n".join(systems))
    if users:
        template["prompt"] = variables(users[0].content)
    if prompt.parameters:
        template["options"] = dict(prompt.parameters)
    if prompt.sample:
        template["defaults"] = {names.get(name, name): value for name, value in prompt.sample.items()}
    return _yaml(template)


FORMATS: tuple[Format, ...] = (
    Format("text", ".txt", "the messages with marker lines", _text),
    Format("markdown", ".md", "one heading a message, to read", _markdown),
    Format("prompty", ".prompty", "front matter and marker lines", _prompty),
    Format("json", ".json", "request body of the chat API, variables filled", _json, keeps_variables=False),
    Format("curl", ".sh", "a call from the shell", _curl, keeps_variables=False),
    Format("python", ".py", "a call with the openai SDK", _python, keeps_variables=False),
    Format("promptfoo", ".yaml", "a promptfoo configuration", _promptfoo),
    Format("llm", ".yaml", "a template of the llm command", _llm),
)
"""All forms, in the order in which they are offered."""
