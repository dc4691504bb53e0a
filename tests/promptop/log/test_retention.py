"""Retention and bodies: what is deleted, what stays, and that windows remain honest."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.promptop.log.rows import NOON, append, random_rows

from promptop import settings
from promptop.base.files import config_dir, private_dir
from promptop.log import Finished, LogReader, Row, Writer, files
from promptop.log.rollups.rollups import Rollups
from promptop.log.write.bodies import read_body
from promptop.log.write.maintenance import Tending
from promptop.log.write.retention import prune, used_bytes

DAY = 86_400_000


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def chat(*texts: str, model: str = "gpt-4o") -> bytes:
    messages = [{"role": "user", "content": text} for text in texts]
    return json.dumps({"model": model, "messages": messages, "temperature": 0.5}).encode()


def size_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return used_bytes(connection)


def test_rows_go_by_age_in_whole_days_and_their_sums_stay(log: Path) -> None:
    append(log, random_rows(800, seed=1, start_ms=NOON - 10 * DAY, spread_ms=10 * DAY))
    with LogReader(log) as reader:
        before = reader.window(NOON - 10 * DAY, NOON, step_ms=DAY)
        done = prune(log, keep_days=4, now_ms=NOON)
        assert done.complete
        assert done.rows > 400
        first, _ = reader.span() or (0, 0)
        assert (NOON - 4 * DAY) // DAY * DAY <= first < NOON - 3 * DAY
        after = reader.window(NOON - 10 * DAY, NOON, step_ms=DAY)
        assert after.buckets == before.buckets
        assert (after.total, after.groups) == (before.total, before.groups)
    assert prune(log, keep_days=4, now_ms=NOON).rows == 0


def test_a_window_into_pruned_times_widens_to_what_is_known_and_says_so(log: Path) -> None:
    append(log, random_rows(600, seed=2, start_ms=NOON - 20 * DAY, spread_ms=20 * DAY))
    with LogReader(log) as reader:
        exact = reader.window(NOON - 20 * DAY, NOON + DAY)
        with Rollups(log, now_ms=lambda: NOON - 9 * DAY) as rollups:
            rollups.catch_up()
        prune(log, keep_days=2, now_ms=NOON)
        with Rollups(log, now_ms=lambda: NOON) as rollups:
            assert rollups.prune() > 0  # minutes older than eight days
            assert rollups.prune() == 0
        since = NOON - 15 * DAY + 61_000
        window = reader.window(since, NOON)
        assert window.since_ms == since // 900_000 * 900_000  # the finest that is left there
        assert window.until_ms == NOON
        assert reader.window(NOON - 20 * DAY, NOON + DAY).total == exact.total
        recent = NOON - DAY + 12_345
        assert reader.window(recent, NOON).since_ms == recent


def test_rebuilding_keeps_the_sums_of_deleted_rows(log: Path) -> None:
    append(log, random_rows(500, seed=3, start_ms=NOON - 6 * DAY, spread_ms=6 * DAY))
    with LogReader(log) as reader, Rollups(log) as rollups:
        before = reader.window(NOON - 6 * DAY, NOON, step_ms=21_600_000)
        prune(log, keep_days=2, now_ms=NOON)
        append(log, random_rows(20, seed=4, start_ms=NOON - DAY, spread_ms=DAY))
        rollups.rebuild()
        after = reader.window(NOON - 6 * DAY, NOON, step_ms=21_600_000)
        assert after.total.n == before.total.n + 20
        assert after.buckets[:8] == before.buckets[:8]
        assert sum(stats.n for _, stats, _ in after.buckets) == after.total.n


def test_rows_and_bodies_go_by_size_oldest_first(log: Path) -> None:
    with Writer(log, bodies="full", rollups=False) as writer:
        for number in range(400):
            text = f"{number} " + " ".join(str(hash((number, n))) for n in range(60))
            row = Row(started_ms=NOON + number * 60_000, error_message="x" * 200)
            writer.put(Finished(row, chat(text, "the same in all"), text.encode()))
    total = size_of(log) + size_of(files.bodies_path(log))
    done = prune(log, max_bytes=total // 2)
    assert 0 < size_of(log) + size_of(files.bodies_path(log)) <= total // 2
    assert done.rows == done.bodies > 100
    with LogReader(log) as reader:
        rows = reader.after(0, 1000)
        assert [row.id for row in rows] == list(range(done.rows + 1, 401))
        assert read_body(log, done.rows) is None
        kept = read_body(log, 400)
    assert kept is not None
    assert "the same in all" in (kept.request or "")
    with closing(sqlite3.connect(files.bodies_path(log))) as connection:
        assert connection.execute(
            "SELECT count(*) FROM chunks WHERE id NOT IN (SELECT chunk FROM parts)"
        ).fetchone() == (0,)


def test_bodies_alone_can_be_deleted(log: Path) -> None:
    with Writer(log, bodies="full") as writer:
        for age in (9, 5, 1):
            writer.put(Finished(Row(started_ms=NOON - age * DAY), chat(f"{age} days"), b"answer"))
    assert prune(log, keep_days=3, bodies_only=True, now_ms=NOON).bodies == 2
    assert [read_body(log, row_id) is None for row_id in (1, 2, 3)] == [True, True, False]
    with LogReader(log) as reader:
        assert len(reader.latest(9)) == 3


@pytest.mark.parametrize(("keep_days", "left"), [(1, 0), (0, 50), (None, 50)])
def test_the_idle_writer_prunes_by_its_own_limits_or_by_the_settings(
    log: Path, monkeypatch: pytest.MonkeyPatch, keep_days: int | None, left: int
) -> None:
    private_dir(config_dir())
    settings.config_path().write_text("[log]\nkeep_days = 0\n")  # the user keeps everything
    append(log, random_rows(50, seed=5, start_ms=1_000_000_000_000))
    tending = Tending(log, rollups=True, keep_days=keep_days, max_mb=100)
    assert 0 < (tending.wait_s() or 0) <= 120
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 300)
    tending.note(1)
    lock = threading.Lock()
    tending.run(lock, lambda: False)
    tending.close()
    assert not lock.locked()
    with LogReader(log) as reader:
        assert len(reader.latest(99)) == left


@pytest.mark.parametrize("mode", ["off", "hash", "redacted", "full"])
def test_bodies_are_kept_as_the_mode_says(log: Path, mode: str) -> None:
    body, answer = chat("my number is 555-0100", "通义千问"), b"call 555-0100"
    redact = (lambda text: text.replace("555-0100", "[phone]")) if mode == "redacted" else None
    with Writer(log, bodies=mode, redact=redact) as writer:  # type: ignore[arg-type]
        writer.put(Finished(Row(), body, answer))
        writer.put(Finished(Row(), body, answer, bodies="full"))
        writer.put(Finished(Row(), body, answer, bodies="off"))
    kept = [read_body(log, row_id) for row_id in (1, 2, 3)]
    full, off = kept[1], kept[2]
    assert off is None
    assert full is not None
    assert json.loads(full.request or "") == json.loads(body)
    assert full.response == answer.decode()
    if mode == "off":
        assert kept[0] is None
    elif mode == "hash":
        assert kept[0] is not None
        assert (kept[0].request, kept[0].response, kept[0].hashes) == (None, None, full.hashes)
    elif mode == "redacted":
        assert kept[0] is not None
        assert kept[0].response == "call [phone]"
        assert "[phone]" in (kept[0].request or "")
        assert "555" not in (kept[0].request or "")
    else:
        assert kept[0] == full


def test_without_a_redactor_mode_redacted_keeps_no_text(log: Path) -> None:
    with Writer(log, bodies="redacted") as writer:
        writer.put(Finished(Row(), chat("secret text"), b"secret answer"))
        writer.put(Finished(Row(), chat("clean text"), b"clean answer", redacted=True))
    assert (read_body(log, 1) or pytest.fail("nothing kept")).request is None
    assert "clean text" in ((read_body(log, 2) or pytest.fail("nothing kept")).request or "")
    stored = b"".join(path.read_bytes() for path in log.parent.iterdir())
    assert b"secret" not in stored


def test_a_conversation_stores_each_message_once(log: Path) -> None:
    turns = [f"turn {n}: " + "words " * 200 for n in range(10)]
    with Writer(log, bodies="full") as writer:
        for count in range(1, 11):
            writer.put(Finished(Row(), chat(*turns[:count]), b"ok"))
    raw = sum(len(chat(*turns[:count])) for count in range(1, 11))
    with closing(sqlite3.connect(files.bodies_path(log))) as connection:
        chunks, stored = connection.execute("SELECT count(*), sum(length(data)) FROM chunks").fetchone()
    assert chunks == 12  # ten messages, one frame, one answer
    assert stored < raw / 20
    last = read_body(log, 10)
    assert last is not None
    assert json.loads(last.request or "") == json.loads(chat(*turns))


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe not text", b"[1, 2]", b"[" * 100_000, b'{"messages": []}', b'{"input": "x"}']
)
def test_any_body_is_kept(log: Path, body: bytes) -> None:
    with Writer(log, bodies="full") as writer:
        writer.put(Finished(Row(), body, None))
    kept = read_body(log, 1)
    assert kept is not None
    assert kept.request == body.decode("utf-8", "replace")
    assert kept.response is None
