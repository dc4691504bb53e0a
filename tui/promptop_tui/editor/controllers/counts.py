"""A draft with its live figures: what is counted while it is typed, its parts, its baseline.

The pane never counts: edits go to the worker process (:mod:`.live`), and what it answers comes back as messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on, work
from textual.getters import query_one
from textual.message import Message
from textual.timer import Timer

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.prompts import parse
from promptop_tui.context import AppContext
from promptop_tui.editor.controllers.cost_delta import CostDelta
from promptop_tui.editor.controllers.count_state import Catalogue, LiveCounts, load_catalogue
from promptop_tui.editor.controllers.draft import DraftPane
from promptop_tui.editor.views.model_figures import Figure, UsageAssumptions
from promptop_tui.editor.views.models_panel import ModelsPanel
from promptop_tui.editor.views.outline import LONGEST, LogState, Outline, outline, told
from promptop_tui.services import token_counts
from promptop_tui.widgets.prompt_area.area import PromptArea

if TYPE_CHECKING:
    from promptop.trim.log_insights import Known

_STALE_AFTER_S = 0.25
_SECTIONS_AFTER_S = 0.3
_LOG_AFTER_S = 0.3  # behind the first paint: the reader's modules take 30 ms


class MeasuredPane(DraftPane):
    """A draft and its figures. What is done about them is for the class below to say."""

    panel = query_one(ModelsPanel)

    @dataclass
    class CatalogueReady(Message):
        """The watched models were looked up."""

        catalogue: Catalogue

    @dataclass
    class LookedUp(Message):
        """The log was asked about the text that the figures are measured from."""

        text: str
        known: Known | None
        says: LogState

    @dataclass
    class Outlined(Message):
        """The draft was read for its parts."""

        found: Outline

    def __init__(self, context: AppContext) -> None:
        super().__init__(context)
        chosen = context.settings.editor
        self._demand = UsageAssumptions(chosen.output_tokens, chosen.calls_per_day, chosen.budget_tokens)
        self._live = LiveCounts(context.counting, self)
        self._stale_timer: Timer | None = None
        self._counted_from = 0
        self._baseline_text = ""
        self._sections_timer: Timer | None = None
        self._sections: tuple[int, Outline] | None = None
        self._log_timer: Timer | None = None
        self._has_volume = False
        self._known: Known | None = None
        self._log_says = LogState.UNREAD

    # For the class below

    def aim_changed(self) -> None:
        """Other models are watched, or another volume is expected."""

    def text_edited(self) -> None:
        """The text is another one, by keys or otherwise."""

    def text_replaced(self, calls_per_day: float | None) -> None:
        """Measure from the new text on; take over its volume."""
        self._live.baseline_is_due()
        self._baseline_text = self.area.text
        self._known, self._log_says = None, LogState.UNREAD
        self._has_volume = calls_per_day is not None
        self.panel.forget_typed()
        self.panel.take_known(calls_per_day=calls_per_day)
        if self._log_timer is not None:
            self._log_timer.stop()
        self._log_timer = self.set_timer(_LOG_AFTER_S, self._ask_log)

    def _ask_log(self) -> None:
        self._log_timer = None
        self._look_in_log(self._baseline_text, self.name_of_prompt)

    @property
    def name_of_prompt(self) -> str:
        """The prompt's name in the library; empty if it is not from there."""
        return self._state.source.rpartition(" v")[0] if not self._state.path else ""

    @property
    def version_of_prompt(self) -> str:
        """The number of the draft's version in the library; empty if it was changed since it was taken from there."""
        is_same = bool(self.name_of_prompt) and self.area.version == self._saved_version
        return self._state.source.rpartition(" v")[2] if is_same else ""

    @work(thread=True, exclusive=True, group="log", description="ask the log about the prompt")
    def _look_in_log(self, text: str, name: str) -> None:
        """Find the prompt's calls: what is trimmed is paid by them, and their answers tell which limit would do."""
        from promptop.log import LogReader
        from promptop.trim.log_insights import look

        if not text.strip() or len(text) > LONGEST:
            return
        known, says = None, LogState.UNKNOWN
        try:
            with LogReader([self.context.log_path, *self.context.more_logs]) as log:
                known = look(log, text, parse(text), name, now_ms=round(self.context.now() * 1000))
        except PromptopError:  # the monitor says what is wrong with the log; front matter may be half typed
            says = LogState.UNREADABLE
        self.post_message(self.LookedUp(text, known, LogState.KNOWN if known is not None else says))

    @on(LookedUp)
    def _looked_up(self, message: LookedUp) -> None:
        if message.text != self._baseline_text:
            return
        self._known, self._log_says = message.known, message.says
        if message.known is None and not self._has_volume:
            self.panel.take_own()
        elif message.known is not None:
            self.panel.take_known(
                # What the monitor said of the group that the request was picked from stands.
                calls_per_day=message.known.calls_per_day if message.known.calls and not self._has_volume else None,
                output_tokens=message.known.mean_output,
            )
        if self._sections_timer is None and self._live.is_current:  # else the count that is on its way will do it
            self._sections_timer = self.set_timer(_SECTIONS_AFTER_S, self._count_sections)

    # Counts

    @work(thread=True, group="catalogue", description="look models up")
    def look_up_models(self) -> None:
        """Read the watched models and the price table; figures follow."""
        self.post_message(self.CatalogueReady(load_catalogue(self.context.settings.editor.watch)))

    @on(CatalogueReady)
    def _have_models(self, message: CatalogueReady) -> None:
        self._live.set_catalogue(message.catalogue)
        self.aim_changed()
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
        self.text_edited()
        self.draft_changed()
        if self._stale_timer is None:
            self._stale_timer = self.set_timer(_STALE_AFTER_S, self._show_stale)
        self.show_status()

    def _show_stale(self) -> None:
        self._stale_timer = None
        if not self._live.is_current:
            self._show_figures()

    @on(token_counts.CountsReady)
    def _counted(self, message: token_counts.CountsReady) -> None:
        self._live.counted(message.reply)
        self.area.set_totals(self._live.tokens())
        self._show_figures()
        self._ask_lines()
        if self._sections_timer is None:
            self._sections_timer = self.set_timer(_SECTIONS_AFTER_S, self._count_sections)

    @on(token_counts.LinesReady)
    def _lines_counted(self, message: token_counts.LinesReady) -> None:
        if self._live.lines_came(message.reply):
            self.area.set_line_tokens(message.reply.first, message.reply.tokens)
        self._live.ask_waiting()

    @on(token_counts.EdgesReady)
    def _edges_came(self, message: token_counts.EdgesReady) -> None:
        if self._live.edges_came(message.reply) and self.area.overlay.shows_tokens:
            self.area.overlay.take(message.reply, self.area.exact)
            self.area.refresh()
        self._live.ask_waiting()

    @on(token_counts.CountingFailed)
    def _counting_failed(self, message: token_counts.CountingFailed) -> None:
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
        self.aim_changed()
        self._show_figures()

    def figures(self) -> tuple[Figure, ...]:
        """Return the panel's lines as they are known now."""
        return self._live.figures(self._demand)

    def yardstick(self) -> CostDelta | None:
        """Return what two texts can be compared by; None before the models are known."""
        catalogue = self._live.catalogue
        return CostDelta(self.context.counting, catalogue, self._demand) if catalogue is not None else None

    def _show_figures(self) -> None:
        found = self.figures()
        if found and self._live.catalogue is not None:
            self.panel.show(found, self._live.catalogue.as_of)
            if self.has_class("-short"):
                self.show_status()

    def action_baseline(self) -> None:
        """Measure changes from the present text on."""
        self._live.set_baseline(self.figures())
        self._baseline_text = self.area.text
        self._show_figures()
        self.notify("Changes are measured from this text on.", title="Baseline", markup=False)

    # Parts of the prompt

    def _count_sections(self) -> None:
        """Ask for the tokens of each part, and of the prompt with sample values in place of its variables."""
        self._sections_timer = None
        if self.area.exact.length <= LONGEST:
            self._outline(self.area.text, self._known, self._log_says)
        else:
            self.panel.show_sections("")

    @work(thread=True, exclusive=True, group="outline", description="read the draft's parts")
    def _outline(self, text: str, known: Known | None, says: LogState) -> None:
        chosen = self.context.settings.editor
        models = [name for name, _ in self._live.catalogue.models] if self._live.catalogue is not None else []
        tiers = (chosen.tier_medium, chosen.tier_complex, chosen.tier_expert)
        found = outline(text, tiers, models, chosen.tier_models, known, says)
        if found is not None:
            self.post_message(self.Outlined(found))

    @on(Outlined)
    def _count_outline(self, message: Outlined) -> None:
        found = message.found
        if found.texts:
            request = self.context.counting.request_counts(self, list(found.texts), [self._live.encoding])
            self._sections = request, found
        else:
            self.panel.show_sections(found.variables)

    @on(token_counts.SnippetsReady)
    def _sections_counted(self, message: token_counts.SnippetsReady) -> None:
        if self._sections is None or message.reply.id != self._sections[0]:
            return
        (_, found), self._sections = self._sections, None
        tokens = message.reply.counts[self._live.encoding]
        self.panel.show_sections("\n".join(told(found, tokens, self._live.encoding, brief=self.has_class("-narrow"))))
