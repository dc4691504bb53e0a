"""The line in which a filter is typed; hidden and disabled while nobody types."""

from __future__ import annotations

from dataclasses import dataclass

from textual import getters, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr


class FilterLine(Vertical):
    """An input with what is wrong with its text below it."""

    field = getters.query_one("#monitor-filter", Input)

    @dataclass
    class Closed(Message):
        """The line is hidden again."""

        line: FilterLine
        text: str | None
        """The filter that was entered; None: left as it was."""

        @property
        def control(self) -> FilterLine:
            """The line."""
            return self.line

    def compose(self) -> ComposeResult:
        """Lay out the field and the fault."""
        yield Input(
            id="monitor-filter",
            placeholder=tr("model:gpt-4o status:error ttft>1s app:web"),
            compact=True,
            disabled=True,
        )
        yield Static("", id="monitor-filter-error", markup=False)

    @property
    def open(self) -> bool:
        """Whether a filter is being typed."""
        return self.has_class("-open")

    def edit(self, text: str) -> None:
        """Show the line, to change a filter."""
        self.add_class("-open")
        self.field.disabled = False
        self.field.value = text
        self.field.focus()

    def close(self, text: str | None = None) -> None:
        """Hide the line."""
        self.remove_class("-open", "-wrong")
        self.field.disabled = True  # or it would take the focus, and with it every key, while it is hidden
        self.post_message(self.Closed(self, text))

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        message.stop()
        from promptop.log import parse_filter

        text = message.value.strip()
        try:
            parse_filter(text)
        except PromptopError as error:
            self.query_one("#monitor-filter-error", Static).update(clean_line(f"{error.cause} → {error.remedy}"))
            self.add_class("-wrong")
            return
        self.close(text)
