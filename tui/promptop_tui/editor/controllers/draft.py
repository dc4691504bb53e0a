"""The draft's text and where it lives: on disk while it is typed, its file, and who changed that file last."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget

from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop.prompts.draft import DraftState, told_of
from promptop.prompts.files import PLAIN, Stamp, text_and_form
from promptop_tui.context import AppContext
from promptop_tui.messages import OpenInEditor
from promptop_tui.services.draft_files import FileKeeper
from promptop_tui.shell.key_names import key_name, with_keys
from promptop_tui.widgets.prompt_area.area import PromptArea
from promptop_tui.widgets.prompt_area.history import from_json

DRAFT_DELAY_S = 0.4  # with the write itself, less than the one second of typing that may be lost
_LOOK_EVERY_S = 2.0


class DraftController:
    """Keeps the text of one :class:`PromptArea`; all file work is done on the thread of :class:`FileKeeper`."""

    def __init__(
        self,
        pane: Widget,
        area: PromptArea,
        context: AppContext,
        *,
        replaced: Callable[[float | None], object],
        changed: Callable[[], object],
    ) -> None:
        """``pane`` lends timers, workers and notices.

        ``replaced`` is called when another text was put in, with its calls a day if they are known; ``changed`` when
        something else is to be said of where the text is kept.
        """
        self._pane = pane
        self._area = area
        self._context = context
        self._replaced = replaced
        self._changed = changed
        self._keeper = FileKeeper(context.draft_path, partial(pane.call_later, self._handle))
        self.state = DraftState()
        """Where the text belongs."""
        self._stamp: Stamp | None = None
        self.conflict = ""
        """What another program did to the file; empty if nothing."""
        self.form = PLAIN
        """How the file writes its text: the area holds plain line breaks, and the file gets its own back."""
        self._saved_version = 0
        self._draft_version = 0
        self._timer: Timer | None = None
        self.has_started = False
        """Whether the draft of last time, or the file that was asked for, is there."""
        self._waiting: OpenInEditor | None = None

    def begin(self) -> None:
        """Fetch the draft of last time, or the file that was asked for."""
        self._area.read_only = True  # until it is here, a few milliseconds
        self._keeper.begin(self._context.open_path, self._now())
        self._pane.set_interval(_LOOK_EVERY_S, self.look_at_file)

    def end(self) -> None:
        """Save what was typed last, and end the file thread."""
        if self.has_started:
            self._save_draft()
        self._keeper.close()

    def text_edited(self) -> None:
        """Save the draft in a moment."""
        if self._timer is None:
            self._timer = self._pane.set_timer(DRAFT_DELAY_S, self._save_draft)

    # What is to be said

    @property
    def is_unsaved(self) -> bool:
        """Whether the text differs from its file; for a draft without one, whether there is any."""
        return self._area.version != self._saved_version if self.state.path else bool(self._area.exact.length)

    @property
    def kept(self) -> str:
        """What is to be said of where the text is kept."""
        if self.conflict:
            return tr("changed on disk: {key_name} asks", key_name=key_name(self._pane, "editor.save"))
        if self.state.path and not self.is_unsaved:
            said = tr("Saved").lower()  # "saved" alone is money
        else:
            said = tr("unsaved, draft kept") if self._draft_version == self._area.version else "typing …"
        return tr("{said} · CRLF", said=said) if self.form.newline == "\r\n" else said

    @property
    def title(self) -> str:
        """The name of the file, or where the text came from."""
        return Path(self.state.path).name if self.state.path else self.state.source or "draft"

    @property
    def prompt_name(self) -> str:
        """The prompt's name in the library; empty if it is not from there."""
        return self.state.source.rpartition(" v")[0] if not self.state.path else ""

    @property
    def prompt_version(self) -> str:
        """The number of the draft's version in the library; empty if it was changed since it was taken from there."""
        is_same = bool(self.prompt_name) and self._area.version == self._saved_version
        return self.state.source.rpartition(" v")[2] if is_same else ""

    # What the user wants

    def open_text(self, message: OpenInEditor) -> None:
        """Show a text as a new draft; the present one is kept, and undo brings it back."""
        if not self.has_started:
            self._waiting = message
            return
        text = message.text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate could not be saved
        self._replace(text, DraftState(source=message.source), None, message.calls_per_day)

    def new(self) -> None:
        """Start an empty draft."""
        self._replace("", DraftState(), None)

    def open(self, path: Path) -> None:
        """Open a file."""
        self._keeper.open(path, "open")

    def reload(self) -> None:
        """Take the file's text."""
        if self.state.path:
            self._keeper.open(Path(self.state.path), "reload")
        else:
            self._notify(with_keys(self._pane, tr("This draft has no file yet; {editor.save} saves it to one.")))

    def save(self) -> bool:
        """Save to the file; False if there is none yet. If another program changed it, the user is asked first."""
        if not self.state.path:
            return False
        if self.conflict and self._stamp is not None:
            self._keeper.open(Path(self.state.path), "compare")
        else:
            self._save_to(Path(self.state.path))
        return True

    def save_as(self, path: Path) -> None:
        """Save to another file, and belong to it from now on."""
        if str(path) != self.state.path:
            self.state, self._stamp, self.conflict = DraftState(path=str(path), role=self.state.role), None, ""
            self._saved_version = -1
        self._save_to(path)

    def toggle_system(self) -> None:
        """Make text without role lines the system message, or the user's again, now and when its file is opened."""
        self.state = replace(self.state, role="" if self.state.role == "system" else "system")
        if self.state.path:
            self._keeper.choose_role(Path(self.state.path), self.state.role)
        self._save_draft()
        self._changed()
        self._notify(
            tr("The draft is the {role} message.", role=self.state.role or "user"), title=tr("System"), timeout=3
        )

    def write(self, path: Path, text: str) -> None:
        """Write a text to a file that does not exist yet."""
        self._keeper.write(path, text)

    def look_at_file(self) -> None:
        """Ask whether another program changed the file."""
        if self.has_started and self.state.path and self._stamp is not None and not self.conflict:
            self._keeper.check(Path(self.state.path), self._stamp)

    # The file thread's answers

    def _handle(self, message: Message) -> None:
        match message:
            case FileKeeper.Started():
                self._start(message)
            case FileKeeper.DraftSaved():
                self._draft_version = message.version
                self._changed()
            case FileKeeper.Opened():
                self._opened(message)
            case FileKeeper.Saved():
                self._saved(message)
            case FileKeeper.Conflict():
                self._found_changed(message)
            case FileKeeper.Kept():
                where = clean_line(str(message.path))
                self._notify(
                    with_keys(
                        self._pane,
                        tr("{what} is kept as {where}; {{editor.kept}} lists them.", what=message.what, where=where),
                    )
                )
            case FileKeeper.Written():
                self._notify(clean_line(str(message.path)), title=tr("Exported"), timeout=3)
            case FileKeeper.Failed():
                title = tr("The draft is not being saved") if message.is_draft else "File"
                said = clean(f"{message.cause}\n{message.remedy}")
                self._pane.notify(said, title=title, severity="error", markup=False)

    def _start(self, message: FileKeeper.Started) -> None:
        found = message.start
        self.has_started = True
        self.state, self._stamp = found.state, found.stamp
        self._area.read_only = False
        text, self.form = text_and_form(found.text)
        self._area.load_text(text)
        if message.undo is not None:
            self._area.restore_undo(from_json(message.undo[0]), from_json(message.undo[1]))
        self._saved_version = -1 if found.is_unsaved else self._area.version
        self.conflict = found.state.path if found.file_changed else ""
        self._replaced(None)
        self._changed()
        for note in found.notes:
            self._notify(clean(note))
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.open_text(waiting)

    def _replace(self, text: str, state: DraftState, stamp: Stamp | None, calls_per_day: float | None = None) -> None:
        if self.is_unsaved:
            self._keeper.keep(self._text(), self._now())
        self._put(text)
        self._area.move_cursor((0, 0))
        self.state, self._stamp, self.conflict = state, stamp, ""
        self._saved_version = self._area.version
        self._replaced(calls_per_day)
        self._changed()

    def _put(self, text: str) -> None:
        text, self.form = text_and_form(text)
        self._area.edit_whole(text)

    def _opened(self, message: FileKeeper.Opened) -> None:
        if message.why == "compare":
            self._ask_which(message)
            return
        imported = message.imported
        for note in imported.notes:
            self._notify(clean(str(note)), title=message.path.name)
        if imported.kind:
            self._notify(clean_line(told_of(imported, message.path)), title=tr("Opened"))
            self._replace(imported.text, DraftState(source=message.path.name), None)
            return
        state = message.state
        if message.why == "reload" and message.text == self._text():
            self.state, self._stamp, self.conflict = state, message.stamp, ""
            self._saved_version = self._area.version
            self._changed()
            return
        self._replace(message.text, state, message.stamp)

    def _saved(self, message: FileKeeper.Saved) -> None:
        self.state = replace(self.state, path=str(message.path), digest=message.digest, source="")
        self._stamp, self.conflict, self._saved_version = message.stamp, "", message.version
        self._save_draft()
        self._changed()
        self._notify(clean_line(str(message.path)), title=tr("Saved"), timeout=3)

    def _found_changed(self, message: FileKeeper.Conflict) -> None:
        if str(message.path) != self.state.path:
            return
        if not message.while_saving and not self.is_unsaved and message.stamp is not None:
            self._keeper.open(message.path, "reload")  # nothing of the user's is lost, and undo has the old text
            self._notify(tr("{cause} It was reloaded.", cause=clean_line(message.cause)), title=tr("File"))
            return
        self.conflict = message.cause
        self._stamp = message.stamp
        self._changed()
        if message.while_saving and message.stamp is not None:
            self._keeper.open(message.path, "compare")
            return
        what = (
            tr("{editor.save} writes it again.")
            if message.stamp is None
            else tr("{editor.save} shows both texts and asks.")
        )
        said = with_keys(self._pane, f"{clean(message.cause)}\n{what}")
        title = tr("Not saved") if message.while_saving else "File"
        self._pane.notify(said, title=title, severity="warning", markup=False)

    def _ask_which(self, theirs: FileKeeper.Opened) -> None:
        from promptop_tui.editor.dialogs.conflict import ConflictDialog

        mine = self._text()

        def chosen(which: str | None) -> None:
            self._stamp = theirs.stamp
            if which == "mine":
                self._keeper.keep(theirs.text, self._now(), tr("The text of {name}", name=theirs.path.name))
                self.conflict = ""
                self._save_to(theirs.path)
            elif which == "theirs":
                state = theirs.state
                self._replace(theirs.text, state, theirs.stamp)

        self._pane.app.push_screen(ConflictDialog(theirs.path.name, mine, theirs.text), chosen)

    # Writing

    def _text(self) -> str:
        """Return the text as a file has it."""
        return self.form.written(self._area.text)

    def _save_draft(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self.has_started:
            area = self._area
            lines = list(area.exact.lines)
            self._keeper.put_draft(lines, self.state, area.version, form=self.form, undo=area.undo_steps())

    def _save_to(self, path: Path) -> None:
        self._keeper.save(path, self._text(), self._stamp, self._area.version)

    def _notify(self, text: str, *, title: str = "Draft", timeout: float | None = None) -> None:
        self._pane.notify(text, title=title, timeout=timeout, markup=False)

    def _now(self) -> str:
        return time.strftime("%Y%m%d-%H%M%S", time.localtime(self._context.now()))
