"""A simulated endpoint and simulated traffic: real HTTP, real streams, real token counts, invented answers.

Whatever is written from here is marked: rows carry ``simulated = 1`` and each screen says SIMULATED. Names are fetched
on first use (PEP 562), because the server needs aiohttp (0.27 s to import) and most commands do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.simulator.answers.profiles import MODELS as MODELS
    from promptop.simulator.server.faults import FAULTS as FAULTS
    from promptop.simulator.server.server import SimulatedEndpoint as SimulatedEndpoint
    from promptop.simulator.traffic.backfill import fill as fill
    from promptop.simulator.traffic.live_traffic import LiveTraffic as LiveTraffic

__all__ = ["FAULTS", "MODELS", "LiveTraffic", "SimulatedEndpoint", "fill"]

_HOMES = {
    "FAULTS": "promptop.simulator.server.faults",
    "MODELS": "promptop.simulator.answers.profiles",
    "LiveTraffic": "promptop.simulator.traffic.live_traffic",
    "SimulatedEndpoint": "promptop.simulator.server.server",
    "fill": "promptop.simulator.traffic.backfill",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.simulator' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
