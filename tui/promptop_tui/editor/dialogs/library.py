"""The library over the draft: find a prompt, look at its versions beside the draft, take one, save the draft as one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Input, OptionList, Static

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop_tui.services.token_counts import CountingFailed, SnippetsReady
from promptop_tui.shell.key_names import with_keys
from promptop_tui.widgets.dialog import Dialog

if TYPE_CHECKING:
    from promptop.prompts.library import LibraryEntry, Version
    from promptop.prompts.receipt import Receipt
    from promptop_tui.editor.controllers.cost_delta import CostDelta

_LONGEST_COMPARED = 100_000


class LibraryDialog(Dialog["Version | None"]):
    """Names left, versions right, below them what a version would change in the draft; returns the version taken."""

    HELP = """\
Type to find a prompt by name or text; #tag finds those with that tag. Enter goes to the names and their versions;
enter on a version puts it into the draft (undo brings the draft back). {library.save} saves the draft as the next
version of the name that is typed, or of the one that is highlighted; words that begin with # become tags, #-tag takes
one away.

Below stands what would change, in tokens, dollars, lines and words, from the draft to the highlighted version.
{library.hold} on a version holds all others against it instead of the draft, those of other prompts too;
{library.hold} on it again lets go. With the highlight on a prompt, {library.rename} gives it the name that you type
next (Enter takes it), and {library.delete} twice removes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f9", "save", "Save draft", id="library.save", tooltip="Save the draft as a version of this name"),
        Binding("f7", "rename", "Rename", id="library.rename", tooltip="Type another name for this prompt"),
        Binding(
            "f6", "hold", "Compare", id="library.hold", tooltip="Hold other versions against this one, not the draft"
        ),
        Binding("f8", "delete", "Delete", id="library.delete", tooltip="Remove the highlighted prompt; press twice"),
    ]

    def __init__(
        self,
        draft: str,
        name: str,
        now: Callable[[], float],
        receipt: Receipt | None = None,
        source: str = "",
        yardstick: CostDelta | None = None,
    ) -> None:
        super().__init__(tr("Library"))
        self._draft = draft
        self._name = name
        self._receipt = receipt
        self._source = source
        self._yardstick = yardstick
        self._asked: int | None = None
        self._now = now
        self._entries: list[LibraryEntry] = []
        self._versions: list[Version] = []
        self._held: Version | None = None
        self._renaming = ""
        self._deleting = ""

    def compose(self) -> ComposeResult:
        """Lay out line, lists and preview."""
        with self.frame():
            yield Input(self._name, placeholder=tr("name, #tag or words of the text"), id="library-find", compact=True)
            with Horizontal(id="library-lists"):
                yield OptionList(id="library-names", compact=True, markup=False)
                yield OptionList(id="library-versions", compact=True, markup=False)
            yield Static(id="library-told", markup=False)
            yield Static(id="library-figures", markup=False)
            with VerticalScroll(id="library-preview", can_focus=False):
                yield Static(id="library-changes", markup=False)

    def on_mount(self) -> None:
        """List what there is."""
        self._tell("")
        self._find(self._name)

    @on(Input.Changed, "#library-find")
    def _typed(self, message: Input.Changed) -> None:
        if not self._renaming:
            self._tell("")
            self._find(message.value)

    @on(Input.Submitted, "#library-find")
    def _entered(self, message: Input.Submitted) -> None:
        if self._renaming:
            old, self._renaming = self._renaming, ""
            self._rename(old, message.value)
        else:
            self.query_one("#library-names").focus()

    @work(thread=True, exclusive=True, group="library", description="search the library")
    def _find(self, typed: str) -> None:
        from promptop.prompts.library import Library

        try:
            found = Library().entries(" ".join(word for word in typed.split() if not word.startswith("#-")))
        except PromptopError as error:
            self.app.call_from_thread(self._tell, str(error))
            return
        self.app.call_from_thread(self._list, typed, found)

    def _list(self, typed: str, found: list[LibraryEntry]) -> None:
        if not self.is_attached or self.query_one("#library-find", Input).value != typed:
            return
        self._entries = found
        names = self.query_one("#library-names", OptionList)
        names.clear_options()
        for entry in found:
            tags = "".join(f" #{tag}" for tag in entry.tags)
            names.add_option(
                Content.assemble(clean_line(entry.name), (f"  v{entry.versions}{clean_line(tags)}", "dim"))
            )
        if found:
            names.highlighted = 0
        else:
            self._versions = []
            self.query_one("#library-versions", OptionList).clear_options()
            empty = tr("Nothing of that name. {library.save} saves the draft under it.")
            self._say(with_keys(self, empty if typed else tr("Empty. Type a name, then {library.save}.")))

    @on(OptionList.OptionHighlighted, "#library-names")
    def _choose(self, message: OptionList.OptionHighlighted) -> None:
        self._deleting = ""
        if message.option_index < len(self._entries):
            self._load(self._entries[message.option_index].name)

    @on(OptionList.OptionSelected, "#library-names")
    def _to_versions(self) -> None:
        self.query_one("#library-versions").focus()

    @work(thread=True, exclusive=True, group="versions", description="read versions")
    def _load(self, name: str) -> None:
        from promptop.prompts.library import Library

        try:
            found = Library().versions(name)
        except PromptopError as error:
            self.app.call_from_thread(self._tell, str(error))
            return
        self.app.call_from_thread(self._list_versions, found)

    def _list_versions(self, found: list[Version]) -> None:
        if not self.is_attached:
            return
        self._versions = found
        versions = self.query_one("#library-versions", OptionList)
        versions.clear_options()
        for version in found:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(version.saved_at_ms / 1000))
            proof = version.receipt.proof if version.receipt is not None else None
            proven = (
                f"  {'✓ ' if version.receipt and version.receipt.is_proven else ''}{proof.verdict}" if proof else ""
            )
            size = tr("{n:,} chars", n=len(version.text))
            versions.add_option(f"v{version.version}  {when}  {size}{proven}  {clean_line(version.note)}")
        if found:
            versions.highlighted = 0

    @on(OptionList.OptionHighlighted, "#library-versions")
    def _preview(self, message: OptionList.OptionHighlighted) -> None:
        if message.option_index < len(self._versions):
            version = self._versions[message.option_index]
            self._preview_of(version)
            self._measure(version)

    def _measure(self, version: Version) -> None:
        """Have the step to this version counted; the answer comes as a message."""
        before = self._held.text if self._held is not None else self._draft
        self._asked = None
        if self._yardstick is None or not before or len(version.text) + len(before) > _LONGEST_COMPARED:
            self.query_one("#library-figures", Static).update("")
        else:
            self._asked = self._yardstick.ask(self, before, version.text)

    @on(SnippetsReady)
    def _measured(self, message: SnippetsReady) -> None:
        message.stop()
        if message.reply.id == self._asked and self._yardstick is not None:
            self.query_one("#library-figures", Static).update(self._yardstick.lines(message.reply))

    @on(CountingFailed)
    def _not_measured(self, message: CountingFailed) -> None:
        message.stop()
        self.query_one("#library-figures", Static).update(tr("tokens cannot be counted now"))

    def _preview_of(self, version: Version) -> None:
        """Read here, on the screen's thread, what the comparison needs of the screen, which may close meanwhile."""
        from promptop_tui.editor.dialogs.diff_dialog import room_in

        self._compare(version, self._held, room_in(self.query_one("#library-preview")))

    @work(thread=True, exclusive=True, group="preview", description="compare a version with the draft")
    def _compare(self, version: Version, held: Version | None, width: int) -> None:
        from promptop.base.diff import folded, line_diff
        from promptop_tui.editor.dialogs.diff_dialog import render

        before = held.text if held is not None else self._draft
        if version.text == before:
            drawn = Content(tr("The same text.") if held is not None else tr("The draft is this version."))
        elif len(version.text) + len(before) > _LONGEST_COMPARED or not before:
            drawn = Content(clean(version.text[:_LONGEST_COMPARED]))
        else:
            drawn = render(folded(line_diff(before, version.text), 1), width)
        if held is not None:
            title = clean_line(f"{held.label} → {version.label}")
            drawn = Content(title + "\n").append(drawn)
        self.app.call_from_thread(self._say, drawn)

    def _tell(self, what: str) -> None:
        """Say what was done or is awaited; it stands until something else is done, whatever is compared meanwhile."""
        if self.is_attached:
            line = self.query_one("#library-told", Static)
            line.update(clean(what))
            line.display = bool(what)

    def _say(self, what: str | Content) -> None:
        if self.is_attached and self.query("#library-changes"):  # it may be closing
            self.query_one("#library-changes", Static).update(clean(what) if isinstance(what, str) else what)

    @on(OptionList.OptionSelected, "#library-versions")
    def _take(self, message: OptionList.OptionSelected) -> None:
        if message.option_index < len(self._versions):
            self.dismiss(self._versions[message.option_index])

    def _highlighted(self) -> str:
        at = self.query_one("#library-names", OptionList).highlighted
        return self._entries[at].name if at is not None and at < len(self._entries) else ""

    def action_hold(self) -> None:
        """Compare with the highlighted version from now on, or with the draft again."""
        at = self.query_one("#library-versions", OptionList).highlighted
        if at is None or at >= len(self._versions):
            self._tell(tr("Highlight a version first."))
            return
        version = self._versions[at]
        self._held = None if self._held == version else version
        if self._held is None:
            self._tell("")
            self._preview_of(version)
            self._measure(version)
        else:
            self._asked = None
            self.query_one("#library-figures", Static).update("")
            ways = with_keys(self, tr("{library.hold} on it again lets go."))
            self._tell(tr("Versions are compared with {label}. {ways}", label=version.label, ways=ways))

    def action_rename(self) -> None:
        """Let another name be typed for the highlighted prompt."""
        name = self._highlighted()
        if not name:
            self._tell(tr("Highlight a prompt first."))
            return
        self._renaming = name
        line = self.query_one("#library-find", Input)
        line.value = name
        line.focus()
        self._tell(tr("Type another name for {name}, then Enter.", name=name))

    @work(thread=True, exclusive=True, group="library", description="rename a prompt")
    def _rename(self, name: str, new_name: str) -> None:
        from promptop.prompts.library import Library

        try:
            Library().rename(name, new_name)
        except PromptopError as error:
            self.app.call_from_thread(self._tell, str(error))
            return
        self.app.call_from_thread(self._find_again)

    def _find_again(self) -> None:
        if self.is_attached:
            self._tell("")
            self._find(self.query_one("#library-find", Input).value)

    def action_delete(self) -> None:
        """Remove the highlighted prompt with all its versions, when asked twice."""
        name = self._highlighted()
        if not name:
            self._tell(tr("Highlight a prompt first."))
        elif self._deleting != name:
            self._deleting = name
            key = with_keys(self, "{library.delete}")
            self._tell(
                tr("{key} again removes {name} with all its versions; nothing brings them back.", key=key, name=name)
            )
        else:
            self._deleting = ""
            self._delete(name)

    @work(thread=True, exclusive=True, group="library", description="remove a prompt")
    def _delete(self, name: str) -> None:
        from promptop.prompts.library import Library

        try:
            Library().delete(name)
        except PromptopError as error:
            self.app.call_from_thread(self._tell, str(error))
            return
        self.app.call_from_thread(self._find_again)

    def action_save(self) -> None:
        """Save the draft as a version."""
        typed = self.query_one("#library-find", Input).value.split()
        name = " ".join(word for word in typed if not word.startswith("#"))
        tags = [word[1:] for word in typed if word.startswith("#") and word.strip("#-")]
        at = self.query_one("#library-names", OptionList).highlighted
        if not name and at is not None and at < len(self._entries):
            name = self._entries[at].name
        if not self._draft.strip():
            self._tell(tr("The draft is empty."))
        elif not name:
            self._tell(tr("Type a name first."))
        else:
            self._save(name, tags)

    @work(thread=True, exclusive=True, group="library", description="save a version")
    def _save(self, name: str, tags: list[str]) -> None:
        from promptop.prompts.library import Library

        try:
            saved = Library().save(
                name,
                self._draft,
                now_ms=round(self._now() * 1000),
                note=self._receipt.line() if self._receipt is not None else "",
                tags=tags,
                receipt=self._receipt,
                source=self._source,
            )
        except PromptopError as error:
            self.app.call_from_thread(self._tell, str(error))
            return
        self.app.call_from_thread(self._saved, saved)

    def _saved(self, version: Version) -> None:
        self.notify(tr("Saved as {label}.", label=clean_line(version.label)), title=tr("Library"), markup=False)
        if self.is_attached:
            self._find(self.query_one("#library-find", Input).value)
