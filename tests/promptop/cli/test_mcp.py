"""promptop mcp, asked by the official client over stdio."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")
from mcp import Client, StdioServerParameters

from promptop.log import Row, Writer

TOOLS = {
    "what_did_it_cost",
    "what_changed",
    "which_prompt_regressed",
    "why_did_the_cache_miss",
    "count_tokens",
    "trim_text",
    "latest_requests",
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    now = time.time_ns() // 1_000_000
    with Writer(path, bodies="off") as writer:
        for number in range(5):
            writer.put(
                Row(
                    started_ms=now - 60_000 + number,
                    app="web",
                    request_model="gpt-4o",
                    usage_input_tokens=1000,
                    usage_output_tokens=10,
                    usage_source="reported",
                    prompt_hash="h",
                    cache_level="miss",
                )
            )
    return path


def server(log: Path, *more: str) -> StdioServerParameters:
    code = "import sys; from promptop.cli.main import main; sys.exit(main())"
    paths = os.pathsep.join(path for path in sys.path if path)
    return StdioServerParameters(
        command=sys.executable,
        args=["-c", code, "mcp", "--log", str(log), *more],
        env={"HOME": str(log.parent), "PATH": os.environ["PATH"], "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"},
    )


def told(result: Any) -> Any:
    assert not result.is_error, result.content
    found = result.structured_content
    return found["result"] if isinstance(found, dict) and set(found) == {"result"} else found


async def test_the_tools_answer_and_only_read(log: Path) -> None:
    before = log.stat().st_mtime_ns
    async with Client(server(log)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == TOOLS
        for tool in tools.values():
            assert tool.description and tool.input_schema["type"] == "object"
            assert tool.annotations is not None and tool.annotations.read_only_hint
        cost = told(await client.call_tool("what_did_it_cost", {"since": "1h"}))
        assert (cost["n"], cost["usage"]["input_tokens"], cost["groups"][0]["group"]) == (5, 5000, "gpt-4o")
        assert cost["cost_usd"] > 0
        count = told(await client.call_tool("count_tokens", {"text": "hello world", "model": "gpt-4o"}))
        assert (count["tokens"], count["kind"]) == (2, "exact")
        trim = told(await client.call_tool("trim_text", {"text": "In order to win, please play.  \n\n\n\nEnd."}))
        assert trim["tokens_after"] < trim["tokens_before"] and trim["edits"]
        rows = told(await client.call_tool("latest_requests", {"limit": 2}))
        assert [row["app"] for row in rows] == ["web", "web"]
        misses = told(await client.call_tool("why_did_the_cache_miss", {}))
        assert misses and misses[0]["where"] == "ours"
        for name in ("what_changed", "which_prompt_regressed"):
            assert isinstance(told(await client.call_tool(name, {})), list)
        wrong = await client.call_tool("what_did_it_cost", {"since": "yesterdayish"})
        assert wrong.is_error and "Traceback" not in json.dumps([str(c) for c in wrong.content])
    assert log.stat().st_mtime_ns == before


async def test_bodies_are_read_only_where_they_were_asked_for(log: Path) -> None:
    async with Client(server(log, "--bodies")) as client:
        assert "request_bodies" in {tool.name for tool in (await client.list_tools()).tools}
        assert told(await client.call_tool("request_bodies", {"request": 1})) == {"request": None, "response": None}
