"""Tokens: exact counts offline, a document that recounts only what changed, estimates that say so.

Nothing is loaded on import (PEP 562): ``scripts`` needs the standard library alone, the tokenizer and its
ranks come with the first call of :func:`encoding`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.tokens.counting import Count as Count
    from promptop.tokens.counting import count as count
    from promptop.tokens.counting import for_model as for_model
    from promptop.tokens.document import TokenDocument as TokenDocument
    from promptop.tokens.vocabularies import encoding as encoding

__all__ = ["Count", "TokenDocument", "count", "encoding", "for_model"]

_HOMES = {
    "Count": "promptop.tokens.counting",
    "TokenDocument": "promptop.tokens.document",
    "count": "promptop.tokens.counting",
    "encoding": "promptop.tokens.vocabularies",
    "for_model": "promptop.tokens.counting",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.tokens' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
