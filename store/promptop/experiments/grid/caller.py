"""Makes the calls of a measurement, whatever it is: one way to send, to count, to stop, and to tell how far it is.

Benchmarks, claims, comparisons, proofs and grids differ in what they ask and in what order; here is what they share.
Money is not a matter of theirs: each call passes the gate of its endpoints, and a call that a cap refuses ends the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptop.base.errors import PromptopError
from promptop.client.request import RunRequest
from promptop.client.result import CAP, CallProgress, RunError, RunResult
from promptop.client.spending import OverCapError

if TYPE_CHECKING:
    from promptop.client.http.endpoints import Endpoints

_REFUSED = frozenset({401, 402, 403, 404})
_REFUSED_TYPES = frozenset({"insufficient_quota", "key"})


def is_refused(error: RunError | None) -> bool:
    """Whether no further call to the same model can be answered: a refused key, an unknown model, no money left."""
    return error is not None and (error.status in _REFUSED or error.type in _REFUSED_TYPES)


@dataclass(frozen=True, slots=True)
class MeasurementStep:
    """How far a measurement is."""

    ended: int
    size: int
    spent_usd: float
    failed: int
    last: str = ""
    """Title of what was answered last."""
    error: str = ""
    note: str = ""
    """What a person should know now: the verdict so far, what comes next."""


class GridCaller:
    """Makes calls for one measurement. It can be pickled until it is opened, and then belongs to one event loop."""

    def __init__(self, app: str) -> None:
        """``app`` is the program's name in the log's rows."""
        self.app = app
        self.spent_usd = 0.0
        self.unpriced = 0
        self.ended = 0
        self.failed = 0
        self.last = ""
        self.errors: dict[str, None] = {}
        """Distinct errors in the order in which they came."""
        self.is_capped = False
        """Whether a cap refused a call."""
        self.over_cap = ""
        """What the cap said."""
        self.stopped = False
        """Whether somebody asked for an end."""
        self._running: set[CallProgress] = set()
        self._endpoints: Endpoints | None = None

    async def open(self, options: Mapping[str, Any]) -> None:
        """Open the endpoints; ``options`` are those of :class:`promptop.client.http.endpoints.Endpoints`."""
        from promptop.client.http.endpoints import Endpoints, load_client

        await load_client()  # loading holds the interpreter for most of a second: not under the first call's clock
        self._endpoints = Endpoints(**{"app": self.app, **options})

    async def close(self) -> None:
        """Close every connection."""
        if self._endpoints is not None:
            await self._endpoints.aclose()

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints; only after :meth:`open`."""
        assert self._endpoints is not None, "opened before the first call"
        return self._endpoints

    @property
    def is_over(self) -> bool:
        """Whether no further call is to be begun."""
        return self.stopped or self.is_capped

    def stop(self) -> Sequence[CallProgress]:
        """Begin no further call and cancel those under way; return them."""
        self.stopped = True
        running = tuple(self._running)
        for progress in running:
            progress.cancel()
        return running

    def shares(self) -> list[str]:
        """Say how calls were shared out, where a profile has several endpoints or keys."""
        return self.endpoints.shares()

    async def call(
        self, request: RunRequest, *, progress: CallProgress | None = None, streamed: bool = True, title: str = ""
    ) -> RunResult:
        """Make one call and count it; a call that fails is a result too."""
        from promptop.client.call import run
        from promptop.client.http.non_streaming import run_unstreamed

        progress = progress or CallProgress()
        make = run if streamed else run_unstreamed
        self._running.add(progress)
        try:
            result = await make(request, self.endpoints, progress=progress)
        finally:
            self._running.discard(progress)
        self._count(result, title or request.title)
        return result

    def _count(self, result: RunResult, title: str) -> None:
        error = result.error
        if error is not None and error.type == CAP:
            self.is_capped = True
            self.over_cap = str(error)
            return
        self.ended += 1
        self.last = title
        if result.cost_usd is not None:
            self.spent_usd += result.cost_usd
        elif result.cost_status == "unpriced":
            self.unpriced += 1
        if result.state == "failed":
            self.failed += 1
            self.errors[str(error or "")] = None

    def tell(self, error: PromptopError) -> None:
        """Keep an error of a call that was not made by :meth:`call`; a cap's ends the run."""
        if isinstance(error, OverCapError):
            self.is_capped = True
            self.over_cap = str(error)
        else:
            self.errors[str(error)] = None

    def step(self, size: int, note: str = "") -> MeasurementStep:
        """Return how far it is, of ``size`` calls."""
        return MeasurementStep(
            self.ended, size, self.spent_usd, self.failed, self.last, next(reversed(self.errors), ""), note
        )
