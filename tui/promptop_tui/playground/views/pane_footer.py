"""An answer's figures in the border below it: in the longest form that fits."""

from __future__ import annotations

import time

from rich.cells import cell_len

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.client.result import CallProgress, RunResult

FEW_PIECES = 4
"""Pieces of an answer in which no rate can be seen yet: they may have come in one read."""

# Each figure in a long and a short form; a narrow border drops forms, then figures, from the end.
Pieces = list[tuple[str, str]]


def result_figures(result: RunResult) -> Pieces:
    """Return the figures of a finished call, the most wanted first."""
    usage = result.usage
    about = "≈" if usage.source == "estimated" else ""
    ttft, total = units.seconds(result.ttft_s), units.seconds(result.total_s)
    pieces = [(tr("TTFT {ttft}", ttft=ttft), ttft), (tr("total {total}", total=total), total)]
    if result.output_tps is not None:
        shown = about + units.rate(result.output_tps)
        pieces.append((tr("{shown} tok/s", shown=shown), f"{shown}/s"))
    if usage.input_tokens is not None or usage.output_tokens is not None:
        tokens = f"{about}{units.count(usage.input_tokens)}→{units.count(usage.output_tokens)}"
        pieces.append((tr("{tokens} tok", tokens=tokens), tokens))
    if result.cache_hit:
        pieces.insert(0, (tr("{cache_hit} hit", cache_hit=clean_line(result.cache_hit, 12)), "hit"))
    cost = cost_text(result)
    pieces.append((cost, cost))
    if len(result.attempts) > 1:
        pieces.append((tr("{n} attempts", n=len(result.attempts)), f"×{len(result.attempts)}"))
    return pieces


def live_figures(progress: CallProgress | None) -> Pieces:
    """Return the figures of a call in progress: stamps from the transport, the rest from the pieces so far."""
    if progress is None:
        return []
    if progress.retry_at is not None:
        left = max(0.0, progress.retry_at - time.perf_counter())
        text = tr("attempt {attempt} in {left:.0f} s", attempt=progress.attempt + 1, left=left)
        return [(f"{text}: {clean_line(progress.retry_cause, 60)}", text)]
    ttft = progress.ttft_s
    elapsed = progress.elapsed_s
    shown = "…" if ttft is None else units.seconds(ttft)
    pieces = [(tr("TTFT {shown}", shown=shown), shown)]
    if elapsed is not None:
        pieces.append((units.seconds(elapsed), units.seconds(elapsed)))
    if ttft is not None and elapsed is not None and elapsed > ttft and progress.chunks > FEW_PIECES:
        rate = units.rate(progress.chunks / (elapsed - ttft))
        pieces.append((tr("≈{rate} tok/s", rate=rate), f"≈{rate}/s"))
        pieces.append((tr("≈{chunks} tok", chunks=progress.chunks), f"≈{progress.chunks}"))
    if progress.attempt > 1:
        pieces.append((tr("attempt {attempt}", attempt=progress.attempt), f"×{progress.attempt}"))
    return pieces


def cost_text(result: RunResult) -> str:
    """Return the cost with its kind: plain is reported or from the table, ``≈`` estimated, ``n/a`` unpriced."""
    if result.cost_usd is None:
        return "$ n/a"
    about = "≈" if result.cost_status == "estimated" or result.usage.source == "estimated" else ""
    return about + units.usd(result.cost_usd)


def fit(pieces: Pieces, width: int) -> str:
    """Join figures so that they fit into ``width`` cells: all long, all short, all tight, or the first few tight."""
    tight = [short.replace(" ", "") for _, short in pieces]
    for text in (" · ".join(long for long, _ in pieces), " · ".join(short for _, short in pieces), "·".join(tight)):
        if cell_len(text) <= width:
            return text
    text = ""
    for piece in tight:
        longer = f"{text}·{piece}" if text else piece
        if cell_len(longer) > width:
            break
        text = longer
    return text
