"""The dialog of variables: what stands in place of each ``{{name}}`` when the prompt is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType

from promptop.base.texts import tr
from promptop_tui.widgets.form_modal import FormField, FormModal


@dataclass(frozen=True, slots=True)
class FilledVariables:
    """What was typed, and whether the prompt is to be sent with it at once."""

    values: Mapping[str, str]
    runs: bool = False


class VariablesDialog(FormModal[FilledVariables]):
    """A field for each variable; its result are the values that were typed."""

    HELP = """
    A value may have several lines; Tab goes to the next variable. What is typed here wins over the sample values of the
    prompt's front matter, for all versions that are asked. A variable without a value is sent as it is written.
    `F5` takes the values and sends the prompt.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Take, close", id="dialog.close", tooltip="Take the values", priority=True),
        Binding("f5", "run", "Take, run", id="playground.run", tooltip="Take the values and send", priority=True),
    ]

    def __init__(self, values: Mapping[str, str]) -> None:
        """Begin with these values."""
        hint = tr("no value: sent as written")
        pairs = enumerate(values.items())
        fields = [FormField(str(at), name, value, hint, is_text=True) for at, (name, value) in pairs]
        super().__init__("variables", fields)

    def action_close(self) -> None:
        """Close with the values."""
        self.dismiss(FilledVariables(self._typed()))

    def action_run(self) -> None:
        """Close with the values, and let the prompt be sent."""
        self.dismiss(FilledVariables(self._typed(), runs=True))

    def _typed(self) -> dict[str, str]:
        typed = self.values()
        return {field.label: typed[field.id] for field in self.fields if typed[field.id]}
