"""Self-hosted servers beside the log's figures: a line each, and nothing where no profile names one."""

from __future__ import annotations

import pytest
from tests.support.waits import until_shown as until
from textual.app import App, ComposeResult
from textual.widgets import Static

from promptop.base.errors import PromptopError
from promptop.providers.servers.status import ServerStatus
from promptop.settings import Profile
from promptop_tui.monitor.views import server_strip
from promptop_tui.monitor.views.server_strip import ServerLine, ServerStrip, line_text


class Host(App[None]):
    """An app with the strip alone."""

    def __init__(self, profiles: dict[str, Profile]) -> None:
        super().__init__()
        self._profiles = profiles

    def compose(self) -> ComposeResult:
        yield ServerStrip(self._profiles)


def test_figures_that_are_not_given_are_left_out() -> None:
    status = ServerStatus(running=3, waiting=0, kv_cache=0.5)
    assert line_text(ServerLine("a", "vllm", status), 1).plain.split() == [
        "a",
        "vllm",
        "running",
        "3",
        "waiting",
        "0",
        "KV",
        "cache",
        "50%",
    ]
    loaded = ServerStatus(models=("qwen3:8b",), memory_bytes=6_000_000_000)
    assert line_text(ServerLine("a", "ollama", loaded), 1).plain.endswith("in memory qwen3:8b  6.0 GB")
    full = line_text(ServerLine("a", "vllm", ServerStatus(kv_cache=0.99)), 1)
    assert any("error" in str(span.style) for span in full.spans)


async def test_servers_are_asked_while_they_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ServerStatus | None] = []

    def read(profile: Profile, before: ServerStatus | None) -> ServerStatus:
        if profile.name == "gone":
            raise PromptopError("It does not answer.", "Is it running?")
        asked.append(before)
        return ServerStatus(running=len(asked))

    monkeypatch.setattr(server_strip, "read_status", read)
    monkeypatch.setattr(server_strip, "EVERY_S", 0.01)
    app = Host({"gpu": Profile("gpu", server="vllm"), "gone": Profile("gone", server="sglang"), "x": Profile("x")})
    async with app.run_test(size=(100, 10)) as pilot:
        lines = app.query_one("#monitor-server-lines", Static)
        await until(pilot, lambda: len(asked) > 1 and "running" in str(lines.content))
        shown = str(lines.content)
        assert "gpu" in shown and "It does not answer. Is it running?" in shown and len(shown.splitlines()) == 2
        assert asked[0] is None and asked[1] is not None
        assert app.query_one(ServerStrip).has_class("-alarm")


async def test_nobody_is_asked_where_no_profile_names_a_server() -> None:
    app = Host({"openai": Profile("openai")})
    async with app.run_test() as pilot:
        await pilot.pause()
        assert not app.query_one(ServerStrip).has_class("-some")
