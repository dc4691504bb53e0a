"""The Editor tab: draft, figures and trims in one place; what is done about them is the controllers' matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.geometry import Size
from textual.getters import query_one
from textual.widgets import TextArea

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import mark, tr
from promptop.prompts import Prompt
from promptop.prompts.reader import has_no_roles, prompt_from
from promptop.trim.rule_switches import RuleSwitches
from promptop_tui.context import AppContext
from promptop_tui.editor.ablation.controller import AblationController
from promptop_tui.editor.controllers.counts import CountsController
from promptop_tui.editor.controllers.draft import DraftController
from promptop_tui.editor.controllers.find import Find
from promptop_tui.editor.controllers.hand_over import HandOver
from promptop_tui.editor.controllers.lint import LintController
from promptop_tui.editor.controllers.log_lookup import LogLookup
from promptop_tui.editor.controllers.outline import OutlineController
from promptop_tui.editor.controllers.trims import TrimsController
from promptop_tui.editor.views.find_bar import FindBar
from promptop_tui.editor.views.lint_panel import LintPanel
from promptop_tui.editor.views.model_figures import UsageAssumptions
from promptop_tui.editor.views.models_panel import ModelsPanel, summary
from promptop_tui.editor.views.outline_panel import OutlinePanel
from promptop_tui.editor.views.trims_panel import TrimsPanel
from promptop_tui.messages import OpenInEditor
from promptop_tui.services.token_counts import CountingFailed, CountsReady, EdgesReady, LinesReady, SnippetsReady
from promptop_tui.shell.key_names import with_keys
from promptop_tui.widgets.panel import Panel
from promptop_tui.widgets.prompt_area.area import PromptArea

if TYPE_CHECKING:
    from promptop.workers.call_client import Runner

SHEET = Path(__file__).with_name("editor.tcss")

_NARROW = 112
"""Cells below which the models stand under the draft."""
_LOW = 16

_EMPTY = mark("""\
Write a prompt here, press {editor.open} to open a file, or {editor.templates} to begin with a template.
{editor.send} takes it to the playground, {app.help} explains this tab.
Lines such as  system:  user:  assistant:  begin messages; without them it is one user message.""")


def _command(keys: str, name: str, label: str, tooltip: str, *, show: bool = False) -> Binding:
    return Binding(keys, f"command('{name}')", label, id=f"editor.{name}", tooltip=tooltip, show=show)


class EditorPane(Container):
    """Draft and figures, side by side."""

    HELP = """\
The draft is kept on disk while you type and comes back after a crash, its undo too. The two columns beside it are the
line number and the tokens of that line. A line with only "system:", "user:" or "assistant:" begins a message; {{name}}
is a variable; YAML between two lines of --- at the top may name model and parameters. What stands between {{!-- off and
--}} is kept in the file and not sent: {draft.toggle_off} switches lines off and on.

Tab indents, {draft.leave} goes on to the next panel. {editor.find} finds and replaces, {editor.go_to} goes to a line.

