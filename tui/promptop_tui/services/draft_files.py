"""All file work of the editor, on one thread of its own: the draft while it is typed, saving, watching the file.

The thread touches no widget: results leave it as messages. Only the newest draft waits; a slow disk makes drafts
rarer, never the queue longer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from textual.message import Message

from promptop.base.errors import PromptopError
from promptop.base.texts import tr
from promptop.prompts.chosen_roles import choose_role
from promptop.prompts.draft import DraftState, DraftStore, Start, digest, imported_from, start, state_of
from promptop.prompts.files import PLAIN, FileChangedError, FileForm, Stamp, read_exact, save, write_atomic
from promptop.prompts.formats import FileDraft as Imported


@dataclass(frozen=True, slots=True)
class _Draft:
    lines: list[str]
    state: DraftState
    version: int
    form: FileForm
    undo: tuple[object, object] | None


class FileKeeper:
    """Runs jobs one after another; each method returns at once."""

    @dataclass
    class Started(Message):
        """The draft or file that the editor opens with."""

        start: Start
        undo: tuple[object, object] | None = None
        """Steps that undo and redo of the session before would take from this text, as they were handed over."""

    @dataclass
    class Opened(Message):
        """A file was read."""

        path: Path
        text: str
        stamp: Stamp
        why: str
        imported: Imported
        """The text as a draft, which is another text where the file is of another form."""
        state: DraftState
        """Where the text belongs, with the role that was chosen for it."""

    @dataclass
    class Saved(Message):
        """The text was written to a file."""

        path: Path
        stamp: Stamp
        digest: str
        version: int

    @dataclass
    class Conflict(Message):
        """The file is another than the one that was read; nothing was written."""

        path: Path
        stamp: Stamp | None
        cause: str
        while_saving: bool

    @dataclass
    class DraftSaved(Message):
        """The draft is on disk up to this version."""

        version: int

    @dataclass
    class Failed(Message):
        """A job failed; the text in the editor is untouched."""

        cause: str
        remedy: str
        is_draft: bool = False

    @dataclass
    class Written(Message):
        """A new file was written."""

        path: Path

    @dataclass
    class Kept(Message):
        """A text that was replaced lies here."""

        path: Path
        what: str

    def __init__(self, draft_path: Path, post: Callable[[Message], object]) -> None:
        self._draft_path = draft_path
        self._post = post
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._store: DraftStore | None = None
        self._lock = threading.Lock()
        self._draft: _Draft | None = None
        self._thread = threading.Thread(target=self._run, name="promptop-draft", daemon=True)

    def begin(self, open_path: Path | None, now: str) -> None:
        """Start the thread; :class:`Started` follows."""
        self._thread.start()
        self._jobs.put(lambda: self._begin(open_path, now))

    def close(self) -> None:
        """Finish what waits, the newest draft included, and end the thread."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def put_draft(
        self,
        lines: list[str],
        state: DraftState,
        version: int,
        *,
        form: FileForm = PLAIN,
        undo: tuple[object, object] | None = None,
    ) -> None:
        """Save these lines as the draft; one that still waits is dropped for it.

        ``undo`` (steps of undo and redo that JSON can hold) comes back with :class:`Started` if the draft is
        still this text then.
        """
        with self._lock:
            waits = self._draft is not None
            self._draft = _Draft(lines, state, version, form, undo)
        if not waits:
            self._jobs.put(self._save_draft)

    def open(self, path: Path, why: str) -> None:
        """Read a file; :class:`Opened` or :class:`Failed` follows."""
        self._jobs.put(lambda: self._open(path, why))

    def save(self, path: Path, text: str, expected: Stamp | None, version: int) -> None:
        """Write a file; :class:`Saved`, :class:`Conflict` or :class:`Failed` follows."""
        self._jobs.put(lambda: self._save(path, text, expected, version))

    def choose_role(self, path: Path, role: str) -> None:
        """Remember the role of a file's text; :class:`Failed` follows if that cannot be kept."""
        self._jobs.put(lambda: choose_role(path, role))

    def write(self, path: Path, text: str) -> None:
        """Write a file that does not exist yet; :class:`Written` or :class:`Failed` follows."""
        self._jobs.put(lambda: self._write(path, text))

    def check(self, path: Path, expected: Stamp | None) -> None:
        """Look whether a file is still the one that was read; :class:`Conflict` follows if it is not."""
        self._jobs.put(lambda: self._check(path, expected))

    def keep(self, text: str, now: str, what: str = "The draft of before") -> None:
        """Put a text aside; :class:`Kept` follows and says ``what`` it was."""
        self._jobs.put(lambda: self._keep(text, now, what))

    # On the thread

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except PromptopError as error:
                self._post(self.Failed(error.cause, error.remedy, is_draft=job == self._save_draft))
            except OSError as error:
                self._post(
                    self.Failed(
                        tr("The draft's folder failed: {error}.", error=error), tr("Check its permissions and room.")
                    )
                )
        if self._store is not None:
            self._store.close()

    def _begin(self, open_path: Path | None, now: str) -> None:
        try:
            self._store = DraftStore(self._draft_path)
            found = start(self._store, open_path, now)
        except (PromptopError, OSError):
            self._post(self.Started(Start("", DraftState())))  # an editor that cannot save drafts is still one
            raise
        self._post(self.Started(found, self._undo_of(found.text)))

    def _undo_of(self, text: str) -> tuple[object, object] | None:
        """Return the steps that were kept with exactly this draft; without them undo begins anew."""
        if self._store is None:
            return None
        try:
            found = json.loads(self._store.undo_path.read_text(encoding="utf-8"))
            return (found["undo"], found["redo"]) if found["digest"] == digest(text) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _save_draft(self) -> None:
        with self._lock:
            draft, self._draft = self._draft, None
        if draft is not None and self._store is not None:
            text = draft.form.written("\n".join(draft.lines))
            self._store.save(text, draft.state)
            self._post(self.DraftSaved(draft.version))
            if draft.undo is not None:
                undo, redo = draft.undo
                with suppress(PromptopError):  # what is lost is undo after a restart; the draft itself is there
                    kept = json.dumps({"digest": digest(text), "undo": undo, "redo": redo})
                    write_atomic(self._store.undo_path, kept, private=True)

    def _open(self, path: Path, why: str) -> None:
        text, stamp = read_exact(path)
        self._post(self.Opened(path, text, stamp, why, imported_from(text, path), state_of(path, text)))

    def _save(self, path: Path, text: str, expected: Stamp | None, version: int) -> None:
        try:
            stamp = save(path, text, expected)
        except FileChangedError as error:
            self._post(self.Conflict(path, Stamp.of(path), error.cause, while_saving=True))
            return
        self._post(self.Saved(path, stamp, digest(text), version))

    def _write(self, path: Path, text: str) -> None:
        save(path, text, None)
        self._post(self.Written(path))

    def _check(self, path: Path, expected: Stamp | None) -> None:
        found = Stamp.of(path)
        if found != expected:
            what = tr("was removed") if found is None else tr("was changed by another program")
            self._post(self.Conflict(path, found, f"{path} {what}.", while_saving=False))

    def _keep(self, text: str, now: str, what: str) -> None:
        if self._store is not None:
            self._post(self.Kept(self._store.keep(text, now), what))
