"""Waiting for a state, the one way that tests wait: none of them sleeps, none of them names a time of its own.

The limit is for a machine that is busy with other work. It only decides how long a failure takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.pilot import Pilot

LIMIT_S = 60.0
"""Seconds that a state may take to come about; less than the time limit of a test."""
_STEP_S = 0.005
_SHOWN_STEP_S = 0.01
"""Longer, for many conditions draw the screen."""


def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail if it does not come about."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "the condition did not come about"
        time.sleep(_STEP_S)


async def until_shown(pilot: Pilot[Any], condition: Callable[[], object], describe: Callable[[], str] = str) -> None:
    """Let the app run until the condition holds; fail with ``describe`` if it does not, or if the app has failed."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        if pilot.app._exception is not None:
            raise pilot.app._exception
        assert time.monotonic() < end, f"the condition did not come about {describe()}"
        await asyncio.sleep(_SHOWN_STEP_S)
