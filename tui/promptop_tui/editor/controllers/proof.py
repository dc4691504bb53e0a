"""From the editor to a proof run and back: which texts are held against each other, and where the proof goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop_tui.context import AppContext
from promptop_tui.shell.key_names import with_keys

if TYPE_CHECKING:
    from promptop.prompts.proof import Proof
    from promptop_tui.playground.measure.proof_dialog import ProofMemory, ProofSubject


def open_proof(
    pane: Widget,
    context: AppContext,
    subject: ProofSubject,
    memory: ProofMemory,
    keep: Callable[[Proof], object],
) -> None:
    """Open the page over the editor; ``keep`` is given its proof, if one was run."""
    from promptop_tui.playground.measure.proof_dialog import proof_dialog  # its imports are not needed to start

    try:
        page = proof_dialog(context, subject, memory)
    except PromptopError as error:
        pane.notify(clean(str(error)), title="Prove", severity="error", markup=False)
        return

    def closed(proof: Proof | None) -> None:
        if proof is not None:
            keep(proof)
            ways = with_keys(pane, "{editor.library} keeps it with a version, {editor.export} exports it.")
            pane.notify(f"{proof.verdict}: the receipt has it. {ways}", title="Prove", markup=False)

    pane.app.push_screen(page, closed)
