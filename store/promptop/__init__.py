"""promptop: count, price, trim, run and watch prompts, without a screen.

Importing this package loads nothing but the standard library; the public names below are fetched on first use
(PEP 562), so that a service that calls :func:`observe` does not pay for the app.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.capture.annotations import annotate as annotate
    from promptop.capture.observe import observe as observe
    from promptop.capture.observe import transport as transport

__version__ = "0.1.0"
_HOMES = {
    "annotate": "promptop.capture.annotations",
    "observe": "promptop.capture.observe",
    "transport": "promptop.capture.observe",
}
__all__ = ["__version__", "annotate", "observe", "transport"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
