"""The reading thread against real files: what comes, what it costs, what goes wrong."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue
from time import monotonic, sleep
from typing import Any

import pytest
from tests.promptop_tui.monitor.conftest import NOW, Clock, row, write
from tests.support.waits import until as wait_until

from promptop.log import parse_filter
from promptop_tui.monitor.data.queries import PAGE, OlderRows, RowFound
from promptop_tui.monitor.data.reader import Answer, MonitorReader, QueryFailed
from promptop_tui.monitor.data.snapshot import SPANS, LogSnapshot, SnapshotQuery

HOUR = SnapshotQuery(SPANS["1h"])


class Running:
    """A reader on its thread, and its answers."""

    def __init__(self, *paths: Path) -> None:
        self.answers: Queue[Answer] = Queue()
        self.clock = Clock()
        self.reader = MonitorReader(paths, self.answers.put, self.clock, watches=False)
        self.thread = threading.Thread(target=self.reader.run)

    def ask(self, query: SnapshotQuery = HOUR) -> LogSnapshot | None:
        """Ask once; return the snapshot, or None if there was no news."""
        looks = self.reader.looks
        self.reader.ask(query)
        wait_until(lambda: self.reader.looks > looks and (self.reader.idle or not self.answers.empty()))
        try:
            answer = self.answers.get_nowait()
        except Empty:
            return None
        self.reader.taken()
        assert isinstance(answer, LogSnapshot)
        return answer

    def must(self, query: SnapshotQuery = HOUR) -> LogSnapshot:
        found = self.ask(query)
        assert found is not None
        return found


@contextmanager
def running(*paths: Path) -> Iterator[Running]:
    made = Running(*paths)
    made.thread.start()
    try:
        yield made
    finally:
        made.reader.stop()
        made.thread.join(5)
        assert not made.thread.is_alive()


def test_one_look_brings_window_rows_and_money(hour: Path) -> None:
    with running(hour) as here:
        found = here.must()
        assert found.state == "ok"
        assert found.restart
        assert found.window is not None
        assert found.window.total.n == 30
        assert found.previous is not None
        assert found.previous.n == 24
        assert found.spend is not None
        assert found.spend.today.cost_usd == found.spend.month.cost_usd == pytest.approx(49 * 0.01)
        assert sum(hour or 0 for hour in found.spend.hours) == pytest.approx(49 * 0.01)
        assert sum(day or 0 for day in found.spend.days) == pytest.approx(49 * 0.01)
        assert found.spend.hours[-1] is None  # still to come
        assert found.spend.yesterday is found.spend.month_before is None  # the log began today
        ids = [each.id for each in found.fresh]
        assert ids == sorted(ids)
        assert len(ids) == 54
        assert sum(value or 0 for value in found.series(lambda stats: stats.n)) == 30


def test_an_unchanged_log_gives_no_snapshot_and_new_rows_come_once(hour: Path) -> None:
    with running(hour) as here:
        here.must()
        assert here.ask() is None
        write(hour, [row(1), row(0)])
        here.clock.time += 1
        found = here.must()
        assert len(found.fresh) == 2
        assert not found.restart
        assert here.ask() is None or not here.reader._last.fresh


def test_the_window_moves_with_the_clock(hour: Path) -> None:
    with running(hour) as here:
        first = here.must()
        here.clock.time += 3600
        wait_until(lambda: (found := here.ask()) is not None and found.since_ms == first.until_ms)
        assert here.reader._last.window is not None
        assert here.reader._last.window.total.n == 0


def test_a_clock_that_jumps_far_and_back_shows_the_window_it_names_and_the_same_figures_after(hour: Path) -> None:
    with running(hour) as here:

        def settled() -> tuple[int, int]:
            """Return the end of the window that is shown at the clock's time, and its number of calls."""
            end = HOUR.bounds_ms(int(here.clock.time * 1000))[1]
            found: list[LogSnapshot] = []
            wait_until(lambda: (seen := here.ask()) is not None and (found.append(seen) or seen.until_ms == end))
            assert found[-1].state == "ok"
            assert found[-1].window is not None
            return found[-1].until_ms, found[-1].window.total.n

        right = settled()
        assert right[1] > 0
        for jump in (400 * 86_400, -400 * 86_400):  # a machine without a battery wakes up in another year
            here.clock.time = NOW + jump
            assert settled()[1] == 0
            write(hour, [row(0)])
            here.clock.time = NOW
            right = right[0], right[1] + 1
            assert settled() == right


