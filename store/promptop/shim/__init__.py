"""The shim: what watches traffic. It loads the standard library and whichever of httpx2 and httpx the host uses.

Start with :func:`observe`; :func:`transport` is its explicit form, :func:`annotate` labels calls (docs/shim.md).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.shim.boundary import Faults as Faults
    from promptop.shim.boundary import faults as faults
    from promptop.shim.call import Call as Call
    from promptop.shim.call import Labels as Labels
    from promptop.shim.note import Note as Note
    from promptop.shim.note import annotate as annotate
    from promptop.shim.observing import observe as observe
    from promptop.shim.observing import transport as transport
    from promptop.shim.stream import StreamReader as StreamReader

_HOMES = {
    "Call": "call",
    "Labels": "call",
    "Faults": "boundary",
    "faults": "boundary",
    "Note": "note",
    "annotate": "note",
    "observe": "observing",
    "transport": "observing",
    "StreamReader": "stream",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.shim' has no attribute {name!r}")
    return getattr(importlib.import_module(f"promptop.shim.{home}"), name)
