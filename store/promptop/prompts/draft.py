"""The draft: what stands in the editor, kept on disk while it is typed, and found again after a crash.

Beside the draft's text lies a small state file that names the file it belongs to. When the two change together the
state goes first and comes back last, so that a crash in between leaves a draft without a file, never the text of one
file under the name of another.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from promptop.base.errors import PromptopError
from promptop.base.files import private_dir
from promptop.prompts.chosen_roles import chosen_role
from promptop.prompts.files import Stamp, read_exact, write_atomic
from promptop.prompts.formats import FileDraft as Imported
from promptop.prompts.notes import PromptNote
from promptop.prompts.reader import draft_from

KEPT_DRAFTS = 50


@dataclass(frozen=True, slots=True)
class DraftState:
    """Where a draft belongs."""

    path: str = ""
    """File that it was opened from or saved to; empty for a draft that has none."""
    digest: str = ""
    """:func:`digest` of that file's text when it was last read or written."""
    source: str = ""
    """Where the text came from if not from a file, for people."""
    role: str = ""
    """Role that was chosen for a text without role lines."""


def state_of(path: Path, text: str) -> DraftState:
    """Return the state of a file's text just read; the role that was chosen for the file is remembered."""
    return DraftState(str(path), digest(text), role=chosen_role(path))


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft as it was found."""

    text: str
    state: DraftState


def digest(text: str) -> str:
    """Return a name for a text by which two texts can be compared."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class DraftStore:
    """One draft on disk. While another process holds it, a numbered neighbour is used instead."""

    def __init__(self, path: Path) -> None:
        private_dir(path.parent)
        self._lock_descriptor, self.path = _lock_free_draft(path)
        for left_over in self.path.parent.glob(f".{self.path.name}.*.tmp"):  # by a crash in the middle of a write
            left_over.unlink(missing_ok=True)
        self._state: DraftState | None = None

    @property
    def state_path(self) -> Path:
        """The file that says where the draft belongs."""
        return self.path.with_name(self.path.name + ".state.json")

    @property
    def undo_path(self) -> Path:
        """The file that holds the steps of undo which led to the draft."""
        return self.path.with_name(self.path.name + ".undo.json")

    def load(self) -> Draft:
        """Return the draft; an empty one if there is none. Raises :class:`PromptopError` if it cannot be read."""
        if not self.path.exists():
            return Draft("", DraftState())
        text = read_exact(self.path)[0]
        state = DraftState()
        try:
            found = json.loads(self.state_path.read_text(encoding="utf-8"))
            state = DraftState(**{key: str(found[key]) for key in asdict(state) if key in found})
        except FileNotFoundError:
            pass  # a draft without a file
        except (OSError, ValueError, TypeError):
            self.state_path.unlink(missing_ok=True)
        self._state = state
        return Draft(text, state)

    def save(self, text: str, state: DraftState) -> None:
        """Write the draft (0600), and its state if that is another."""
        if state != self._state:
            self.state_path.unlink(missing_ok=True)
            write_atomic(self.path, text, private=True)
            if state != DraftState():
                write_atomic(self.state_path, json.dumps(asdict(state)), private=True)
            self._state = state
        else:
            write_atomic(self.path, text, private=True)

    def keep(self, text: str, now: str) -> Path:
        """Put a text that is about to be replaced into the folder of kept drafts, named after ``now``; return its path.

        The newest 50 stay.
        """
        folder = private_dir(_kept_folder(self.path))
        path = folder / f"{now}.md"
        number = 2
        while path.exists():
            path = folder / f"{now}-{number}.md"
            number += 1
        write_atomic(path, text, private=True)
        kept = sorted(folder.glob("*.md"), key=lambda each: each.stat().st_mtime_ns)
        for old in kept[:-KEPT_DRAFTS]:
            old.unlink(missing_ok=True)
        return path

    def close(self) -> None:
        """Let go of the draft; another process may have it now."""
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1


@dataclass(frozen=True, slots=True)
class KeptDraft:
    """A text that gave way to another."""

    path: Path
    text: str
    saved_at: float
    """Unix seconds."""