def test_every_span_is_whole_buckets(hour: Path) -> None:
    with running(hour) as here:
        for span in SPANS.values():
            found = here.must(SnapshotQuery(span))
            assert found.until_ms - found.since_ms == span.seconds * 1000
            assert found.since_ms % (span.step_s * 1000) == 0
            assert len(found.series(lambda stats: stats.n)) == span.buckets
            assert found.until_ms > NOW * 1000


def test_a_filter_holds_for_rows_and_figures(hour: Path) -> None:
    with running(hour) as here:
        here.must()
        found = here.must(replace(HOUR, filter="status:error"))
        assert found.restart
        assert found.window is not None
        assert found.window.total.n == len([r for r in found.fresh if (r.started_ms or 0) >= found.since_ms])
        assert {each.error_type for each in found.fresh} <= {"timeout", "429"}
        assert parse_filter("status:error")


def test_pages_go_back_to_the_first_row(log_path: Path) -> None:
    write(log_path, (row(1000 - i) for i in range(PAGE + 50)))
    with running(log_path) as here:
        found = here.must()
        assert len(found.fresh) == PAGE
        assert found.older_from == (found.fresh[0].id,)
        here.reader.older(HOUR, found.older_from)
        older = here.answers.get(timeout=5)
        assert isinstance(older, OlderRows)
        assert [each.id for each in older.rows] == list(range(1, 51))
        assert older.older_from is None


def test_a_row_comes_with_its_receipt(hour: Path) -> None:
    with running(hour) as here:
        here.must()
        here.reader.fetch(5)
        found = here.answers.get(timeout=5)
        assert isinstance(found, RowFound)
        assert found.row is not None
        assert any(name == "Timings" for name, _, _ in found.lines)
        here.reader.fetch(5000)
        gone = here.answers.get(timeout=5)
        assert isinstance(gone, RowFound)
        assert gone.row is None


def test_a_log_that_is_not_there_is_empty_until_it_comes(log_path: Path) -> None:
    with running(log_path) as here:
        assert here.must().state == "empty"
        assert here.ask() is None
        write(log_path, [row(1)])
        found = here.must()
        assert (found.state, len(found.fresh)) == ("ok", 1)


def test_a_log_without_rows_is_empty(log_path: Path) -> None:
    write(log_path, [row(1)])
    with sqlite3.connect(log_path) as connection:
        connection.execute("DELETE FROM requests")
    connection.close()
    with running(log_path) as here:
        assert here.must().state == "empty"


def test_a_vanished_log_is_said_once_and_found_again(hour: Path) -> None:
    with running(hour) as here:
        here.must()
        kept = hour.read_bytes()
        for name in ("", "-wal", "-shm"):
            Path(f"{hour}{name}").unlink(missing_ok=True)
        found = here.must()
        assert found.state == "problem"
        assert "gone" in found.cause
        assert found.remedy
        assert here.ask() is None
        hour.write_bytes(kept)
        back = here.must()
        assert back.state == "ok"
        assert back.restart


