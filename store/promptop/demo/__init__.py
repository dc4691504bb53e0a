"""A simulated endpoint and simulated traffic: real HTTP, real streams, real token counts, invented answers.

Whatever is written from here is marked: rows carry ``simulated = 1`` and each screen says SIMULATED. Names are fetched
on first use (PEP 562), because the server needs aiohttp (0.27 s to import) and most commands do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.demo.endpoint import SimulatedEndpoint as SimulatedEndpoint
    from promptop.demo.faults import FAULTS as FAULTS
    from promptop.demo.filling import fill as fill
    from promptop.demo.live import LiveTraffic as LiveTraffic
    from promptop.demo.profiles import MODELS as MODELS

__all__ = ["FAULTS", "MODELS", "LiveTraffic", "SimulatedEndpoint", "fill"]

_HOMES = {
    "FAULTS": "promptop.demo.faults",
    "MODELS": "promptop.demo.profiles",
    "LiveTraffic": "promptop.demo.live",
    "SimulatedEndpoint": "promptop.demo.endpoint",
    "fill": "promptop.demo.filling",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.demo' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
