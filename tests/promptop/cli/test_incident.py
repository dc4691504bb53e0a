"""An incident in one file: what travels, what does not, and that it opens as a log."""

from __future__ import annotations

import json
import time
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from promptop.base.errors import PromptopError
from promptop.base.files import state_dir
from promptop.cli.main import main
from promptop.log import LogReader, Row, files
from promptop.log.transfer.imports import insert_rows
from promptop.log.transfer.incidents import read_about, read_page
from promptop.log.transfer.replays import is_export, open_export
from promptop.log.write.bodies import BodyStore, read_body
from promptop.log.write.pending import Finished

MINUTES = 240
ROW = Row(
    request_model="large",
    app="shop",
    usage_input_tokens=100,
    usage_output_tokens=10,
    duration_s=1.0,
    total_s=1.0,
    http_response_status_code=200,
)


def log_with(path: Path, now_ms: int) -> Path:
    rows = [replace(ROW, started_ms=now_ms - minute * 60_000, request_id=f"r{minute}") for minute in range(MINUTES)]
    with closing(files.open_log(path)) as connection:
        insert_rows(connection, rows[::-1], ("made", "here"))
    store = BodyStore(path)
    store.insert([(MINUTES, Finished(rows[0], b'{"messages": []}', b"the answer", "full", redacted=True))], "full")
    store.close()
    return path


def exported(tmp_path: Path, *words: str) -> Path:
    out = tmp_path / "outage.promptop"
    log = log_with(tmp_path / "log.db", time.time_ns() // 1_000_000)
    assert main(["incident", "export", "--log", str(log), "-o", str(out), *words]) == 0
    return out


def test_an_incident_opens_as_a_log_with_its_sums_and_without_bodies(tmp_path: Path) -> None:
    out = exported(tmp_path, "--note", "provider <down>")
    assert out.stat().st_mode & 0o777 == 0o600
    assert is_export(out)
    opened = open_export(out, tmp_path / "replays")
    assert files.rollups_path(opened).exists()
    assert not files.bodies_path(opened).exists()
    with LogReader(opened) as log:
        rows = log.latest(1000)
        assert log.trend_newer() == []
    assert 175 <= len(rows) <= 182  # the hour, and twice as much before it
    assert read_about(out)["notes"] == ["provider <down>"]
    page = read_page(out)
    assert "provider &lt;down&gt;" in page
    assert "<script" not in page
    assert "src=" not in page


def test_bodies_travel_only_if_asked_for(tmp_path: Path) -> None:
    opened = open_export(exported(tmp_path, "--bodies"), tmp_path / "replays")
    with LogReader(opened) as log:
        newest = log.latest(1)[0]
    body = read_body(opened, newest.id)
    assert body is not None
    assert body.response == "the answer"


def test_commands_and_addresses_of_the_settings_stay_here(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[monitor]\nslo_ttft_s = 1.0\nalert_command = "page me"\nalert_webhook = "https://h/x?token=s3cret"\n'
    )
    out = exported(tmp_path, "--config", str(config))
    with zipfile.ZipFile(out) as archive:
        told = b"".join(archive.read(name) for name in archive.namelist())
    assert b"s3cret" not in told
    assert b"page me" not in told
    assert read_about(out)["settings"]["monitor"]["slo_ttft_s"] == 1.0


def test_bookmarks_of_that_time_travel_with_their_notes(tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    state_dir().mkdir(parents=True, exist_ok=True)
    kept = [{"until_ms": now_ms - 60_000, "span": "1h", "note": "here"}, {"until_ms": now_ms - 10**9, "span": "1h"}]
    (state_dir() / "bookmarks.json").write_text(json.dumps(kept))
    out = exported(tmp_path)
    assert read_about(out)["bookmarks"] == kept[:1]
    assert ">here<" in read_page(out)


def test_what_is_no_incident_file_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "x.promptop"
    broken.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(PromptopError, match="no incident file"):
        open_export(broken, tmp_path / "replays")
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("incident.json", '{"format": 1}')
        archive.writestr("../../evil", "x")
    with pytest.raises(PromptopError, match="holds no log"):
        open_export(broken, tmp_path / "replays")
    assert not (tmp_path / "evil").exists()


def test_an_empty_time_and_a_file_that_is_there_are_refused(tmp_path: Path) -> None:
    out = exported(tmp_path)
    words = ["incident", "export", "--log", str(tmp_path / "log.db"), "-o"]
    assert main([*words, str(out)]) == 2
    assert main([*words, str(tmp_path / "y.zip")]) == 2
    empty = ["--since", "2020-01-01T10:00", "--until", "2020-01-01T11:00"]
    assert main([*words, str(tmp_path / "y.promptop"), *empty]) == 1
