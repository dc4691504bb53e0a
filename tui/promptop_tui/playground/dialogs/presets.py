"""The dialog of presets: models and parameters under a name, to be taken again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from textual import on
from textual.widgets import Input, OptionList

from promptop.base.texts import tr
from promptop.history.run_history import RunHistory
from promptop_tui.widgets.picker_modal import PickerModal

Preset = tuple[str, dict[str, Any]]


class PresetsDialog(PickerModal[Preset, Preset]):
    """Lists presets; its result is the one to be taken, with its name."""

    HELP = """
    A preset holds what the column of parameters holds: models, parameters, tools, response format, checks; not the
    prompt. Type a name and press Enter to save the present setup, instead of an earlier one of that name. Enter on a
    preset takes it.
    """

    def __init__(self, setup: Mapping[str, Any], now_ms: int, book: RunHistory) -> None:
        """``setup`` is what would be saved."""
        super().__init__(
            "presets",
            lambda _: book.presets(),
            label=lambda preset: preset[0],
            preview=lambda preset: setup_in_words(preset[1]),
            empty=lambda _: tr("None yet: type a name, and Enter saves the setup."),
            remove=lambda preset: book.delete_preset(preset[0]),
            remove_warning=lambda preset: tr("removes {preset}", preset=preset[0]),
            name_hint=tr("a name, Enter: save the present setup"),
        )
        self._save = partial(book.save_preset, setup=setup, now_ms=now_ms)

    @on(Input.Submitted)
    def _named(self, event: Input.Submitted) -> None:
        event.stop()
        name = event.value.strip()
        if name:
            event.input.value = ""
            self.change(partial(self._save, name))
        self.query_one(OptionList).focus()


def setup_in_words(setup: Mapping[str, Any]) -> str:
    """Return a setup in words."""
    models = ", ".join(str(spec) for spec in setup.get("models") or ())
    values = [
        f"{name} {value}" for name, value in setup.items() if name != "models" and value and "\n" not in str(value)
    ]
    written = [name for name, value in setup.items() if "\n" in str(value)]
    return "\n".join(
        line
        for line in (models, " · ".join(values), tr("with {written}", written=", ".join(written)) if written else "")
        if line
    )
