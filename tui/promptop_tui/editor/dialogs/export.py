"""The prompt in other forms, shown before it is copied or written."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop_tui.widgets.picker_modal import PickerModal

if TYPE_CHECKING:
    from promptop.prompts import Prompt
    from promptop.prompts.formats import Format
    from promptop.prompts.receipt import Receipt

_SHOWN = 20_000


class ExportDialog(PickerModal["Format", "tuple[str, str, str] | None"]):
    """A list of forms beside what each gives; returns (form, text, suffix) to be written to a file."""

    HELP = """\
{picker.take} or {export.copy} copies the shown form to the clipboard (the terminal's by OSC 52, tmux's, and the
desktop's with pbcopy, wl-copy, xclip, xsel or clip.exe), {export.write} writes it to a file that does not exist yet.
Forms for a call have sample values in place of variables, and no key; what stays unfilled in them is named above the
text. What trims since the baseline came to goes along as front matter or a comment, except in text and json."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", id="export.copy", tooltip="Copy to the clipboard"),
        Binding("w", "write", "Write", id="export.write", tooltip="Write to a file"),
    ]

    def __init__(self, prompt: Prompt, receipt: Receipt | None = None) -> None:
        from promptop.prompts.formats import FORMATS

        super().__init__(
            tr("Export"), lambda _: FORMATS, label=lambda form: form.name, preview=self._drawn, is_beside=True
        )
        self._prompt = prompt
        self._receipt = receipt
        self._text = ""

    def _drawn(self, form: Format) -> Content:
        """Write the prompt in a form, and say above it what does not go along."""
        from promptop.prompts.formats import export, export_notes
        from promptop.prompts.reader import Sending

        notes = Sending([self._prompt], {}).notes()
        if form.keeps_variables:  # whoever reads the export fills them
            notes = [note for note in notes if not note.is_about_filling]
        notes += export_notes(self._prompt, form.name)
        said = "".join(f"! {note.where}{note.cause}\n" for note in notes)
        try:
            self._text = export(self._prompt, form.name, self._receipt)
            more = tr("\n… {n:,} characters more", n=len(self._text) - _SHOWN) if len(self._text) > _SHOWN else ""
            shown = self._text[:_SHOWN] + more
        except PromptopError as error:
            self._text, shown = "", str(error)
        return Content.assemble((clean(f"{said}\n" if said else ""), "$text-warning"), clean(shown))

    def take(self, item: Format) -> None:
        """Copy what is shown."""
        self.action_copy()

    def action_copy(self) -> None:
        """Copy what is shown."""
        if self._text:
            self.app.copy_to_clipboard(self._text)
            self.notify(tr("{n:,} characters copied.", n=len(self._text)), title=tr("Export"), markup=False)

    def action_write(self) -> None:
        """Hand back what is shown, to be written."""
        form = self.highlighted
        if self._text and form is not None:
            self.dismiss((form.name, self._text, form.suffix))
