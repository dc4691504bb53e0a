"""The catalogue: which model a name means, what it costs, how much it holds, which tokenizer and parameters it takes.

Standard library only: prices come from a compiled snapshot (``snapshot.json.gz``, docs/tokens.md), so that a row can be
priced inside someone's service without loading genai-prices, pydantic or a tokenizer there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.models.catalogue import Model as Model
    from promptop.models.catalogue import Rates as Rates
    from promptop.models.catalogue import as_of as as_of
    from promptop.models.catalogue import find as find
    from promptop.models.catalogue import search as search
    from promptop.models.catalogue import suggest as suggest
    from promptop.models.catalogue import watch_list as watch_list
    from promptop.models.pricing import Price as Price
    from promptop.models.pricing import price as price
    from promptop.models.pricing import usd_text as usd_text

__all__ = ["Model", "Price", "Rates", "as_of", "find", "price", "search", "suggest", "usd_text", "watch_list"]

_HOMES = {
    **dict.fromkeys(
        ("Model", "Rates", "as_of", "find", "search", "suggest", "watch_list"), "promptop.models.catalogue"
    ),
    **dict.fromkeys(("Price", "price", "usd_text"), "promptop.models.pricing"),
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.models' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
