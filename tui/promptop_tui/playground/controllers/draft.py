"""The part of the tab that keeps what is typed into the prompt's field: on disk while it is typed, back when it starts.

A text that came from elsewhere (the editor, the log, the history) is kept where it came from; it becomes the draft with
its first change, and the draft of before is put aside then. With ``history = "off"`` nothing is written.
"""

from __future__ import annotations

import time

from textual import on
from textual.timer import Timer

from promptop.base.sanitize import clean, clean_line
from promptop.prompts.draft import DraftState
from promptop_tui.context import AppContext
from promptop_tui.playground.controllers.request_builder import Prompting
from promptop_tui.services.draft_files import FileKeeper
from promptop_tui.widgets.prompt_area.area import PromptArea

DRAFT_NAME = "playground.md"
"""Beside the editor's draft; a demo's lies in the demo's folder, and goes with it."""
_DELAY_S = 0.4  # with the write itself, less than the one second of typing that may be lost


class Drafting(Prompting):
    """Keeps the prompt's field."""

    _kept_area: PromptArea
    """The same widget as ``area``: a pane's children are gone from its tree when it is unmounted with the app."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context)
        self._files = FileKeeper(context.draft_path.with_name(DRAFT_NAME), self.post_message)
        self._has_draft = False
        """Whether the draft of last time was found, or found missing: before that none may be written over it."""
        self._on_disk = ""
        self._brought: str | None = None
        """The text that came from elsewhere while it stands in the field unchanged; None: it was typed."""
        self._aside = ""
        """The draft of before, which the next one is written over."""
        self._draft_timer: Timer | None = None

    def begin_draft(self) -> None:
        """Fetch the draft of last time; what is typed meanwhile stays."""
        self._kept_area = self.area
        if self._shared.settings.playground.history != "off":
            self._files.begin(None, self._now())

    def end_draft(self) -> None:
        """Save what was typed last, and end the file thread."""
        self._save_draft()
        self._files.close()

    def put_text(self, text: str) -> None:
        """Put a text from elsewhere into the prompt's field; what was typed there is saved first."""
        self._save_draft()
        self._aside = self._aside or self._on_disk
        self._brought = text
        super().put_text(text)

    @on(PromptArea.Edited)
    def _prompt_edited(self) -> None:
        if self._draft_timer is None:
            self._draft_timer = self.set_timer(_DELAY_S, self._save_draft)

    def _save_draft(self) -> None:
        if self._draft_timer is not None:
            self._draft_timer.stop()
            self._draft_timer = None
        text = self._kept_area.text
        if not self._has_draft or text in {self._on_disk, self._brought}:
            return
        if self._aside.strip() and self._aside not in text:
            self._files.keep(self._aside, self._now())
        self._on_disk, self._brought, self._aside = text, None, ""
        state = DraftState(source=self.desk.source)
        self._files.put_draft(list(self._kept_area.exact.lines), state, self._kept_area.version)

    @on(FileKeeper.Started)
    def _draft_found(self, message: FileKeeper.Started) -> None:
        self._has_draft = True
        self._on_disk = message.start.text
        for note in message.start.notes:
            self.notify(clean(note), title="Prompt", markup=False)
        if self._brought is None and not self.area.text:
            self.desk.source = message.start.state.source
            super().put_text(message.start.text)
        else:
            self._aside = self._on_disk
            self._prompt_edited()

    @on(FileKeeper.Kept)
    def _draft_kept(self, message: FileKeeper.Kept) -> None:
        self.notify(f"The prompt of before is kept as {clean_line(str(message.path))}", title="Prompt", markup=False)

    @on(FileKeeper.Failed)
    def _draft_failed(self, message: FileKeeper.Failed) -> None:
        said = clean(f"{message.cause}\n{message.remedy}")
        self.notify(said, title="The prompt is not being saved", severity="error", markup=False)

    def _now(self) -> str:
        return time.strftime("%Y%m%d-%H%M%S", time.localtime(self._shared.now()))
