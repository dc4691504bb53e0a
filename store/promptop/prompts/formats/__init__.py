"""A prompt in the forms of other programs, read and written; one module a form.

:func:`read` turns what a file holds into the text of a draft (see :mod:`promptop.prompts.document`); :func:`export`
writes a prompt in one of :data:`FORMATS`. A key never stands in an export: programs take it from ``OPENAI_API_KEY``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from promptop.base.errors import UsageError
from promptop.prompts.document import Prompt, compose
from promptop.prompts.formats import chat_json, code, dotprompt, llm_template, promptfoo, prompty, yaml_prompts
from promptop.prompts.formats.draft import FileDraft as FileDraft
from promptop.prompts.notes import PromptNote
from promptop.prompts.receipt import Receipt, stamped


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
    language: str = ""
    """Template language that its readers render it by; empty if they render none."""


def read(text: str, name: str = "", folder: Path | None = None) -> FileDraft:
    """Return the draft for what a file holds; a text of our own, and what is none of the known forms, stays as it is.

    ``name`` is the file's: its suffix tells YAML from text. What its front matter or configuration names is read below
    ``folder``. Raises :class:`PromptopError` for front matter that cannot be read.
    """
    for found in (chat_json.read(text), yaml_prompts.read(text, name, folder), dotprompt.read(text, name)):
        if found is not None:
            return found
    return FileDraft(text)


def export(prompt: Prompt, name: str, receipt: Receipt | None = None) -> str:
    """Write a prompt in the form ``name``, with its trim receipt where the form has a place for one.

    Raises :class:`UsageError` if there is no such form.
    """
    written = form(name).write(prompt)
    return stamped(written, name, receipt) if receipt is not None else written


def form(name: str) -> Format:
    """Return a form by its name; raise :class:`UsageError` if there is none."""
    for each in FORMATS:
        if each.name == name:
            return each
    raise UsageError(f"There is no format {name!r}.", "Formats: " + ", ".join(each.name for each in FORMATS) + ".")


def export_notes(prompt: Prompt, name: str) -> list[PromptNote]:
    """Return what the readers of an export will take otherwise than it stands in the prompt."""
    found = form(name)
    notes = []
    if found.language and prompt.constructs and prompt.template != found.language:
        said = ", ".join(prompt.constructs[:3])
        notes.append(PromptNote(f"{said} stand as text in the export, not as a template"))
    has_parts = any(message.parts or message.fields for message in prompt.messages)
    if has_parts and name in ("prompty", "markdown"):
        notes.append(PromptNote("its images, files and tool calls stand as @ lines, which promptop alone reads"))
    return notes


def _text(prompt: Prompt) -> str:
    return compose(prompt.messages)


def _markdown(prompt: Prompt) -> str:
    title = [f"# {prompt.name}", ""] if prompt.name else []
    parts = []
    for message in prompt.messages:
        text = message.content
        if message.parts or message.fields:
            text = compose([message]).removeprefix(f"{message.role}:\n").rstrip("\n")
        parts.append(f"## {message.role}\n\n{text}\n")
    return "\n".join([*title, *parts])


FORMATS: tuple[Format, ...] = (
    Format("text", ".txt", "the messages with role lines", _text),
    Format("markdown", ".md", "one heading a message, to read", _markdown),
    Format("prompty", ".prompty", "front matter and role lines", prompty.write, language="jinja2"),
    Format("json", ".json", "request body of the chat API, variables filled", chat_json.write, keeps_variables=False),
    Format("curl", ".sh", "a call from the shell", code.curl, keeps_variables=False),
    Format("python", ".py", "a call with the openai SDK", code.python, keeps_variables=False),
    Format("promptfoo", ".yaml", "a promptfoo configuration", promptfoo.write, language="jinja2"),
    Format("llm", ".yaml", "a template of the llm command", llm_template.write),
)
"""All forms, in the order in which they are offered."""
