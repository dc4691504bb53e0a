"""The page of coding agents: session files appear as figures, and what is appended follows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.promptop_tui.monitor.conftest import NOW, Host, row, screen_text, write
from tests.support.waits import until_shown as until

from promptop_tui.monitor.dialogs.agents_dialog import AgentsDialog


def line(number: int, age_s: float, **usage: int) -> str:
    at = datetime.fromtimestamp(NOW - age_s, UTC).isoformat().replace("+00:00", "Z")
    counts = {"input_tokens": 100, "output_tokens": 50, "cache_read_input_tokens": 99_900, **usage}
    message = {"id": f"m{number}", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn"}
    message |= {"usage": counts, "content": [{"type": "text", "text": "a secret text"}]}  # type: ignore[dict-item]
    told = {"type": "assistant", "timestamp": at, "sessionId": "abcdef1234", "requestId": f"r{number}"}
    return json.dumps({**told, "cwd": "/home/me/shop", "gitBranch": "main", "message": message}) + "\n"


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "claude"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex"))
    file = tmp_path / "claude" / "projects" / "-home-me-shop" / "abcdef1234.jsonl"
    file.parent.mkdir(parents=True)
    return file


async def test_session_files_are_shown_and_followed(log_path: Path, sessions: Path) -> None:
    log_path.parent.mkdir()
    write(log_path, [row(30)])
    sessions.write_text("".join(line(number, 1800 - 60 * number) for number in range(20)))
    app = Host(log_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "gpt-4o-mini" in screen_text(app))
        await pilot.press("A")
        # Widgets are painted one after another: wait for the last figure that is looked at.
        shown = ("live", "20 calls", "By project", "min left", "50% of 200k", "shop")
        await until(pilot, lambda: all(each in screen_text(app) for each in shown))
        text = screen_text(app)
        assert "By project" in text
        assert "shop" in text
        assert "min left" in text
        assert "/h → ≈ $" in text
        assert "50% of 200k" in text
        assert "secret" not in text
        with sessions.open("a") as file:
            file.write(line(99, 1, cache_read_input_tokens=149_900))
        await until(pilot, lambda: "21 calls" in screen_text(app) and "75% of 200k" in screen_text(app))
        await pilot.press("tab", "tab")
        await until(pilot, lambda: "shop · abcdef12" in screen_text(app).split("By session")[-1])
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, AgentsDialog))
        assert app.pane.view.asked.filter == 'app:claude-code,codex conversation:"abcdef1234"'
        await until(pilot, lambda: "claude-s" in screen_text(app))


async def test_without_session_files_it_says_where_they_would_be(log_path: Path, sessions: Path) -> None:
    sessions.parent.rmdir()
    log_path.parent.mkdir()
    write(log_path, [row(30)])
    app = Host(log_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "gpt-4o-mini" in screen_text(app))
        await pilot.press("A")
        await until(pilot, lambda: "No calls of coding agents" in screen_text(app))
        assert "~/.codex/sessions" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, AgentsDialog))


async def test_a_simulated_log_gets_no_real_sessions(log_path: Path, sessions: Path) -> None:
    log_path.parent.mkdir()
    write(log_path, [row(30, simulated=1)])
    sessions.write_text(line(1, 60))
    app = Host(log_path, simulated=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "gpt-4o-mini" in screen_text(app))
        await pilot.press("A")
        await until(pilot, lambda: "session files are not read" in screen_text(app))
        assert "shop" not in screen_text(app)
