"""Templates over the draft: a list beside what each holds."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from promptop.prompts.templates import TEMPLATES, Template, template


class TemplatesDialog(ModalScreen[Template | None]):
    """A list of prompts to begin with; returns the one that was taken."""

    HELP = """\
Enter begins a new draft with the template; the present draft is kept, and undo brings it back. {{names}} are
placeholders: their sample values stand in the front matter, to be replaced by yours."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Back", id="templates.back", tooltip="Back to the draft"),
    ]

    def compose(self) -> ComposeResult:
        """Lay out the names and the preview."""
        with Horizontal(id="templates-box") as box:
            box.border_title = "Templates"
            box.border_subtitle = "enter begins a draft, esc goes back"
            options = [Option(each.name, id=each.name) for each in TEMPLATES]
            yield OptionList(*options, id="templates-names", compact=True)
            with VerticalScroll(id="templates-preview", can_focus=False):
                yield Static(id="templates-text", markup=False)

    @on(OptionList.OptionHighlighted)
    def _show(self, message: OptionList.OptionHighlighted) -> None:
        chosen = template(str(message.option_id))
        self.query_one("#templates-text", Static).update(f"{chosen.description}\n\n{chosen.text}")

    @on(OptionList.OptionSelected)
    def _take(self, message: OptionList.OptionSelected) -> None:
        self.dismiss(template(str(message.option_id)))
