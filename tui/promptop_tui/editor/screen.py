"""The Editor tab: the draft, its live figures, its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.getters import query_one
from textual.widgets import Static, TextArea
from textual.widgets.text_area import Selection

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.prompts import Prompt, parse
from promptop.prompts.proof import Proof
from promptop.prompts.receipt import REWRITE, Receipt, applied
from promptop_tui.context import AppContext
from promptop_tui.editor.controllers.counts import MeasuredPane
from promptop_tui.editor.controllers.proof import open_proof
from promptop_tui.editor.views.model_figures import receipt_of
from promptop_tui.editor.views.models_panel import ModelsPanel, change_line, summary
from promptop_tui.editor.views.trims_panel import Target, TrimsPanel
from promptop_tui.messages import OpenInEditor, OpenInPlayground
from promptop_tui.widgets.prompt_area.area import PromptArea

if TYPE_CHECKING:
    from promptop.trim.rewrite import Hunk
    from promptop.workers.call_client import Runner

SHEET = Path(__file__).with_name("editor.tcss")

_NARROW = 112
"""Cells below which the models stand under the draft."""
_WIDE = 150
"""Cells from which the models have room for their names and every column."""
_LOW = 16

_EMPTY = """\
Write a prompt here, press ctrl+o to open a file, or ctrl+b to begin with a template.
F5 takes it to the playground, F1 explains this tab.
Lines such as  system:  user:  assistant:  begin messages; without them it is one user message."""


class EditorPane(MeasuredPane):
    """Draft and figures, side by side."""

    HELP = """\
The draft is kept on disk while you type and comes back after a crash. The two columns beside it are the line number and
the tokens of that line. A line with only "system:", "user:" or "assistant:" begins a message; {{name}} is a variable;
YAML between two lines of --- at the top may name model and parameters.

