"""The writer: batches, losses that are counted, files that vanish, forks, signals, kills."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.promptop.log.rows import NOON, append, random_rows
from tests.support.waits import until

from promptop.log import Finished, LogReader, Row, Writer, files, writer_for
from promptop.log.write import batch_store, lifecycle


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM requests").fetchone()[0])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "log.db"


def test_rows_come_back_as_they_were_put(log: Path) -> None:
    rows = random_rows(1200, seed=1)
    with Writer(log) as writer:
        for row in rows:
            writer.put(row)
        assert writer.flush()
        assert writer.stats.written == 1200
    with LogReader(log) as reader:
        found = reader.after(0, 2000)
    names = [name for name in Row.__slots__ if not name.startswith(("cost", "price"))]  # the writer prices
    assert [[getattr(row, name) for name in names] for row in found] == [
        [getattr(row, name) for name in names] for row in rows
    ]


def test_files_are_private(log: Path) -> None:
    old = os.umask(0)
    try:
        with Writer(log, bodies="full") as writer:
            writer.put(Finished(Row(), b'{"messages": [{"role": "user", "content": "hi"}]}', b"hello"))
            writer.flush()
            assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
            assert {stat.S_IMODE(path.stat().st_mode) for path in log.parent.iterdir()} == {0o600}
            assert len(list(log.parent.iterdir())) >= 4
    finally:
        os.umask(old)


def test_a_row_without_a_start_gets_one_and_a_row_without_a_price_is_priced(log: Path) -> None:
    with Writer(log) as writer:
        writer.put(Row(request_model="gpt-4o-mini", usage_input_tokens=1000, usage_output_tokens=500))
        writer.put(Row(request_model="no-such-model", usage_input_tokens=1000, started_ms=-5))
        writer.put(Row(request_model="gpt-4o-mini", usage_input_tokens=1000, usage_source="estimated"))
    with LogReader(log) as reader:
        priced, unpriced, rough = reader.after(0, 10)
    assert priced.cost_usd == pytest.approx(0.00045)
    assert (priced.cost_status, unpriced.cost_usd, unpriced.cost_status) == ("table", None, "unpriced")
    assert rough.cost_status == "estimated"
    assert priced.price_as_of
    assert abs((priced.started_ms or 0) - time.time() * 1000) < 60_000
    assert (unpriced.started_ms or 0) > NOON - 400 * 86_400_000


class Promise:
    """A row that is made on the writer's thread, or fails to be."""

    def __init__(self, result: Finished | Exception | None) -> None:
        self.result, self.thread = result, ""

    def finish(self) -> Finished | None:
        self.thread = threading.current_thread().name
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_promises_are_kept_on_the_writers_thread_and_a_broken_one_costs_only_its_row(
    log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, none, bad = Promise(Finished(Row(app="a"))), Promise(None), Promise(KeyError("usage"))
    with caplog.at_level(logging.WARNING), Writer(log) as writer:
        for promise in (bad, none, good):
            writer.put(promise)
        assert writer.flush()
        assert (writer.stats.written, writer.stats.failed) == (1, 1)
        writer.put(Row(app="b"))  # what was lost is written down with the next rows
    assert good.thread == "promptop-log"
    assert "KeyError" in caplog.text
    with closing(sqlite3.connect(log)) as connection:
        assert connection.execute("SELECT rows, cause FROM losses").fetchall() == [(1, "row not made (KeyError)")]


def test_values_that_sqlite_cannot_take_cost_only_themselves(log: Path) -> None:
    with Writer(log) as writer:
        writer.put(Row(app="before"))
        writer.put(Row(app="\ud83d half", usage_input_tokens=[1], request_seed=2**70))  # type: ignore[arg-type]
        writer.put(Row(app="after"))
        assert writer.flush()
        assert writer.stats.written == 3
    with LogReader(log) as reader:
        assert [(row.app, row.usage_input_tokens, row.request_seed) for row in reader.after(0, 9)] == [
            ("before", None, None),
            ("? half", None, None),
            ("after", None, None),
        ]


def test_a_full_queue_drops_counts_and_logs_what_it_dropped(log: Path) -> None:
    gate = threading.Event()

    class Slow:
        def finish(self) -> Finished:
            gate.wait(10)
            return Finished(Row(app="slow"))

    with Writer(log, max_queue=10, linger_s=0) as writer:
        writer.put(Slow())
        until(lambda: writer.stats.queued == 0)
        for _ in range(25):
            writer.put(Row())
        assert (writer.stats.dropped, writer.stats.queued) == (15, 10)
        gate.set()
        assert writer.flush()
        assert writer.stats.written == 11
    with closing(sqlite3.connect(log)) as connection:
        assert connection.execute("SELECT rows, cause, pid FROM losses").fetchall() == [(15, "queue full", os.getpid())]


def test_many_threads_lose_nothing(log: Path) -> None:
    with Writer(log) as writer:
        threads = [
            threading.Thread(target=lambda name=name: [writer.put(Row(app=name)) for _ in range(300)])
            for name in ("a", "b", "c", "d")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert count(log) == 1200


def test_a_deleted_and_a_replaced_log_are_noticed(log: Path) -> None:
    with Writer(log) as writer:
        writer.put(Row(app="first"))
        assert writer.flush()
        for path in log.parent.iterdir():
            path.unlink()
        writer.put(Row(app="second"))
        assert writer.flush()
        assert count(log) == 1
        append(log.with_name("other.db"), random_rows(3))
        for suffix in ("", "-wal", "-shm"):
            Path(f"{log}{suffix}").unlink(missing_ok=True)
        log.with_name("other.db").rename(log)
        writer.put(Row(app="third"))
        assert writer.flush()
        assert count(log) == 4


@pytest.mark.parametrize("kind", ["not a database", "newer", "folder", "foreign"])
def test_a_log_that_cannot_be_used_is_left_alone_and_its_rows_are_counted(
    log: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    log.parent.mkdir()
    if kind == "folder":
        log.mkdir()
    elif kind == "not a database":
        log.write_bytes(b"plain text, and long enough to be looked at" * 50)
    else:
        append(log, random_rows(1))
        with closing(sqlite3.connect(log)) as connection:
            connection.execute("PRAGMA user_version = 99" if kind == "newer" else "PRAGMA application_id = 77")
    before = log.read_bytes() if log.is_file() else b""
    writer = Writer(log)
    with caplog.at_level(logging.WARNING):
        writer.put(Row())
        until(lambda: writer.stats.last_error)
        assert not writer.flush(0.01)
        assert not writer.close()
    assert (writer.stats.written, writer.stats.failed, writer.stats.lost) == (0, 1, 1)
    assert "request log" in caplog.text
    assert "1 rows were lost at the end" in caplog.text
    assert (log.read_bytes() if log.is_file() else b"") == before


def test_rows_wait_for_a_log_that_is_locked_and_are_written_then(log: Path) -> None:
    append(log, [])
    with closing(sqlite3.connect(log, isolation_level=None)) as other, Writer(log) as writer:
        other.execute("BEGIN IMMEDIATE")
        writer.put(Row(app="waits"))
        assert not writer.flush(0.2)
        other.execute("COMMIT")
        until(lambda: writer.stats.written == 1)
    assert count(log) == 1


def test_rows_wait_while_the_log_is_read_only(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Writer(log) as writer:
        writer.put(Row())
        assert writer.flush()
        assert writer._store is not None
        writer._store._connection.execute("PRAGMA query_only = ON")  # "attempt to write a readonly database"
        writer.put(Row())
        until(lambda: writer.stats.written == 2)
        assert "cannot be written" in caplog.text
    assert count(log) == 2


def test_rows_wait_while_the_disk_is_full(log: Path) -> None:
    with Writer(log, batch=50) as writer:
        writer.put(Row(app="first"))
        assert writer.flush()
        assert writer._store is not None
        pages = writer._store._connection.execute("PRAGMA page_count").fetchone()[0]
        writer._store._connection.execute(f"PRAGMA max_page_count = {pages + 1}")  # SQLITE_FULL, as on a full disk
        for _ in range(200):
            writer.put(Row(error_message="x" * 500))
        until(lambda: "full" in writer.stats.last_error or writer.stats.written == 201)
        # The connection that was full is closed; the next attempt opens a new one, as when room was made.
        assert writer.flush()
        assert (writer.stats.written, writer.stats.lost, writer.stats.last_error) == (201, 0, "")
    assert count(log) == 201


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_folder_without_permission_costs_the_rows_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    writer = Writer(tmp_path / "closed" / "log.db")
    writer.put(Row())
    until(lambda: "cannot be written" in writer.stats.last_error)
    assert not writer.close()


def test_a_fault_of_ours_costs_a_batch_and_not_the_writer(
    log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [ZeroDivisionError("ours"), None]
    real = batch_store.Store.insert

    def insert(self: batch_store.Store, *arguments: Any) -> Any:
        if fault := faults.pop(0):
            raise fault
        return real(self, *arguments)

    monkeypatch.setattr(batch_store.Store, "insert", insert)
    with caplog.at_level(logging.WARNING), Writer(log) as writer:
        writer.put(Row(app="lost"))
        assert writer.flush()
        writer.put(Row(app="kept"))
        assert writer.flush()
        assert (writer.stats.written, writer.stats.failed) == (1, 1)
    assert "ZeroDivisionError" in caplog.text
    with closing(sqlite3.connect(log)) as connection:
        assert connection.execute("SELECT cause FROM losses").fetchone() == ("fault of the writer (ZeroDivisionError)",)


def test_bodies_that_cannot_be_kept_cost_no_row(log: Path) -> None:
    log.parent.mkdir()
    files.bodies_path(log).mkdir()
    with Writer(log, bodies="full") as writer:
        writer.put(Finished(Row(), b"{}", b"text"))
        assert writer.flush()
        assert (writer.stats.written, writer.stats.bodies_lost, writer.stats.lost) == (1, 1, 0)


def test_what_a_locked_log_cannot_take_at_the_end_is_read_back_by_the_next_writer(log: Path) -> None:
    append(log, [])
    with closing(sqlite3.connect(log, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer = Writer(log, batch=10)
        for number in range(30):
            writer.put(Row(started_ms=number, app="waits"))
        assert writer.close()
        assert (writer.stats.written, writer.stats.lost) == (0, 0)
        assert [path.stat().st_mode & 0o777 for path in log.parent.glob("*.spill-*")] == [0o600]
        other.execute("COMMIT")
    with Writer(log) as following:
        following.put(Row(started_ms=30, app="follows"))
        assert following.flush()
    assert started(log) == list(range(31))
    assert not list(log.parent.glob("*.spill-*"))


def started(log: Path) -> list[int]:
    """Return the times of a log's rows in the order in which they were written."""
    with closing(sqlite3.connect(log)) as connection:
        return [row[0] for row in connection.execute("SELECT started_ms FROM requests ORDER BY id")]


class Vision:
    """A call with a picture: 3 MB until its row is made."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.body: bytes | None = bytes(3_000_000)

    @property
    def held_bytes(self) -> int:
        return len(self.body or b"")

    def lighten(self) -> None:
        self.body = None

    def finish(self) -> Finished:
        self.body = None
        return Finished(Row(started_ms=self.number, app="vision"))


def test_a_locked_log_bounds_memory_and_every_row_is_there_afterwards(log: Path) -> None:
    process = psutil.Process()
    append(log, [])
    with closing(sqlite3.connect(log, isolation_level=None)) as other, Writer(log) as writer:
        assert writer.warm(10)
        other.execute("BEGIN IMMEDIATE")
        before = peak = process.memory_info().rss
        for number in range(1200):  # two calls a second for ten minutes
            writer.put(Vision(number))
            peak = max(peak, process.memory_info().rss)
        until(lambda: writer.stats.queued == 0)
        assert peak - before < 64 << 20
        assert not writer.flush(0.05)
        other.execute("COMMIT")
        until(lambda: writer.stats.written == 1200)
        assert writer.stats.lost == 0
    assert started(log) == list(range(1200))


def test_rows_beside_a_locked_log_outlive_a_kill(log: Path) -> None:
    append(log, [])
    script = """
        import sys, time
        from promptop.log import Row, Writer
        writer = Writer(sys.argv[1])
        for number in range(500):
            writer.put(Row(started_ms=number))
        while writer.stats.queued:
            time.sleep(0.01)
        writer.flush(0.1)
        print("spilled", flush=True)
        time.sleep(60)
        """
    with closing(sqlite3.connect(log, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(log)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None and child.stdout.readline() == "spilled\n"
        child.kill()
        child.wait()
        child.stdout.close()
        (spilled,) = log.parent.glob("*.spill-*")
        with spilled.open("ab") as file:
            file.write(b'{"row":{"started_ms":')  # a row that was being written when the process was ended
        other.execute("COMMIT")
    for _ in range(2):  # the second one finds nothing to do
        with Writer(log) as writer:
            assert writer.warm(10)
            assert writer.flush()
    assert started(log) == list(range(500))
    assert not list(log.parent.glob("*.spill-*"))


def test_no_body_waits_beside_the_log_where_only_its_hash_is_kept(log: Path) -> None:
    append(log, [])
    with closing(sqlite3.connect(log, isolation_level=None)) as other, Writer(log) as writer:
        other.execute("BEGIN IMMEDIATE")
        for mode in ("hash", "redacted", "full"):
            writer.put(Finished(Row(app=mode), b'{"of": "%s"}' % mode.encode(), None, bodies=mode))
        assert not writer.flush(0.05)
        until(lambda: any(path.stat().st_size for path in log.parent.glob("*.spill-*")))
        (spilled,) = log.parent.glob("*.spill-*")
        assert [line.count("request_body") for line in spilled.read_text().splitlines()] == [0, 0, 1]
        other.execute("COMMIT")
        until(lambda: writer.stats.written == 3)
        assert writer.stats.bodies_lost == 2


def test_a_closed_writer_counts_what_it_is_given(log: Path) -> None:
    writer = Writer(log)
    writer.put(Row())
    assert writer.close()
    writer.put(Row())
    assert (writer.stats.written, writer.stats.dropped) == (1, 1)


def test_one_writer_per_path(log: Path) -> None:
    first = writer_for(log)
    assert writer_for(str(log)) is first
    assert writer_for(log.with_name("other.db")) is not first
    first.close()
    assert writer_for(log) is not first
    assert writer_for().path.name == "log.db"
    lifecycle.flush_all()


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_rows_are_flushed_when_the_process_ends(log: Path) -> None:
    done = run(
        """
        import sys
        from promptop.log import Row, writer_for
        for n in range(700):
            writer_for(sys.argv[1]).put(Row(app="end"))
        """,
        log,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert count(log) == 700


@pytest.mark.parametrize("own", [False, True])
def test_a_signal_flushes_and_ends_the_process_as_ever(log: Path, own: bool) -> None:
    """With the default action we flush and die of the signal; a handler of the host's is left in place."""
    done = run(
        """
        import os, signal, sys, time
        from promptop.log import Row, Writer
        own = sys.argv[2] == "True"
        if own:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        writer = Writer(sys.argv[1], linger_s=30)
        for n in range(30):
            writer.put(Row(app="signal"))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        """,
        log,
        own,
    )
    assert done.returncode == (7 if own else -signal.SIGTERM), done.stderr
    assert count(log) == 30


def test_a_forked_child_writes_its_own_rows_and_not_its_parents(log: Path) -> None:
    done = run(
        """
        import multiprocessing, os, sys
        from promptop.log import Row, writer_for
        from promptop.log.write import lifecycle
        lifecycle.EXIT_FLUSH_S = 30  # four processes on a busy machine: what is not written in time is lost, and said
        writer = writer_for(sys.argv[1])
        def child(name):
            for n in range(200):
                writer.put(Row(app=name))
        for n in range(50):
            writer.put(Row(app="parent"))
        writer.flush()
        for n in range(50):
            writer.put(Row(app="parent"))   # still queued when the children are made
        pid = os.fork()
        if pid == 0:
            child("forked")
            sys.exit(0)
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=child, args=(f"child {n}",)) for n in range(3)]
        for one in children: one.start()
        os.waitpid(pid, 0)
        for one in children: one.join()
        assert [one.exitcode for one in children] == [0, 0, 0]
        """.replace(
            "import multiprocessing", "import warnings; warnings.simplefilter('ignore'); import multiprocessing"
        ),
        log,
    )
    assert (done.returncode, done.stderr) == (0, "")
    # Where four processes end at once and none gets the log within half a second, rows wait beside it for the next.
    with Writer(log) as writer:
        writer.warm(10)
    with closing(sqlite3.connect(log)) as connection:
        found = dict(connection.execute("SELECT app, count(*) FROM requests GROUP BY app"))
    assert found == {"parent": 100, "forked": 200, **{f"child {n}": 200 for n in range(3)}}


@pytest.mark.parametrize("open_there", ["", "reader = LogReader(sys.argv[1]); reader.latest(1)"])
def test_a_forked_child_that_outlives_its_parent_harms_nothing(log: Path, open_there: str) -> None:
    """SQLite takes what was open at the fork for open in the child, without the locks that only the parent has."""
    other = "import sys\nfrom promptop.log import Row, Writer\nwith Writer(sys.argv[1]) as w: w.put(Row(app='other'))"
    done = run(
        f"""
        import os, subprocess, sys, warnings
        warnings.simplefilter("ignore")
        from promptop.log import LogReader, Row, writer_for
        from promptop.log.write import lifecycle
        lifecycle.EXIT_FLUSH_S = 30
        writer = writer_for(sys.argv[1])
        writer.put(Row(app="parent"))
        writer.flush()
        {open_there}
        ended, held = os.pipe()
        if os.fork() == 0:
            os.close(held)
            os.read(ended, 1)  # until the parent has ended
            for _ in range(2):
                subprocess.run([sys.executable, "-c", {other!r}, sys.argv[1]], check=True)
                for n in range(100):
                    writer.put(Row(app="child"))
                writer.flush(30)
        """,
        log,
    )
    assert done.returncode == 0
    assert ("was forked" in done.stderr) == bool(open_there)
    with Writer(log) as writer:  # reads what waits beside the log
        writer.put(Row(app="last"))
    with closing(sqlite3.connect(log)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = dict(connection.execute("SELECT app, count(*) FROM requests GROUP BY app"))
    assert found == {"parent": 1, "child": 200, "other": 2, "last": 1}


def test_processes_that_start_at_once_create_one_log_and_lose_nothing(log: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from promptop.log import Row, Writer
        with Writer(sys.argv[1]) as writer:
            for n in range(2000):
                writer.put(Row(app=sys.argv[2]))
            assert writer.flush(30)
            assert writer.stats.lost == 0, writer.stats
        """
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(log), str(n)], stderr=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    errors = [child.communicate(timeout=60)[1] for child in children]
    assert errors == [""] * 4
    assert count(log) == 8000


@pytest.mark.parametrize("after_s", [0.15, 0.4])
def test_a_killed_process_loses_its_queue_and_no_committed_row(log: Path, after_s: float) -> None:
    script = textwrap.dedent(
        """
        import sys, time
        from promptop.log import Row, Writer
        writer = Writer(sys.argv[1])
        n = 0
        while True:
            n += 1
            writer.put(Row(started_ms=n, app="killed"))
            print(n, writer.stats.written, flush=True)
            time.sleep(0.0005)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(log)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(child.stdout or ()))
    reading.start()
    until(lambda: lines and int(lines[-1].split()[-1]) > 0)
    threading.Event().wait(after_s)
    child.kill()
    child.wait()
    reading.join()
    child.stdout.close()
    put, committed = max(tuple(map(int, line.split())) for line in lines if line.endswith("\n") and " " in line)
    with closing(sqlite3.connect(log)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = [row[0] for row in connection.execute("SELECT started_ms FROM requests ORDER BY id")]
    assert found == list(range(1, len(found) + 1))
    assert committed <= len(found) <= put + 1


def test_the_writers_imports_are_the_standard_library() -> None:
    done = run(
        """
        import sys, tempfile
        from promptop.log import Finished, Row, Writer
        with tempfile.TemporaryDirectory() as folder, Writer(folder + "/log.db", bodies="full") as writer:
            writer.put(Finished(Row(request_model="gpt-4o", usage_input_tokens=5), b"{}", b"x"))
            writer.flush()
            from promptop.log.write.maintenance import Tending
            import promptop.log.rollups.rollups, promptop.log.write.retention
        ours = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
        foreign = {n for n in ours if not n.startswith(("_", "sitecustomize", "usercustomize"))}
        print(sorted(foreign))
        """
    )
    assert done.stdout.strip() == "['promptop']", done.stderr


def test_rollups_are_folded_while_the_writer_is_idle(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptop.log.write.maintenance.FOLD_EVERY_S", 0.05)
    with Writer(log) as writer:
        for row in random_rows(30, seed=2):
            writer.put(row)
        until(files.rollups_path(log).exists)

        def marked() -> bool:
            with closing(sqlite3.connect(files.rollups_path(log))) as connection:
                try:
                    return bool(connection.execute("SELECT value FROM meta WHERE key = 'mark'").fetchone()[0] == 30)
                except sqlite3.OperationalError:
                    return False

        until(marked)
