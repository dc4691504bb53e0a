"""promptop: count, price, trim, run and watch prompts, without a screen.

Importing this package loads nothing but the standard library; the public names below are fetched on first use
(PEP 562), so that a service that calls :func:`observe` does not pay for the app.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; typing costs as much as the interpreter's start

if TYPE_CHECKING:
    from promptop.capture.annotations import annotate as annotate
    from promptop.capture.observe import observe as observe
    from promptop.capture.observe import transport as transport
    from promptop.log.read.frames import LoggedCalls as LoggedCalls
    from promptop.log.read.frames import read_log as read_log
    from promptop.models.pricing import price as cost
    from promptop.prompts.document import Prompt as Prompt
    from promptop.simulator.server.server import SimulatedEndpoint as SimulatedEndpoint
    from promptop.tokens.counting import count as count

__version__ = "0.2.0"
_HOMES = {
    "annotate": "promptop.capture.annotations:annotate",
    "cost": "promptop.models.pricing:price",
    "count": "promptop.tokens.counting:count",
    "LoggedCalls": "promptop.log.read.frames:LoggedCalls",
    "observe": "promptop.capture.observe:observe",
    "Prompt": "promptop.prompts.document:Prompt",
    "read_log": "promptop.log.read.frames:read_log",
    "SimulatedEndpoint": "promptop.simulator.server.server:SimulatedEndpoint",
    "transport": "promptop.capture.observe:transport",
}
__all__ = [
    "LoggedCalls",
    "Prompt",
    "SimulatedEndpoint",
    "__version__",
    "annotate",
    "cost",
    "count",
    "observe",
    "read_log",
    "transport",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop' has no attribute {name!r}")
    import importlib

    module, _, attribute = home.partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
