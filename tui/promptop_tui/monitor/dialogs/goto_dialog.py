"""Asks for a time to go to, or for the file of an exported period."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual import on
from textual.widgets import Input, Static

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.base.texts import mark, tr
from promptop_tui.widgets.form_modal import FormField, FormModal

_ABOUT = mark("""\
3h, 2d              so long ago
2026-11-21T09:30    a moment, local time; also today, yesterday
~/export.jsonl      an export (JSONL, CSV) or another log, to replay""")
_BACK = mark("\nempty               back to your own log, live")


class GoDialog(FormModal["int | Path"]):
    """One field; returns a moment (Unix milliseconds), a file, ``Path()`` for the own log, or None."""

    HELP = "A time to look at, or the file of an exported period (`promptop log export`): nothing is added to the log."

    def __init__(self, now_ms: Callable[[], int], *, replays: bool) -> None:
        hint = "3h · 2026-11-21T09:30 · export.jsonl"
        about = Static(tr(_ABOUT) + (tr(_BACK) if replays else ""), id="go-about", markup=False)
        super().__init__(tr("go to"), [FormField("place", "", hint=hint)], body=[about], classes="-small -single")
        self._now_ms = now_ms
        self._replays = replays

    @on(Input.Submitted)
    def _on_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        text = message.value.strip()
        if not text:
            self.dismiss(Path() if self._replays else None)
            return
        path = Path(text).expanduser()
        if path.is_file():
            self.dismiss(path)
            return
        from promptop.base.times import moment_ms

        try:
            self.dismiss(moment_ms(text, self._now_ms()))
        except UsageError as error:
            self.say(clean_line(tr("{cause} There is no such file either.", cause=error.cause)), bad=True)
