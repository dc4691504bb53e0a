"""Other times and other logs: bookmarks, a time to go to, an exported file to replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from textual.message import Message
from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.files import state_dir
from promptop.base.texts import tr
from promptop_tui.monitor.controllers.time_controls import TimeControls
from promptop_tui.monitor.controllers.view_state import ViewState
from promptop_tui.monitor.data import bookmarks
from promptop_tui.monitor.data.queries import Findings
from promptop_tui.monitor.data.snapshot import SnapshotQuery


class Places:
    """Keeps places of the log, and goes to them."""

    @dataclass
    class Opened(Message):
        """An export was read, or could not be."""

        paths: tuple[Path, ...] = ()
        """None of them: the own log is wanted again."""
        error: PromptopError | None = None

    def __init__(
        self,
        host: Widget,
        view: ViewState,
        time: TimeControls,
        logs: Callable[[], Sequence[Path]],
        *,
        tell: Callable[[str, str], object],
    ) -> None:
        """``logs`` are those that are read now."""
        self._host = host
        self._logs = logs
        self._view = view
        self._time = time
        self._tell = tell
        self.commands: dict[str, Callable[..., object]] = {"keep": self.keep, "jump": self.jump, "go-to": self.ask}

    def keep(self) -> None:
        """Ask for a note, and keep what is looked at as a bookmark with it."""
        from promptop_tui.monitor.dialogs.note_dialog import NoteDialog

        asked = self._view.asked
        self._host.app.push_screen(NoteDialog(), partial(self._keep, asked, asked.until_ms or self._time.now_ms()))

    def _keep(self, asked: SnapshotQuery, until_ms: int, note: str | None) -> None:
        """Keep a window with a note; None: it was left."""
        if note is None:
            return
        path = state_dir() / "bookmarks.json"
        made = bookmarks.Bookmark(until_ms, asked.span.name, asked.filter, note)
        try:
            bookmarks.save(path, (made, *(each for each in bookmarks.load(path) if each != made)))
        except OSError as error:
            self._tell(
                tr("{path} cannot be written ({strerror}).", path=path, strerror=error.strerror),
                tr("Check the permissions of its folder."),
            )
            return
        self._host.notify(tr("This time is kept: j lists them."), markup=False)

    def jump(self) -> None:
        """List the bookmarks, and go to the chosen one."""
        from promptop_tui.monitor.dialogs.finding_lists import BOOKMARKS, ListDialog

        came = [each for log in self._logs() for each in bookmarks.travelled(log)]
        kept = tuple(dict.fromkeys((*came, *bookmarks.load(state_dir() / "bookmarks.json"))))

        def show() -> None:
            dialog.found = Findings("bookmarks", kept, len(kept), False)

        dialog = ListDialog(BOOKMARKS, "", show)
        self._host.app.push_screen(dialog, self._jumped)

    def _jumped(self, chosen: bookmarks.Bookmark | None) -> None:
        if chosen is not None:
            self._time.speed = 0
            self._view.update(asked=chosen.query)

    def ask(self) -> None:
        """Ask for a time to go to, or for an exported file to replay."""
        from promptop_tui.monitor.dialogs.goto_dialog import GoDialog

        dialog = GoDialog(self._time.now_ms, replays=self._time.period is not None)
        self._host.app.push_screen(dialog, self.go)

    def go(self, where: int | Path | None) -> None:
        """Go to a time (Unix milliseconds), or replay a file; ``Path()`` is the own log."""
        if isinstance(where, int):
            self._time.go(where)
        elif isinstance(where, Path):
            if str(where) == ".":
                self._host.post_message(self.Opened())
                return
            self._host.notify(tr("Reading {name} …", name=where.name), markup=False)
            work = partial(self._open, where)
            self._host.run_worker(
                work, thread=True, exclusive=True, group="monitor-export", description="read an export"
            )

    def _open(self, source: Path) -> None:
        """Read an export, on a thread."""
        from promptop.log.transfer.replays import is_export, open_export

        try:
            found = open_export(source, state_dir() / "replays") if is_export(source) else source
            if not found.is_file():
                raise PromptopError(f"There is no file {source}.", "Name an export (JSONL or CSV) or a request log.")
        except PromptopError as error:
            self._host.post_message(self.Opened(error=error))
        else:
            self._host.post_message(self.Opened((found,)))