def kept_drafts(draft_path: Path) -> list[KeptDraft]:
    """Return the drafts that were kept beside this one, newest first; those that cannot be read are left out."""
    found = []
    for path in _kept_folder(draft_path).glob("*.md"):
        try:
            text, stamp = read_exact(path)
        except PromptopError:
            continue
        found.append(KeptDraft(path, text, stamp.mtime_ns / 1e9))
    return sorted(found, key=lambda kept: (kept.saved_at, kept.path.name), reverse=True)


def _kept_folder(draft_path: Path) -> Path:
    return draft_path.parent / "kept-drafts"


@dataclass(frozen=True, slots=True)
class Start:
    """What the editor opens with."""

    text: str
    state: DraftState
    stamp: Stamp | None = None
    """Stamp of the file that ``state`` names, when its text was compared; None if it is not there."""
    is_unsaved: bool = False
    """Whether the text differs from that file."""
    file_changed: bool = False
    """Whether the file on disk is another than the one the draft was made from."""
    notes: tuple[str, ...] = ()
    """What the user should know."""


def start(store: DraftStore, open_path: Path | None, now: str) -> Start:
    """Decide what the editor opens with: the file asked for, or the draft of last time.

    Unsaved text of another draft is kept aside. Raises :class:`PromptopError` if the file asked for cannot be read.
    """
    try:
        draft = store.load()
    except PromptopError as error:
        aside = store.path.with_name(f"{store.path.name}.unreadable-{now}")
        store.path.rename(aside)
        draft = Draft("", DraftState())
        notes = [f"The draft could not be read and was moved to {aside}: {error.cause}"]
    else:
        notes = []
    found = _compare(draft)
    if open_path is None:
        return replace(found, notes=(*notes, *found.notes))
    path = Path(os.path.abspath(open_path.expanduser()))  # noqa: PTH100 (resolve() would follow links)
    if draft.state.path == str(path) and found.is_unsaved:
        return replace(found, notes=(*notes, *found.notes))
    if draft.text and found.is_unsaved:
        kept = store.keep(draft.text, now)
        notes.append(f"The unsaved draft of before was kept as {kept}")
    if not path.exists():
        return Start("", DraftState(path=str(path)), None, False, False, (*notes, f"{path} is new."))
    text, stamp = read_exact(path)
    imported = imported_from(text, path)
    notes += [str(note) for note in imported.notes]
    if imported.kind:
        notes.append(told_of(imported, path))
        return Start(imported.text, DraftState(source=path.name), is_unsaved=True, notes=tuple(notes))
    return Start(text, state_of(path, text), stamp, notes=tuple(notes))


def imported_from(text: str, path: Path) -> Imported:
    """Return what a file comes to as a draft; one that cannot be read as its suffix says is its text, with a note."""
    try:
        return draft_from(text, name=str(path), folder=path.parent)
    except PromptopError as error:
        return Imported(text, notes=(PromptNote(error.cause.rstrip(".")),))


def told_of(imported: Imported, path: Path) -> str:
    """Say that a file of another form was opened as a new draft."""
    return f"{path.name} was read as {imported.kind}: it is a new draft, and the file stays as it is."


def _compare(draft: Draft) -> Start:
    state = draft.state
    if not state.path:
        return Start(draft.text, state, is_unsaved=bool(draft.text))
    path = Path(state.path)
    try:
        on_disk, stamp = read_exact(path)
    except PromptopError as error:
        gone = not path.exists()
        if gone and not state.digest:  # a new file that was never saved
            return Start(draft.text, state, None, bool(draft.text))
        return Start(draft.text, state, None, True, True, (f"The draft's file is gone or unreadable: {error.cause}",))
    if on_disk == draft.text:
        return Start(draft.text, replace(state, digest=digest(on_disk)), stamp)
    if digest(on_disk) == state.digest:
        return Start(draft.text, state, stamp, True, False, (f"Unsaved changes of {path.name} were restored.",))
    note = f"{path.name} was changed by another program; your unsaved text was restored."
    return Start(draft.text, state, stamp, True, True, (note,))


def _lock_free_draft(path: Path) -> tuple[int, Path]:
    """Return the lock and the path of the first of draft.md, draft-2.md … that no other process holds."""
    for number in range(1, 100):
        candidate = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        lock = candidate.with_name(candidate.name + ".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        return descriptor, candidate
    raise PromptopError(f"{path} and 98 neighbours are in use.", "Close some of the open editors.")
