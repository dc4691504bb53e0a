"""The trims panel: what the rules would change, what each saves, taken or turned down one by one.

Rules run on a thread and their savings are counted in the worker process; the panel shows only what saves tokens. It
looks again a moment after each change of the draft while it is open, and does nothing while it is closed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.document._document import Selection
from textual.getters import query_one
from textual.message import Message
from textual.timer import Timer
from textual.widgets import OptionList, Static

from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.trim.rule_switches import RuleSwitches
from promptop_tui.editor.views.model_figures import DAYS_A_MONTH, usd
from promptop_tui.editor.views.trim_rows import Order, arranged, described, filters, row
from promptop_tui.services.token_counts import CountingFailed, SnippetsReady
from promptop_tui.services.trim_search import FoundTrims, TrimSearch
from promptop_tui.shell.key_names import with_keys
from promptop_tui.widgets.panel import Panel
from promptop_tui.widgets.prompt_area.area import PromptArea

if TYPE_CHECKING:
    from promptop.settings import EditorSettings
    from promptop.trim import Edit, Skipped
    from promptop_tui.services.token_counts import Counting

LONGEST = 300_000
"""Characters of a draft above which the rules are left to ``promptop trim``: they would hold up the keys."""
_AFTER_CHANGE_S = 0.4
_LITTLE = 0.4
"""Share of a text below which a line names what goes further than the rules."""


@dataclass(frozen=True, slots=True)
class SavingsTarget:
    """What savings are measured by: a model, its encoding, how often it is called."""

    model: str = ""
    encoding: str = "o200k_base"
    calls_per_day: float = 0.0

    def usd_per_month(self, tokens: int) -> float | None:
        """Return what so many input tokens a call cost in 30 days; None if the model has no price."""
        from promptop.models import price

        per_call = price(self.model, input_tokens=tokens, output_tokens=0).usd
        return None if per_call is None else per_call * self.calls_per_day * DAYS_A_MONTH


def cut(text: str, cells: int) -> str:
    """Cut a line to so many cells, with … if anything was cut."""
    return text if cell_len(text) <= cells else set_cell_size(text, max(1, cells - 1)).rstrip() + "…"


class TrimsPanel(Panel):
    """A list of edits over one area."""

    HELP = """\
