"""Tools of MCP servers, by the official SDK (the extra ``mcp``): which there are, and what one gives.

A server is a command, whose program is started for each use and ended after it, or the address of one that runs. It
gets the arguments of the model's calls and no key of our environment: the SDK passes on ``PATH`` and its like alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import time
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.client.tools.mocks import LONGEST_S, MCP, MOST, ToolResult
from promptop.client.variants import read_tools

if TYPE_CHECKING:
    from mcp import Client

EVERY = "*"
"""Beginning of the name of a table that stands for every tool of its server."""
MOST_PAGES = 20
_T = TypeVar("_T")


def tools_of(server: str) -> list[dict[str, Any]]:
    """Return the tools of a server as the chat API takes them; blocks. Raises :class:`PromptopError` without any."""

    async def ask(client: Client) -> list[dict[str, Any]]:
        found, cursor = [], None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += [
                {"name": each.name, "description": each.description or "", "parameters": dict(each.input_schema)}
                for each in page.tools
            ]
            cursor = page.next_cursor
            if cursor is None:
                break
        return [{"type": "function", "function": each} for each in found]

    return _with_client(server, ask)


def call(server: str, name: str, arguments: str) -> ToolResult:
    """Have a server answer one call; blocks. What goes wrong is a result that says so."""
    started = time.perf_counter()

    async def ask(client: Client) -> tuple[str, bool]:
        found = await client.call_tool(name, given)
        parts = [getattr(each, "text", None) or f"[{each.type}]" for each in found.content]
        return "\n".join(parts), bool(found.is_error)

    try:
        given = json.loads(arguments or "{}")
        if not isinstance(given, dict):
            raise ValueError("they are no object")
        text, failed = _with_client(server, ask)
    except (ValueError, RecursionError) as error:
        text, failed = f"The arguments cannot be read: {error}.", True
    except PromptopError as error:
        text, failed = error.cause, True
    left_out = "\n[the rest was left out]" if len(text) > MOST else ""
    return ToolResult(text[:MOST] + left_out, MCP, time.perf_counter() - started, failed)


def with_servers(texts: dict[str, str]) -> dict[str, str]:
    """Return ``tools`` and ``mocks`` with every tool of the servers named there: what is sent is what is shown.

    A table ``["*"]`` (or ``["*files"]``) with ``mcp`` becomes a table for each of its server's tools. Blocks.
    """
    tables = tomllib.loads(texts["mocks"])
    servers = {name: table[MCP] for name, table in tables.items() if isinstance(table, dict) and MCP in table}
    if not servers:
        return texts
    tools = read_tools(texts["tools"])
    named = {str(each.get("function", each).get("name")) for each in tools}
    mocks = texts["mocks"].rstrip("\n")
    wanted = {server for name, server in servers.items() if name.startswith(EVERY) or name not in named}
    for server in dict.fromkeys(servers.values()):
        if server not in wanted:
            continue
        everything = any(name.startswith(EVERY) and each == server for name, each in servers.items())
        for tool in tools_of(server):
            name = tool["function"]["name"]
            if everything and name not in tables:
                mocks += f"\n\n[{json.dumps(name)}]\n{MCP} = {json.dumps(server)}"
            if name not in named and (everything or servers.get(name) == server):
                named.add(name)
                tools.append(tool)
    return {**texts, "tools": json.dumps(tools, ensure_ascii=False, indent=1), "mocks": mocks + "\n"}


def _with_client(server: str, ask: Callable[[Client], Awaitable[_T]]) -> _T:
    try:
        from mcp import Client, MCPError, StdioServerParameters
        from mcp.client.stdio import stdio_client
    except ModuleNotFoundError:
        raise PromptopError("Tools of MCP servers need the SDK.", "pip install 'promptop[mcp]'") from None
    shown = clean_line(server, 80)

    async def work() -> _T:
        if server.startswith(("http://", "https://")):
            async with Client(server, read_timeout_seconds=LONGEST_S) as client:
                return await ask(client)
        words = shlex.split(server)
        # Its messages would be drawn over the screen.
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            transport = stdio_client(StdioServerParameters(command=words[0], args=words[1:]), errlog=nowhere)
            async with Client(transport, read_timeout_seconds=LONGEST_S) as client:
                return await ask(client)

    try:
        return asyncio.run(asyncio.wait_for(work(), LONGEST_S))
    except TimeoutError:
        raise PromptopError(f"The MCP server {shown} did not answer within {LONGEST_S:g} s.", "Try it alone.") from None
    except (OSError, MCPError, ValueError) as error:
        said = clean_line(str(error), 200) or type(error).__name__
        raise PromptopError(f"The MCP server {shown} failed: {said}.", "Try it alone.") from None
    except ExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        said = clean_line(str(first), 200) or type(first).__name__
        raise PromptopError(f"The MCP server {shown} failed: {said}.", "Try it alone.") from None
