"""What the editor's pane knows of its text and where it lives: the draft on disk, the file, who changed it last."""

from __future__ import annotations

import time
from pathlib import Path

from textual import on, work
from textual.containers import Container
from textual.getters import query_one
from textual.timer import Timer

from promptop.base.sanitize import clean, clean_line
from promptop.prompts.draft import DraftState, digest
from promptop.prompts.files import Stamp
from promptop.prompts.formats import read
from promptop_tui.context import AppContext
from promptop_tui.messages import OpenInEditor
from promptop_tui.services.draft_files import FileKeeper
from promptop_tui.widgets.prompt_area.area import PromptArea

_DRAFT_DELAY_S = 0.4  # with the write itself, less than the one second of typing that may be lost
_LOOK_EVERY_S = 2.0


class DraftPane(Container):
    """A pane around one :class:`PromptArea` whose text is never lost. What it shows is for the class below to say."""

    area = query_one("#prompt", PromptArea)
    _kept_area: PromptArea
    """The same widget as ``area``: a pane's children are gone from its tree when it is unmounted with the app."""

    def __init__(self, context: AppContext) -> None:
        super().__init__()
        self.context = context
        self._keeper = FileKeeper(context.draft_path, self.post_message)
        self._state = DraftState()
        self._stamp: Stamp | None = None
        self._conflict = ""
        self._saved_version = 0
        self._draft_version = 0
        self._draft_timer: Timer | None = None
        self._has_started = False
        self._waiting: OpenInEditor | None = None

    # For the class below

    def show_status(self) -> None:
        """Show where the text stands."""

    def text_replaced(self, calls_per_day: float | None) -> None:
        """Another text was put in; ``calls_per_day`` if its volume is known."""

    # The draft

    def begin_draft(self) -> None:
        """Fetch the draft of last time, or the file that was asked for."""
        self._kept_area = self.area
        self.area.read_only = True  # until it is here, a few milliseconds
        self._keeper.begin(self.context.open_path, self._now())
        self.set_interval(_LOOK_EVERY_S, self._look_at_file)

    def end_draft(self) -> None:
        """Save what was typed last, and end the file thread."""
        if self._has_started:
            self._save_draft()
        self._keeper.close()

    def draft_changed(self) -> None:
        """Save the draft in a moment."""
        if self._draft_timer is None:
            self._draft_timer = self.set_timer(_DRAFT_DELAY_S, self._save_draft)

    def _now(self) -> str:
        return time.strftime("%Y%m%d-%H%M%S", time.localtime(self.context.now()))

    @property
    def is_unsaved(self) -> bool:
        """Whether the text differs from its file; for a draft without one, whether there is any."""
        return self.area.version != self._saved_version if self._state.path else bool(self.area.exact.length)

    @property
    def kept(self) -> str:
        """What is to be said of where the text is kept."""
        if self._conflict:
            return "changed on disk: F9 overwrites, ctrl+r takes it"
        if self._state.path and not self.is_unsaved:
            return "saved"
        return "unsaved, draft kept" if self._draft_version == self.area.version else "typing …"

    @property
    def title_of_text(self) -> str:
        """The name of the file, or where the text came from."""
        return Path(self._state.path).name if self._state.path else self._state.source or "draft"

    def _save_draft(self) -> None:
        if self._draft_timer is not None:
            self._draft_timer.stop()
            self._draft_timer = None
        if self._has_started:
            self._keeper.put_draft(list(self._kept_area.exact.lines), self._state, self._kept_area.version)

    @on(FileKeeper.DraftSaved)
    def _draft_saved(self, message: FileKeeper.DraftSaved) -> None:
        self._draft_version = message.version
        self.show_status()

    @on(FileKeeper.Started)
    def _start(self, message: FileKeeper.Started) -> None:
        found = message.start
        self._has_started = True
        self._state, self._stamp = found.state, found.stamp
        self.area.read_only = False
        self.area.load_text(found.text)
        self._saved_version = -1 if found.is_unsaved else self.area.version
        self._conflict = found.state.path if found.file_changed else ""
        self.text_replaced(None)
        self.show_status()
        for note in found.notes:
            self.notify(clean(note), title="Draft", markup=False)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.open_text(waiting)

    def open_text(self, message: OpenInEditor) -> None:
        """Show a text as a new draft; the present one is kept, and undo brings it back."""
        if not self._has_started:
            self._waiting = message
            return
        text = message.text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate could not be saved
        self._replace(text, DraftState(source=message.source), None, message.calls_per_day)

    def _replace(self, text: str, state: DraftState, stamp: Stamp | None, calls_per_day: float | None = None) -> None:
        if self.is_unsaved:
            self._keeper.keep(list(self.area.exact.lines), self._now())
        self.area.edit_whole(text)
        self.area.move_cursor((0, 0))
        self._state, self._stamp, self._conflict = state, stamp, ""
        self._saved_version = self.area.version
        self.text_replaced(calls_per_day)
        self.show_status()

    @on(FileKeeper.Kept)
    def _kept(self, message: FileKeeper.Kept) -> None:
        self.notify(f"The draft of before is kept as {clean_line(str(message.path))}", title="Draft", markup=False)

    @on(FileKeeper.Failed)
    def _file_failed(self, message: FileKeeper.Failed) -> None:
        title = "The draft is not being saved" if message.is_draft else "File"
        self.notify(clean(f"{message.cause}\n{message.remedy}"), title=title, severity="error", markup=False)

    # The file

    def action_new(self) -> None:
        """Start an empty draft."""
        self._replace("", DraftState(), None)

    @work(group="dialog", exclusive=True)
    async def action_templates(self) -> None:
        """Begin with a template; the present draft is kept."""
        from promptop_tui.editor.dialogs.template_picker import TemplatesDialog

        chosen = await self.app.push_screen_wait(TemplatesDialog())
        if chosen is not None:
            self.open_text(OpenInEditor(chosen.text, chosen.name))

    @work(group="dialog", exclusive=True)
    async def action_open(self) -> None:
        """Ask for a file and open it."""
        path = await self._ask_path("Open", str(Path(self._state.path).parent) + "/" if self._state.path else "")
        if path is not None:
            self._keeper.open(path, "open")

    async def _ask_path(self, title: str, value: str) -> Path | None:
        from promptop_tui.editor.dialogs.path_prompt import PathDialog

        return await self.app.push_screen_wait(PathDialog(title, value))

    def action_reload(self) -> None:
        """Take the file's text."""
        if self._state.path:
            self._keeper.open(Path(self._state.path), "reload")
        else:
            self.notify("This draft has no file yet; F9 saves it to one.", markup=False)

    @on(FileKeeper.Opened)
    def _file_opened(self, message: FileKeeper.Opened) -> None:
        imported = read(message.text)
        if imported != message.text:
            said = f"{message.path.name} holds chat messages: they are a new draft, and the file stays as it is."
            self.notify(clean_line(said), title="Opened", markup=False)
            self._replace(imported, DraftState(source=message.path.name), None)
            return
        state = DraftState(path=str(message.path), digest=digest(message.text))
        if message.why == "reload" and message.text == self.area.text:
            self._state, self._stamp, self._conflict = state, message.stamp, ""
            self._saved_version = self.area.version
            self.show_status()
            return
        self._replace(message.text, state, message.stamp)

    def action_save(self) -> None:
        """Save to the file, or ask for one."""
        if self._state.path:
            self._save_to(Path(self._state.path))
        else:
            self.action_save_as()

    def _save_to(self, path: Path) -> None:
        self._keeper.save(path, list(self.area.exact.lines), self._stamp, self.area.version)

    @work(group="dialog", exclusive=True)
    async def action_save_as(self) -> None:
        """Ask for a file and save to it."""
        path = await self._ask_path("Save as", self._state.path)
        if path is None:
            return
        if str(path) != self._state.path:
            self._state, self._stamp, self._conflict = DraftState(path=str(path)), None, ""
            self._saved_version = -1
        self._save_to(path)

    @on(FileKeeper.Saved)
    def _file_saved(self, message: FileKeeper.Saved) -> None:
        self._state = DraftState(path=str(message.path), digest=message.digest)
        self._stamp, self._conflict, self._saved_version = message.stamp, "", message.version
        self._save_draft()
        self.show_status()
        self.notify(clean_line(str(message.path)), title="Saved", timeout=3, markup=False)

    def _look_at_file(self) -> None:
        if self._has_started and self._state.path and self._stamp is not None and not self._conflict:
            self._keeper.check(Path(self._state.path), self._stamp)

    @on(FileKeeper.Conflict)
    def _file_conflict(self, message: FileKeeper.Conflict) -> None:
        if str(message.path) != self._state.path:
            return
        if not message.while_saving and not self.is_unsaved and message.stamp is not None:
            self._keeper.open(message.path, "reload")  # nothing of the user's is lost, and undo has the old text
            self.notify(f"{clean_line(message.cause)} It was reloaded.", title="File", markup=False)
            return
        self._conflict = message.cause
        self._stamp = message.stamp  # the next save is the user's answer
        self.show_status()
        said = f"{message.cause}\nF9 overwrites it with your text, ctrl+r takes its text (undo brings yours back)."
        self.notify(
            clean(said), title="Not saved" if message.while_saving else "File", severity="warning", markup=False
        )

    @on(FileKeeper.Written)
    def _written(self, message: FileKeeper.Written) -> None:
        self.notify(clean_line(str(message.path)), title="Exported", timeout=3, markup=False)
