"""Trimming the draft: the list opens and closes, what was taken becomes a receipt, a model may shorten a part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.document._document import Selection
from textual.widget import Widget

from promptop.prompts import Prompt
from promptop.prompts.proof import Proof
from promptop.prompts.receipt import REWRITE, Receipt, applied
from promptop_tui.context import AppContext
from promptop_tui.editor.controllers.counts import CountsController
from promptop_tui.editor.controllers.proof import ProofController
from promptop_tui.editor.views.model_figures import receipt_of
from promptop_tui.editor.views.trims_panel import SavingsTarget, TrimsPanel
from promptop_tui.widgets.prompt_area.area import PromptArea

if TYPE_CHECKING:
    from promptop.trim.rewrite import Hunk
    from promptop.workers.call_client import Runner


class TrimsController:
    """Between the draft and the list of what can go."""

    def __init__(
        self,
        pane: Widget,
        area: PromptArea,
        panel: TrimsPanel,
        counts: CountsController,
        context: AppContext,
        *,
        parsed: Callable[[], Prompt | None],
        role: Callable[[], str],
        runner: Runner | None = None,
    ) -> None:
        """``parsed`` returns the draft as a prompt, or says what is wrong with it; ``role`` that of a text without.

        ``runner`` makes the calls of rewrites if given, and is then closed by who gave it.
        """
        self._pane = pane
        self._area = area
        self._panel = panel
        self._counts = counts
        self._context = context
        self._parsed = parsed
        self._role = role
        self._given_runner = runner
        self._runner = runner
        self._taken: list[tuple[str, str]] = []
        self._proof: Proof | None = None
        self._prover = ProofController(pane, context)
        self._selected: tuple[int, int, int] | None = None

    def end(self) -> None:
        """End the process that made calls."""
        if self._runner is not None and self._given_runner is None:
            self._runner.close()

    @property
    def taken(self) -> tuple[tuple[str, str], ...]:
        """Rule and changed text of the trims that were taken since the baseline."""
        return tuple(self._taken)

    def baseline_changed(self) -> None:
        """Forget what was taken: changes are measured from another text."""
        self._taken = []

    def models_changed(self) -> None:
        """Measure the trims by the first watched model and the expected volume."""
        if models := self._counts.models:
            encoding = self._counts.live.encoding
            self._panel.set_target(SavingsTarget(models[0], encoding, self._counts.assumptions.calls_per_day))

    def toggle(self) -> None:
        """Show the trims, or go back to the draft."""
        if self._panel.display:
            self.close()
            return
        # The list selects the place of each change: what the user has selected is kept for a rewrite.
        area = self._area
        start, end = sorted(area.exact.offset_at(place) for place in area.selection)
        self._selected = (start, end, area.version) if start < end else None
        self._pane.add_class("-trimming")
        self._panel.open()

    def close(self) -> None:
        """Go back to the draft."""
        self._panel.close()
        self._pane.remove_class("-trimming")
        # The list has selected the places of its changes: what is typed next must not replace the last of them.
        area = self._area
        if self._selected is not None and self._selected[2] == area.version:
            area.selection = Selection(*(area.exact.location_at(at) for at in self._selected[:2]))
        else:
            area.selection = Selection.cursor(area.selection.end)
        area.screen.set_focus(area)

    def handle(self, message: TrimsPanel.Event) -> None:
        """Do what the list asks for."""
        match message:
            case TrimsPanel.Taken():
                self._taken += message.changes
            case TrimsPanel.RewriteWanted():
                self._rewrite()
            case TrimsPanel.ProofWanted():
                self.prove()
            case TrimsPanel.Closed():
                self.close()

    def prove(self) -> None:
        """Ask the baseline and the draft in turns, and judge the answers."""
        self._prover.open(
            self._counts.baseline_text,
            self._area.text,
            watched=self._counts.models,
            role=self._role(),
            keep=self._keep_proof,
        )

    def take_ablation(self, changes: Sequence[tuple[str, str]], proof: Proof | None) -> None:
        """Count what an ablation left out as taken; its proof goes with the receipt."""
        self._taken += changes
        if proof is not None:
            self._keep_proof(proof)

    def _keep_proof(self, proof: Proof) -> None:
        self._proof = proof

    def receipt(self) -> Receipt | None:
        """Return what the trims since the baseline came to for the first model; None if there were none.

        A proof run of exactly these two texts goes with it, and makes a receipt of a trim that was made by hand.
        """
        found, text, before = self._counts.figures(), self._area.text, self._counts.baseline_text
        proof = self._proof if self._proof is not None and self._proof.is_of(before, text) else None
        if not (self._taken or proof) or not found or found[0].baseline is None:
            return None
        return receipt_of(found[0], applied(self._taken, before, text), proof)

    def _rewrite(self) -> None:
        """Let a model shorten what was selected, or the draft behind its front matter."""
        from promptop.client.targets import offered
        from promptop.workers.call_client import Runner
        from promptop_tui.editor.dialogs.rewrite import RewriteDialog, RewriteRange

        prompt = self._parsed()
        if prompt is None:
            return
        text, version = self._area.text, self._area.version
        start, end = prompt.body_start, len(text)
        is_whole = self._selected is None or self._selected[2] != version
        if self._selected is not None and not is_whole:
            start, end, _ = self._selected
        settings = self._context.settings
        if self._runner is None:
            self._runner = Runner(
                log=self._context.log_path,
                app="promptop rewrite",
                bodies=settings.log.bodies,
                simulated=self._context.simulated,
                gate=self._context.purse.gate,
            )
        models = [target.spec for target in offered(settings)]
        model = models[0] if models and prompt.model not in models else prompt.model or self._panel.target.model
        part = RewriteRange(text[start:end], start, text.count("\n", 0, start) + 1, is_whole)
        dialog = RewriteDialog(self._context, self._runner, part, model, self._panel.target, self.take_hunk)
        self._pane.app.push_screen(dialog)

    def take_hunk(self, start: int, hunk: Hunk) -> bool:
        """Put one change of a rewrite into the draft, as one step of undo; False if the draft is another by now."""
        area = self._area
        if area.text[start : start + len(hunk.before)] != hunk.before:
            return False
        area.edit_at(start, start + len(hunk.before), hunk.after)
        self._taken.append((REWRITE, hunk.before))
        return True
