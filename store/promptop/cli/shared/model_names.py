"""What is said of a model's name that nobody knows: near names, and that nothing is guessed."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from promptop import models
from promptop.base.sanitize import clean_line
from promptop.models.names import near


def note_of(name: str, provider: str | None = None, *, likely_slips_only: bool = False) -> str:
    """Return one line on a name that is not in the catalogue, with near names; empty for one that is.

    ``likely_slips_only`` is for commands that call: endpoints have models of their own, which no catalogue lists.
    """
    slips = near(name)
    if not slips and (likely_slips_only or models.find(name, provider) is not None):
        return ""
    known = slips or models.suggest(name)
    hint = f"; did you mean {', '.join(known)}?" if known else "."
    return f"{clean_line(name)} is not in the catalogue{hint}"


def tell_unknown(names: Iterable[str], provider: str | None = None, *, likely_slips_only: bool = False) -> None:
    """Say on stderr which names are not in the catalogue."""
    for name in dict.fromkeys(names):
        if note := note_of(name, provider, likely_slips_only=likely_slips_only):
            print(f"promptop: {note}", file=sys.stderr)
