"""The monitor in time: hold, scrub, replay forwards and backwards, bookmarks, other logs and exported periods."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive, var

from promptop.base.errors import PromptopError
from promptop.settings import state_dir
from promptop_tui.monitor.controllers.view_state import Looking
from promptop_tui.monitor.data import bookmarks
from promptop_tui.monitor.data.snapshot import SPANS

if TYPE_CHECKING:
    from promptop_tui.context import AppContext

SPEEDS = (0, 1, 10, 60, 600, 3600)
"""Seconds of the log in a second of a replay, in the order of the key."""


class Travelling(Looking):
    """The part of the monitor that moves the window."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "scrub(-1)", "Back", show=False, id="monitor.earlier", tooltip="back in time"),
        Binding("right_square_bracket", "scrub(1)", "On", show=False, id="monitor.later", tooltip="on in time"),
        Binding(
            "left_curly_bracket", "scrub(-4)", "Far back", show=False, id="monitor.far-back", tooltip="a window back"
        ),
        Binding(
            "right_curly_bracket", "scrub(4)", "Far on", show=False, id="monitor.far-on", tooltip="a window on in time"
        ),
        Binding("r", "replay", "Replay", show=False, id="monitor.replay", tooltip="replay: ×1, ×10, … ×3600, hold"),
        Binding("R", "replay(-1)", "Rewind", show=False, id="monitor.rewind", tooltip="the same, back in time"),
        Binding("k", "keep", "Keep", show=False, id="monitor.keep", tooltip="keep this moment as a bookmark"),
        Binding("j", "jump", "Jump", show=False, id="monitor.jump", tooltip="go to a bookmark"),
        Binding(
            "g", "go_to", "Go to", show=False, id="monitor.go-to", tooltip="go to a time, or replay an exported file"
        ),
    ]

    speed: reactive[int] = reactive(0)
    """Seconds of the log that a replay shows in a second, below 0 back in time; 0: none runs."""
    period: var[tuple[int, int] | None] = var(None)
    """First and last moment of what is replayed instead of the log, Unix milliseconds; None: the log, live."""

    _shared: AppContext

    @dataclass
    class Opened(Message):
        """An export was read, or could not be."""

        paths: tuple[Path, ...] = ()
        error: PromptopError | None = None

    @property
    def latest_ms(self) -> int:
        """The moment past which there is nothing to go to: the present, or the end of what is replayed."""
        return self.now_ms() if self.period is None else self.period[1] + 1

    def show_until(self, until_ms: int) -> None:
        """Let the window end at a moment; at the last one it is live, or held at the end of what is replayed."""
        latest = self.latest_ms
        if self.period is not None:
            until: int | None = min(max(until_ms, self.period[0]), latest)
        else:
            until = None if until_ms >= latest else until_ms
        self.asked = replace(self.asked, until_ms=until, moment_ms=None)

    def action_pause(self) -> None:
        """Hold the window where it is; again: live, or on with the replay."""
        if self.speed:
            self.speed = 0
        elif self.period is not None:
            self.action_replay()
        else:
            live = self.asked.until_ms is None
            self.asked = replace(self.asked, until_ms=self.now_ms() if live else None)

    def action_scrub(self, by: int) -> None:
        """Move the end of the window by quarters of its length; past the present is live again."""
        until = self.asked.until_ms or self.latest_ms
        self.show_until(until + by * self.asked.span.seconds * 250)

    def action_replay(self, way: int = 1) -> None:
        """Let the window run from where it is held, faster each time; from its start if it was live or at the end."""
        at_end = self.period is not None and not self.speed and (self.asked.until_ms or 0) >= self.latest_ms
        if way > 0 and at_end and self.period is not None:
            self.asked = replace(self.asked, until_ms=self.period[0], moment_ms=None)
        elif self.asked.until_ms is None:
            back = self.asked.span.seconds * 1000 if way > 0 else 0
            self.asked = replace(self.asked, until_ms=self.now_ms() - back, moment_ms=None)
        known = self.speed * way in SPEEDS
        self.speed = way * SPEEDS[(SPEEDS.index(self.speed * way) + 1) % len(SPEEDS) if known else 1]

    def advance(self, seconds: float) -> None:
        """Move a replay on by so many seconds of the wall clock; it ends in the present, or where the log does."""
        if not self.speed or self.asked.until_ms is None:
            self.speed = 0
            return
        until = self.asked.until_ms + round(seconds * self.speed * 1000)
        first = self.period[0] if self.period is not None else self.shown.reach[0] if self.shown.reach else 0
        if self.speed < 0 and until < first:
            self.speed, until = 0, first
        elif until >= self.latest_ms:
            self.speed = 0
        self.show_until(until)

    def action_keep(self) -> None:
        """Keep the moment that is looked at."""
        path = state_dir() / "bookmarks.json"
        until = self.asked.until_ms or self.now_ms()
        made = bookmarks.Bookmark(until, self.asked.span.name, self.asked.filter)
        try:
            bookmarks.save(path, (made, *(each for each in bookmarks.load(path) if each != made)))
        except OSError as error:
            self.tell(f"{path} cannot be written ({error.strerror}).", "Check the permissions of its folder.")
            return
        self.notify("This moment is kept: j lists them.", markup=False)

    def action_jump(self) -> None:
        """Go to a bookmark."""
        from promptop_tui.monitor.data.queries import Findings
        from promptop_tui.monitor.dialogs.finding_lists import BookmarkDialog

        kept = bookmarks.load(state_dir() / "bookmarks.json")

        def show() -> None:
            screen.found = Findings("bookmarks", kept, len(kept), False)

        screen = BookmarkDialog("", show)
        self.app.push_screen(screen, self._after_jump)

    def _after_jump(self, chosen: bookmarks.Bookmark | None) -> None:
        if chosen is not None:
            self.speed = 0
            self.asked = chosen.query

    # Other times, other logs

    def action_go_to(self) -> None:
        """Ask for a time to go to, or for an exported file to replay."""
        from promptop_tui.monitor.dialogs.goto_dialog import GoDialog

        self.app.push_screen(GoDialog(self.now_ms, replays=self.period is not None), self._go)

    def _go(self, where: int | Path | None) -> None:
        if isinstance(where, int):
            self.speed = 0
            self.show_until(where)
        elif isinstance(where, Path):
            if str(where) == ".":
                self.post_message(self.Opened())
                return
            self.notify(f"Reading {where.name} …", markup=False)
            work = partial(self._open_export, where)
            self.run_worker(work, thread=True, exclusive=True, group="monitor-export", description="read an export")

    def _open_export(self, source: Path) -> None:
        from promptop.log.transfer.replays import is_export, open_export

        try:
            found = open_export(source, state_dir() / "replays") if is_export(source) else source
            if not found.is_file():
                raise PromptopError(f"There is no file {source}.", "Name an export (JSONL or CSV) or a request log.")
        except PromptopError as error:
            self.post_message(self.Opened(error=error))
        else:
            self.post_message(self.Opened((found,)))

    @on(Opened)
    def _on_opened(self, message: Opened) -> None:
        message.stop()
        if message.error is not None:
            self.tell(message.error.cause, message.error.remedy)
        else:
            self.read_from(message.paths)

    def read_from(self, paths: tuple[Path, ...]) -> None:
        """Show other logs, as a period to replay; none: the app's own log again, live."""
        raise NotImplementedError

    def cover(self, first_ms: int, last_ms: int) -> None:
        """Show a period whole: the shortest window that holds it, at its end."""
        self.period = (first_ms, last_ms)
        lengths = [span for span in SPANS.values() if span.seconds * 1000 >= last_ms - first_ms]
        span = lengths[0] if lengths else list(SPANS.values())[-1]
        self.asked = replace(self.asked, span=span, until_ms=last_ms + 1, moment_ms=None, view="", view_terms="")
