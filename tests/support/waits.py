"""Waiting for a state, the one way that tests wait: none of them sleeps, none of them names a time of its own.

The limit is for a machine that is busy with other work. It only decides how long a failure takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App
    from textual.message_pump import MessagePump
    from textual.pilot import Pilot

LIMIT_S = 60.0
"""Seconds that a state may take to come about; less than the time limit of a test."""
_STEP_S = 0.005
_LONGEST_STEP_S = 0.05
"""Between looks at what is long in coming: many conditions draw the screen."""


def _step(waited_s: float) -> float:
    return min(_LONGEST_STEP_S, max(_STEP_S, waited_s / 10))


def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail if it does not come about."""
    start = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - start
        assert waited_s < LIMIT_S, "the condition did not come about"
        time.sleep(_step(waited_s))


async def until_shown(pilot: Pilot[Any], condition: Callable[[], object], describe: Callable[[], str] = str) -> None:
    """Let the app run until the condition holds; fail with ``describe`` if it does not, or if the app has failed.

    What is being built when it holds is built when this returns.
    """
    start = time.monotonic()
    while not condition():
        if pilot.app._exception is not None:
            raise pilot.app._exception
        waited_s = time.monotonic() - start
        assert waited_s < LIMIT_S, f"the condition did not come about {describe()}"
        await asyncio.sleep(_step(waited_s))
    while _is_being_built(pilot.app) and time.monotonic() - start < LIMIT_S:
        await asyncio.sleep(_STEP_S)


def _is_being_built(app: App[Any]) -> bool:
    """Tell whether a widget is not mounted yet: a dialog is the app's screen before it has all that it shows."""
    return any(node._running and not node._is_mounted and not node._closing for node in list(app._registry))


async def idle_without_messages(min_sleep: float = 0, max_sleep: float = 1) -> None:
    """Return once the process is idle, as Textual's pilot waits for it, and no widget has a message to take.

    On a busy machine a process that is kept from running looks idle too.
    """
    from textual._context import active_app
    from textual._wait import wait_for_idle

    app = active_app.get()
    start = time.monotonic()
    while True:
        await wait_for_idle(min_sleep, max_sleep)
        if not _has_messages(app) or time.monotonic() - start > LIMIT_S:
            return


def _has_messages(app: App[Any]) -> bool:
    pumps: list[MessagePump] = [app, *app._registry]
    return any(
        pump._running and not pump._closing and (pump._next_callbacks or not pump._message_queue.empty())
        for pump in pumps
    )
