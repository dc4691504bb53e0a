"""The log as data frames, and the package's public names."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import promptop
from promptop.base.errors import PromptopError, UsageError
from promptop.log import Row, Writer


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    now = time.time_ns() // 1_000_000
    with Writer(path) as writer:
        for number in range(5):
            writer.put(
                Row(
                    started_ms=now - 60_000 + number,
                    request_model="gpt-4o" if number % 2 else "<b>",
                    app="web",
                    ttft_s=0.5,
                    duration_s=1.0,
                    usage_input_tokens=100,
                    usage_output_tokens=10,
                    error_type="429" if number == 4 else None,
                )
            )
        writer.put(Row(started_ms=now - 86_400_000 * 3, request_model="gpt-4o"))
    return path


def test_rows_are_read_in_pages_latest_first(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptop.log.read.frames._PAGE", 2)
    calls = promptop.read_log(log)
    assert len(calls) == 5
    started = [row.started_ms for row in calls]
    assert len(started) == 5
    assert started == sorted(started, reverse=True)  # type: ignore[type-var]
    assert len(promptop.read_log(log, since="7d")) == 6
    assert {row.request_model for row in promptop.read_log(log, where="model:gpt-4o")} == {"gpt-4o"}


def test_a_window_has_the_figures_of_a_report(log: Path) -> None:
    calls = promptop.read_log(log)
    assert (calls.total.n, calls.total.rate_limited) == (5, 1)
    assert {name: stats.n for name, stats in calls.window("model").groups.items()} == {"<b>": 3, "gpt-4o": 2}
    page = calls._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


def test_data_frames_have_every_column_and_its_type(log: Path) -> None:
    calls = promptop.read_log(log)
    pandas, polars = calls.to_pandas(), calls.to_polars()
    assert set(pandas.columns) == set(polars.columns)
    assert len(pandas) == polars.height == 5
    assert str(pandas["started"].dt.tz) == "UTC"
    assert pandas["usage_input_tokens"].sum() == polars["usage_input_tokens"].sum() == 500
    assert str(polars.schema["ttft_s"]) == "Float64"
    empty = promptop.read_log(log, where="app:nobody")
    assert empty.to_polars().schema == polars.schema
    assert len(empty.to_pandas()) == 0


def test_what_cannot_be_read_is_named(log: Path, tmp_path: Path) -> None:
    with pytest.raises(PromptopError, match="no log"):
        promptop.read_log(tmp_path / "absent.db")
    with pytest.raises(UsageError):
        promptop.read_log(log, where='app:"x')
    with pytest.raises(UsageError, match="empty"):
        promptop.read_log(log, since="now", until="yesterday")


def test_the_public_names_are_there_and_documented() -> None:
    assert set(dir(promptop)) == set(promptop.__all__)
    for name in promptop.__all__:
        value = getattr(promptop, name)
        assert name == "__version__" or (value.__doc__ or "").strip(), name
    assert promptop.count("hello world", "gpt-4o").tokens == 2
    assert promptop.cost("gpt-4o", input_tokens=1_000_000, output_tokens=0).usd == 2.5
    assert promptop.cost("no-such-model", input_tokens=1, output_tokens=0).usd is None
