"""What a call knows of money: before each attempt a gate is asked, and told afterwards what the attempt cost.

The gate itself is :class:`promptop.budget.gate.Gate`; a call without one costs what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from promptop.base.errors import PromptopError

if TYPE_CHECKING:
    from promptop.client.result import RunError
    from promptop.log.row import Row


class OverCapError(PromptopError):
    """A request was not sent, because it could pass a cap."""


class Hold(Protocol):
    """Money that is reserved for one attempt."""

    def settle(self, usd: float | None) -> None:
        """Count what the attempt cost; None keeps the reservation, because nobody said what it cost."""


class Gate(Protocol):
    """Lets a request pass, or raises :class:`OverCapError`."""

    def __call__(self, body: Mapping[str, Any], path: str, *, provider: str | None = None) -> Hold:
        """Reserve the most that the request may cost."""


class _Free:
    def settle(self, usd: float | None) -> None:
        """Nothing was reserved."""


def open_gate(body: Mapping[str, Any], path: str, *, provider: str | None = None) -> Hold:
    """Let every request pass: the gate where no cap is set."""
    return _Free()


def cost_of(row: Row | None, error: RunError | None, *, was_sent: bool) -> float | None:
    """Return what an attempt cost for sure; None where it may have cost anything up to its most.

    A request that never left, or that was refused by an HTTP status, costs nothing. A stream that ended early may be
    billed whole, and its usage so far is not a bill.
    """
    if not was_sent or (error is not None and error.status is not None and error.status >= 400):
        return 0.0
    if row is None:
        return None
    if row.cache_level not in (None, "miss"):
        return 0.0
    if error is not None or row.usage_source != "reported":
        return None
    return row.cost_usd
