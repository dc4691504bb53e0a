"""Calls to models: one streamed call with its timings, many at once, statistics over repeats.

The figures of a call come from the logging transport, which stamps bytes as they leave the socket; nothing here and
nothing on a screen can delay them. ``openai`` is imported at the first call, not before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.runs.call import run as run
    from promptop.runs.endpoints import Endpoints as Endpoints
    from promptop.runs.request import RunRequest as RunRequest
    from promptop.runs.request import parse_stops as parse_stops
    from promptop.runs.request import show_stops as show_stops
    from promptop.runs.result import Delta as Delta
    from promptop.runs.result import Progress as Progress
    from promptop.runs.result import RunError as RunError
    from promptop.runs.result import RunResult as RunResult
    from promptop.runs.runner import Runner as Runner

_HOMES = {
    "Endpoints": "promptop.runs.endpoints",
    "RunRequest": "promptop.runs.request",
    "parse_stops": "promptop.runs.request",
    "show_stops": "promptop.runs.request",
    "Delta": "promptop.runs.result",
    "Progress": "promptop.runs.result",
    "RunError": "promptop.runs.result",
    "RunResult": "promptop.runs.result",
    "run": "promptop.runs.call",
    "Runner": "promptop.runs.runner",
}
__all__ = [
    "Delta",
    "Endpoints",
    "Progress",
    "RunError",
    "RunRequest",
    "RunResult",
    "Runner",
    "parse_stops",
    "run",
    "show_stops",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.runs' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
