"""What is said of a model's name that nobody knows: near names, and that nothing is guessed."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from promptop import models
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.base.toml.records import nearest
from promptop.models import snapshot
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


def no_such_model(name: str) -> UsageError:
    """Return the error for a name that has to be in the catalogue and is not."""
    known = near(name) or models.suggest(name)
    remedy = f"Did you mean {' or '.join(known)}?" if known else "promptop models --search WORDS looks for one."
    return UsageError(f"{clean_line(name, 80)} is not in the catalogue.", remedy)


def require_provider(name: str) -> None:
    """Raise :class:`UsageError` for a provider that is not in the price table."""
    if snapshot.provider_row(name) is not None:
        return
    known = snapshot.load().by_id
    near_one = nearest(name, known)
    hint = f"Did you mean {near_one}? " if near_one else ""
    raise UsageError(f"There is no provider {name!r} in the price table.", f"{hint}Known: {', '.join(known)}.")


def tell_unknown(names: Iterable[str], provider: str | None = None, *, likely_slips_only: bool = False) -> None:
    """Say on stderr which names are not in the catalogue."""
    for name in dict.fromkeys(names):
        if note := note_of(name, provider, likely_slips_only=likely_slips_only):
            print(f"promptop: {note}", file=sys.stderr)
