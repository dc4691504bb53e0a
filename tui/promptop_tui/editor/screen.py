"""The Editor tab: the draft, its live figures, its file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.getters import query_one
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static, TextArea

from promptop.errors import PromptopError
from promptop.prompts import Prompt, parse
from promptop.prompts.draft import DraftState, digest
from promptop.prompts.files import Stamp
from promptop.prompts.formats import read
from promptop.safe import clean, clean_line
from promptop_tui import counting
from promptop_tui.context import AppContext
from promptop_tui.editor.area import PromptArea
from promptop_tui.editor.figures import Demand
from promptop_tui.editor.keeper import FileKeeper
from promptop_tui.editor.live import Catalogue, LiveCounts, load_catalogue
from promptop_tui.editor.panel import ModelsPanel, summary
from promptop_tui.editor.trims import Target, TrimsPanel
from promptop_tui.messages import OpenInEditor, OpenInPlayground

SHEET = Path(__file__).with_name("editor.tcss")

_DRAFT_DELAY_S = 0.4  # with the write itself, less than the one second of typing that may be lost
_STALE_AFTER_S = 0.25
_LOOK_EVERY_S = 2.0
_NARROW = 112
_LOW = 16

_EMPTY = """\
Write a prompt here, or press ctrl+o to open a file.
Lines such as  system:  user:  assistant:  begin messages; without them it is one user message.
F5 takes it to the playground, F1 explains this tab."""


class EditorPane(Container):
    """Draft and figures, side by side."""

    HELP = """\
The draft is kept on disk while you type and comes back after a crash. The two columns beside it are the line number and
the tokens of that line. A line with only "system:", "user:" or "assistant:" begins a message; {{name}} is a variable;
YAML between two lines of --- at the top may name model and parameters.

