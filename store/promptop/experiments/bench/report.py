"""How a measurement is shown: percentiles, where the time went, and its distribution in bars."""

from __future__ import annotations

import shutil

from promptop.base import units
from promptop.base.text_table import aligned
from promptop.experiments.bench.gates import shown
from promptop.experiments.bench.load_generator import MeasuredRequest

NAMES = {
    "ttft": "TTFT",
    "ttfo": "first visible",
    "total": "total",
    "tpot": "per token",
    "tps": "tok/s",
    "lag": "schedule lag",
}
_OWN_WORK = "until sent"
"""What the lag of a closed loop is called: nothing was due, so all of it is our own work."""
_STATISTICS = ("min", "mean", "p50", "p90", "p95", "p99", "max")
_BINS = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def table(phase: MeasuredRequest, width: int | None = None) -> list[str]:
    """Return percentiles (inclusive interpolation) with the number of values that they are of.

    In less than 80 cells ``min`` and ``mean`` are left out, which say least.
    """
    statistics = _STATISTICS if width is None or width >= 80 else _STATISTICS[2:]
    rows = [["", "n", *statistics]]
    for of, name in NAMES.items():
        count = len(phase.values.get(of, ()))
        if count and (of != "ttfo" or phase.values["ttfo"] != phase.values["ttft"]):
            called = _OWN_WORK if of == "lag" and not phase.load.endswith("/s") else name
            rows.append([called, str(count), *(shown(of, phase.statistic(each, of)) for each in statistics)])
    return aligned(rows)


def remarks(phase: MeasuredRequest, objectives: str) -> list[str]:
    """Return what is one number of all calls, and what a reader must know about the percentiles."""
    ended = f"{phase.well} of {phase.calls} answered in {units.seconds(phase.wall_s)}"
    cost = f"spent {units.usd(phase.cost_usd)}" if phase.cost_usd is not None else "cost n/a"
    lines = [
        f"{ended}: {units.rate(phase.scalar('throughput'))}/s, "
        f"goodput {units.rate(phase.scalar('goodput'))}/s ({objectives}: {phase.good}), "
        f"{units.rate(phase.scalar('tokens'))} tokens/s, {cost}",
        f"under way on average {phase.in_flight:.2f}, by Little's law {phase.in_flight_expected:.2f}",
    ]
    if phase.in_flight > 0 and abs(phase.in_flight_expected / phase.in_flight - 1) > 0.1:
        lines.append("  they differ by more than 10 %: this machine kept calls waiting, or not all ended well")
    late, first = phase.statistic("p50", "lag"), phase.statistic("p50", "ttft")
    if phase.load.endswith("/s") and late and first and late > first / 10:
        lines.append(
            "schedule lag is above a tenth of TTFT: this machine is too slow for the rate, or 100 at once too few"
        )
    if 0 < phase.well < units.FEW:
        lines.append(f"n is below {units.FEW}: one call more may change the upper percentiles by half")
    if phase.failed or phase.cancelled:
        lines.append(f"{phase.failed} failed, {phase.cancelled} cancelled; they are in no percentile")
    return lines


def picture(phase: MeasuredRequest, width: int | None = None) -> list[str]:
    """Return how TTFT is distributed, a line for each of ten equal spans; nothing below two values."""
    values = phase.values.get("ttft", [])
    if len(values) < 2 or values[0] == values[-1]:
        return []
    low, span = values[0], (values[-1] - values[0]) / _BINS
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, int((value - low) / span))] += 1
    room = max(8, min(60, (width or shutil.get_terminal_size().columns) - 28))
    edges = [units.seconds(low + span * number) for number in range(_BINS + 1)]
    wide = max(map(len, edges))
    lines = ["TTFT"]
    for number, count in enumerate(counts):
        eighths = round(count / max(counts) * room * 8)
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        lines.append(f"  {edges[number]:>{wide}} … {edges[number + 1]:>{wide}}  {bar} {count or ''}".rstrip())
    return lines


def changes(phase: MeasuredRequest, before: MeasuredRequest, name: str) -> list[str]:
    """Return the figures beside those of the baseline."""
    rows = [[f"against {name}", "before", "now", "change"]]
    for of, statistic in (("ttft", "p50"), ("ttft", "p95"), ("total", "p50"), ("total", "p95"), ("tps", "p50")):
        old, new = before.statistic(statistic, of), phase.statistic(statistic, of)
        rows.append([f"{statistic} {NAMES[of]}", shown(of, old), shown(of, new), units.change(new, old)])
    for of in ("throughput", "goodput", "errors"):
        old, new = before.scalar(of), phase.scalar(of)
        rows.append([of, shown(of, old), shown(of, new), units.change(new, old)])
    return aligned(rows)
