"""Files of Prompty 2, written; :func:`~promptop.prompts.parse` reads those of both its versions."""

from __future__ import annotations

from typing import Any

from promptop.prompts.document import Prompt, compose
from promptop.prompts.formats.names import jinja_names, renamed
from promptop.prompts.syntax.front_matter import PROMPTY_OPTIONS
from promptop.prompts.syntax.variables import as_jinja
from promptop.prompts.syntax.yaml_values import write_yaml

DEFAULT_MODEL = "gpt-4o-mini"


def write(prompt: Prompt) -> str:
    """Write a ``.prompty`` file: front matter, and a role line before each message."""
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
    names = jinja_names(prompt)
    sample = {names.get(name, name): value for name, value in (prompt.data or prompt.sample).items()}
    sample |= {names.get(name, name): prompt.sample[name] for name in prompt.variables if name in prompt.sample}
    variables = dict.fromkeys([*(names.get(name, name) for name in prompt.variables), *sample])
    if variables:
        front["inputs"] = [
            {"name": name, "kind": "string", **({"default": sample[name]} if name in sample else {})}
            for name in variables
        ]
    front["template"] = {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}}
    roles = "\n\n".join(
        f"{message.role}:\n" + compose([message]).removeprefix(f"{message.role}:\n").rstrip("\n")
        for message in prompt.messages
    )
    return f"---\n{write_yaml(front)}---\n{renamed(roles if prompt.template == 'jinja2' else as_jinja(roles), names)}\n"