A file that another program changed is never overwritten without asking: {editor.save} then shows both texts, and what
gives way is kept; {editor.kept} lists what was kept. {editor.reload} takes the file's text (undo brings yours back)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        _command("f8", "trims", "Trim", "Show what can be said with fewer tokens", show=True),
        _command("shift+f8,f20", "prove", "Prove", "Ask baseline and draft in turns: do answers hold?"),
        _command("alt+w", "ablate", "Weights", "Ask which sentences carry weight, on a test set"),
        _command("alt+l", "lint", "Lint", "List what lint says of the draft"),
        _command("f5", "send", "Playground", "Take the prompt to the playground", show=True),
        _command("f9,ctrl+s", "save", "Save", "Save to the file; asks for one if there is none", show=True),
        _command("ctrl+o", "open", "Open", "Open a file; the present draft is kept", show=True),
        _command("ctrl+f", "find", "Find", "Find in the draft, and replace", show=True),
        _command("ctrl+g", "go_to", "Go to line", "Go to a line of the draft"),
        _command("alt+o", "outline", "Outline", "The parts of the prompt: go there, fold, switch off, move"),
        _command("ctrl+t", "baseline", "Baseline", "Measure changes from this text on", show=True),
        _command("shift+f7,f19,alt+c", "changes", "Changes", "What changed since the baseline"),
        _command("ctrl+l", "library", "Library", "Named prompts and their versions"),
        _command("alt+t", "templates", "Templates", "Begin with a template"),
        _command("f11", "external", "In $EDITOR", "Edit the draft in $EDITOR"),
        _command("ctrl+n", "new", "New", "Start an empty draft; this one is kept"),
        _command("ctrl+r", "reload", "Reload", "Take the file's text; undo brings yours"),
        _command("alt+k", "kept", "Kept drafts", "List the drafts that were kept, and open one"),
        _command("shift+f9,f21,alt+e", "export", "Export", "The prompt in other forms"),
        _command("f12", "save_as", "Save as", "Save to another file"),
        _command(
            "shift+f6,f18,alt+y", "system", "System", "Send text without role lines as the system message, or not"
        ),
    ]

    draft_panel = query_one("#draft", Panel)

    def __init__(self, context: AppContext, runner: Runner | None = None) -> None:
        """Build the tab; ``runner`` makes the calls of rewrites if given, and is then closed by who gave it."""
        super().__init__()
        self.context = context
        self.area = PromptArea(id="prompt", is_document=True)
        self.find_bar = FindBar()
        self.trims_panel = TrimsPanel(
            context.counting, self.area, context.settings.editor, RuleSwitches(context.draft_path.parent)
        )
        self.find = Find(self.area, self.find_bar)
        chosen = context.settings.editor
        self.panel = ModelsPanel(UsageAssumptions(chosen.output_tokens, chosen.calls_per_day, chosen.budget_tokens))
        self.draft = DraftController(self, self.area, context, replaced=self._text_replaced, changed=self.show_status)
        self.counts = CountsController(
            self, self.area, self.panel, context,
            counted=self._counted, models_changed=self._models_changed, shown=self.show_status,
        )  # fmt: skip
        self.log_lookup = LogLookup(self, self.panel, context, self._counted)
        self.trims = TrimsController(
            self,
            self.area,
            self.trims_panel,
            self.counts,
            context,
            parsed=self.parsed,
            role=lambda: self.draft.state.role,
            runner=runner,
        )
        self.ablation = AblationController(self, self.area, self.counts, self.draft, self.trims, context)
        self.outline_panel = OutlinePanel()
        self.outline = OutlineController(
            self, self.area, self.outline_panel, self.panel, self.counts, self.log_lookup, context
        )
        self.lint_panel = LintPanel()
        self.lint = LintController(self, self.area, self.lint_panel, context)
        self.hand_over = HandOver(self, self.area, context, self.draft, self.counts, self.trims, self.parsed)
        self._commands: dict[str, Callable[[], object]] = {
            "trims": self._toggle_trims,
            "prove": self.trims.prove,
            "ablate": self.ablation.open,
            "lint": self._toggle_lint,
            "send": self.hand_over.send,
            "save": self.hand_over.save,
            "open": self.hand_over.open,
            "find": self.find.open,
            "go_to": self.hand_over.go_to,
            "outline": self.outline.open,
            "baseline": self._set_baseline,
            "changes": self.hand_over.changes,
            "library": self.hand_over.library,
            "templates": self.hand_over.templates,
            "external": self.hand_over.external,
            "new": self.draft.new,
            "reload": self.draft.reload,
            "kept": self.hand_over.kept,
            "export": self.hand_over.export,
            "save_as": self.hand_over.save_as,
            "system": self._toggle_system,
        }

    def compose(self) -> ComposeResult:
        """Lay out draft, status line and models."""
        self._fit(self.app.size)  # before there is anything in it: afterwards all of it would be styled again
        with Horizontal(id="editor-body"):
            with Panel(id="draft", heading=tr("Draft")):
                yield self.area
                yield self.find_bar
            with Vertical(id="side"):
                yield self.outline_panel
                yield self.panel
        yield self.trims_panel
        yield self.lint_panel

    def on_mount(self) -> None:
        """Fetch draft and models away from the screen."""
        self.area.placeholder = with_keys(self, tr(_EMPTY))
        self.draft.begin()
        self.counts.begin()
        self.area.focus()

    def on_unmount(self) -> None:
        """Save what was typed last, and let go of the counter."""
        self.draft.end()
        self.context.counting.close_doc("editor")
        self.trims.end()

    def on_resize(self) -> None:
        """Choose the layout by the room there is."""
        self._fit(self.size)
        self.area.show_tokens = self.size.width >= 50
        self.show_status()

    def _fit(self, size: Size) -> None:
        self.set_class(size.width < _NARROW, "-narrow")
        self.set_class(size.height < _LOW, "-short")

    def action_command(self, name: str) -> None:
        """Do what a key of this tab stands for."""
        self._commands[name]()

    def open_text(self, message: OpenInEditor) -> None:
        """Show a text as a new draft; the present one is kept, and undo brings it back."""
        self.draft.open_text(message)

    def parsed(self) -> Prompt | None:
        """Return the draft as a prompt; tell what is wrong with its front matter and return None if it is broken."""
        try:
            state = self.draft.state
            folder = Path(state.path).parent if state.path else None
            return prompt_from(self.area.text, name=state.path, folder=folder, role=state.role)
        except PromptopError as error:
            self.notify(clean(f"{error.cause}\n{error.remedy}"), title=tr("Prompt"), severity="error", markup=False)
            return None

    def _toggle_system(self) -> None:
        """Make text without role lines the system message, or the user's again; the file is remembered with it."""
        prompt = self.parsed()
        if prompt is not None and not has_no_roles(prompt):
            said = tr("The draft has role lines: they say which message is the system's.")
            self.notify(said, title=tr("System"), markup=False)
            return
        self.draft.toggle_system()

    # The text

    def _text_replaced(self, calls_per_day: float | None) -> None:
        """Measure from the new text on; take over its volume."""
        self.counts.text_replaced()
        self.trims.baseline_changed()
        self.log_lookup.text_replaced(self.counts.baseline_text, self.draft.prompt_name, calls_per_day)

    def _set_baseline(self) -> None:
        self.counts.set_baseline()
        self.trims.baseline_changed()

    @on(PromptArea.Edited)
    def _edited(self, message: PromptArea.Edited) -> None:
        message.stop()
        if not self.draft.has_started:
            return
        self.counts.text_edited(message)
        self.trims_panel.draft_changed()
        self.lint.text_edited()
        self.find.text_edited(message)
        self.draft.text_edited()
        self.show_status()

    @on(PromptArea.ViewChanged)
    def _view_changed(self) -> None:
        self.counts.ask_for_view()

    @on(TextArea.SelectionChanged)
    @on(TextArea.Changed)
    def _moved(self, message: TextArea.SelectionChanged | TextArea.Changed) -> None:
        message.stop()
        if isinstance(message, TextArea.SelectionChanged):  # Edited tells more of a change
            self.outline.show_place()
            self.show_status()

    # Figures

    @on(CountsReady)
    @on(LinesReady)
    @on(EdgesReady)
    @on(CountingFailed)
    def _count_came(self, message: CountsReady | LinesReady | EdgesReady | CountingFailed) -> None:
        self.counts.handle(message)

    @on(SnippetsReady)
    def _parts_came(self, message: SnippetsReady) -> None:
        self.counts.handle(message)
        self.outline.handle(message)

    def _counted(self) -> None:
        """Read the parts again: the text was counted, or the log has answered."""
        self.outline.refresh_soon()

    def _models_changed(self) -> None:
        self.trims.models_changed()

    @on(ModelsPanel.AssumptionsChanged)
    def _assumptions_changed(self, message: ModelsPanel.AssumptionsChanged) -> None:
        self.counts.take_assumptions(message.assumptions)

    # Outline, find, trims

    @on(OutlinePanel.Wanted)
    def _outline(self, message: OutlinePanel.Wanted) -> None:
        self.outline.do(message)

    @on(FindBar.Changed)
    @on(FindBar.Wanted)
    def _find(self, message: FindBar.Changed | FindBar.Wanted) -> None:
        message.stop()
        self.find.handle(message)

    @on(LintPanel.Wanted)
    def _lint(self, message: LintPanel.Wanted) -> None:
        self.lint.do(message)

    def _toggle_lint(self) -> None:
        if self.trims_panel.display:
            self.trims.close()
        self.lint.toggle()

    def _toggle_trims(self) -> None:
        if self.lint_panel.display:
            self.lint.close()
        self.trims.toggle()

    @on(TrimsPanel.Event)
    def _trim(self, message: TrimsPanel.Event) -> None:
        self.trims.handle(message)

    def show_status(self) -> None:
        """Show where the text stands, and where the cursor is."""
        if not self.draft.has_started:
            return
        name = clean_line(self.draft.title)
        row, column = self.area.selection.end
        role = " · " + tr("{role} message", role=self.draft.state.role) if self.draft.state.role else ""
        figures = self.counts.figures() if self.has_class("-short") else ()
        panel = self.draft_panel
        panel.heading = name
        panel.state = summary(figures[0]) if figures else f"{self.draft.kept}{role}"
        panel.hint = tr(
            "line {line}, column {column} · {n:,} characters", line=row + 1, column=column + 1, n=self.area.exact.length
        )
        panel.set_class(bool(self.draft.conflict), "-alarm")