def test_a_replaced_log_starts_anew(hour: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "log.db"
    write(other, [row(5, request_model="other")])
    with sqlite3.connect(other) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with running(hour) as here:
        here.must()
        other.replace(hour)
        found = here.must()
        assert found.restart
        assert [each.request_model for each in found.fresh] == ["other"]


@pytest.mark.parametrize("damage", ["noise", "folder", "newer"])
def test_what_cannot_be_read_is_said_with_a_remedy(log_path: Path, damage: str) -> None:
    log_path.parent.mkdir()
    if damage == "noise":
        log_path.write_bytes(os.urandom(8192))
    elif damage == "folder":
        log_path.mkdir()
    else:
        write(log_path, [row(1)])
        with sqlite3.connect(log_path) as connection:
            connection.execute("PRAGMA user_version = 999")
        connection.close()
    with running(log_path) as here:
        found = here.must()
        assert found.state == "problem"
        assert found.cause
        assert found.remedy
        assert here.ask() is None  # said once, tried again each time


def test_a_locked_log_is_said_and_read_when_it_is_free(log_path: Path) -> None:
    log_path.parent.mkdir()
    holder = sqlite3.connect(log_path, isolation_level=None)
    holder.execute("CREATE TABLE requests (id INTEGER PRIMARY KEY)")
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with running(log_path) as here:
            assert "locked" in here.must().cause
    finally:
        holder.rollback()
        holder.close()


def test_questions_while_it_reads_become_one(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    real = MonitorReader._snapshot

    def slow(self: MonitorReader, query: SnapshotQuery) -> LogSnapshot | None:
        gate.wait(5)
        return real(self, query)

    monkeypatch.setattr(MonitorReader, "_snapshot", slow)
    with running(hour) as here:
        for span in (*SPANS.values(), *SPANS.values()):
            here.reader.ask(SnapshotQuery(span))
        gate.set()
        wait_until(lambda: here.reader.looks >= 1 and here.reader._asked is None)
        last: Any = None
        while (answer := _next(here.answers)) is not None:
            last = answer
        assert here.reader.looks <= 2
        assert last.query == SnapshotQuery(SPANS["30d"])


def _next(queue: Queue[Answer]) -> Answer | None:
    try:
        return queue.get(timeout=0.5)
    except Empty:
        return None


def test_a_slow_window_is_not_read_at_every_look(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from promptop.log import LogReader

    reads: list[float] = []
    real = LogReader.window

    def slow(self: LogReader, *args: Any, **changes: Any) -> Any:
        reads.append(monotonic())
        if changes.get("step_ms"):
            sleep(0.05)
        return real(self, *args, **changes)

    monkeypatch.setattr(LogReader, "window", slow)
    with running(hour) as here:
        here.must()
        before = len(reads)
        for _ in range(5):
            write(hour, [row(0)])
            found = here.must()
            assert len(found.fresh) == 1  # rows are never late
        assert len(reads) == before


def test_rows_of_another_process_are_seen(log_path: Path) -> None:
    write(log_path, [row(5)])
    code = (
        "import sys; from promptop.log import Writer, Row\n"
        "w = Writer(sys.argv[1], keep_days=0); w.put(Row(started_ms=int(sys.argv[2]), request_model='elsewhere'))\n"
        "assert w.flush(10); w.close()"
    )
    with running(log_path) as here:
        here.must()
        subprocess.run([sys.executable, "-c", code, str(log_path), str(int(NOW * 1000))], check=True, timeout=30)
        assert [each.request_model for each in here.must().fresh] == ["elsewhere"]


def test_clock_jumps_and_rows_from_the_future_do_no_harm(log_path: Path) -> None:
    write(log_path, [row(-86_400), row(-(10**9)), row(10), row(10**9)])
    with running(log_path) as here:
        found = here.must()
        assert found.window is not None
        assert found.window.total.n == 1
        assert len(found.fresh) == 4
        here.clock.time -= 7200
        wait_until(lambda: (again := here.ask()) is not None and again.until_ms < found.until_ms)


def test_several_logs_are_one_and_none_of_their_rows_is_lost(log_path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "log.db"
    write(log_path, (row(1000 - i) for i in range(PAGE + 50)))
    write(other, (row(1000.5 - 2 * i, request_model="other") for i in range(PAGE)))
    with running(log_path, other) as here:
        found = here.must()
        assert found.window is not None
        assert found.window.total.n == 2 * PAGE + 50
        rows, place = list(found.fresh), found.older_from
        while place is not None:
            here.reader.older(HOUR, place)
            older = here.answers.get(timeout=5)
            assert isinstance(older, OlderRows)
            rows, place = [*older.rows, *rows], older.older_from
        assert len(rows) == len({(each.source, each.id) for each in rows}) == 2 * PAGE + 50
        assert [each.started_ms for each in rows] == sorted(each.started_ms or 0 for each in rows)
        write(other, [row(1, request_model="newest")])
        fresh = here.must().fresh
        assert [(each.source, each.request_model) for each in fresh] == [(1, "newest")]
        here.reader.fetch(fresh[0].id, "show", 1)
        one = here.answers.get(timeout=5)
        assert isinstance(one, RowFound)
        assert one.row is not None
        assert one.row.request_model == "newest"
        held = here.must(replace(HOUR, until_ms=int((NOW - 700) * 1000)))
        assert all((each.started_ms or 0) <= (NOW - 700) * 1000 for each in held.fresh)
        assert held.older_from is not None
        assert len(held.older_from) == 2


def test_one_of_several_logs_may_vanish_and_come_back(hour: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with running(hour, other) as here:
        assert len(here.must().fresh) == 54
        write(other, [row(1, request_model="other")])
        assert len(here.must().fresh) == 55
        for name in ("", "-wal", "-shm"):
            Path(f"{other}{name}").unlink(missing_ok=True)
        looks = here.reader.looks
        here.reader.ask(HOUR)
        wait_until(lambda: here.reader.looks > looks and here.answers.qsize() == 2)
        trouble, found = here.answers.get_nowait(), here.answers.get_nowait()
        here.reader.taken()
        assert isinstance(trouble, QueryFailed)
        assert str(other) in trouble.cause
        assert isinstance(found, LogSnapshot)
        assert len(found.fresh) == 54
        hour.unlink()
        assert "gone" in here.must().cause


def test_a_log_in_a_folder_that_cannot_be_written_is_read(hour: Path) -> None:
    with running(hour) as here:
        here.must()  # all modules are loaded while they surely can be
    # Not below tmp_path: whoever may write everywhere reads as nobody, who may not come there.
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    try:
        for part in hour.parent.glob("log.db*"):
            if not part.name.endswith(("-wal", "-shm")):
                shutil.copy(part, folder)
                (folder / part.name).chmod(0o444)
        folder.chmod(0o555)
        if user == 0:
            os.seteuid(65534)
        assert not os.access(folder, os.W_OK, effective_ids=True)
        with running(folder / "log.db") as here:
            found = here.must()
            assert (found.state, len(found.fresh)) == ("ok", 54)
            assert found.window is not None
            assert found.window.total.n == 30
            assert here.ask() is None
    finally:
        os.seteuid(user)
        folder.chmod(0o700)
        shutil.rmtree(folder)


def test_a_writer_that_is_killed_leaves_a_log_that_opens(log_path: Path) -> None:
    code = (
        "import sys; from promptop.log import Writer, Row\n"
        "w = Writer(sys.argv[1], keep_days=0); n = 0\n"
        "while True:\n"
        "    for _ in range(40):\n"
        "        w.put(Row(started_ms=int(sys.argv[2]), request_model='m' * 500)); n += 1\n"
        "    assert w.flush(10); print(n, flush=True)\n"
    )
    line = [sys.executable, "-c", code, str(log_path), str(int(NOW * 1000) - 5000)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = 0
        for text in process.stdout:
            said = int(text)
            if said >= 200:
                break
        process.kill()
        said = max([said, *(int(text) for text in process.stdout.read().splitlines())])
    wal = Path(f"{log_path}-wal")
    assert wal.stat().st_size
    with wal.open("ab") as file:
        file.write(os.urandom(2500))  # a frame that was being written: neither whole nor valid
    with running(log_path) as here:
        found = here.must()
        assert found.state == "ok"
        assert found.window is not None
        assert found.window.total.n >= said
        write(log_path, [row(1)])
        assert len(here.must().fresh) == 1
