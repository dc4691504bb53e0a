"""Pages for what takes more than a line: tools, response format, one model's parameters; and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Label, Static, TextArea

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.client.variants import read_format, read_overrides, read_tools
from promptop.experiments.checks import parse_check
from promptop.workers.check_worker import check_lines


@dataclass(frozen=True, slots=True)
class Part:
    """A text of a page: what it is for, an example, and what reads it."""

    name: str
    label: str
    example: str
    read: Callable[[str], object]


def read_checks(text: str, *, python: bool) -> None:
    """Raise :class:`PromptopError` for a check that could never be judged."""
    for line in check_lines(text):
        parse_check(line, python=python)


OPTIONS: tuple[Part, ...] = (
    Part("tools", "tools, JSON", '[{"name": "look_up", "parameters": {"type": "object"}}]', read_tools),
    Part("format", "response format: json, or a JSON schema", "empty: text", read_format),
    Part(
        "overrides",
        "one model alone, TOML",
        '["gpt-4o"]\ntemperature = 0\n\n["o3"]\nreasoning_effort = "low"',
        read_overrides,
    ),
)


def checks_part(*, python: bool) -> Part:
    """Return the page of checks; ``python`` allows expressions of Python."""
    example = "contains:TEXT\nlacks:TEXT\nequals:TEXT\nregex:PATTERN\njson\njson-schema:FILE\nmax-tokens:200"
    example += "\npython:len(text.split()) < 100" if python else ""
    return Part("checks", "checks, one a line", example, lambda text: read_checks(text, python=python))


class TextsDialog(ModalScreen["dict[str, str] | None"]):
    """Texts to be typed or pasted; its result are those texts, None if they are as they were."""

    HELP = """
    Tools are a JSON list as the chat API takes it; bare functions are wrapped. The response format is empty, `json`,
    the API's own object, or a JSON schema. Parameters of one model alone are TOML: a table for each model, any field
    of the request in it; they win over the column.

    Checks stand one a line: `contains:`, `lacks:`, `equals:`, `regex:`, `json`, `json-schema:FILE`, `max-tokens:N`, and
    where the settings allow it (`python_checks`) `python:` with an expression over `text`, `data` and `tokens`.
    Tab goes to the next text. Esc takes what can be meant; once more, it leaves what was before.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "done", "Done", id="texts.done", tooltip="Take the texts and go back", priority=True),
    ]

    class Read(Message):
        """The texts were read, on a thread: a schema's library takes its time to load."""

        def __init__(self, problem: str) -> None:
            super().__init__()
            self.problem = problem

    def __init__(self, title: str, parts: Sequence[Part], texts: Mapping[str, str]) -> None:
        """Begin with these texts."""
        super().__init__(classes="playground-page")
        self._title_text = title
        self._parts = parts
        self._texts = dict(texts)
        self._refused: dict[str, str] | None = None

    def compose(self) -> ComposeResult:
        """Lay out a field for each text."""
        with VerticalScroll(id="page", can_focus=False) as box:
            box.border_title = self._title_text
            box.border_subtitle = "tab: next · esc takes it"
            for part in self._parts:
                yield Label(part.label, classes="text-label", markup=False)
                yield TextArea(
                    self._texts.get(part.name, ""),
                    id=f"text-{part.name}",
                    classes="-alone" if len(self._parts) == 1 else "",
                    placeholder=part.example,
                    tab_behavior="focus",
                    show_line_numbers=False,
                    compact=True,
                )
            yield Static(id="texts-problem", markup=False)

    def on_mount(self) -> None:
        """Begin in the first field."""
        self.query(TextArea).first().focus()

    def _typed(self) -> dict[str, str]:
        return {part.name: self.query_one(f"#text-{part.name}", TextArea).text for part in self._parts}

    def action_done(self) -> None:
        """Read the texts and take them; leave those that were refused a moment ago."""
        typed = self._typed()
        if typed in (self._refused, self._texts):
            self.dismiss(None)
            return
        self._read(typed)

    @work(thread=True, exclusive=True, group="texts", description="read tools, formats or checks")
    def _read(self, typed: dict[str, str]) -> None:
        for part in self._parts:
            try:
                part.read(typed[part.name])
            except PromptopError as error:
                self.post_message(self.Read(str(error)))
                return
        self.post_message(self.Read(""))

    @on(Read)
    def _was_read(self, event: Read) -> None:
        typed = self._typed()
        if not event.problem:
            self.dismiss(typed)
            return
        self._refused = typed
        self.query_one("#texts-problem", Static).update(clean(f"✗ {event.problem}\nEsc again leaves what was before."))
        self.query_one("#texts-problem").scroll_visible(animate=False)
