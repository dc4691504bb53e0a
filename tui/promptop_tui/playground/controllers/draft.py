"""Keeps what is typed into the prompt's field: on disk while it is typed, back when the tab starts.

Where nothing was typed yet, the field follows the editor's draft. A text that came from elsewhere (the editor, the log,
the history) is kept where it came from; it becomes the draft with its first change, and the draft of before is put
aside then. With ``history = "off"`` nothing is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from textual.message import Message
from textual.timer import Timer

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop.prompts.draft import DraftState
from promptop.prompts.files import read_exact
from promptop_tui.playground.controllers.prompt_versions import PromptVersions
from promptop_tui.services.background import Background
from promptop_tui.services.draft_files import FileKeeper

DRAFT_NAME = "playground.md"
"""Beside the editor's draft; a demo's lies in the demo's folder, and goes with it."""
DELAY_S = 0.4  # with the write itself, less than the one second of typing that may be lost


class PromptField(Protocol):
    """What the draft needs of the prompt's field."""

    @property
    def text(self) -> str:
        """Return what stands in it."""
        ...

    def put(self, text: str) -> None:
        """Put a text into it."""
        ...


class PromptDraft:
    """Keeps the prompt's field on disk."""

    def __init__(
        self,
        draft_path: Path,
        field: PromptField,
        versions: PromptVersions,
        background: Background,
        *,
        now: Callable[[], float],
        later: Callable[[float, Callable[[], None]], Timer],
        notify: Callable[..., None],
        taken: Callable[[], None],
    ) -> None:
        """``draft_path`` is the editor's, beside which ours lies; ``later`` calls something after so many seconds, and
        ``taken`` is called when another text stands in the field.
        """
        self._taken = taken
        self._field, self._versions = field, versions
        self._now, self._later, self._notify = now, later, notify
        self._editors = draft_path
        self._background = background
        self._follows = True
        """Whether the field holds the editor's draft, or nothing: it is taken again when the tab is shown."""
        self._files = FileKeeper(
            draft_path.with_name(DRAFT_NAME), lambda message: background.hand_over(self._told, message)
        )
        self._has_draft = False
        """Whether the draft of last time was found, or found missing: before that none may be written over it."""
        self._on_disk = ""
        self._brought: str | None = None
        """The text that came from elsewhere while it stands in the field unchanged; None: it was typed."""
        self._aside = ""
        """The draft of before, which the next one is written over."""
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Fetch the draft of last time; what is typed meanwhile stays."""
        self._files.begin(None, self._stamp())

    def end(self) -> None:
        """Save what was typed last, and end the file thread."""
        self.save()
        self._files.close()

    def put(self, text: str) -> None:
        """Put a text from elsewhere into the prompt's field; what was typed there is saved first."""
        self.save()
        self._follows = False
        self._aside = self._aside or self._on_disk
        self._brought = text
        self._field.put(text)

    def follow_editor(self) -> None:
        """Take the editor's draft as it is now, while the field holds nothing else."""
        if self._has_draft and self._follows and self._field.text in {"", self._brought}:
            self._background.run(
                self._editors_draft,
                self._take_editors,
                lambda error: None,  # the editor tells of a draft that it cannot read
                group="follow",
                description="read the editor's draft",
            )

    def _editors_draft(self) -> str:
        """Runs on a thread."""
        try:
            return read_exact(self._editors)[0] if self._editors.exists() else ""
        except OSError as error:
            raise PromptopError(f"The editor's draft cannot be read ({error}).") from error

    def _take_editors(self, text: str) -> None:
        if not text.strip() or text == self._brought or self._field.text not in {"", self._brought}:
            return
        self._brought = text
        self._versions.source = tr("the editor's draft")
        self._field.put(text)
        self._taken()

    def edited(self) -> None:
        """Save in a moment: the field was changed."""
        if self._timer is None:
            self._timer = self._later(DELAY_S, self.save)

    def save(self) -> None:
        """Save what is typed, if that is new."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        text = self._field.text
        if not self._has_draft or text in {self._on_disk, self._brought}:
            return
        if self._aside.strip() and self._aside not in text:
            self._files.keep(self._aside, self._stamp())
        self._on_disk, self._brought, self._aside = text, None, ""
        self._files.put_draft(text.split("\n"), DraftState(source=self._versions.source), 0)

    def _told(self, message: Message) -> None:
        if isinstance(message, FileKeeper.Started):
            self._found(message)
        elif isinstance(message, FileKeeper.Kept):
            self._notify(
                tr("The prompt of before is kept as {path}", path=clean_line(str(message.path))),
                title="Prompt",
                markup=False,
            )
        elif isinstance(message, FileKeeper.Failed):
            said = clean(f"{message.cause}\n{message.remedy}")
            self._notify(said, title=tr("The prompt is not being saved"), severity="error", markup=False)

    def _found(self, message: FileKeeper.Started) -> None:
        self._has_draft = True
        self._on_disk = message.start.text
        for note in message.start.notes:
            self._notify(clean(note), title=tr("Prompt"), markup=False)
        if self._brought is None and not self._field.text:
            self._versions.source = message.start.state.source
            self._follows = not message.start.text.strip()
            self._field.put(message.start.text)
            self._taken()
            self.follow_editor()
        else:
            self._aside = self._on_disk
            self.edited()

    def _stamp(self) -> str:
        return time.strftime("%Y%m%d-%H%M%S", time.localtime(self._now()))
