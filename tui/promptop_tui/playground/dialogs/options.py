"""Dialogs for what takes more than a line: tools, response format, one model's parameters; and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message

from promptop.base.errors import PromptopError
from promptop.base.texts import mark, tr
from promptop.client.tools.mcp_servers import with_servers
from promptop.client.tools.mocks import read_mocks
from promptop.client.variants import read_format, read_overrides, read_tools
from promptop.experiments.checks import parse_check
from promptop.workers.check_worker import check_lines
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.form_modal import FormField, FormModal


@dataclass(frozen=True, slots=True)
class OptionText:
    """A text of a dialog: what it is for, an example, and what reads it."""

    name: str
    label: str
    example: str
    read: Callable[[str], object]


def read_checks(text: str, *, python: bool) -> None:
    """Raise :class:`PromptopError` for a check that could never be judged."""
    for line in check_lines(text):
        parse_check(line, python=python)


def options(*, commands: bool) -> tuple[OptionText, ...]:
    """Return the texts of the options; ``commands`` allows results of tools to be what a command prints."""
    example = '[look_up]\nfixed = "a small cat"\n\n[weather]\nregex = [["Paris", "18 °C"], [".*", "unknown"]]'
    example += '\n\n[clock]\ncommand = "date"\n\n["*"]\nmcp = "python server.py"' if commands else ""
    mocks = OptionText("mocks", tr("results of tools, TOML"), example, lambda text: read_mocks(text, commands=commands))
    return (OPTIONS[0], mocks, *OPTIONS[1:])


OPTIONS: tuple[OptionText, ...] = (
    OptionText("tools", mark("tools, JSON"), '[{"name": "look_up", "parameters": {"type": "object"}}]', read_tools),
    OptionText("format", mark("response format: json, or a JSON schema"), mark("empty: text"), read_format),
    OptionText(
        "overrides",
        mark("one model alone, TOML"),
        '["gpt-4o"]\ntemperature = 0\n\n["o3"]\nreasoning_effort = "low"',
        read_overrides,
    ),
)


def checks_part(*, python: bool) -> OptionText:
    """Return the text of checks; ``python`` allows expressions of Python."""
    example = "contains:TEXT\nlacks:TEXT\nequals:TEXT\nregex:PATTERN\njson\njson-schema:FILE\nmax-tokens:200"
    example += "\npython:len(text.split()) < 100" if python else ""
    return OptionText("checks", tr("checks, one a line"), example, lambda text: read_checks(text, python=python))


class TextsDialog(FormModal["dict[str, str] | None"]):
    """Texts to be typed or pasted; its result are those texts, None if they are as they were."""

    HELP = """
    Tools are a JSON list as the chat API takes it; bare functions are wrapped. Results of tools are TOML: a table for
    each tool with `fixed`, `regex` (pairs of pattern and result), or where the settings allow it (`tool_commands`)
    `command`, which gets the arguments as JSON, or `mcp`, the command or address of an MCP server; a table `["*"]` with
    `mcp` takes all tools of that server into both texts. A model that calls tools with results is asked again with
    them, up to eight times. The response format is empty, `json`,
    the API's own object, or a JSON schema. Parameters of one model alone are TOML: a table for each model, any field
    of the request in it; they win over the column.

    Checks stand one a line: `contains:`, `lacks:`, `equals:`, `regex:`, `json`, `json-schema:FILE`, `max-tokens:N`, and
    where the settings allow it (`python_checks`) `python:` with an expression over `text`, `data` and `tokens`.
    Closing takes the texts if they can be read; if not, it says why, and closing once more leaves what was before.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape", "close", "Take, close", id="dialog.close", tooltip="Take the texts and go back", priority=True
        ),
    ]

    @dataclass
    class Checked(Message):
        """The texts were read, on a thread: a schema's library takes its time to load."""

        texts: dict[str, str]
        problem: str
        taken: dict[str, str]
        """The texts with what was read for them: tools of MCP servers."""

    def __init__(
        self,
        title: str,
        parts: Sequence[OptionText],
        texts: Mapping[str, str],
        complete: Callable[[dict[str, str]], dict[str, str]] = dict,
    ) -> None:
        """Begin with these texts; ``complete`` reads on a thread what belongs to those that were typed."""
        fields = [
            FormField(part.name, part.label, texts.get(part.name, ""), part.example, is_text=True) for part in parts
        ]
        super().__init__(title, fields)
        self._parts = parts
        self._complete = complete
        self._before = {field.id: field.value for field in fields}
        self._refused: dict[str, str] | None = None

    def action_close(self) -> None:
        """Read the texts and take them; leave those that were refused a moment ago."""
        typed = self.values()
        if typed in (self._refused, self._before):
            self.dismiss(None)
        else:
            self.say(tr("reading …"))  # a server of tools may take seconds to start
            self._read(typed)

    @work(thread=True, exclusive=True, group="texts", description="read tools, formats or checks")
    def _read(self, typed: dict[str, str]) -> None:
        problem, taken = "", typed
        try:
            for part in self._parts:
                part.read(typed[part.name])
            taken = self._complete(typed)
        except PromptopError as error:
            problem = str(error)
        self.post_message(self.Checked(typed, problem, taken))

    @on(Checked)
    def _checked(self, event: Checked) -> None:
        if event.texts != self.values():
            return
        if not event.problem:
            self.dismiss(event.taken)
            return
        self._refused = event.texts
        self.say(
            tr(
                "✗ {problem}\n{key_name} again leaves what was before.",
                problem=event.problem,
                key_name=key_name(self, "dialog.close"),
            ),
            bad=True,
        )


def options_dialog(texts: Mapping[str, str], *, commands: bool) -> TextsDialog:
    """Return the dialog of tools and their results, response format and one model's parameters."""
    return TextsDialog("options", options(commands=commands), texts, with_servers)


def checks_dialog(texts: Mapping[str, str], *, python: bool) -> TextsDialog:
    """Return the dialog of what every answer must be."""
    return TextsDialog("checks", (checks_part(python=python),), texts)
