"""Rows for tests: random ones of every kind, and a log that holds them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from contextlib import closing
from operator import attrgetter
from pathlib import Path

from promptop.log import files
from promptop.log.row import COLUMNS, Row

NOON = 1_795_262_400_000
"""2026-11-21T12:00:00Z."""
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-6", "qwen3-max", None)
_values = attrgetter(*COLUMNS)


def random_row(source: random.Random, started_ms: int) -> Row:
    """Return a row of any outcome, with or without usage, cost and timings."""
    kind = source.random()
    error = None if kind < 0.8 else source.choice(["cancelled", "429", "timeout", "500", "incomplete_stream"])
    hit = source.choice([None, None, None, "miss", "memory", "disk", "semantic", "elsewhere"])
    model = source.choice(MODELS)
    known = source.random() < 0.9
    return Row(
        started_ms=started_ms,
        app=source.choice(["web", "batch", None]),
        prompt_name=source.choice([None, None, "摘要", "classify"]),
        provider_name="openai",
        request_model=model,
        response_model=f"{model}-2026" if model and source.random() < 0.5 else None,
        response_finish_reasons=source.choice(['["stop"]', '["length"]', None]),
        error_type=error,
        http_response_status_code=429 if error == "429" else 200 if error is None else None,
        cache_level=hit,
        usage_input_tokens=source.randrange(5000) if known else None,
        usage_output_tokens=source.randrange(800) if known else None,
        usage_cache_read_input_tokens=source.choice([None, 0, 1024]),
        usage_reasoning_output_tokens=source.choice([None, 64]),
        usage_source=source.choice(["reported", "estimated", None]),
        cost_usd=source.choice([None, source.random() / 100]),
        saved_usd=source.random() / 1000 if hit not in {None, "miss"} else None,
        duration_s=source.lognormvariate(0, 1) if source.random() < 0.9 else None,
        total_s=source.lognormvariate(0.1, 1),
        ttft_s=source.lognormvariate(-1, 0.7) if source.random() < 0.7 else None,
    )


def random_rows(count: int, *, seed: int = 0, start_ms: int = NOON, spread_ms: int = 3_600_000) -> list[Row]:
    """Return rows with starts spread over a time, mostly but not wholly in order."""
    source = random.Random(seed)
    starts = sorted(start_ms + source.randrange(spread_ms) for _ in range(count))
    for _ in range(count // 10):
        a, b = source.randrange(count), source.randrange(count)
        starts[a], starts[b] = starts[b], starts[a]
    return [random_row(source, started) for started in starts]


def append(path: Path, rows: Iterable[Row]) -> None:
    """Write rows straight into a log, created if it is not there."""
    with closing(files.open_log(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})",
            [_values(row) for row in rows],
        )
        connection.execute("COMMIT")


def plain(row: Row, names: Sequence[str] = COLUMNS) -> dict[str, object]:
    """Return a row as a dict."""
    return {name: getattr(row, name) for name in names}
