"""From the editor to a proof run and back: which texts are held against each other, and where the proof goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean

if TYPE_CHECKING:
    from promptop.prompts.proof import Proof
    from promptop_tui.editor.screen import EditorPane


def open_proof(pane: EditorPane, before: str, after: str, keep: Callable[[Proof], object]) -> None:
    """Open the page over the editor; ``keep`` is given its proof, if one was run."""
    from promptop_tui.playground.measure.proof_dialog import ProofDialog  # its imports are not needed to start

    watched = [figure.model for figure in pane.figures()]
    try:
        page = ProofDialog(pane.context, before, after, watched)
    except PromptopError as error:
        pane.notify(clean(str(error)), title="Prove", severity="error", markup=False)
        return

    def closed(proof: Proof | None) -> None:
        if proof is not None:
            keep(proof)
            pane.notify(
                f"{proof.verdict}: the receipt has it. ctrl+l keeps it with a version, ctrl+g exports it.",
                title="Prove",
                markup=False,
            )

    pane.app.push_screen(page, closed)
