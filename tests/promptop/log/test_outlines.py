"""Outlines of late rows: taken for rows once, by whoever opens the log next, and only where no row was written."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.waits import until

from promptop.log import Row, Writer
from promptop.log.write import outlines as outlines_module
from promptop.log.write.outlines import Outlines
from promptop.log.write.pending import Finished
from promptop.log.write.spill import Mark

LATE = """
import os, sys, threading, time
from promptop.log import Row, Writer
from promptop.log.write import lifecycle
if sys.argv[2] == "loading":
    lifecycle.before_first.append(lambda: time.sleep(60))
writer = Writer(sys.argv[1])
for number in range(50):
    writer.put(Row(started_ms=number, usage_input_tokens=9, usage_output_tokens=1, request_model="gpt-4o"))
print("put", flush=True)
time.sleep(60)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def started(log: Path) -> list[int]:
    with closing(sqlite3.connect(log)) as connection:
        return [row[0] for row in connection.execute("SELECT started_ms FROM requests ORDER BY id")]


def outlined(log: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in log.parent.glob("*.outlines-*"))


def test_calls_of_a_process_that_is_still_loading_outlive_a_kill(log: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LATE), str(log), "loading"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "put\n"
    until(lambda: outlined(log) == 50)
    child.kill()
    child.wait()
    child.stdout.close()
    for _ in range(2):  # the second one finds nothing to do
        with Writer(log) as writer:
            assert writer.warm(10) and writer.flush()
    assert started(log) == list(range(50))
    with closing(sqlite3.connect(log)) as connection:
        assert connection.execute("SELECT count(*) FROM requests WHERE cost_usd > 0").fetchone() == (50,)
    assert not list(log.parent.glob("*.outlines-*"))


def test_rows_beside_a_locked_log_settle_their_outlines(log: Path) -> None:
    with Writer(log) as writer:
        assert writer.warm(10)
    script = """
        import sys, time
        from promptop.log import Row, Writer
        from promptop.log.write import outlines
        outlines._EVERY_S = outlines._LATE_S = 0.001
        writer = Writer(sys.argv[1])
        for number in range(300):
            writer.put(Row(started_ms=number))
            time.sleep(0.001)
        writer.flush(0.2)
        print("put", flush=True)
        time.sleep(60)
        """
    with closing(sqlite3.connect(log, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(log)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None and child.stdout.readline() == "put\n"
        child.kill()
        child.wait()
        child.stdout.close()
        assert list(log.parent.glob("*.spill-*")) and outlined(log)
        other.execute("COMMIT")
    for _ in range(2):
        with Writer(log) as writer:
            assert writer.warm(10) and writer.flush()
    assert started(log) == list(range(300))
    assert not list(log.parent.glob("*.outlines-*")) and not list(log.parent.glob("*.spill-*"))


def test_what_was_written_is_not_outlined_and_what_was_outlined_is_settled_in_its_order(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlines_module, "_LATE_S", 0.0)
    outlines = Outlines(log)
    first, second, third = (outlines.expect(Row(started_ms=number)) for number in range(3))
    assert outlines.claim([first]) is None
    outlines._write_late()
    assert outlined(log) == 2
    assert outlines.claim([third]) == Mark(next(log.parent.glob("*.outlines-*")).name, 0)  # the second is not written
    mark = outlines.claim([second])
    assert mark is not None and mark.place == (log.parent / mark.file).stat().st_size
    assert outlines.settled(mark) is None  # too small to be begun anew
    monkeypatch.setattr(outlines_module, "_LARGE", 1)
    file = outlines.settled(mark)
    assert file is not None
    file.close()
    assert outlines.close() is None


class Slow:
    """A row that is made only when the test lets it."""

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate
        self.begun = threading.Event()

    def finish(self) -> Finished:
        self.begun.set()
        self._gate.wait(30)
        return Finished(Row(started_ms=0))

    def outline(self) -> Row:
        return Row(started_ms=0)


def test_rows_that_a_close_has_no_time_for_are_outlined_and_not_lost(log: Path) -> None:
    gate = threading.Event()
    first = Slow(gate)
    writer = Writer(log)
    assert writer.warm(10)
    writer.put(first)
    assert first.begun.wait(10)
    for number in range(1, 20):
        writer.put(Row(started_ms=number))
    assert writer.behind_s > 0
    assert not writer.close(0.01)
    assert writer.stats.lost == 0 and outlined(log) == 20
    script = "import sys; from promptop.log import Writer; w = Writer(sys.argv[1]); w.warm(10); w.flush(); w.close()"
    subprocess.run([sys.executable, "-c", script, str(log)], check=True)
    try:
        assert started(log) == []  # the process that wrote them is alive: its rows may still come
    finally:
        gate.set()
    until(lambda: started(log) == list(range(20)))


def test_what_could_not_be_outlined_is_lost(log: Path) -> None:
    outlines = Outlines(log.parent / "no-such-folder" / "log.db")
    for number in range(3):
        outlines.expect(Row(started_ms=number))
    assert outlines.behind_s > 0
    assert outlines.keep() == 3
    assert outlines.behind_s == 0
