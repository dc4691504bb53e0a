"""What the draft is made of: its parts read on a thread, counted in the worker process, told under the models."""

from __future__ import annotations

from functools import partial

from textual.timer import Timer
from textual.widget import Widget

from promptop_tui.context import AppContext
from promptop_tui.editor.controllers.counts import CountsController
from promptop_tui.editor.controllers.log_lookup import LogLookup
from promptop_tui.editor.views.models_panel import ModelsPanel
from promptop_tui.editor.views.outline import LONGEST, Outline, outline, told
from promptop_tui.services.token_counts import SnippetsReady
from promptop_tui.widgets.prompt_area.area import PromptArea

_AFTER_S = 0.3


class PartsController:
    """Reads the parts of one area's text a moment after it was counted."""

    def __init__(
        self,
        pane: Widget,
        area: PromptArea,
        panel: ModelsPanel,
        counts: CountsController,
        log: LogLookup,
        context: AppContext,
    ) -> None:
        self._pane = pane
        self._area = area
        self._panel = panel
        self._counts = counts
        self._log = log
        self._context = context
        self._timer: Timer | None = None
        self._asked: tuple[int, Outline] | None = None

    def refresh_soon(self) -> None:
        """Read the parts again in a moment; while a count is on its way, that will do it."""
        if self._timer is None and self._counts.live.is_current:
            self._timer = self._pane.set_timer(_AFTER_S, self._refresh)

    def _refresh(self) -> None:
        self._timer = None
        if self._area.exact.length > LONGEST:
            self._panel.show_sections("")
            return
        read = partial(self._read, self._area.text)
        self._pane.run_worker(read, thread=True, exclusive=True, group="outline", description="read the draft's parts")

    def _read(self, text: str) -> None:
        chosen = self._context.settings.editor
        tiers = (chosen.tier_medium, chosen.tier_complex, chosen.tier_expert)
        found = outline(text, tiers, self._counts.models, chosen.tier_models, self._log.known, self._log.says)
        if found is not None:
            self._pane.call_later(self._count, found)

    def _count(self, found: Outline) -> None:
        if found.texts:
            counting = self._context.counting
            self._asked = counting.request_counts(self._pane, list(found.texts), [self._counts.live.encoding]), found
        else:
            self._panel.show_sections(found.variables)

    def handle(self, message: SnippetsReady) -> None:
        """Tell the parts with their counts."""
        if self._asked is None or message.reply.id != self._asked[0]:
            return
        (_, found), self._asked = self._asked, None
        encoding = self._counts.live.encoding
        lines = told(found, message.reply.counts[encoding], encoding, brief=self._pane.has_class("-narrow"))
        self._panel.show_sections("\n".join(lines))
