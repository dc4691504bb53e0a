"""Templates over the draft: a list beside what each holds."""

from __future__ import annotations

from promptop.prompts.templates import TEMPLATES, Template
from promptop_tui.widgets.picker_modal import PickerModal


class TemplatesDialog(PickerModal[Template, Template]):
    """A list of prompts to begin with; returns the one that was taken."""

    HELP = """\
{picker.take} begins a new draft with the template; the present draft is kept, and undo brings it back. {{names}} are
placeholders: their sample values stand in the front matter, to be replaced by yours."""

    def __init__(self) -> None:
        super().__init__(
            "Templates",
            lambda _: TEMPLATES,
            label=lambda each: each.name,
            preview=lambda each: f"{each.description}\n\n{each.text}",
            is_beside=True,
        )
