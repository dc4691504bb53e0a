"""What trimming a prompt came to: tokens and dollars before and after, and the rules that did it.

A receipt goes with a version as its note, and with an export as front matter or a comment, where the form has either:
plain text and request JSON have none, since a comment there would be sent to the model.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from promptop.prompts.proof import PROVEN, Proof, proof_from

REWRITE = "rewrite"
"""The rule that changes count under which a model proposed."""
_COMMENTED = {"curl": "# ", "python": "# ", "promptfoo": "# ", "llm": "# "}


@dataclass(frozen=True, slots=True)
class Receipt:
    """One trimming, from the baseline to the text that was kept."""

    model: str
    kind: str
    """``exact`` or ``estimated``."""
    tokens_before: int
    tokens_after: int
    usd_before: float | None
    """Input dollars of a call; None if the model has no price."""
    usd_after: float | None
    rules: Mapping[str, int]
    """Rule id → changes taken."""
    proof: Proof | None = None
    """The proof run of these two texts, if there was one; without it nothing is known of the answers."""

    @property
    def is_proven(self) -> bool:
        """Whether a proof run found that the answers held."""
        return self.proof is not None and self.proof.verdict == PROVEN

    @property
    def is_open(self) -> bool:
        """Whether a model's rewrite is in it that no proof run has found to hold."""
        return REWRITE in self.rules and not self.is_proven

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON and YAML; :func:`receipt_from` reads them."""
        proof = self.proof.as_dict() if self.proof is not None else None
        return {**asdict(replace(self, proof=None)), "rules": dict(self.rules), "proof": proof}

    def line(self) -> str:
        """Return the receipt in one line."""
        sign = "=" if self.kind == "exact" else "≈"
        tokens = f"{sign}{self.tokens_before:,} → {sign}{self.tokens_after:,} tokens"
        known = self.usd_before is not None and self.usd_after is not None
        money = f", ${self.usd_before:.6f} → ${self.usd_after:.6f} a call" if known else ", n/a"
        rules = ", ".join(f"{name}×{count}" for name, count in self.rules.items())
        proof = f"; {self.proof.line()}" if self.proof is not None else "; rewrite not proven" if self.is_open else ""
        return (
            f"trimmed for {' '.join(self.model.split())}: {tokens}{money}" + (f" by {rules}" if rules else "") + proof
        )


def receipt_from(fields: Mapping[str, Any]) -> Receipt:
    """Read what :meth:`Receipt.as_dict` wrote, also after a trip through JSON.

    Raises :class:`ValueError`, :class:`TypeError` or :class:`KeyError` for anything else.
    """
    proof = fields.get("proof")
    return Receipt(**{**fields, "proof": None if proof is None else proof_from(proof)})


def applied(taken: Iterable[tuple[str, str]], before: str, after: str) -> dict[str, int]:
    """Count the rules of ``taken`` (rule, what it changed) whose changes still hold: undone ones are left out.

    What an earlier change had made, and a later one changed again, is not in ``before``: it holds while it is gone.
    """
    counted: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for rule, piece in taken:
        seen[piece] += 1
        if seen[piece] <= max(1, before.count(piece)) - after.count(piece):
            counted[rule] += 1
    return dict(counted)


def stamped(text: str, form: str, receipt: Receipt) -> str:
    """Write the receipt into an export of the form ``form``; a form that has no place for it stays as it is."""
    if form in _COMMENTED:
        return f"{_COMMENTED[form]}{receipt.line()}\n{text}"
    if form == "markdown":
        return f"<!-- {receipt.line().replace('--', '- -')} -->\n\n{text}"
    if form == "prompty" and text.startswith("---\n") and (end := text.find("\n---\n", 3)) > 0:
        # As the last key, so that the prompt's own come first; Prompty 2 hands metadata on.
        trim = json.dumps(receipt.as_dict(), ensure_ascii=False)
        return f"{text[: end + 1]}metadata:\n  trim: {trim}{text[end:]}"
    return text
