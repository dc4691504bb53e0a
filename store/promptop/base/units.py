"""Figures as people read them: one form for each unit, the same in tiles, tables, charts and reports.

Unknown is ``–``, never 0. Nothing here rounds a figure that is computed on: these are the last step before the eye.
"""

from __future__ import annotations

import math

UNKNOWN = "–"
FEW = 20
"""Percentiles of fewer samples than this are shown greyed: one call more may change them by half."""


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
    """Return an amount in US dollars with up to three figures that count: ``$0.00045``, ``$1.84``, ``$12,408``."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "$0"
    size = abs(value)
    if size >= 999.5:
        return f"${value:,.0f}"
    if size >= 0.995:
        return f"${value:.2f}"
    if size >= 0.0995:
        return f"${value:.3f}"
    if size >= 0.000001:
        return "$" + f"{value:.{2 - math.floor(math.log10(size))}f}".rstrip("0")
    return "<$0.000001"


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