A file that another program changed is never overwritten without asking: F9 a second time writes your text, ctrl+r
takes theirs (undo brings yours back)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f8", "trims", "Trim", id="editor.trims", tooltip="Show what can be said with fewer tokens"),
        Binding("f5", "send", "Playground", id="editor.send", tooltip="Take the prompt to the playground"),
        Binding(
            "f9,ctrl+s", "save", "Save", id="editor.save", tooltip="Save to the file; asks for one if there is none"
        ),
        Binding("ctrl+o", "open", "Open", id="editor.open", tooltip="Open a file; the present draft is kept"),
        Binding("ctrl+t", "baseline", "Baseline", id="editor.baseline", tooltip="Measure changes from this text on"),
        Binding("ctrl+n", "new", "New", id="editor.new", tooltip="Start an empty draft; this one is kept", show=False),
        Binding(
            "ctrl+r",
            "reload",
            "Reload",
            id="editor.reload",
            tooltip="Take the file's text; undo brings yours",
            show=False,
        ),
        Binding("ctrl+g", "export", "Export", id="editor.export", tooltip="The prompt in other forms", show=False),
        Binding("f12", "save_as", "Save as", id="editor.save_as", tooltip="Save to another file", show=False),
    ]

    area = query_one("#prompt", PromptArea)
    panel = query_one(ModelsPanel)
    trims = query_one(TrimsPanel)
    status = query_one("#draft-status", Static)

    @dataclass
    class CatalogueReady(Message):
        """The watched models were looked up."""

        catalogue: Catalogue

    def __init__(self, context: AppContext) -> None:
        super().__init__()
        self.context = context
        chosen = context.settings.editor
        self._demand = Demand(chosen.output_tokens, chosen.calls_per_day, chosen.budget_tokens)
        self._live = LiveCounts(context.counting, self)
        self._keeper = FileKeeper(context.draft_path, self.post_message)
        self._state = DraftState()
        self._stamp: Stamp | None = None
        self._conflict = ""
        self._saved_version = 0
        self._draft_version = 0
        self._draft_timer: Timer | None = None
        self._stale_timer: Timer | None = None
        self._has_started = False
        self._counted_from = 0
        self._waiting: OpenInEditor | None = None

    def compose(self) -> ComposeResult:
        """Lay out draft, status line and models."""
        with Horizontal(id="editor-body"):
            with Vertical(id="draft"):
                yield PromptArea(placeholder=_EMPTY, id="prompt")
                yield Static(id="draft-status", markup=False)
            with Vertical(id="side"):
                yield ModelsPanel(self._demand)
                yield TrimsPanel(self.context.counting, lambda: self.area)

    _kept_area: PromptArea
    """The same widget as ``area``: a pane's children are gone from its tree when it is unmounted with the app."""

    def on_mount(self) -> None:
        """Fetch draft and models away from the screen."""
        self._kept_area = self.area
        self.area.read_only = True  # until the draft of last time is here, a few milliseconds
        self._keeper.begin(self.context.open_path, self._now())
        self._look_up_models()
        self.set_interval(_LOOK_EVERY_S, self._look_at_file)
        self.area.focus()

    def on_unmount(self) -> None:
        """Save what was typed last, and end the file thread."""
        if self._has_started:
            self._save_draft()
        self._keeper.close()
        self.context.counting.close_doc("editor")

    def on_resize(self) -> None:
        """Choose the layout by the room there is."""
        self.set_class(self.size.width < _NARROW, "-narrow")
        self.set_class(self.size.height < _LOW, "-short")
        self.area.show_tokens = self.size.width >= 50
        self._show_status()

    def _now(self) -> str:
        return time.strftime("%Y%m%d-%H%M%S", time.localtime(self.context.now()))

    # Counts

    @work(thread=True, group="catalogue", description="look models up")
    def _look_up_models(self) -> None:
        self.post_message(self.CatalogueReady(load_catalogue(self.context.settings.editor.watch)))

    @on(CatalogueReady)
    def _have_models(self, message: CatalogueReady) -> None:
        self._live.set_catalogue(message.catalogue)
        self._aim_trims()
        if self._has_started:
            self._open_counts()
            self._show_figures()

    def _open_counts(self) -> None:
        """Count the present text anew. Edits of it whose messages still wait are in that text already."""
        self._counted_from = self.area.version
        self._live.opened(self.area.text)

    @on(PromptArea.Edited)
    def _edited(self, message: PromptArea.Edited) -> None:
        message.stop()
        if not self._has_started:
            return
        if message.reset:
            self._open_counts()
        elif message.version > self._counted_from:
            self._live.edited(message.spans)
        self.trims.draft_changed()
        if self._draft_timer is None:
            self._draft_timer = self.set_timer(_DRAFT_DELAY_S, self._save_draft)
        if self._stale_timer is None:
            self._stale_timer = self.set_timer(_STALE_AFTER_S, self._show_stale)
        self._show_status()

    def _show_stale(self) -> None:
        self._stale_timer = None
        if not self._live.is_current:
            self._show_figures()

    @on(counting.CountsReady)
    def _counted(self, message: counting.CountsReady) -> None:
        self._live.counted(message.reply)
        self.area.set_totals(self._live.tokens())
        self._show_figures()
        self._ask_lines()

    @on(counting.LinesReady)
    def _lines_counted(self, message: counting.LinesReady) -> None:
        if self._live.lines_came(message.reply):
            self.area.set_line_tokens(message.reply.first, message.reply.tokens)
        self._live.ask_waiting()

    @on(counting.EdgesReady)
    def _edges_came(self, message: counting.EdgesReady) -> None:
        if self._live.edges_came(message.reply) and self.area.overlay.shows_tokens:
            self.area.overlay.take(message.reply, self.area.exact)
            self.area.refresh()
        self._live.ask_waiting()

    @on(counting.CountingFailed)
    def _counting_failed(self, message: counting.CountingFailed) -> None:
        self._live.failed()
        self.notify(clean(message.reply.message), title="Counting", severity="warning", markup=False)

    @on(PromptArea.ViewChanged)
    def _ask_lines(self) -> None:
        if self.area.show_tokens:
            self._live.want_lines(*self.area.visible_lines())
        if self.area.overlay.shows_tokens:
            self._live.want_edges(*self.area.visible_characters())

    @on(ModelsPanel.DemandChanged)
    def _demand_changed(self, message: ModelsPanel.DemandChanged) -> None:
        self._demand = message.demand
        self._aim_trims()
        self._show_figures()

    def _show_figures(self) -> None:
        found = self._live.figures(self._demand)
        if found and self._live.catalogue is not None:
            self.panel.show(found, self._live.catalogue.as_of)
            if self.has_class("-short"):
                self._show_status()

    def action_baseline(self) -> None:
        """Measure changes from the present text on."""
        self._live.set_baseline(self._live.figures(self._demand))
        self._show_figures()
        self.notify("Changes are measured from this text on.", title="Baseline", markup=False)

    # Trims

    def _aim_trims(self) -> None:
        if self._live.catalogue is not None and self._live.catalogue.models:
            model = self._live.catalogue.models[0][0]
            self.trims.set_target(Target(model, self._live.encoding, self._demand.calls_per_day))

    def action_trims(self) -> None:
        """Show the trims, or go back to the draft."""
        if self.trims.display:
            self._close_trims()
        else:
            self.add_class("-trimming")
            self.trims.open()

    @on(TrimsPanel.Closed)
    def _close_trims(self) -> None:
        self.trims.close()
        self.remove_class("-trimming")
        self.area.focus()

    # The status line

    @on(TextArea.SelectionChanged)
    def _moved(self, message: TextArea.SelectionChanged) -> None:
        message.stop()
        self._show_status()

    @on(TextArea.Changed)
    def _changed(self, message: TextArea.Changed) -> None:
        message.stop()  # Edited tells more

    @property
    def is_unsaved(self) -> bool:
        """Whether the text differs from its file; for a draft without one, whether there is any."""
        return self.area.version != self._saved_version if self._state.path else bool(self.area.exact.length)

    def _show_status(self) -> None:
        if not self._has_started:
            return
        path = self._state.path
        name = Path(path).name if path else self._state.source or "draft"
        if self._conflict:
            kept = "changed on disk: F9 overwrites, ctrl+r takes it"
        elif path and not self.is_unsaved:
            kept = "saved"
        else:
            kept = "unsaved, draft kept" if self._draft_version == self.area.version else "typing …"
        row, column = self.area.selection.end
        left = f"{clean_line(name)} · {kept}"
        right = f"{row + 1}:{column + 1}  {self.area.exact.length:,} chars"
        figures = self._live.figures(self._demand) if self.has_class("-short") else ()
        if figures:
            right = summary(figures[0])
            left = clean_line(name)
        room = self.size.width - (0 if self.has_class("-narrow") else self.query_one("#side").outer_size.width) - 2
        self.status.update(left + " " * max(2, room - len(left) - len(right)) + right)
        self.status.set_class(bool(self._conflict), "-warning")

    # The draft

    def _save_draft(self) -> None:
        if self._draft_timer is not None:
            self._draft_timer.stop()
            self._draft_timer = None
        if self._has_started:
            self._keeper.put_draft(list(self._kept_area.exact.lines), self._state, self._kept_area.version)

    @on(FileKeeper.DraftSaved)
    def _draft_saved(self, message: FileKeeper.DraftSaved) -> None:
        self._draft_version = message.version
        self._show_status()

    @on(FileKeeper.Started)
    def _start(self, message: FileKeeper.Started) -> None:
        found = message.start
        self._has_started = True
        self._state, self._stamp = found.state, found.stamp
        self.area.read_only = False
        self.area.load_text(found.text)
        self._saved_version = -1 if found.is_unsaved else self.area.version
        self._conflict = found.state.path if found.file_changed else ""
        self._show_status()
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
        self._replace(text, DraftState(source=message.source), None)
        if message.calls_per_day is not None:
            self.panel.set_calls_per_day(message.calls_per_day)

    def _replace(self, text: str, state: DraftState, stamp: Stamp | None) -> None:
        if self.is_unsaved:
            self._keeper.keep(list(self.area.exact.lines), self._now())
        self.area.edit_whole(text)
        self.area.move_cursor((0, 0))
        self._state, self._stamp, self._conflict = state, stamp, ""
        self._saved_version = self.area.version
        self._live.baseline_is_due()
        self._show_status()

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
    async def action_open(self) -> None:
        """Ask for a file and open it."""
        path = await self._ask_path("Open", str(Path(self._state.path).parent) + "/" if self._state.path else "")
        if path is not None:
            self._keeper.open(path, "open")

    async def _ask_path(self, title: str, value: str) -> Path | None:
        from promptop_tui.editor.paths import PathScreen

        return await self.app.push_screen_wait(PathScreen(title, value))

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
            self._show_status()
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
        self._show_status()
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
        self._show_status()
        said = f"{message.cause}\nF9 overwrites it with your text, ctrl+r takes its text (undo brings yours back)."
        self.notify(
            clean(said), title="Not saved" if message.while_saving else "File", severity="warning", markup=False
        )

    # To the playground and elsewhere

    def _parsed(self) -> Prompt | None:
        """Return the draft as a prompt; tell what is wrong with its front matter and return None if it is broken."""
        try:
            return parse(self.area.text)
        except PromptopError as error:
            self.notify(clean(f"{error.cause}\n{error.remedy}"), title="Prompt", severity="error", markup=False)
            return None

    @work(group="dialog", exclusive=True)
    async def action_export(self) -> None:
        """Show the prompt in other forms, to copy or to write."""
        from promptop_tui.editor.exports import ExportScreen

        prompt = self._parsed()
        if prompt is None:
            return
        chosen = await self.app.push_screen_wait(ExportScreen(prompt))
        if chosen is None:
            return
        name, text, suffix = chosen
        stem = Path(self._state.path or "prompt").with_suffix("")
        path = await self._ask_path(f"Write {name}", str(stem.with_name(f"{stem.name}-export{suffix}")))
        if path is not None:
            self._keeper.write(path, text)

    @on(FileKeeper.Written)
    def _written(self, message: FileKeeper.Written) -> None:
        self.notify(clean_line(str(message.path)), title="Exported", timeout=3, markup=False)

    def action_send(self) -> None:
        """Hand messages, model and parameters to the playground."""
        prompt = self._parsed()
        if prompt is None:
            return
        if not any(message.content.strip() for message in prompt.messages):
            self.notify("The draft is empty.", title="Playground", markup=False)
            return
        models = (prompt.model,) if prompt.model else ()
        parameters: Mapping[str, object] = prompt.parameters
        source = self._state.path or self._state.source or "draft"
        self.post_message(OpenInPlayground(prompt.openai(), models, parameters, source))
