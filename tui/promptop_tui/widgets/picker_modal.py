"""A dialog in which one of several things is chosen, with a preview of what is highlighted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from promptop_tui.shell.key_names import with_keys

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Choice(Generic[Value]):
    """One line of the list."""

    label: str | Content
    value: Value


class PickerModal(ModalScreen["Value | None"], Generic[Value]):
    """A list beside a preview; returns the value that was chosen, None if none was."""

    DEFAULT_CSS = """
    PickerModal {
        align: center middle;

        & > .picker-box {
            width: 94%;
            max-width: 130;
            height: 90%;
            background: $surface;
            border: round $primary;
        }

        .picker-list {
            width: 32;
            max-width: 45%;
            height: 1fr;
            border: none;
            background: transparent;
            text-wrap: nowrap;
            text-overflow: ellipsis;
        }

        .picker-side {
            width: 1fr;
            height: 1fr;
            padding: 0 1;
            border-left: solid $border-blurred;
        }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Back", id="picker.back", tooltip="Back to where you were"),
    ]

    def __init__(
        self,
        title: str,
        choices: Sequence[Choice[Value]],
        preview: Callable[[Value], str | Content],
        *,
        hint: str = "Enter takes it, {picker.back} goes back",
        empty: str = "There is nothing to choose from.",
    ) -> None:
        """``preview`` gives what is shown of a value; ``hint`` names keys by the ids of their bindings."""
        super().__init__()
        self._title = title
        self._choices = list(choices)
        self._preview = preview
        self._hint = hint
        self._empty = empty

    def compose(self) -> ComposeResult:
        """Lay out list and preview."""
        with Horizontal(classes="picker-box"):
            options = OptionList(
                *(choice.label for choice in self._choices), classes="picker-list", compact=True, markup=False
            )
            options.display = bool(self._choices)
            yield options
            with VerticalScroll(classes="picker-side", can_focus=not self._choices):
                yield Static("" if self._choices else self._empty, classes="picker-preview", markup=False)

    def on_mount(self) -> None:
        """Name the keys as they are bound."""
        box = self.query_one(".picker-box")
        box.border_title = self._title
        box.border_subtitle = with_keys(self, self._hint)

    @property
    def highlighted(self) -> Value | None:
        """What the highlight stands on."""
        at = self.query_one(OptionList).highlighted
        return self._choices[at].value if at is not None and at < len(self._choices) else None

    @on(OptionList.OptionHighlighted)
    def _show(self, message: OptionList.OptionHighlighted) -> None:
        message.stop()
        self.query_one(".picker-preview", Static).update(self._preview(self._choices[message.option_index].value))
        self.query_one(".picker-side", VerticalScroll).scroll_home(animate=False)

    @on(OptionList.OptionSelected)
    def _take(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self.dismiss(self._choices[message.option_index].value)
