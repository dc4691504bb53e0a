"""The dialog of versions: which prompts are asked side by side, of the library, the editor, or kept from the field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import SelectionList

from promptop.base.texts import tr
from promptop.client.variants import AS_TYPED
from promptop_tui.playground.controllers.prompt_versions import TYPED, PromptVersions, SavedVersion
from promptop_tui.widgets.picker_modal import PickerModal

DRAFT = "draft"
NEWEST = 5
"""Versions of each prompt of the library that are offered."""
_MOST = 60
_PREVIEW = 2_000


class VersionsDialog(PickerModal[SavedVersion, "list[str]"]):
    """Chooses versions; its result are their labels."""

    HELP = """
    Every chosen version is asked of every chosen model, each in a pane of its own. Space chooses; what is typed above
    searches the library. The text of the prompt's field can be kept as a variant: put another text into the field then,
    and both are asked. Closing takes the choice.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Done", id="dialog.close", tooltip="Ask the chosen versions"),
        Binding("f9", "keep", "Keep field", id="versions.keep", tooltip="Keep the prompt's field as a variant"),
        Binding("f8", "forget", "Forget", id="versions.forget", tooltip="Take the highlighted version off this list"),
    ]

    def __init__(self, versions: PromptVersions, text: str, draft: Path) -> None:
        """``text`` is what stands in the prompt's field, ``draft`` the editor's file."""
        self._versions = versions
        self._field = SavedVersion(AS_TYPED, text)
        self._draft = draft
        self._chosen = list(versions.chosen)
        self._held: dict[str, SavedVersion] = dict(versions.shelf)
        """Versions that stay in the list, whatever is searched for."""
        super().__init__(
            tr("prompt versions"),
            self._offered,
            label=lambda each: each.label or tr("{typed} (the prompt's field)", typed=TYPED),
            preview=lambda each: each.text[:_PREVIEW] or "(empty)",
            placeholder=tr("search the library"),
            is_chosen=lambda each: each.label in self._chosen,
        )

    def _offered(self, search: str) -> list[SavedVersion]:
        """Runs on a thread."""
        found = {each.label: each for each in (*_drafts(self._draft), *_library(search))}
        return [self._field, *(self._held | found).values()]

    @on(SelectionList.SelectedChanged)
    def _ticked(self) -> None:
        ticked = {each.label: each for each in self.chosen}
        listed = {each.label for each in self.items}
        self._held |= {label: each for label, each in ticked.items() if label != AS_TYPED}
        self._chosen = [label for label in self._chosen if label not in listed] + list(ticked)

    def action_keep(self) -> None:
        """Keep the text of the prompt's field as a variant."""
        if not self._field.text.strip():
            self.notify(tr("The prompt's field is empty."), severity="warning")
            return
        kept = self._versions.keep(self._field.text)
        self._held = {kept.label: kept} | self._held
        self._chosen.append(kept.label)
        self.read_again()
        self.notify(tr("Kept as {label}: now put another text into the field.", label=kept.label))

    def action_forget(self) -> None:
        """Take a version off the list; the library keeps it."""
        version = self.highlighted
        if version is None or version.label == AS_TYPED:
            return
        self._held.pop(version.label, None)
        self._versions.shelf.pop(version.label, None)
        self._chosen = [each for each in self._chosen if each != version.label]
        self.read_again()

    def action_close(self) -> None:
        """Go back with the choice."""
        self._versions.put(*(self._held[label] for label in self._chosen if label in self._held))
        self.dismiss([label for label in self._chosen if label == AS_TYPED or label in self._held])


def _drafts(path: Path) -> list[SavedVersion]:
    """Return the editor's draft, as it was saved while it is typed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []  # there is none yet; the editor tells of one that it cannot read
    return [SavedVersion(DRAFT, text)] if text.strip() else []


def _library(search: str) -> list[SavedVersion]:
    """Return the newest versions of the prompts that a search finds."""
    from promptop.prompts.library import Library

    library = Library()
    if not library.path.exists():
        return []
    found: list[SavedVersion] = []
    for entry in library.entries(search):
        found += [
            SavedVersion(each.label, each.text, each.name, str(each.version))
            for each in library.versions(entry.name)[:NEWEST]
        ]
        if len(found) >= _MOST:
            break
    return found


def from_library(labels: Sequence[str]) -> list[SavedVersion]:
    """Return those of the labels (``greeting v3``) that the library still has; blocks."""
    from promptop.prompts.library import Library

    library = Library()
    if not library.path.exists():
        return []
    names = dict.fromkeys(label.rpartition(" v")[0] for label in labels)
    return [
        SavedVersion(each.label, each.text, each.name, str(each.version))
        for name in names
        if name
        for each in library.versions(name)
        if each.label in labels
    ]