A file that another program changed is never overwritten without asking: F9 a second time writes your text, ctrl+r
takes theirs (undo brings yours back)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f8", "trims", "Trim", id="editor.trims", tooltip="Show what can be said with fewer tokens"),
        Binding(
            "shift+f8,f20",
            "prove",
            "Prove",
            id="editor.prove",
            tooltip="Ask baseline and draft in turns: do answers hold?",
            show=False,
        ),
        Binding("f5", "send", "Playground", id="editor.send", tooltip="Take the prompt to the playground"),
        Binding(
            "f9,ctrl+s", "save", "Save", id="editor.save", tooltip="Save to the file; asks for one if there is none"
        ),
        Binding("ctrl+o", "open", "Open", id="editor.open", tooltip="Open a file; the present draft is kept"),
        Binding("ctrl+t", "baseline", "Baseline", id="editor.baseline", tooltip="Measure changes from this text on"),
        Binding(
            "ctrl+f", "changes", "Changes", id="editor.changes", tooltip="What changed since the baseline", show=False
        ),
        Binding(
            "ctrl+l", "library", "Library", id="editor.library", tooltip="Named prompts and their versions", show=False
        ),
        Binding("ctrl+b", "templates", "Templates", id="editor.templates", tooltip="Begin with a template", show=False),
        Binding("f11", "external", "In $EDITOR", id="editor.external", tooltip="Edit the draft in $EDITOR", show=False),
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

    trims = query_one(TrimsPanel)
    status = query_one("#draft-status", Static)

    def __init__(self, context: AppContext, runner: Runner | None = None) -> None:
        """Build the tab; ``runner`` makes the calls of rewrites if given, and is then closed by who gave it."""
        super().__init__(context)
        self._taken: list[tuple[str, str]] = []
        self._proof: Proof | None = None
        self._selected: tuple[int, int, int] | None = None
        self._given_runner = runner
        self._runner = runner

    def compose(self) -> ComposeResult:
        """Lay out draft, status line and models."""
        with Horizontal(id="editor-body"):
            with Vertical(id="draft"):
                yield PromptArea(placeholder=_EMPTY, id="prompt")
                yield Static(id="draft-status", markup=False)
            with Vertical(id="side"):
                yield ModelsPanel(self._demand)
                yield TrimsPanel(self.context.counting, lambda: self.area, self.context.settings.editor.keep_rounds)

    def on_mount(self) -> None:
        """Fetch draft and models away from the screen."""
        self.begin_draft()
        self.look_up_models()
        self.area.focus()

    def on_unmount(self) -> None:
        """Save what was typed last, and let go of the counter."""
        self.end_draft()
        self.context.counting.close_doc("editor")
        if self._runner is not None and self._given_runner is None:
            self._runner.close()

    def text_replaced(self, calls_per_day: float | None) -> None:
        """Measure from the new text on; take over its volume."""
        super().text_replaced(calls_per_day)
        self._taken = []

    def action_baseline(self) -> None:
        """Measure changes from the present text on."""
        super().action_baseline()
        self._taken = []

    def text_edited(self) -> None:
        """Let the trims look again."""
        self.trims.draft_changed()

    def on_resize(self) -> None:
        """Choose the layout by the room there is."""
        self.set_class(self.size.width < _NARROW, "-narrow")
        self.set_class(self.size.width >= _WIDE, "-wide")
        self.set_class(self.size.height < _LOW, "-short")
        self.area.show_tokens = self.size.width >= 50
        self.show_status()

    # Trims

    def aim_changed(self) -> None:
        """Measure the trims by the first watched model and the expected volume."""
        if self._live.catalogue is not None and self._live.catalogue.models:
            model = self._live.catalogue.models[0][0]
            self.trims.set_target(Target(model, self._live.encoding, self._demand.calls_per_day))

    def action_trims(self) -> None:
        """Show the trims, or go back to the draft."""
        if self.trims.display:
            self._close_trims()
        else:
            # The list selects the place of each change: what the user has selected is kept for a rewrite.
            spans = sorted(self.area.exact.offset_at(place) for place in self.area.selection)
            self._selected = (spans[0], spans[1], self.area.version) if spans[0] < spans[1] else None
            self.add_class("-trimming")
            self.trims.open()

    @on(TrimsPanel.Taken)
    def _note_trims(self, message: TrimsPanel.Taken) -> None:
        self._taken += message.changes

    @on(TrimsPanel.RewriteWanted)
    def _rewrite(self) -> None:
        """Let a model shorten what was selected, or the draft behind its front matter."""
        from promptop.client.targets import offered
        from promptop.workers.call_client import Runner
        from promptop_tui.editor.dialogs.rewrite import Part, RewriteDialog

        prompt = self._parsed()
        if prompt is None:
            return
        text, version = self.area.text, self.area.version
        start, end = prompt.body_start, len(text)
        is_whole = self._selected is None or self._selected[2] != version
        if self._selected is not None and not is_whole:
            start, end, _ = self._selected
        if self._runner is None:
            settings = self.context.settings
            self._runner = Runner(
                log=self.context.log_path,
                app="promptop rewrite",
                bodies=settings.log.bodies,
                simulated=self.context.simulated,
            )
        models = [target.spec for target in offered(self.context.settings)]
        model = models[0] if models and prompt.model not in models else prompt.model or self.trims.target.model
        part = Part(text[start:end], start, text.count("\n", 0, start) + 1, is_whole)
        self.app.push_screen(RewriteDialog(self.context, self._runner, part, model, self.trims.target, self.take_hunk))

    def take_hunk(self, start: int, hunk: Hunk) -> bool:
        """Put one change of a rewrite into the draft, as one step of undo; False if the draft is another by now."""
        area = self.area
        if area.text[start : start + len(hunk.before)] != hunk.before:
            return False
        area.edit_at(start, start + len(hunk.before), hunk.after)
        self._taken.append((REWRITE, hunk.before))
        return True

    def _receipt(self) -> Receipt | None:
        """Return what the trims since the baseline came to for the first model; None if there were none.

        A proof run of exactly these two texts goes with it, and makes a receipt of a trim that was made by hand.
        """
        found = self.figures()
        text = self.area.text
        proof = self._proof if self._proof is not None and self._proof.is_of(self._baseline_text, text) else None
        if not (self._taken or proof) or not found or found[0].baseline is None:
            return None
        return receipt_of(found[0], applied(self._taken, self._baseline_text, text), proof)

    @on(TrimsPanel.ProofWanted)
    def action_prove(self) -> None:
        """Ask the baseline and the draft in turns, and judge the answers."""
        open_proof(self, self._baseline_text, self.area.text, self._keep_proof)

    def _keep_proof(self, proof: Proof) -> None:
        self._proof = proof

    @on(TrimsPanel.Closed)
    def _close_trims(self) -> None:
        self.trims.close()
        self.remove_class("-trimming")
        # The list has selected the places of its changes: what is typed next must not replace the last of them.
        area = self.area
        if self._selected is not None and self._selected[2] == area.version:
            area.selection = Selection(*(area.exact.location_at(at) for at in self._selected[:2]))
        else:
            area.selection = Selection.cursor(area.selection.end)
        area.focus()

    @work(group="dialog", exclusive=True)
    async def action_changes(self) -> None:
        """Show what changed since the baseline."""
        from promptop_tui.editor.dialogs.diff_dialog import ChangesDialog

        found = self.figures()
        said = "\n".join(change_line(figure, self._demand) for figure in found[:3] if figure.baseline is not None)
        if await self.app.push_screen_wait(ChangesDialog(self._baseline_text, self.area.text, said)):
            self.area.edit_whole(self._baseline_text)

    @work(group="dialog", exclusive=True)
    async def action_library(self) -> None:
        """Open the library: take a version, or save the draft as one."""
        from promptop_tui.editor.dialogs.library import LibraryDialog

        receipt = self._receipt()
        screen = LibraryDialog(
            self.area.text, self.name_of_prompt, self.context.now, receipt, self._state.path, self.yardstick()
        )
        version = await self.app.push_screen_wait(screen)
        if version is not None:
            self.open_text(OpenInEditor(version.text, version.label))

    # The status line

    @on(TextArea.SelectionChanged)
    def _moved(self, message: TextArea.SelectionChanged) -> None:
        message.stop()
        self.show_status()

    @on(TextArea.Changed)
    def _changed(self, message: TextArea.Changed) -> None:
        message.stop()  # Edited tells more

    def show_status(self) -> None:
        """Show where the text stands, and where the cursor is."""
        if not self._has_started:
            return
        name = clean_line(self.title_of_text)
        row, column = self.area.selection.end
        left = f"{name} · {self.kept}"
        right = f"{row + 1}:{column + 1}  {self.area.exact.length:,} chars"
        figures = self.figures() if self.has_class("-short") else ()
        if figures:
            right = summary(figures[0])
            left = name
        room = self.size.width - (0 if self.has_class("-narrow") else self.query_one("#side").outer_size.width) - 2
        self.status.update(left + " " * max(2, room - cell_len(left) - cell_len(right)) + right)
        self.status.set_class(bool(self._conflict), "-warning")

    # To the playground and elsewhere

    def action_external(self) -> None:
        """Leave the screen to the user's own editor; what it saves is one step of undo."""
        from textual.app import SuspendNotSupported

        from promptop_tui.services.external_editor import command, edit_in

        before = self.area.text
        try:
            with self.app.suspend():
                after = edit_in(command(), before)
        except (PromptopError, SuspendNotSupported) as error:
            self.notify(clean(str(error)), title="Editor", severity="error", markup=False)
            return
        if after != before:
            self.area.edit_whole(after)

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
        from promptop_tui.editor.dialogs.export import ExportDialog

        prompt = self._parsed()
        if prompt is None:
            return
        chosen = await self.app.push_screen_wait(ExportDialog(prompt, self._receipt()))
        if chosen is None:
            return
        name, text, suffix = chosen
        stem = Path(self._state.path or "prompt").with_suffix("")
        path = await self._ask_path(f"Write {name}", str(stem.with_name(f"{stem.name}-export{suffix}")))
        if path is not None:
            self._keeper.write(path, text)

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
        before = self._baseline_text
        versions = (("baseline", before),) if before.strip() and before != self.area.text else ()
        self.post_message(
            OpenInPlayground(
                prompt.openai(),
                models,
                parameters,
                source,
                versions=versions,
                prompt_name=self.name_of_prompt,
                prompt_version=self.version_of_prompt,
            )
        )
