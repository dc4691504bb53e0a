"""A file that another program changed while the draft was: both texts side by side, and which of them is to stay."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.editor.dialogs.diff_dialog import render, room_in
from promptop_tui.shell.key_names import with_keys

_LONGEST = 200_000


class ConflictDialog(ModalScreen[str | None]):
    """Shows what writing mine would change in the file; returns ``mine``, ``theirs`` or None."""

    HELP = """\
The lines show the way from the file's text to yours: − stands in the file and not in your draft, + the other way round.
{conflict.mine} writes your text; the file's is kept among the kept drafts. {conflict.theirs} takes the file's text into
the draft; yours is kept there, and undo brings it back. {conflict.back} leaves both as they are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "dismiss('mine')", "Mine", id="conflict.mine", tooltip="Write my text; theirs is kept"),
        Binding("t", "dismiss('theirs')", "Theirs", id="conflict.theirs", tooltip="Take the file's text; mine is kept"),
        Binding("escape,q", "dismiss(None)", "Back", id="conflict.back", tooltip="Decide later"),
    ]

    def __init__(self, name: str, mine: str, theirs: str) -> None:
        super().__init__()
        self._file = name
        self._mine = mine
        self._theirs = theirs

    def compose(self) -> ComposeResult:
        """Lay out the question and the difference."""
        with Vertical(id="conflict-box"):
            yield Static(id="conflict-said", markup=False)
            with VerticalScroll(id="conflict-scroll"):
                yield Static("comparing …", id="conflict-lines", markup=False)

    def on_mount(self) -> None:
        """Name the keys as they are bound, and compare away from the screen."""
        box = self.query_one("#conflict-box")
        box.border_title = tr("{file} was changed by another program", file=clean_line(self._file))
        box.border_subtitle = with_keys(
            self, tr("{conflict.mine} keeps mine, {conflict.theirs} takes theirs, {conflict.back} decides later")
        )
        self.query_one("#conflict-said", Static).update(tr("From the file's text (−) to yours (+):"))
        self.query_one("#conflict-scroll").focus()
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Compare for the width that the lines have, which is known after the first layout."""
        self._compare(room_in(self.query_one("#conflict-scroll")))

    @work(thread=True, exclusive=True, group="conflict", description="compare the draft with its file")
    def _compare(self, width: int) -> None:
        from promptop.base.diff import folded, line_diff

        if len(self._mine) + len(self._theirs) > _LONGEST:
            sizes = tr("{n:,} characters in the file, {n_2:,} in the draft", n=len(self._theirs), n_2=len(self._mine))
            drawn = Content(tr("The texts are too long to be compared here: {sizes}.", sizes=sizes))
        else:
            theirs, mine = (text.replace("\r\n", "\n") for text in (self._theirs, self._mine))
            drawn = render(folded(line_diff(theirs, mine), 2), width)
            if theirs == mine:
                drawn = Content(
                    tr("Only the line ends differ.") if self._theirs != self._mine else tr("The same text.")
                )
        self.app.call_from_thread(self._show, drawn)

    def _show(self, drawn: Content) -> None:
        if self.is_attached:
            self.query_one("#conflict-lines", Static).update(drawn)
