"""A file that another program changed while the draft was: the way between both texts, and which of them is to stay."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.editor.dialogs.diff_dialog import DiffDialog


class ConflictDialog(DiffDialog[str]):
    """Shows what writing mine would change in the file; returns ``mine``, ``theirs`` or None."""

    HELP = """\
The lines show the way from the file's text to yours: − stands in the file and not in your draft, + the other way round.
{conflict.mine} writes your text; the file's is kept among the kept drafts. {conflict.theirs} takes the file's text into
the draft; yours is kept there, and undo brings it back. {dialog.close} leaves both as they are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "dismiss('mine')", "Keep mine", id="conflict.mine", tooltip="Write my text; theirs is kept"),
        Binding(
            "t", "dismiss('theirs')", "Take theirs", id="conflict.theirs", tooltip="Take the file's text; mine is kept"
        ),
    ]

    def __init__(self, name: str, mine: str, theirs: str) -> None:
        sizes = tr("{n:,} characters in the file, {n_2:,} in the draft", n=len(theirs), n_2=len(mine))
        super().__init__(
            tr("{file} was changed by another program", file=clean_line(name)),
            theirs,
            mine,
            head=tr("From the file's text (−) to yours (+):"),
            context=2,
            too_long=tr("The texts are too long to be compared here: {sizes}.", sizes=sizes),
        )
