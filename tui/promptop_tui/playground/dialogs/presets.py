"""The page of presets: models and parameters under a name, to be taken again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.history.run_history import RunHistory


class PresetsDialog(ModalScreen["dict[str, Any] | None"]):
    """Lists presets; its result is the setup to be taken."""

    HELP = """
    A preset holds what the column of parameters holds: models, parameters, tools, response format, checks; not the
    prompt. Type a name and press enter to save the present setup, instead of an earlier one of that name. Enter on a
    preset takes it; `F8` twice removes it.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", id="presets.back", tooltip="Back, nothing is changed"),
        Binding("f8", "delete", "Remove", id="presets.delete", tooltip="Remove the highlighted preset; press twice"),
    ]

    @dataclass
    class Read(Message):
        """The presets were read, on a thread."""

        presets: list[tuple[str, dict[str, Any]]]
        problem: str = ""

    def __init__(self, setup: Mapping[str, Any], now_ms: int, notebook: RunHistory) -> None:
        """``setup`` is what would be saved."""
        super().__init__(classes="playground-page")
        self._setup = setup
        self._now_ms = now_ms
        self._book = notebook
        self._presets: list[tuple[str, dict[str, Any]]] = []
        self._deleting = ""

    def compose(self) -> ComposeResult:
        """Lay out name, list and preview."""
        with Vertical(id="page") as box:
            box.border_title = "presets"
            box.border_subtitle = "enter takes, or saves the name typed · F8 removes · esc"
            yield Input(placeholder="a name, enter: save the present setup", compact=True, id="preset-name")
            yield OptionList(compact=True, markup=False, id="preset-list")
            yield Static(id="preset-text", markup=False)

    def on_mount(self) -> None:
        """Show what there is."""
        self.query_one(Input).focus()
        self._change("", "")

    @work(thread=True, group="presets", description="read or change presets")
    def _change(self, save: str, delete: str) -> None:
        try:
            if save:
                self._book.save_preset(save, self._setup, self._now_ms)
            if delete:
                self._book.delete_preset(delete)
            self.post_message(self.Read(self._book.presets()))
        except PromptopError as error:
            self.post_message(self.Read([], str(error)))

    @on(Read)
    def _was_read(self, event: Read) -> None:
        self._presets = event.presets
        self._deleting = ""
        presets = self.query_one(OptionList)
        presets.clear_options()
        presets.add_options([clean_line(name, 80) for name, _ in self._presets])
        if self._presets:
            presets.highlighted = 0
        else:
            self._say(f"✗ {event.problem}" if event.problem else "None yet: type a name, and enter saves the setup.")

    def _say(self, text: str) -> None:
        self.query_one("#preset-text", Static).update(clean(text))

    @on(Input.Submitted)
    def _save(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self._change(event.value, "")
            event.input.value = ""
        self.query_one(OptionList).focus()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self._deleting = ""
        if event.option_index < len(self._presets):
            self._say(said(self._presets[event.option_index][1]))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._presets[event.option_index][1])

    def action_delete(self) -> None:
        """Remove the highlighted preset, when pressed twice."""
        at = self.query_one(OptionList).highlighted
        if at is None or at >= len(self._presets):
            return
        name = self._presets[at][0]
        if self._deleting != name:
            self._deleting = name
            self._say(f"F8 again removes {name}.")
            return
        self._change("", name)


def said(setup: Mapping[str, Any]) -> str:
    """Return a setup in words."""
    models = ", ".join(str(spec) for spec in setup.get("models") or ())
    values = [
        f"{name} {value}" for name, value in setup.items() if name != "models" and value and "\n" not in str(value)
    ]
    written = [name for name, value in setup.items() if "\n" in str(value)]
    return "\n".join(
        line for line in (models, " · ".join(values), f"with {', '.join(written)}" if written else "") if line
    )
