"""Figures as people read them: one form for each unit, the same in tiles, tables, charts and reports.

Unknown is ``–``, never 0. Nothing here rounds a figure that is computed on: these are the last step before the eye.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

UNKNOWN = "–"
FEW = 20
"""Percentiles of fewer samples than this are shown greyed: one call more may change them by half."""


_SIGNS = {"CNY": "¥", "JPY": "¥", "EUR": "€", "GBP": "£", "INR": "₹", "KRW": "₩"}


@dataclass(frozen=True, slots=True)
class Currency:
    """A second currency that amounts are shown in, beside dollars."""

    code: str
    """ISO 4217, for example CNY."""
    per_usd: float
    """Units of it for a dollar."""
    as_of: str
    """Date of that rate."""

    def __str__(self) -> str:
        return f"{self.amount(self.per_usd)} = $1 ({self.as_of})"

    def amount(self, value: float) -> str:
        """Return an amount of it with its sign, or its code where there is none."""
        return _amount(value, _SIGNS.get(self.code) or f"{self.code} ")


@dataclass(slots=True)
class _Beside:
    """The second currency of this process, or what names it once an amount is shown."""

    currency: Currency | Callable[[], Currency | None] | None = None


_beside = _Beside()


def show_beside(
    currency: Currency | Callable[[], Currency | None] | None,
) -> Currency | Callable[[], Currency | None] | None:
    """Show amounts in this currency too, from now on in this process; return what was shown before."""
    before, _beside.currency = _beside.currency, currency
    return before


def beside() -> Currency | None:
    """Return the second currency in use."""
    if callable(_beside.currency):
        _beside.currency = _beside.currency()
    return _beside.currency


def also(value: float | None) -> str:
    """Return what stands behind dollars that are written otherwise: `` ¥0.032``; empty without a second currency."""
    currency = beside()
    return f" {currency.amount(value * currency.per_usd)}" if currency is not None and value is not None else ""


def seconds(value: float | None) -> str:
    """Return a duration given in seconds: ``840 ms``, ``2.31 s``, ``3m 20s``."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0 s"
    if value < 0.0095:
        return f"{value * 1e3:.1f} ms"
    if value < 0.9995:
        return f"{value * 1e3:.0f} ms"
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 99.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def usd(value: float | None) -> str:
    """Return an amount in US dollars with up to three figures that count: ``$0.00045``, ``$1.84``, ``$12,408``.

    With a second currency (:func:`show_beside`) it stands behind: ``$1.84 ¥13.1``.
    """
    return dollars(value) + also(value)


def dollars(value: float | None) -> str:
    """Return an amount as :func:`usd` writes it, in dollars alone: for columns too narrow for two currencies."""
    return UNKNOWN if value is None else _amount(value, "$")


def _amount(value: float, sign: str) -> str:
    if value == 0:
        return f"{sign}0"
    size = abs(value)
    if size >= 999.5:
        return f"{sign}{value:,.0f}"
    if size >= 0.995:
        return f"{sign}{value:.2f}"
    if size >= 0.0995:
        return f"{sign}{value:.3f}"
    if size >= 0.000001:
        return sign + f"{value:.{2 - math.floor(math.log10(size))}f}".rstrip("0")
    return f"<{sign}0.000001"


def count(value: float | None) -> str:
    """Return a number of things in at most five cells: ``412``, ``12.4k``, ``3.1M``."""
    if value is None:
        return UNKNOWN
    for limit, divisor, unit in ((9_999.5, 1, ""), (999_500, 1e3, "k"), (999_500_000, 1e6, "M")):
        if abs(value) < limit:
            shown = value / divisor
            return f"{shown:.{0 if not unit or abs(shown) >= 99.95 else 1}f}{unit}"
    return f"{value / 1e9:.1f}G"


def plural(number: int, one: str, many: str = "") -> str:
    """Return ``1 edit``, ``2 edits``; ``many`` is for what does not end in an s, such as ``answers were``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def rate(value: float | None) -> str:
    """Return something per second or minute, with three figures: ``0.042``, ``1.25``, ``310``."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    if value < 0.0995:
        return f"{value:.3f}" if value >= 0.0005 else "<0.001"
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else count(value)


def share(value: float | None) -> str:
    """Return a share of one as a percentage: ``0.4 %``, ``63 %``; a part that is not the whole never reads 100 %."""
    if value is None:
        return UNKNOWN
    percent = value * 100
    if 0 < percent < 9.95:
        return f"{percent:.1f} %" if percent >= 0.05 else "<0.1 %"
    if 99.5 <= percent < 100:
        return f"{min(percent, 99.9):.1f} %"
    return f"{percent:.0f} %"


def change(now: float | None, before: float | None) -> str:
    """Return how a figure moved: ``+12 %``, ``−3 %``, ``×30``, ``=``; empty where there is nothing to compare."""
    if now is None or not before:
        return ""
    moved = (now - before) / before
    if abs(moved) < 0.005:
        return "="
    if moved > 9.995:
        return f"×{now / before:.0f}" if now / before < 999.5 else ">×999"
    return f"{'+' if moved > 0 else '−'}{abs(moved) * 100:.0f} %"
