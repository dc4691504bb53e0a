"""The library: versions that never change, search, files of strangers and of the future."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from promptop.base.errors import PromptopError
from promptop.client.result import RunResult
from promptop.experiments.proof.single_input import prove
from promptop.prompts.library import Library, LibraryEntry, Version, library_path
from promptop.prompts.proof import PROVEN
from promptop.prompts.receipt import Receipt


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "folder" / "library.db")


def test_versions_are_added_and_kept(library: Library) -> None:
    first = library.save("summary", "one\r\n\u2028", now_ms=1, tags=["zh", "short"])
    assert first == Version("summary", 1, 1, "one\r\n\u2028")
    assert library.save(" summary ", "two", now_ms=2, note="shorter", tags=["zh", "new"]).version == 2
    assert library.save("summary", "two", now_ms=3).version == 2
    assert [(v.version, v.text, v.note) for v in library.versions("summary")] == [
        (2, "two", "shorter"),
        (1, first.text, ""),
    ]
    assert library.entries()[0].tags == ("zh", "short", "new")
    assert library.versions("absent") == []


def test_search_finds_every_word_in_name_tags_or_newest_text(library: Library) -> None:
    library.save("tea", "old words", now_ms=1)
    library.save("tea", "翻译 100% of it", now_ms=2, tags=["drinks"])
    library.save("mail", "write a mail", now_ms=3)
    assert [entry.name for entry in library.entries()] == ["mail", "tea"]
    for search, names in (
        ("翻译", ["tea"]),
        ("drinks tea", ["tea"]),
        ("a", ["mail", "tea"]),
        ("old", []),
        ("%", ["tea"]),
        ("_", []),
    ):
        assert [entry.name for entry in library.entries(search)] == names
    assert [entry.name for entry in library.entries("#drinks")] == ["tea"]
    assert library.entries("#drink") == []
    library.save("tea", "翻译 100% of it", now_ms=4, tags=["-drinks", "hot"])
    assert library.entries("#hot")[0].tags == ("hot",)
    library.delete("tea")
    assert [entry.name for entry in library.entries()] == ["mail"]
    assert library.versions("tea") == []


def test_a_version_is_found_by_its_number(library: Library) -> None:
    library.save("tea", "one", now_ms=1)
    library.save("tea", "two", now_ms=2)
    assert (library.version("tea").text, library.version("tea", 1).text) == ("two", "one")
    with pytest.raises(PromptopError, match="no version 3"):
        library.version("tea", 3)
    with pytest.raises(PromptopError, match="no prompt 'coffee'"):
        library.version("coffee")


def test_the_file_is_private(library: Library) -> None:
    library.save("a", "b", now_ms=1)
    assert stat.S_IMODE(library.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(library.path.parent.stat().st_mode) == 0o700
    assert library_path().name == "library.db"


def test_bad_files_and_names_are_told(library: Library, tmp_path: Path) -> None:
    with pytest.raises(PromptopError, match="needs a name"):
        library.save("  ", "x", now_ms=1)
    bad = tmp_path / "bad.db"
    bad.write_text("this is not a database, but it is long enough to be looked at as one" * 20)
    with pytest.raises(PromptopError, match="is not an SQLite file"):
        Library(bad).entries()
    library.save("a", "b", now_ms=1)
    with sqlite3.connect(library.path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(PromptopError, match="newer promptop"):
        library.entries()
    with pytest.raises(PromptopError, match="cannot be opened"):
        Library(tmp_path / "bad.db" / "x.db").entries()


def test_many_writers_lose_nothing(library: Library) -> None:
    def write(worker: int) -> None:
        for number in range(5):
            library.save("shared", f"{worker}-{number}", now_ms=number)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = library.versions("shared")
    assert [version.version for version in versions] == list(range(20, 0, -1))
    assert len({version.text for version in versions}) == 20


def test_a_version_keeps_its_receipt_and_takes_a_proof_later(library: Library) -> None:
    receipt = Receipt("gpt-4o", "exact", 90, 60, None, None, {"polite-zh": 2})
    library.save("tea", "long", now_ms=1)
    assert library.save("tea", "短", now_ms=2, note="trimmed", receipt=receipt).receipt == receipt
    assert library.save("tea", "短", now_ms=3).receipt == receipt  # saving again forgets nothing
    pair = ([RunResult("m", "m", "m", "yes", "done")] * 5, [RunResult("m", "m", "m", "yes", "done")] * 5)
    alike = prove("long", "短", ["m"], [pair], [], now_ms=4)
    proven = replace(receipt, proof=replace(alike, verdict=PROVEN))  # one input is alike at most
    assert library.save("tea", "短", now_ms=5, receipt=proven).version == 2
    newest, oldest = library.versions("tea")
    assert newest.receipt == proven and newest.receipt.is_proven
    assert (newest.note, oldest.receipt) == ("trimmed", None)


@pytest.mark.parametrize("version", [1, 2])
def test_a_library_of_a_version_before_keeps_its_rows(tmp_path: Path, version: int) -> None:
    """Files that plain sqlite3 wrote, with rows in them, are read and written on."""
    path = tmp_path / "library.db"
    receipt = Receipt("gpt-4o", "exact", 90, 60, None, None, {"polite-zh": 2}) if version == 2 else None
    with closing(sqlite3.connect(path)) as old:
        old.executescript(
            "CREATE TABLE prompts (name TEXT PRIMARY KEY, tags TEXT NOT NULL DEFAULT '');"
            "CREATE TABLE versions (name TEXT NOT NULL REFERENCES prompts (name) ON UPDATE CASCADE ON DELETE CASCADE,"
            " version INTEGER NOT NULL, saved_at_ms INTEGER NOT NULL, text TEXT NOT NULL,"
            " note TEXT NOT NULL DEFAULT '', PRIMARY KEY (name, version));"
            "INSERT INTO prompts VALUES ('茶', ' zh '); INSERT INTO versions VALUES ('茶', 1, 5, '泡茶', 'first');"
            "PRAGMA user_version = 1;"
        )
        if receipt is not None:
            old.execute("ALTER TABLE versions ADD COLUMN receipt TEXT")
            old.execute("UPDATE versions SET receipt = ?", (json.dumps(receipt.as_dict()),))
            old.execute("PRAGMA user_version = 2")
            old.commit()
    library = Library(path)
    assert library.versions("茶") == [Version("茶", 1, 5, "泡茶", "first", receipt)]
    assert library.save("茶", "泡", now_ms=6, source="/p/茶.md").version == 2
    library.rename("茶", "茶叶")
    assert [(v.version, v.text, v.source) for v in library.versions("茶叶")] == [(2, "泡", "/p/茶.md"), (1, "泡茶", "")]
    assert library.entries("#zh") == [LibraryEntry("茶叶", 2, 6, ("zh",))]
    library.delete("茶叶")
    assert library.versions("茶叶") == []


def test_a_receipt_that_cannot_be_read_costs_nothing_but_itself(library: Library) -> None:
    library.save("a", "text", now_ms=1, receipt=Receipt("m", "exact", 2, 1, None, None, {}))
    with closing(sqlite3.connect(library.path)) as database, database:
        database.execute("""UPDATE versions SET receipt = '{"of": "tomorrow"}'""")
    assert library.versions("a") == [Version("a", 1, 1, "text")]
