"""What must hold for every row, whatever happened to the call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from promptop.log import LogReader, StoredRow
from promptop.models import price

STAMPS = ("ttfb_s", "response_time_to_first_chunk", "ttft_s", "ttfo_s", "duration_s", "total_s")


def check(row: StoredRow) -> None:
    """Stamps in order, usage without contradiction, a cost that is the table's or none, a status or an error."""
    stamps = [stamp for stamp in (getattr(row, name) for name in STAMPS) if stamp is not None]
    assert stamps == sorted(stamps), {name: getattr(row, name) for name in STAMPS}
    assert all(stamp >= 0 for stamp in stamps)
    assert row.total_s is not None
    if not row.request_stream:
        assert row.ttft_s is None
        assert row.response_time_to_first_chunk is None
    assert row.error_type is not None or row.http_response_status_code == 200
    if (row.http_response_status_code or 0) >= 400:
        assert row.error_type is not None
        assert row.usage_input_tokens is None
        assert row.cost_usd is None
    if row.usage_input_tokens is None:
        assert row.usage_source is None
        return
    assert row.usage_source in ("reported", "estimated")
    assert (row.usage_cache_read_input_tokens or 0) <= row.usage_input_tokens
    assert (row.usage_reasoning_output_tokens or 0) <= (row.usage_output_tokens or 0)
    if row.cost_status != "reported":
        expected = price(
            [row.response_model, row.request_model],
            input_tokens=row.usage_input_tokens,
            output_tokens=row.usage_output_tokens or 0,
            cache_read=row.usage_cache_read_input_tokens or 0,
            cache_write=row.usage_cache_write_input_tokens or 0,
            at_ms=row.started_ms,
        )
        assert row.cost_usd == pytest.approx(expected.usd) if expected.usd is not None else row.cost_usd is None
        assert row.cost_status in (("table", "estimated") if expected.usd is not None else ("unpriced",))


def new_rows(log: Path, after: int, count: int, seconds: float = 10.0) -> Sequence[StoredRow]:
    """Wait until another process or thread has written so many rows after an id, and return them."""
    deadline = time.monotonic() + seconds
    while True:
        with LogReader(log) as reader:
            rows = reader.after(after, 1000)
        if len(rows) >= count:
            return rows
        assert time.monotonic() < deadline, f"{len(rows)} of {count} rows came"
        time.sleep(0.01)


def last_id(log: Path) -> int:
    """Return the id of the last row, 0 for a log that is empty or not there."""
    with LogReader(log) as reader:
        return reader.last_id() or 0
