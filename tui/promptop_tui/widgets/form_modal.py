"""A dialog with fields: lines and texts to be typed, a line that says how things stand, and what else it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, Static, TextArea

from promptop.base.sanitize import clean
from promptop_tui.widgets.dialog import Dialog

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form."""

    id: str
    label: str
    value: str = ""
    hint: str = ""
    """Shown while the field is empty."""
    is_text: bool = False
    """Whether it takes many lines."""


class FormModal(Dialog[Result], Generic[Result]):
    """Fields, a state line, and below them what the dialog shows; Enter in a line goes to the next field.

    What is done with the values is the dialog's own: it handles its keys and ``Input.Changed``.
    """

    def __init__(
        self,
        title: str,
        fields: Sequence[FormField] = (),
        *,
        body: Sequence[Widget] = (),
        classes: str | None = None,
    ) -> None:
        """``body`` are widgets below the state line, in their order."""
        super().__init__(title, classes=classes)
        self.fields = tuple(fields)
        self._body = tuple(body)

    def compose(self) -> ComposeResult:
        """Lay out fields, state and body."""
        lines = [field for field in self.fields if not field.is_text]
        texts = [field for field in self.fields if field.is_text]
        with self.frame():
            if lines:
                with Container(id="form-lines"):
                    for field in lines:
                        with Horizontal(classes="form-line"):
                            yield Label(field.label, markup=False)
                            yield Input(field.value, placeholder=field.hint, compact=True, id=f"field-{field.id}")
            if texts:
                with VerticalScroll(id="form-texts", can_focus=False):
                    for field in texts:
                        yield Label(field.label, classes="form-label", markup=False)
                        yield TextArea(
                            field.value,
                            id=f"field-{field.id}",
                            classes="-alone" if len(texts) == 1 else "",
                            placeholder=Content(field.hint),  # brackets are no markup
                            tab_behavior="focus",
                            show_line_numbers=False,
                            compact=True,
                        )
            yield Static(id="form-state", markup=False)
            yield from self._body

    def on_mount(self) -> None:
        """Begin in the first field."""
        if self.fields:
            self.query_one(f"#field-{self.fields[0].id}").focus()

    def values(self) -> dict[str, str]:
        """Return what the fields hold, by their ids; lines without the blanks around them."""
        return {field.id: self._value(field) for field in self.fields}

    def _value(self, field: FormField) -> str:
        widget = self.query_one(f"#field-{field.id}")
        return widget.text if isinstance(widget, TextArea) else getattr(widget, "value", "").strip()

    def fill(self, values: Mapping[str, str]) -> None:
        """Write values into the fields that are named."""
        for name, value in values.items():
            widget = self.query_one(f"#field-{name}")
            if isinstance(widget, TextArea):
                widget.load_text(value)
            elif isinstance(widget, Input):
                widget.value = value

    def say(self, text: str, *, bad: bool = False) -> None:
        """Show how things stand; ``bad``: what is wrong. The text may come from anywhere."""
        state = self.query_one("#form-state", Static)
        state.set_class(bad, "-bad")
        state.update(clean(text))

    @on(Input.Submitted)
    def _to_next_field(self) -> None:
        self.focus_next()


class LineDialog(FormModal[str]):
    """Asks for one line, and says at once what is wrong with it; its result is that line."""

    def __init__(
        self,
        title: str,
        says: str,
        value: str = "",
        *,
        placeholder: str = "",
        wrong: Callable[[str], str] = lambda _: "",
    ) -> None:
        """``says`` explains the line; ``wrong`` returns what is wrong with a text, which is not taken then."""
        super().__init__(title, [FormField("line", "", value, placeholder)], classes="-small -single")
        self._says, self._wrong = says, wrong

    def on_mount(self) -> None:
        """Explain the line."""
        self.say(self._says)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        wrong = self._wrong(event.value) if event.value else ""
        self.say(wrong or self._says, bad=bool(wrong))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value and not self._wrong(event.value):
            self.dismiss(event.value)