Each line is one change that saves tokens, in its sentence: what goes is struck, what comes stands behind it. Above
stand what all save in a month, what the highlighted one is for, and its lines before (−) and after (+).
"?" marks rules that may change tone or emphasis: look before you take them. Enter or {trims.take} takes a change,
{trims.turn_down} turns it down, {trims.take_safe} takes all safe ones in one step, as promptop trim does; undo in the
draft brings each back. {trims.order} orders them (safe first, by saving, by place), {trims.filter} narrows them to a
severity or a rule, {trims.rules} switches rules off and on, which is remembered, and {trims.why} says what was left
alone and why. {trims.rewrite} lets a model of your endpoint shorten what was selected when this list was opened, or the
whole draft. {trims.prove} asks a model the baseline and the draft in turns: do the answers hold?"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "take", "Take", id="trims.take", tooltip="Apply this change"),
        Binding("x", "turn_down", "Turn down", id="trims.turn_down", tooltip="Do not offer this change again"),
        Binding("s", "take_safe", "All safe", id="trims.take_safe", tooltip="Apply all safe changes in one step"),
        Binding("o", "order", "Order", id="trims.order", tooltip="Safe first, by saving, or by place"),
        Binding("f", "filter", "Filter", id="trims.filter", tooltip="Only one severity, or one rule"),
        Binding("d", "rules", "Rules", id="trims.rules", tooltip="Switch rules off and on"),
        Binding("w", "why", "Why not", id="trims.why", tooltip="What was left alone, and why"),
        Binding("r", "rewrite", "By a model", id="trims.rewrite", tooltip="Let a model shorten the selection or draft"),
        Binding("p", "prove", "Prove", id="trims.prove", tooltip="Ask baseline and draft in turns: do answers hold?"),
        Binding("escape", "close", "Back", id="trims.close", tooltip="Back to the draft"),
    ]

    head = query_one("#trims-head", Static)
    one = query_one("#trims-one", Static)
    options = query_one("#trims-list", OptionList)

    class Event(Message):
        """What the panel tells of what the user wants."""

    @dataclass
    class Closed(Event):
        """The user wants the draft back."""

    @dataclass
    class ProofWanted(Event):
        """The user wants to see whether the answers held."""

    @dataclass
    class RewriteWanted(Event):
        """A model is to shorten the text."""

    @dataclass
    class Taken(Event):
        """Changes were applied."""

        changes: list[tuple[str, str]]
        """Rule, and what it changed."""

    def __init__(self, counting: Counting, area: PromptArea, settings: EditorSettings, switches: RuleSwitches) -> None:
        """``settings`` say which rules are off for good, ``switches`` which the user switched off here."""
        super().__init__(id="trims")
        self._search = TrimSearch(
            self, area, counting, settings, switches, found=self._take_over, failed=self._cannot_count
        )
        self._text = ""
        self._skipped: tuple[Skipped, ...] = ()
        self._order = Order.SAFE
        self._only = ""
        self._shown: list[int] = []
        """Numbers of the edits that are listed, in their order."""
        self._area = area
        self._target = SavingsTarget()
        self._edits: list[Edit] = []
        self._version = -1
        self._timer: Timer | None = None
        self._note = tr("looking …")

    def compose(self) -> ComposeResult:
        """Lay out sum and list."""
        yield Static(id="trims-head")
        yield Static(id="trims-one", markup=False)
        yield OptionList(id="trims-list", markup=False, compact=True)

    def on_mount(self) -> None:
        """Begin closed."""
        self.display = False

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What is offered now, in the order of the text."""
        return tuple(self._edits)

    @property
    def listed(self) -> tuple[Edit, ...]:
        """What is listed now, in the order of the list."""
        return tuple(self._edits[at] for at in self._shown)

    @property
    def target(self) -> SavingsTarget:
        """What savings are measured by."""
        return self._target

    def set_target(self, target: SavingsTarget) -> None:
        """Measure savings by another model or volume."""
        changed = target.encoding != self._target.encoding
        self._target = target
        self._search.encoding = target.encoding
        if self.display:
            self._look() if changed else self._draw()

    def open(self) -> None:
        """Show the panel and look at the draft."""
        self.display = True
        self._note = tr("looking …")
        self._look()
        self.screen.set_focus(self.options)

    def close(self) -> None:
        """Hide the panel."""
        self.display = False
        self._edits = []
        self._version = -1

    def draft_changed(self) -> None:
        """Look again when the keys have rested for a moment."""
        if self.display:
            if self._timer is not None:
                self._timer.stop()
            self._timer = self.set_timer(_AFTER_CHANGE_S, self._look)

    # Looking

    def _look(self) -> None:
        self._timer = None
        area = self._area
        if area.exact.length > LONGEST:
            self._edits, self._note = (
                [],
                tr("the draft is longer than {longest:,} characters: use promptop trim", longest=LONGEST),
            )
            self._draw()
        else:
            self._search.look()

    @on(SnippetsReady)
    @on(CountingFailed)
    def _counted(self, message: SnippetsReady | CountingFailed) -> None:
        message.stop()
        self._search.handle(message)

    def _cannot_count(self) -> None:
        self._note = tr("savings cannot be counted now")
        self._draw()

    def _take_over(self, found: FoundTrims) -> None:
        self._text, self._skipped = found.text, found.skipped
        self._edits, self._version = list(found.edits), found.version
        self._note = "" if found.edits else tr("nothing to trim")
        self._draw()

    # Showing

    def _draw(self) -> None:
        if not self.display or not self.is_mounted:
            return
        at = self.options.highlighted or 0
        width = max(20, self.options.scrollable_content_region.width - 1)
        if self._only not in filters(self._edits):
            self._only = ""
        self._shown = arranged(self._edits, self._order, self._only)
        self.options.clear_options()
        self.options.add_options([row(self._text, edit, width) for edit in self.listed])
        if self._shown:
            self.options.highlighted = min(at, len(self._shown) - 1)
        narrowed = tr(" · only {only}: {n}", only=self._only, n=len(self._shown)) if self._only else ""
        left = tr(" · {n} left alone", n=len(self._skipped)) if self._skipped else ""
        self.hint = f"{self._order.value}{narrowed}{left}"
        saved = sum(edit.tokens_saved for edit in self._edits)
        safe = sum(edit.severity == "safe" for edit in self._edits)
        if not self._edits:
            self.one.update("")
            further = self._further() if self._note == tr("nothing to trim") else ""
            self.head.update(Content.styled(f"{self._note}{further}", "$foreground 60%"))
            return
        month = usd(self._target.usd_per_month(saved))
        self.head.update(
            Content.assemble(
                (tr("−{saved:,} tokens", saved=saved), "bold $text-success"),
                tr(" in {n} trims ({safe} safe), ", n=len(self._edits), safe=safe),
                (month, "$cost"),
                (tr(" a month for {model}", model=clean_line(self._target.model)), "$foreground 60%"),
                (self._further(), "$foreground 60%"),
            )
        )

    def _further(self) -> str:
        """Return a line that names what goes further than the rules, where these save little of a text."""
        cut = sum(len(edit.before) - len(edit.after) for edit in self._edits)
        if not self._text.strip() or cut >= _LITTLE * len(self._text):
            return ""
        said = tr("Rules save little here: {trims.rewrite} asks a model, {editor.ablate} finds idle sentences")
        return "\n" + with_keys(self, said)

    @on(OptionList.OptionHighlighted)
    def _point(self, message: OptionList.OptionHighlighted) -> None:
        """Select the place in the draft, so that it is seen in its sentence."""
        message.stop()
        area = self._area
        if self._version == area.version and message.option_index < len(self._shown):
            edit = self._edits[self._shown[message.option_index]]
            area.selection = Selection(area.exact.location_at(edit.start), area.exact.location_at(edit.end))
            month = usd(self._target.usd_per_month(edit.tokens_saved))
            self.one.update(described(self._text, edit, month))

    # Taking

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self.action_take()

    def _current(self) -> int | None:
        at = self.options.highlighted
        is_fresh = self._version == self._area.version
        return self._shown[at] if is_fresh and at is not None and at < len(self._shown) else None

    def action_take(self) -> None:
        """Apply the highlighted change."""
        at = self._current()
        if at is None:
            return
        edit = self._edits.pop(at)
        self._area.edit_at(edit.start, edit.end, edit.after)
        self.post_message(self.Taken([(edit.rule, edit.before)]))
        moved = len(edit.after) - (edit.end - edit.start)
        self._edits[at:] = [replace(e, start=e.start + moved, end=e.end + moved) for e in self._edits[at:]]
        self._version, self._text = self._area.version, self._area.text
        self._note = tr("looking …")
        self._draw()

    def action_turn_down(self) -> None:
        """Forget the highlighted change, and all like it."""
        at = self._current()
        if at is not None:
            self._search.turn_down(self._edits[at])
            self._edits = [edit for edit in self._edits if self._search.is_offered(edit)]
            self._note = tr("nothing left to trim")
            self._draw()

    def action_take_safe(self) -> None:
        """Apply all safe changes as one step of undo: the text is the one that ``promptop trim`` gives."""
        area = self._area
        if self._version == area.version and any(edit.severity == "safe" for edit in self._edits):
            self._note = tr("trimming …")
            self._search.trim_safely(self._take_safe)

    def _take_safe(self, edits: tuple[Edit, ...], version: int) -> None:
        from promptop.trim import apply

        area = self._area
        if not edits or version != area.version:
            return
        start, end = edits[0].start, edits[-1].end
        part = area.text[start:end]
        area.edit_at(start, end, apply(part, [replace(e, start=e.start - start, end=e.end - start) for e in edits]))
        self.post_message(self.Taken([(edit.rule.split("+")[0], edit.before) for edit in edits]))
        self._edits = []
        self._note = tr("looking …")
        self._draw()

    def action_order(self) -> None:
        """List the changes in another order."""
        self._order = self._order.next
        self.options.highlighted = 0 if self._shown else None
        self._draw()

    def action_filter(self) -> None:
        """List only changes of one severity or one rule; after the last of them, all again."""
        ways = filters(self._edits)
        self._only = ways[(ways.index(self._only) + 1) % len(ways)] if self._only in ways else ""
        self._draw()

    @work(group="dialog", exclusive=True)
    async def action_rules(self) -> None:
        """Switch a rule off or on again."""
        from promptop_tui.editor.dialogs.trim_rules import TrimRulesDialog

        chosen = await self.app.push_screen_wait(
            TrimRulesDialog(self._search.switches.off, self._search.settings.trim_off)
        )
        if chosen is None:
            return
        try:
            self._search.switches.switch(chosen.id)
        except OSError as error:
            self.notify(
                tr("It holds for this session only: {error}.", error=error),
                title=tr("Rules"),
                severity="warning",
                markup=False,
            )
        self._note = tr("looking …")
        self._look()

    def action_why(self) -> None:
        """Say what was left alone, and why."""
        from promptop_tui.widgets.dialog import TextDialog

        lines = [
            tr("line {line:>5}  {reason}", line=each.line, reason=each.reason)
            + (f"  {each.rule}" if each.rule else "")
            + (f"  “{cut(clean_line(each.text), 60)}”" if each.text else "")
            for each in self._skipped
        ]
        self.app.push_screen(
            TextDialog(tr("Left alone"), "\n".join(lines) or tr("No rule saw anything that it left alone."))
        )

    def action_prove(self) -> None:
        """Have the draft proven."""
        self.post_message(self.ProofWanted())

    def action_rewrite(self) -> None:
        """Ask for a rewrite by a model."""
        self.post_message(self.RewriteWanted())

    def action_close(self) -> None:
        """Go back to the draft."""
        self.post_message(self.Closed())
