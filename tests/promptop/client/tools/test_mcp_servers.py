"""Tools of a real MCP server over stdio: listed, taken into the texts, called, and what goes wrong with it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from promptop.base.errors import PromptopError, UsageError
from promptop.client.tools.mcp_servers import call, tools_of, with_servers
from promptop.client.tools.mocks import answer_all, read_mocks

pytest.importorskip("mcp")
SERVER = """
import os
from mcp.server import MCPServer

server = MCPServer("numbers")

@server.tool()
def add(a: int, b: int) -> str:
    "Add two numbers."
    return f"{a + b}"

@server.tool()
def seen() -> str:
    "Say whether a key is seen."
    return os.environ.get("OPENAI_API_KEY", "none")

server.run()
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    (tmp_path / "server.py").write_text(SERVER)
    return f"{sys.executable} {tmp_path / 'server.py'}"


def test_all_tools_of_a_server_are_shown_and_answered(command: str) -> None:
    texts = with_servers({"tools": "", "mocks": f'["*"]\nmcp = {json.dumps(command)}\n', "format": ""})
    assert [each["function"]["name"] for each in json.loads(texts["tools"])] == ["add", "seen"]
    assert with_servers(texts)["tools"] == texts["tools"]
    answers = read_mocks(texts["mocks"], commands=True)
    results = answer_all((("add", '{"a": 2, "b": 5}'), ("add", '{"a": "x"}'), ("seen", "")), answers)
    assert [(each.text, each.failed) for each in (results[0], results[2])] == [("7", False), ("none", False)]
    assert results[1].failed and results[0].how == "mcp"


def test_a_server_needs_the_users_consent(command: str) -> None:
    with pytest.raises(UsageError, match="not allowed"):
        read_mocks(f"[add]\nmcp = {json.dumps(command)}", commands=False)


@pytest.mark.parametrize("server", ["/no/such/program", f"{sys.executable} -c 1", "http://127.0.0.1:9/mcp"])
def test_a_server_that_does_not_serve_is_named(server: str) -> None:
    with pytest.raises(PromptopError, match="The MCP server"):
        tools_of(server)
    assert call(server, "add", "{}").failed
