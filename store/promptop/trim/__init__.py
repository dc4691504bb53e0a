"""Trimming: rules → edits, each with its saving; and lint. Standard library only, but for the token counts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.trim.engine import Edit as Edit
    from promptop.trim.engine import Proposals as Proposals
    from promptop.trim.engine import Skipped as Skipped
    from promptop.trim.engine import TrimmedText as TrimmedText
    from promptop.trim.engine import apply as apply
    from promptop.trim.engine import chosen as chosen
    from promptop.trim.engine import contexts as contexts
    from promptop.trim.engine import find as find
    from promptop.trim.engine import look as look
    from promptop.trim.engine import sentence_around as sentence_around
    from promptop.trim.engine import trim as trim
    from promptop.trim.rules.all_rules import RULES as RULES

__all__ = [
    "RULES", "Edit", "Proposals", "Skipped", "TrimmedText", "apply", "chosen", "contexts", "find", "look",
    "sentence_around", "trim",
]  # fmt: skip

_HOMES = {**dict.fromkeys(__all__, "promptop.trim.engine"), "RULES": "promptop.trim.rules.all_rules"}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.trim' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
