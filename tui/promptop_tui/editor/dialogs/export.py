"""The prompt in other forms, shown before it is copied or written."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop_tui.shell.key_names import with_keys

if TYPE_CHECKING:
    from promptop.prompts import Prompt
    from promptop.prompts.receipt import Receipt

_SHOWN = 20_000


class ExportDialog(ModalScreen[tuple[str, str, str] | None]):
    """A list of forms beside what each gives; returns (form, text, suffix) to be written to a file."""

    HELP = """\
Enter or {export.copy} copies the shown form to the clipboard (the terminal's by OSC 52, tmux's, and the desktop's with
pbcopy, wl-copy, xclip, xsel or clip.exe), {export.write} writes it to a file that does not exist yet. Forms for a call
have sample values in place of variables, and no key; what stays unfilled in them is named above the text. What trims
since the baseline came to goes along as front matter or a comment, except in text and json."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", id="export.copy", tooltip="Copy to the clipboard"),
        Binding("w", "write", "Write", id="export.write", tooltip="Write to a file"),
        Binding("escape,q", "dismiss(None)", "Back", id="export.back", tooltip="Back to the draft"),
    ]

    def __init__(self, prompt: Prompt, receipt: Receipt | None = None) -> None:
        super().__init__()
        self._prompt = prompt
        self._receipt = receipt
        self._text = ""

    def compose(self) -> ComposeResult:
        """Lay out the forms and the preview."""
        from promptop.prompts.formats import FORMATS

        with Horizontal(id="export-box") as box:
            box.border_title = tr("Export")
            yield OptionList(*(Option(each.name, id=each.name) for each in FORMATS), id="export-forms", compact=True)
            with VerticalScroll(id="export-preview", can_focus=False):
                yield Static(id="export-notes", markup=False)
                yield Static(id="export-text", markup=False)

    def on_mount(self) -> None:
        """Name the keys as they are bound."""
        ways = tr("Enter copies, {export.write} writes a file, {export.back} goes back")
        self.query_one("#export-box").border_subtitle = with_keys(self, ways)

    @on(OptionList.OptionHighlighted)
    def _show(self, message: OptionList.OptionHighlighted) -> None:
        from promptop.prompts.formats import export, export_notes, form
        from promptop.prompts.reader import Sending

        name = str(message.option_id)
        notes = Sending([self._prompt], {}).notes()
        if form(name).keeps_variables:  # whoever reads the export fills them
            notes = [note for note in notes if not note.is_about_filling]
        notes += export_notes(self._prompt, name)
        said = self.query_one("#export-notes", Static)
        said.display = bool(notes)
        said.update(clean("\n".join(f"! {note.where}{note.cause}" for note in notes)))
        try:
            self._text = export(self._prompt, name, self._receipt)
            shown = clean(self._text[:_SHOWN])
            more = tr("\n… {n:,} characters more", n=len(self._text) - _SHOWN) if len(self._text) > _SHOWN else ""
        except PromptopError as error:
            self._text, shown, more = "", str(error), ""
        self.query_one("#export-text", Static).update(shown + more)

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.action_copy()

    def action_copy(self) -> None:
        """Copy what is shown."""
        if self._text:
            self.app.copy_to_clipboard(self._text)
            self.notify(tr("{n:,} characters copied.", n=len(self._text)), title=tr("Export"), markup=False)

    def action_write(self) -> None:
        """Hand back what is shown, to be written."""
        from promptop.prompts.formats import FORMATS

        at = self.query_one(OptionList).highlighted
        if self._text and at is not None:
            self.dismiss((FORMATS[at].name, self._text, FORMATS[at].suffix))
