"""The one gate that every call of ours passes: no request is sent whose most could pass a cap.

A :class:`Gate` knows its caps and the ledger in which they are kept. Each attempt reserves the bound of the body that
is about to be sent, and is settled to what it cost. A gate can be pickled: calls that run in another process pass the
same caps there.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptop.base import units
from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.budget.bound import CostBound, bound, count_bytes
from promptop.budget.ledger import Ledger
from promptop.client.spending import OverCapError


@dataclass(frozen=True, slots=True)
class Cap:
    """What may be spent, and where that was said."""

    scope: str
    """Key in the ledger: ``session …``, ``command …``, or :data:`DAY` for the local day that it is then."""
    usd: float | None
    """None only sums."""
    name: str
    """As it is called in a message: ``--max-usd``, ``the cap of the day``."""
    remedy: str
    strict: bool = True
    """Whether calls whose price has no bound are refused."""


DAY = "day"


def day_scope(now_s: float) -> str:
    """Return the scope of the local day that holds a moment."""
    return time.strftime("day %Y-%m-%d", time.localtime(now_s))


def new_scope(kind: str) -> str:
    """Return a scope of its own for a command or a session."""
    return f"{kind} {secrets.token_hex(8)}"


@dataclass(slots=True)
class Hold:
    """The reservation of one attempt; :meth:`settle` ends it once."""

    gate: Gate | None
    number: int
    most: CostBound
    is_over: bool = False

    def settle(self, usd: float | None) -> None:
        """Count what the attempt cost; None keeps the reservation, because nobody said what it cost."""
        if self.is_over:
            return
        self.is_over = True
        if self.gate is not None and self.number:
            self.gate.settle(self, usd)


@dataclass(slots=True)
class Gate:
    """The caps that calls pass, and the ledger that keeps their sums."""

    caps: tuple[Cap, ...] = ()
    ledger: Ledger = field(default_factory=lambda: Ledger(None))
    notice: Callable[[str], None] | None = None

    def __getstate__(self) -> tuple[tuple[Cap, ...], Ledger]:
        return self.caps, self.ledger

    def __setstate__(self, state: tuple[tuple[Cap, ...], Ledger]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __call__(self, body: Mapping[str, Any], path: str, *, provider: str | None = None) -> Hold:
        """Reserve the most that a body may cost.

        Raises :class:`OverCapError` if that could pass a cap, or if a strict cap holds and the cost has no bound.
        """
        if not self.caps:
            return Hold(None, 0, CostBound(0.0))
        rough = bound(body, path, provider=provider, count=count_bytes)
        if rough.usd is None:
            return self._unbounded(rough)
        # Bytes are counted first: loading a tokenizer takes longer than all else that a single call does.
        number, scope = self._reserve(rough.usd)
        if scope is None:
            return Hold(self, number, rough)
        return self.reserve(bound(body, path, provider=provider))

    def reserve(self, most: CostBound) -> Hold:
        """Reserve what several requests that are sent as one may cost together."""
        if most.usd is None:
            return self._unbounded(most)
        number, scope = self._reserve(most.usd)
        return Hold(self, number, most) if scope is None else self._refuse(scope, most)

    def settle(self, hold: Hold, usd: float | None) -> None:
        """Count what an attempt cost."""
        self._guarded(lambda ledger: ledger.settle(hold.number, usd))

    def settle_number(self, number: int, usd: float | None) -> None:
        """Settle a reservation that an earlier process made."""
        if number:
            self._guarded(lambda ledger: ledger.settle(number, usd))

    def know(self, usd: float) -> None:
        """Take over what the log knows of today, where that is more than the ledger does."""
        if usd > 0:
            self._guarded(lambda ledger: ledger.know(day_scope(time.time()), usd))

    def left_usd(self) -> float | None:
        """Return what the caps leave; None without a cap."""
        left = [cap.usd - self._sum(_key(cap)) for cap in self.caps if cap.usd is not None]
        return max(0.0, min(left)) if left else None

    def check(
        self,
        usd: float | None,
        why: tuple[str, ...] = (),
        *,
        dearest: CostBound | None = None,
        calls: int = 1,
        likely_usd: float | None = None,
    ) -> None:
        """Raise :class:`OverCapError` if a run of this cost at most would pass a cap; ``why`` it has no bound.

        ``dearest`` is its dearest call and ``calls`` their number, from which a limit of tokens is suggested.
        """
        if why or usd is None:
            self._check_strict(CostBound(None, why))
        for cap in self.caps:
            if usd is not None and cap.usd is not None and self._sum(_key(cap)) + usd > cap.usd + 1e-9:
                self._refuse(_key(cap), CostBound(usd), dearest=dearest, calls=calls, likely_usd=likely_usd)

    def _sum(self, scope: str) -> float:
        used: float = self._guarded(lambda ledger: ledger.sum_of(scope).used_usd)
        return used

    def _reserve(self, usd: float) -> tuple[int, str | None]:
        caps = {_key(cap): cap.usd for cap in self.caps}
        found: tuple[int, str | None] = self._guarded(lambda ledger: ledger.reserve(usd, caps))
        return found

    def _guarded(self, work: Callable[[Ledger], Any]) -> Any:
        """Use the ledger; a file that cannot be used stops what has a strict cap, and is said otherwise."""
        try:
            return work(self.ledger)
        except (sqlite3.Error, OSError) as error:
            path = self.ledger.path
            if path is None:
                raise
            cause = f"{path}, which keeps what is spent, cannot be used ({error})."
            if any(cap.strict and cap.scope == DAY for cap in self.caps):
                raise PromptopError(
                    cause, "Mend it, or set daily_cap_usd = 0 in [playground] of the settings."
                ) from None
            if self.notice is not None:
                self.notice(f"{cause} The cap of the day holds for this command alone.")
            self.ledger = Ledger(None)
            return work(self.ledger)

    def _unbounded(self, most: CostBound) -> Hold:
        self._check_strict(most)
        number, _ = self._reserve(0.0)
        return Hold(self, number, most)

    def _check_strict(self, most: CostBound) -> None:
        strict = next((cap for cap in self.caps if cap.strict and cap.usd is not None), None)
        if strict is None:
            return
        why = "; ".join(clean_line(each, 120) for each in most.open[:3]) or "its price is not known"
        raise OverCapError(
            f"{strict.name[:1].upper()}{strict.name[1:]} is set, and what this call costs has no bound: {why}.",
            "Leave that out, give --max-tokens where no limit is known, or put the model's price into prices.toml.",
        )

    def _refuse(
        self,
        scope: str,
        most: CostBound,
        *,
        dearest: CostBound | None = None,
        calls: int = 1,
        likely_usd: float | None = None,
    ) -> Hold:
        cap = next(each for each in self.caps if _key(each) == scope)
        used = self._sum(scope)
        spent = f", of which {units.usd(used)} is spent or under way" if used else ""
        likely = f" (likely {units.usd(likely_usd)}, by the lengths in the log)" if likely_usd is not None else ""
        limit = fitting_limit(dearest or most, (cap.usd or 0.0) - used, calls)
        lower = (
            f"Write --max-tokens {limit}, or {cap.remedy}." if limit else f"{cap.remedy[:1].upper()}{cap.remedy[1:]}."
        )
        raise OverCapError(
            f"This may cost {units.usd(most.usd)}{likely}, and {cap.name} is {units.usd(cap.usd)}{spent}:"
            " nothing was sent.",
            lower,
        )


def _key(cap: Cap) -> str:
    """Return the key of a cap in the ledger; a process that runs on past midnight is in the next day."""
    return day_scope(time.time()) if cap.scope == DAY else cap.scope


def fitting_limit(most: CostBound, left_usd: float, calls: int = 1) -> int | None:
    """Return a round limit of output tokens with which ``calls`` such calls cost no more than ``left_usd``."""
    if most.usd is None or not most.output_tokens or not most.output_usd:
        return None
    each = left_usd / max(1, calls) - (most.usd - most.output_usd)
    limit = int(each / (most.output_usd / most.output_tokens) / most.answers)
    now = most.output_tokens // most.answers
    if limit < 1 or limit >= now:
        return None
    size = int(10 ** max(0, len(str(limit)) - 2))
    return limit // size * size


def ledger_path() -> Path:
    """Return the file of the ledger."""
    from promptop.base.files import data_dir

    return data_dir() / "spending.db"
