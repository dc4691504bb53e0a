"""From the draft to its weights and back: the page opens, the draft is painted, a trim is taken as one change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.document._document import Selection
from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop_tui.context import AppContext
from promptop_tui.editor.controllers.counts import CountsController
from promptop_tui.editor.controllers.draft import DraftController
from promptop_tui.editor.controllers.trims import TrimsController
from promptop_tui.shell.key_names import with_keys
from promptop_tui.widgets.prompt_area.area import PromptArea

if TYPE_CHECKING:
    from promptop_tui.playground.measure.ablation_dialog import AblationMemory, AblationResult

RULE = "ablation"
"""What a receipt calls units that were left out."""


class AblationController:
    """Between the draft and the page that weighs its sentences."""

    def __init__(
        self,
        pane: Widget,
        area: PromptArea,
        counts: CountsController,
        draft: DraftController,
        trims: TrimsController,
        context: AppContext,
    ) -> None:
        self._pane, self._area, self._counts, self._draft = pane, area, counts, draft
        self._trims, self._context = trims, context
        self._memory: AblationMemory | None = None

    def open(self) -> None:
        """Open the page over the editor."""
        from promptop_tui.playground.measure.ablation_dialog import (  # not needed to start
            AblationMemory,
            ablation_dialog,
        )

        self._memory = self._memory or AblationMemory()
        text = self._area.text
        try:
            page = ablation_dialog(self._context, text, self._draft.state.role, self._counts.models, self._memory)
        except PromptopError as error:
            self._pane.notify(clean(str(error)), title=tr("Weights"), severity="error", markup=False)
            return
        self._pane.app.push_screen(page, self._closed)

    def _closed(self, result: AblationResult | None) -> None:
        if result is None:
            return
        area, outcome = self._area, result.report.outcome
        if area.text != outcome.plan.text:
            self._pane.notify(tr("The draft has changed since."), title=tr("Weights"), severity="warning")
            return
        if result.takes:
            self._take(result)
            return
        rows = [row for row in result.report.rows if not row.unit.pinned]
        area.overlay.weigh([(row.unit.start, row.unit.end, row.finding.state) for row in rows], area.exact)
        area.refresh()
        if result.unit is not None:
            unit = outcome.plan.units[result.unit]
            area.selection = Selection(area.exact.location_at(unit.start), area.exact.location_at(unit.end))
        area.screen.set_focus(area)
        self._pane.notify(
            tr("Bold carries, struck through is free on these cases; an edit clears it."), title=tr("Weights")
        )

    def _take(self, result: AblationResult) -> None:
        """Leave everything out that can go, as one step of undo."""
        outcome = result.report.outcome
        before, after = outcome.plan.text, outcome.trimmed
        start = 0
        while start < min(len(before), len(after)) and before[start] == after[start]:
            start += 1
        end = 0
        while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
            end += 1
        self._area.edit_at(start, len(before) - end, after[start : len(after) - end])
        changes = [(RULE, row.text) for row in result.report.rows if row.unit.number in outcome.found.removed]
        proof = result.report.proof.proof if result.report.proof is not None else None
        self._trims.take_ablation(changes, proof)
        ways = with_keys(self._pane, tr("{editor.prove} asks one input, {editor.library} keeps it with its receipt."))
        self._pane.notify(
            tr("{n} units left out: {verdict}. {ways}", n=len(changes), verdict=result.report.verdict, ways=ways),
            title=tr("Weights"),
            markup=False,
        )
