"""The draft's live figures: what is counted while it is typed, for which models, against which baseline.

Nothing is counted here: edits go to the worker process (:mod:`.count_state`), and its answers come back as messages.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.timer import Timer
from textual.widget import Widget

from promptop.base.sanitize import clean
from promptop.base.texts import tr, tr_n
from promptop_tui.context import AppContext
from promptop_tui.editor.controllers.cost_delta import CostDelta
from promptop_tui.editor.controllers.count_state import Catalogue, LiveCounts, load_catalogue
from promptop_tui.editor.controllers.sent_text import SentText, sent_of
from promptop_tui.editor.views.model_figures import ModelLine, UsageAssumptions
from promptop_tui.editor.views.models_panel import ModelsPanel
from promptop_tui.editor.views.prompt_facts import LONGEST
from promptop_tui.services.token_counts import CountingFailed, CountsReady, EdgesReady, LinesReady, SnippetsReady
from promptop_tui.widgets.prompt_area.area import PromptArea

if TYPE_CHECKING:
    from promptop.workers.token_client import SnippetCounts

_STALE_AFTER_S = 0.25


class CountsController:
    """Follows the text of one area and shows its figures in one panel."""

    def __init__(
        self,
        pane: Widget,
        area: PromptArea,
        panel: ModelsPanel,
        context: AppContext,
        *,
        counted: Callable[[], object],
        models_changed: Callable[[], object],
        shown: Callable[[], object],
    ) -> None:
        """``pane`` lends timers and workers, and owns the counted document.

        ``counted`` is called for each count, ``models_changed`` when other models or another volume are looked at, and
        ``shown`` when figures were drawn.
        """
        self._pane = pane
        self._area = area
        self._panel = panel
        self._context = context
        self._counted = counted
        self._models_changed = models_changed
        self._shown = shown
        self.assumptions = panel.assumptions
        """What is expected of the calls."""
        self.live = LiveCounts(context.counting, pane)
        """What was asked of the worker, and what it last said."""
        self.baseline_text = ""
        """The text that changes are measured from."""
        self._stale_timer: Timer | None = None
        self._counted_from = 0
        self._has_text = False
        self._asked: tuple[int, int, SentText] | None = None
        self.notes: tuple[str, ...] = ()
        """What is sent beside the text: the tools in the figures, and what is in none of them."""

    def begin(self) -> None:
        """Look the watched models up, away from the screen; figures follow."""
        self._pane.run_worker(self._look_up, thread=True, group="catalogue", description="look models up")

    def _look_up(self) -> None:
        found = load_catalogue(self._context.settings.editor.watch)
        self._pane.call_later(self._have_models, found)

    def _have_models(self, found: Catalogue) -> None:
        self.live.set_catalogue(found)
        self._models_changed()
        if self._has_text:
            self._open()
            self.show()

    def text_replaced(self) -> None:
        """Measure from the new text on."""
        self.live.baseline_is_due()
        self.baseline_text = self._area.text

    def text_edited(self, message: PromptArea.Edited) -> None:
        """Have an edit counted."""
        self._has_text = True
        if message.reset:
            self._open()
        elif message.version > self._counted_from:
            self.live.edited(message.spans)
        if self._stale_timer is None:
            self._stale_timer = self._pane.set_timer(_STALE_AFTER_S, self._show_stale)

    def _open(self) -> None:
        """Count the present text anew. Edits of it whose messages still wait are in that text already."""
        self._counted_from = self._area.version
        self.live.opened(self._area.text)

    def _show_stale(self) -> None:
        self._stale_timer = None
        if not self.live.is_current:
            self.show()

    def handle(self, message: CountsReady | LinesReady | EdgesReady | SnippetsReady | CountingFailed) -> None:
        """Take over what the worker answered."""
        match message:
            case CountsReady():
                self.live.counted(message.reply)
                self._area.set_totals(self.live.tokens())
                self.show()
                self.ask_for_view()
                if self.live.is_counted:
                    self._read_sent()
            case SnippetsReady():
                if self._asked is not None and message.reply.id == self._asked[0]:
                    (_, version, sent), self._asked = self._asked, None
                    self._take_sent(version, sent, message.reply)
            case LinesReady():
                if self.live.lines_came(message.reply):
                    self._area.set_line_tokens(message.reply.first, message.reply.tokens)
                self.live.ask_waiting()
            case EdgesReady():
                if self.live.edges_came(message.reply) and self._area.overlay.shows_tokens:
                    self._area.overlay.take(message.reply, self._area.exact)
                    self._area.refresh()
                self.live.ask_waiting()
            case CountingFailed():
                self.live.failed()
                self._pane.notify(clean(message.reply.message), title=tr("Counting"), severity="warning", markup=False)

    def _read_sent(self) -> None:
        """Find out what of the present text is sent, and have that counted if it is not the text itself."""
        version = self.live.version
        if self._area.exact.length > LONGEST:
            self._take_sent(version, SentText(None), None)
            return
        read = partial(self._read, self._area.text, version)
        self._pane.run_worker(read, thread=True, exclusive=True, group="sent", description="read what is sent")

    def _read(self, text: str, version: int) -> None:
        self._pane.call_later(self._have_read, version, sent_of(text))

    def _have_read(self, version: int, sent: SentText) -> None:
        if self.live.catalogue is None or version != self.live.version:
            return  # the count of the newer text will ask again
        asked = [*(sent.texts or ()), *self.live.tool_texts(sent)]
        if not asked:
            self._take_sent(version, sent, None)
        else:
            encodings = self.live.catalogue.encodings
            request = self._context.counting.request_counts(self._pane, asked, encodings)
            self._asked = request, version, sent

    def _take_sent(self, version: int, sent: SentText, reply: SnippetCounts | None) -> None:
        self.live.take_sent(version, sent, reply)
        self._area.set_totals(self.live.tokens())
        self.notes = self._noted(sent)
        self.show()
        self._counted()

    def _noted(self, sent: SentText) -> tuple[str, ...]:
        notes = []
        if sent.tools:
            name, tokens = next(iter(self.live.tools.items()), ("", 0))
            said = tr_n("figures with {n} tool", "figures with {n} tools", len(sent.tools))
            more = tr(": ≈{tokens:,} tokens for {model}", tokens=tokens, model=name) if tokens else ""
            notes.append(said + more)
        if sent.uncounted:
            notes.append(tr("not in the figures: {what}", what=sent.uncounted))
        return tuple(notes)

    def ask_for_view(self) -> None:
        """Ask for the tokens of the visible lines, and where they begin if that is painted."""
        if self._area.show_tokens:
            self.live.want_lines(*self._area.visible_lines())
        if self._area.overlay.shows_tokens:
            self.live.want_edges(*self._area.visible_characters())

    def take_assumptions(self, assumptions: UsageAssumptions) -> None:
        """Expect something else of the calls."""
        self.assumptions = assumptions
        self._models_changed()
        self.show()

    def figures(self) -> tuple[ModelLine, ...]:
        """Return the panel's lines as they are known now."""
        return self.live.figures(self.assumptions)

    @property
    def models(self) -> list[str]:
        """Names of the watched models; none before they were looked up."""
        return [name for name, _ in self.live.catalogue.models] if self.live.catalogue is not None else []

    def delta(self) -> CostDelta | None:
        """Return what two texts can be compared by; None before the models are known."""
        catalogue = self.live.catalogue
        return CostDelta(self._context.counting, catalogue, self.assumptions) if catalogue is not None else None

    def show(self) -> None:
        """Draw the figures as they are known now."""
        found = self.figures()
        if found and self.live.catalogue is not None:
            self._panel.show(found, self.live.catalogue.as_of)
            self._shown()

    def set_baseline(self) -> None:
        """Measure changes from the present text on."""
        self.live.set_baseline(self.figures())
        self.baseline_text = self._area.text
        self.show()
        self._pane.notify(tr("Changes are measured from this text on."), title=tr("Baseline"), markup=False)
