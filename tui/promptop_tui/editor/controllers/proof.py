"""From the editor to a proof run and back: which texts are held against each other, and where the proof goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop_tui.context import AppContext
from promptop_tui.shell.key_names import with_keys

if TYPE_CHECKING:
    from promptop.prompts.proof import Proof
    from promptop_tui.playground.measure.proof_dialog import ProofMemory


class ProofController:
    """Opens the page that proves; what was typed there and its answers live as long as the tab."""

    def __init__(self, pane: Widget, context: AppContext) -> None:
        self._pane, self._context = pane, context
        self._memory: ProofMemory | None = None

    def open(
        self,
        before: str,
        after: str,
        *,
        watched: Sequence[str],
        role: str,
        keep: Callable[[Proof], object],
    ) -> None:
        """Open the page over the editor; ``keep`` is given its proof, if one was run."""
        from promptop_tui.playground.measure.proof_dialog import (  # its imports are not needed to start
            ProofMemory,
            ProofSubject,
            proof_dialog,
        )

        self._memory = self._memory or ProofMemory()
        pane = self._pane
        try:
            page = proof_dialog(self._context, ProofSubject(before, after, tuple(watched), role=role), self._memory)
        except PromptopError as error:
            pane.notify(clean(str(error)), title=tr("Prove"), severity="error", markup=False)
            return

        def closed(proof: Proof | None) -> None:
            if proof is not None:
                keep(proof)
                ways = with_keys(pane, tr("{editor.library} keeps it with a version, {editor.export} exports it."))
                pane.notify(
                    tr("{verdict}: the receipt has it. {ways}", verdict=proof.verdict, ways=ways),
                    title=tr("Prove"),
                    markup=False,
                )

        pane.app.push_screen(page, closed)
