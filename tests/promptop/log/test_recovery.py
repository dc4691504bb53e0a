"""Twenty kinds of damage to a real log: what is not hit is saved, and a backup never passes a damaged file on."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from promptop.base.errors import PromptopError
from promptop.cli.main import main
from promptop.log import LogReader, files
from promptop.log.row import COLUMNS
from promptop.log.transfer.recovery import recover

ROWS, NOW, PAGE = 2_000, 1_795_262_400_000, 4096


def make(path: Path, count: int = ROWS, first: int = 0) -> None:
    """Write a log with rows of all sizes, one with text beyond a page among them."""
    rng = random.Random(first)
    with closing(files.open_log(path)) as log:
        log.execute("BEGIN")
        for number in range(first, first + count):
            message = "x" * (9_000 if number % 500 == 3 else rng.randrange(60))
            values = (NOW + number, "web", f'{{"user": "ü{number}"}}', "gpt-4o", 0.5 + number, 100 + number, message)
            names = "started_ms, app, tags, request_model, duration_s, usage_input_tokens, error_message"
            log.execute(f"INSERT INTO requests ({names}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        log.execute("COMMIT")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "log.db"
    make(path)
    with closing(sqlite3.connect(path)) as log:
        log.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        log.execute("PRAGMA journal_mode = DELETE")
    return path


Damage = Callable[[bytearray, random.Random], bytearray | None]


def put(data: bytearray, at: int, new: bytes) -> None:
    data[at : at + len(new)] = new


def page_at(data: bytearray, rng: random.Random, kind: int) -> int:
    """Return the place of a page of a kind (13 leaf, 5 inner, 10 and 2 of an index), never the first."""
    return rng.choice([at for at in range(PAGE, len(data), PAGE) if data[at] == kind])


def each_leaf_count(data: bytearray, rng: random.Random) -> None:
    put(data, page_at(data, rng, 13) + 3, b"\xff\xff")


DAMAGE: dict[str, tuple[float, Damage]] = {
    # kind → share of the rows that must be saved, damage
    "header zeroed": (1.0, lambda data, rng: put(data, 0, bytes(100))),
    "magic overwritten": (1.0, lambda data, rng: put(data, 0, b"not a database!!")),
    "page size wrong": (1.0, lambda data, rng: put(data, 16, b"\x12\x34")),
    "first page zeroed": (0.98, lambda data, rng: put(data, 0, bytes(PAGE))),
    "schema text garbled": (0.98, lambda data, rng: put(data, 120, rng.randbytes(PAGE - 120))),
    "cut in the middle": (0.4, lambda data, rng: data[: len(data) // 2]),
    "cut by a few bytes": (0.95, lambda data, rng: data[:-77]),
    "a leaf of noise": (0.95, lambda data, rng: put(data, page_at(data, rng, 13), rng.randbytes(PAGE))),
    "a leaf of zeros": (0.95, lambda data, rng: put(data, page_at(data, rng, 13), bytes(PAGE))),
    "a leaf's cell count": (0.95, each_leaf_count),
    "a leaf's cell pointers": (0.95, lambda data, rng: put(data, page_at(data, rng, 13) + 8, rng.randbytes(40))),
    "a leaf's cells": (0.95, lambda data, rng: put(data, page_at(data, rng, 13) + 2000, rng.randbytes(600))),
    "the tree's root": (1.0, lambda data, rng: put(data, page_at(data, rng, 5), rng.randbytes(PAGE))),
    "inner pages all zero": (
        1.0,
        lambda data, rng: [put(data, at, bytes(PAGE)) for at in range(PAGE, len(data), PAGE) if data[at] == 5] and None,
    ),
    "an index of noise": (1.0, lambda data, rng: put(data, page_at(data, rng, 10), rng.randbytes(PAGE))),
    "a hole of eight pages": (0.85, lambda data, rng: put(data, 20 * PAGE, bytes(8 * PAGE))),
    "free list points nowhere": (1.0, lambda data, rng: put(data, 32, struct.pack(">II", 99_999, 7))),
    "a hundred flipped bits": (
        0.6,
        lambda data, rng: (
            [
                data.__setitem__(at, data[at] ^ 1 << rng.randrange(8))
                for at in (rng.randrange(len(data)) for _ in range(100))
            ]
            and None
        ),
    ),
    "two pages swapped": (
        1.0,
        lambda data, rng: (
            data[: 20 * PAGE]
            + data[30 * PAGE : 31 * PAGE]
            + data[21 * PAGE : 30 * PAGE]
            + data[20 * PAGE : 21 * PAGE]
            + data[31 * PAGE :]
        ),
    ),
    "noise behind the end": (1.0, lambda data, rng: data + rng.randbytes(3 * PAGE + 5)),
}


def damaged(whole: Path, folder: Path, name: str, seed: int) -> Path:
    data = bytearray(whole.read_bytes())
    changed = DAMAGE[name][1](data, random.Random(seed))
    path = folder / "damaged.db"
    path.write_bytes(changed if changed is not None else data)
    return path


@pytest.mark.parametrize("first", [0, pytest.param(1, marks=pytest.mark.world)])
@pytest.mark.parametrize("name", DAMAGE)
def test_what_was_not_hit_is_saved_as_it_was(whole: Path, tmp_path: Path, name: str, first: int) -> None:
    for seed in range(first, 1 + 7 * first):
        path = damaged(whole, tmp_path, name, seed)
        before = path.read_bytes()
        target = tmp_path / f"saved-{seed}.db"
        done = recover(path, target)
        assert path.read_bytes() == before
        with closing(sqlite3.connect(whole)) as good, closing(sqlite3.connect(target)) as saved:
            columns = ", ".join(("id", *COLUMNS))
            known = set(good.execute(f"SELECT {columns} FROM requests"))
            found = set(saved.execute(f"SELECT {columns} FROM requests"))
            assert saved.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert done.rows == len(found)
        assert len(found & known) >= DAMAGE[name][0] * ROWS
        # A flipped bit within a value cannot be told from the value; whole invented rows are never among them.
        assert len(found - known) <= (120 if "bits" in name else 12)
        with LogReader(target) as log:
            assert log.latest(1)


@pytest.mark.parametrize("name", DAMAGE)
def test_a_backup_of_a_damaged_log_fails_or_is_whole(
    whole: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, target = damaged(whole, tmp_path, name, 0), tmp_path / "backup.db"
    code = main(["log", "backup", "--log", str(path), str(target)])
    said = capsys.readouterr().err
    if code:
        assert not target.exists() and not target.with_name("backup.db.part").exists()
        assert str(path) in said
    else:
        with closing(sqlite3.connect(target)) as copy:
            assert copy.execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_rows_of_the_write_ahead_file_are_saved(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(files.open_log(path)) as open_log:
        open_log.execute("PRAGMA wal_autocheckpoint = 0")
        make(path, 200)
        copy = tmp_path / "copy.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    assert recover(copy, tmp_path / "saved.db").rows == 200


def test_deleted_rows_stay_deleted(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    make(path, 1_000)
    with closing(sqlite3.connect(path)) as log, log:
        log.execute("DELETE FROM requests WHERE id <= 600")
    with closing(sqlite3.connect(path)) as log:
        log.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert recover(path, tmp_path / "saved.db").rows == 400


def test_a_file_without_rows_and_a_taken_name_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = tmp_path / "noise.db"
    noise.write_bytes(random.Random(1).randbytes(50_000))
    with pytest.raises(PromptopError, match="No row can be read"):
        recover(noise, tmp_path / "saved.db")
    assert not (tmp_path / "saved.db").exists()
    assert main(["log", "recover", "--log", str(noise), str(noise)]) == 1
    assert "exists already" in capsys.readouterr().err
