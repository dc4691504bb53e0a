"""Session files of coding agents: each call once, with the figures that its agent was charged."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from promptop.agents import session_index
from promptop.agents.blocks import blocks_of, calls_of, grouped
from promptop.agents.session_index import Follower, SessionIndex, Sources, limits_of
from promptop.cli.main import main

LATER = 4_000_000_000.0
"""A time (Unix seconds) at which every file has settled."""


def claude(
    identity: str, at: str = "10:00:00", output: int = 50, *, stop: str | None = "end_turn", **more: Any
) -> dict[str, Any]:
    """Return a line of an assistant's message: 10 tokens of input, 100 read from the cache, 30 written to it."""
    usage = {
        "input_tokens": 10,
        "output_tokens": output,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    message = {"id": identity, "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": stop, "usage": usage}
    message["content"] = [{"type": "text", "text": "a secret text"}]
    line = {"type": "assistant", "timestamp": f"2026-11-20T{at}.000Z", "sessionId": "s1", "requestId": f"r-{identity}"}
    return {**line, "cwd": "/home/someone/shop", "gitBranch": "main", "message": message, **more}


def tokens(at: str, total: list[int], last: list[int] | None = None, **limits: Any) -> dict[str, Any]:
    """Return a token count: [input, cached, output, reasoning]."""
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    info: dict[str, Any] = {"total_token_usage": dict(zip(names, total, strict=True)), "model_context_window": 9000}
    if last is not None:
        info["last_token_usage"] = dict(zip(names, last, strict=True))
    payload = {"type": "token_count", "info": info, "rate_limits": limits or None}
    return {"timestamp": f"2026-11-20T{at}.000Z", "type": "event_msg", "payload": payload}


def meta(session: str, **more: Any) -> dict[str, Any]:
    payload = {"id": session, "cwd": "/home/someone/api", "cli_version": "1", **more}
    return {"timestamp": "2026-11-20T09:00:00.000Z", "type": "session_meta", "payload": payload}


TURN = {
    "timestamp": "2026-11-20T09:00:01.000Z",
    "type": "turn_context",
    "payload": {"model": "gpt-5.4", "effort": "low"},
}


def write(path: Path, *lines: object, mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(mode, encoding="utf-8") as file:
        file.writelines(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "person"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def index_of(home: Path, log: Path) -> SessionIndex:
    return SessionIndex(log, Sources.default({}, home))


def rows(log: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(log)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM requests ORDER BY started_ms, id")]


def test_a_message_of_several_lines_is_one_call_with_the_largest_figures(home: Path, log: Path) -> None:
    write(
        home / ".claude/projects/-shop/s1.jsonl",
        {"type": "summary"},
        claude("m1", output=1, stop=None),
        claude("m1", "10:00:01", output=80),
        claude("m2", "10:01:00", model="x"),
    )
    found = index_of(home, log).read(now_s=LATER)
    assert found.calls == 2
    first = rows(log)[0]
    assert (first["usage_input_tokens"], first["usage_output_tokens"]) == (140, 80)
    assert (first["usage_cache_read_input_tokens"], first["usage_cache_write_input_tokens"]) == (100, 30)
    assert json.loads(first["tags"]) == {"project": "shop", "branch": "main", "cache_1h": "20"}
    assert first["ttft_s"] is None and first["cost_usd"] > 0
    expected = (10 * 3 + 80 * 15 + 100 * 0.3 + 10 * 3.75 + 20 * 6) / 1e6
    assert first["cost_usd"] == pytest.approx(expected)


def test_copies_and_sums_are_no_calls_and_sub_agents_are(home: Path, log: Path) -> None:
    folder = home / ".claude/projects/-shop"
    own = claude("m1")
    write(
        folder / "s1.jsonl",
        own,
        claude("m0", model="y"),
        {"type": "user", "toolUseResult": {"usage": own["message"]["usage"]}},
    )
    write(folder / "s1/subagents/agent-1.jsonl", {**own, "isSidechain": True, "requestId": "other"})
    write(folder / "s1/subagents/agent-2.jsonl", claude("m2", isSidechain=True, agentId="a2"))
    write(home / ".config/claude/projects/-shop/s2.jsonl", {**own, "sessionId": "s2"}, claude("m3", "11:00:00"))
    synthetic = claude("e1")
    synthetic["message"]["model"] = "<synthetic>"
    write(folder / "s3.jsonl", synthetic, '{"type":"assistant","message":{"id":"m9","usa\n', "\n", "[1]\n")
    found = index_of(home, log).read(now_s=LATER)
    assert sorted(row["response_id"] for row in rows(log)) == ["m0", "m1", "m2", "m3"]
    assert [json.loads(row["tags"]).get("sub") for row in rows(log) if row["response_id"] in ("m1", "m2")] == [
        None,
        "1",
    ]
    assert found.passed_over == {"error message": 1}


def test_nothing_of_a_text_reaches_the_disk(home: Path, log: Path) -> None:
    write(home / ".claude/projects/-shop/s1.jsonl", claude("m1"))
    index_of(home, log).read(now_s=LATER)
    for path in log.parent.glob("log.db*"):
        assert b"a secret text" not in path.read_bytes()


def test_a_second_reading_adds_what_was_appended_and_nothing_else(home: Path, log: Path) -> None:
    path = write(home / ".claude/projects/-shop/s1.jsonl", claude("m1"))
    index = index_of(home, log)
    assert index.read(now_s=LATER).calls == 1
    assert index.read(now_s=LATER).calls == 0
    line = json.dumps(claude("m2", "10:05:00"))
    write(path, line[:60], mode="a")
    assert index.read(now_s=LATER).calls == 0, "an unfinished line is read again once it is whole"
    write(path, line[60:] + "\n", mode="a")
    assert index.read(now_s=LATER).calls == 1
    copied = path.read_text()
    path.unlink()
    write(path, copied)  # another inode: read anew
    assert index.read(now_s=LATER).calls == 0
    assert len(rows(log)) == 2


def test_a_call_that_still_grows_is_waited_for(home: Path, log: Path) -> None:
    path = write(home / ".claude/projects/-shop/s1.jsonl", claude("m1", output=1, stop=None))
    index = index_of(home, log)
    written_s = path.stat().st_mtime
    assert index.read(now_s=written_s + 1).calls == 0
    write(path, claude("m1", "10:00:02", output=70), mode="a")
    assert index.read(now_s=written_s + 2).calls == 1
    assert rows(log)[0]["usage_output_tokens"] == 70


def test_a_process_that_dies_between_log_and_index_does_not_count_twice(
    home: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / ".claude/projects/-shop/s1.jsonl", claude("m1"), claude("m2"))
    real = session_index.insert_rows

    def dies(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(session_index, "insert_rows", dies)
    with pytest.raises(KeyboardInterrupt):
        index_of(home, log).read(now_s=LATER)
    monkeypatch.undo()
    assert len(rows(log)) == 2
    assert index_of(home, log).read(now_s=LATER).calls == 0
    assert len(rows(log)) == 2


def test_codex_counts_totals_that_change_and_knows_compaction(home: Path, log: Path) -> None:
    day = home / ".codex/sessions/2026/11/20"
    limits = {"primary": {"used_percent": 12.0, "window_minutes": 300, "resets_at": 4_100_000_000}}
    path = write(
        day / "rollout-1-a.jsonl",
        meta("a"),
        tokens("09:00:00", [0, 0, 0, 0]) | {"payload": {"type": "token_count", "info": None, "rate_limits": None}},
        TURN,
        tokens("09:01:00", [100, 40, 10, 5], [100, 40, 10, 5], **limits),
        tokens("09:01:01", [100, 40, 10, 5], [100, 40, 10, 5]),
        tokens("09:02:00", [300, 90, 30, 9]),
        tokens("09:03:00", [50, 0, 5, 0]),
    )
    write(home / ".codex/archived_sessions/2026/11/20/rollout-1-a.jsonl", path.read_text())
    assert index_of(home, log).read(now_s=LATER).calls == 3
    assert [(row["usage_input_tokens"], row["usage_output_tokens"]) for row in rows(log)] == [
        (100, 10),
        (200, 20),
        (50, 5),
    ]
    assert {row["request_model"] for row in rows(log)} == {"gpt-5.4"}
    assert limits_of(log)["codex"][1] == limits


@pytest.mark.parametrize("parent_is_there", [True, False])
def test_a_fork_begins_after_its_parent_s_history(home: Path, log: Path, parent_is_there: bool) -> None:
    day = home / ".codex/sessions/2026/11/20"
    history = [TURN, tokens("09:01:00", [100, 0, 10, 0], [100, 0, 10, 0]), tokens("09:02:00", [300, 0, 30, 0])]
    parent = "00000000-0000-0000-0000-00000000000a"
    if parent_is_there:
        write(day / f"rollout-1-{parent}.jsonl", meta(parent), *history, tokens("09:09:00", [400, 0, 40, 0]))
    again = [{**line, "timestamp": "2026-11-20T09:30:00.000Z"} for line in history]
    child = [meta("b", forked_from_id=parent), meta(parent), *again[1:], TURN, tokens("09:31:00", [350, 0, 35, 0])]
    write(day / "rollout-2-b.jsonl", *child)
    index_of(home, log).read(now_s=LATER)
    mine = [row for row in rows(log) if row["conversation_id"] == "b"]
    assert [(row["usage_input_tokens"], row["usage_output_tokens"]) for row in mine] == [(50, 5)]
    assert (json.loads(mine[0]["tags"]).get("approximate") == "1") is not parent_is_there
    assert len(rows(log)) == (4 if parent_is_there else 1)


def test_sessions_without_a_model_are_unknown_and_unpriced(home: Path, log: Path) -> None:
    write(home / ".codex/sessions/2026/11/20/rollout-1-a.jsonl", meta("a"), tokens("09:01:00", [9, 0, 1, 0]))
    index_of(home, log).read(now_s=LATER)
    assert (rows(log)[0]["request_model"], rows(log)[0]["cost_usd"]) == ("unknown", None)


def test_blocks_begin_at_the_full_hour_and_groups_add_up(home: Path, log: Path) -> None:
    times = ("10:30:00", "14:59:59", "15:00:00", "21:10:00")
    write(home / ".claude/projects/-shop/s1.jsonl", *(claude(f"m{at}", at) for at in times))
    index_of(home, log).read(now_s=LATER)
    calls = calls_of(log)
    assert [(block.start_ms // 3_600_000 % 24, block.sums.calls) for block in blocks_of(calls)] == [
        (10, 2),
        (15, 1),
        (21, 1),
    ]
    assert grouped(calls, "project")["shop"].calls == 4
    block = blocks_of(calls)[-1]
    soon = block.calls[0].at_ms + 60_000
    assert block.burn_per_hour(soon) is None, "a minute is too little for a rate"
    assert block.forecast_usd(block.calls[0].at_ms + 1_200_000) > block.sums.cost_usd


def test_following_looks_at_folders_and_recent_files_alone(home: Path) -> None:
    path = write(home / ".claude/projects/-shop/s1.jsonl", claude("m1"))
    follower = Follower(Sources.default({}, home))
    now_s = path.stat().st_mtime
    assert follower.changed(now_s)
    assert not follower.changed(now_s + 1)
    write(path, claude("m2"), mode="a")
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000))
    assert follower.changed(now_s + 2)
    write(path.with_name("s2.jsonl"), claude("m3"))
    assert follower.changed(now_s + 3)


def test_a_session_that_rested_long_is_found_in_turns_and_a_place_that_comes_at_once(home: Path, log: Path) -> None:
    path = write(home / ".claude/projects/-shop/s1.jsonl", claude("m1"))
    folder = write(path.with_suffix("") / "subagents" / "agent-1.jsonl", claude("m2", isSidechain=True)).parent
    for each in (path, folder / "agent-1.jsonl", folder, folder.parent):
        os.utime(each, (1_000_000, 1_000_000))
    follower = Follower(Sources.default({}, home))
    now_s = path.parent.stat().st_mtime + 1
    assert follower.changed(now_s)
    assert not any(follower.changed(now_s + 1) for _ in range(20))
    write(path, claude("m3"), mode="a")
    assert any(follower.changed(now_s + 1) for _ in range(16))
    assert follower.grown == {path}
    write(folder / "agent-2.jsonl", claude("m4", isSidechain=True))  # of a session that grows: by the next look
    assert follower.changed(now_s + 1)
    write(home / ".codex/sessions/2026/11/20/rollout-1-a.jsonl", meta("a"))
    assert follower.changed(now_s + 1)


def test_the_command(
    home: Path, log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / ".claude/projects/-shop/s1.jsonl", claude("m1"))
    assert main(["agents", "import", str(home / ".claude"), "--log", str(log), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calls"] == 1
    assert main(["agents", str(home / ".claude"), "--log", str(log), "--since", "2026-11-01", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["total"]["calls"], told["groups"][0]["name"], told["total"]["cache_share"]) == (1, "shop", 100 / 140)
    assert main(["agents", "blocks", "--no-import", "--since", "2026-11-01", "--log", str(log), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["end_kind"] == "estimated"
    assert main(["agents", "doctor", str(home / ".claude"), "--log", str(log)]) == 0
    assert "1 files" in capsys.readouterr().out
    assert main(["agents", "blcks", "--log", str(log)]) == 2
    assert "Did you mean blocks?" in capsys.readouterr().err


def test_a_follower_names_the_files_that_grew_and_they_alone_are_read(home: Path, log: Path) -> None:
    path = write(home / ".claude/projects/-shop/s1.jsonl", claude("m1"))
    other = write(home / ".claude/projects/-shop/s2.jsonl", claude("m2", sessionId="s2"))
    index, follower = index_of(home, log), Follower(Sources.default({}, home))
    now_s = path.stat().st_mtime
    assert follower.changed(now_s)
    assert follower.grown is None
    assert index.read(now_s=LATER).calls == 2
    looked: list[int] = []
    write(path, claude("m3"), mode="a")
    assert follower.changed(now_s + 1)
    assert follower.grown == {path}
    assert index.read(now_s=LATER, only=follower.grown, progress=lambda _, of: looked.append(of)).calls == 1
    assert looked == [1]
    write(other, claude("m4", sessionId="s2"), mode="a")
    assert follower.changed(now_s + 2)
    assert index.read(now_s=LATER, only=follower.grown).calls == 1
    assert len(calls_of(log)) == 4
