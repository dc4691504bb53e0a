"""The page of versions: which prompts are asked side by side, from the library, the editor, or kept from the field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, SelectionList, Static
from textual.widgets.selection_list import Selection

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.client.variants import AS_TYPED
from promptop_tui.playground.controllers.prompt_versions import TYPED, PromptVersions, SavedVersion
from promptop_tui.playground.views.model_list import ModelList

DRAFT = "draft"
NEWEST = 5
"""Versions of each prompt of the library that are offered."""
_MOST = 60
_PREVIEW = 2_000


class VersionsDialog(ModalScreen["list[str] | None"]):
    """Chooses versions; its result are their labels, None if nothing was changed."""

    HELP = """
    Every chosen version is asked of every chosen model, each in a pane of its own. Space chooses; what is typed above
    searches the library. `F9` keeps the text of the prompt's field as a variant: put another text into the field, and
    both are asked. Enter or Esc goes back.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "done", "Done", id="versions.done", tooltip="Ask the chosen versions"),
        Binding("f9", "keep", "Keep field", id="versions.keep", tooltip="Keep the prompt's field as a variant"),
        Binding("f8", "forget", "Forget", id="versions.forget", tooltip="Take the highlighted version off this list"),
    ]

    class Found(Message):
        """Versions were read, on a thread."""

        def __init__(self, search: str, versions: Sequence[SavedVersion], problem: str = "") -> None:
            super().__init__()
            self.search, self.versions, self.problem = search, versions, problem

    def __init__(self, desk: PromptVersions, text: str, draft: Path) -> None:
        """Offer what is on the desk; ``text`` is what stands in the prompt's field, ``draft`` the editor's file."""
        super().__init__(classes="playground-page")
        self._desk = desk
        self._text = text
        self._draft = draft
        self._chosen = list(desk.chosen)
        self._offered: dict[str, SavedVersion] = dict(desk.shelf)
        self._labels: list[str] = []

    def compose(self) -> ComposeResult:
        """Lay out search, list and preview."""
        with Vertical(id="page") as box:
            box.border_title = "prompt versions"
            box.border_subtitle = "space chooses · F9 keeps the field · esc"
            yield Input(placeholder="search the library", compact=True, id="version-search")
            yield ModelList(compact=True, id="version-list")
            with VerticalScroll(id="version-preview", can_focus=False):
                yield Static(id="version-text", markup=False)

    def on_mount(self) -> None:
        """Show what is at hand, then what the library has."""
        self._list()
        self.query_one(ModelList).focus()
        self._find("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._find(event.value)

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.query_one(ModelList).focus()

    @work(thread=True, exclusive=True, group="versions", description="read prompt versions")
    def _find(self, search: str) -> None:
        try:
            self.post_message(self.Found(search, [*_drafts(self._draft), *_library(search)]))
        except PromptopError as error:
            self.post_message(self.Found(search, [], str(error)))

    @on(Found)
    def _found(self, event: Found) -> None:
        if event.search != self.query_one("#version-search", Input).value:
            return
        held = {label: each for label, each in self._offered.items() if label in (*self._chosen, *self._desk.shelf)}
        self._offered = held | {each.label: each for each in event.versions}
        self._list()
        if event.problem:
            self.query_one("#version-text", Static).update(clean(event.problem))

    def _list(self) -> None:
        versions = self.query_one(ModelList)
        at = versions.highlighted or 0
        self._labels = [AS_TYPED, *self._offered]
        with self.prevent(SelectionList.SelectedChanged):
            versions.clear_options()
            versions.add_options(
                [
                    Selection(clean_line(label or f"{TYPED} (the prompt's field)", 100), label, label in self._chosen)
                    for label in self._labels
                ]
            )
        versions.highlighted = min(at, len(self._labels) - 1)

    @on(SelectionList.SelectedChanged)
    def _changed(self) -> None:
        selected = set(self.query_one(ModelList).selected)
        self._chosen = [label for label in self._labels if label in selected]

    @on(SelectionList.SelectionHighlighted)
    def _highlighted(self, event: SelectionList.SelectionHighlighted[str]) -> None:
        label = self._labels[event.selection_index]
        text = self._text if label == AS_TYPED else self._offered[label].text
        self.query_one("#version-text", Static).update(clean(text[:_PREVIEW]) or "(empty)")

    def action_keep(self) -> None:
        """Keep the text of the prompt's field as a variant."""
        if not self._text.strip():
            self.notify("The prompt's field is empty.", severity="warning")
            return
        kept = self._desk.keep(self._text)
        self._offered = {kept.label: kept} | self._offered
        self._chosen.append(kept.label)
        self._list()
        self.notify(f"Kept as {kept.label}: now put another text into the field.")

    def action_forget(self) -> None:
        """Take a version off the list; the library keeps it."""
        label = self._labels[self.query_one(ModelList).highlighted or 0]
        if label == AS_TYPED:
            return
        self._offered.pop(label, None)
        self._desk.shelf.pop(label, None)
        self._chosen = [each for each in self._chosen if each != label]
        self._list()

    def action_done(self) -> None:
        """Go back with the choice."""
        chosen = [label for label in self._chosen if label == AS_TYPED or label in self._offered]
        self._desk.put(*(self._offered[label] for label in chosen if label != AS_TYPED))
        self.dismiss(chosen)


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
