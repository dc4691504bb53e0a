"""A gate with one cap, kept in this process alone or in a file."""

from __future__ import annotations

from pathlib import Path

from promptop.budget.gate import Cap, Gate
from promptop.budget.ledger import Ledger


def capped(usd: float, path: Path | None = None, *, strict: bool = True) -> Gate:
    """Return a gate that lets calls pass up to a sum."""
    return Gate((Cap("command of a test", usd, "--max-usd", "raise --max-usd", strict),), Ledger(path))
