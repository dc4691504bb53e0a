"""A dialog that asks for one line, and says at once what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from promptop_tui.shell.key_names import with_keys


class FormModal(ModalScreen[str | None]):
    """One field with a line of explanation; returns what was entered, None if nothing was."""

    DEFAULT_CSS = """
    FormModal {
        align: center top;

        & > .form-box {
            width: 80%;
            max-width: 100;
            height: auto;
            max-height: 80%;
            margin: 2 0 0 0;
            padding: 0 1;
            background: $surface;
            border: round $primary;
        }

        .form-said {
            height: auto;
            color: $text-muted;

            &.-wrong {
                color: $text-warning;
            }
        }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", id="form.back", tooltip="Back to where you were"),
    ]

    def __init__(
        self,
        title: str,
        says: str,
        value: str = "",
        *,
        placeholder: str = "",
        wrong: Callable[[str], str] = lambda _: "",
    ) -> None:
        """``says`` explains the field; ``wrong`` returns what is wrong with a text, which is not taken then."""
        super().__init__()
        self._title = title
        self._says = says
        self._value = value
        self._placeholder = placeholder
        self._wrong = wrong

    def compose(self) -> ComposeResult:
        """Lay out field and explanation."""
        with Vertical(classes="form-box"):
            yield Input(self._value, placeholder=self._placeholder, id="form-field", compact=True)
            yield Static(self._says, classes="form-said", markup=False)

    def on_mount(self) -> None:
        """Name the keys as they are bound."""
        box = self.query_one(".form-box")
        box.border_title = self._title
        box.border_subtitle = with_keys(self, "Enter takes it, {form.back} goes back")

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        message.stop()
        wrong = self._wrong(message.value) if message.value else ""
        said = self.query_one(".form-said", Static)
        said.update(wrong or self._says)
        said.set_class(bool(wrong), "-wrong")

    @on(Input.Submitted)
    def _entered(self, message: Input.Submitted) -> None:
        message.stop()
        if message.value and not self._wrong(message.value):
            self.dismiss(message.value)
