"""Messages that cross from one tab to another. Messages of one widget are nested in that widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from textual.message import Message


@dataclass
class OpenInEditor(Message):
    """Show this text in the editor as a new draft (the present draft is kept as a version)."""

    text: str
    source: str = ""
    """Where it came from, for people: a file, ``request 1234``."""
    calls_per_day: float | None = None
    """The log's real volume of this prompt, where it is known."""


@dataclass
class OpenInPlayground(Message):
    """Put these messages, models and parameters into the playground; nothing is sent yet."""

    messages: Sequence[Mapping[str, Any]]
    models: Sequence[str] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Named as in the chat API; ``tools`` and ``response_format`` among them."""
    source: str = ""
    server: str = ""
    """``host:port`` that the models were asked at, where it is known."""
    versions: Sequence[tuple[str, str]] = ()
    """Label and text of prompts that may be asked beside this one."""
    prompt_name: str = ""
    """The prompt's name in the library, by which the log knows its calls; empty if it is not from there."""
    prompt_version: str = ""
    """The library's number of exactly these messages; empty if they were changed since."""
    calls_per_day: float | None = None
    """The log's real volume of this prompt, where it is known."""


@dataclass
class ShowInMonitor(Message):
    """Show the monitor with this filter expression, for example ``model:gpt-4o``."""

    filter: str = ""
