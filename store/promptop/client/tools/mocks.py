"""Mocked results of tools: a fixed text, one chosen by a pattern on the arguments, what a command or MCP server gives.

Written as TOML, a table for each tool. A command is a program of the user's: it runs only where the settings allow it
(``tool_commands``), gets the arguments as JSON on its standard input, and is ended after :data:`LONGEST_S`.
"""

from __future__ import annotations

import re
import shlex
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from promptop.base.errors import PromptopError, UsageError
from promptop.base.processes import run_program
from promptop.base.sanitize import clean_line

LONGEST_S = 20.0
"""Seconds that a command may take."""
MOST = 100_000
"""Characters of a result that are sent to the model; the rest is left out, and that is said in the result."""
MCP = "mcp"
KINDS = ("fixed", "regex", "command", MCP)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave."""

    text: str
    how: str
    """``fixed``, ``regex``, ``command`` or the name of the MCP server."""
    took_s: float = 0.0
    failed: bool = False
    """Whether the text is the reason why there is no result; the model gets it all the same."""


Answer = Callable[[str], ToolResult]
"""Takes the JSON of the arguments; may block."""


def read_mocks(text: str, *, commands: bool) -> dict[str, Answer]:
    """Read mocks by the name of their tool; raise :class:`UsageError` with what cannot be read.

    ``commands`` says whether the settings allow programs to be run.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"The tool results are not TOML: {error}.", 'Write [tool], below it fixed = "…" or regex = [["…", "…"]].'
        ) from None
    return {name: _mock(name, table, commands) for name, table in tables.items()}


def _mock(name: str, table: Any, commands: bool) -> Answer:
    shown = clean_line(name, 40)
    kinds = [kind for kind in KINDS if isinstance(table, Mapping) and kind in table]
    if not isinstance(table, Mapping) or len(kinds) != 1 or len(table) != 1:
        raise UsageError(
            f"The result of {shown} is not one of {', '.join(KINDS)}.", f'Write [{shown}], then fixed = "…".'
        )
    kind, value = kinds[0], table[kinds[0]]
    if kind == "fixed" and isinstance(value, str):
        return lambda _: ToolResult(value[:MOST], "fixed")
    if kind == "regex" and isinstance(value, list):
        return _by_pattern(shown, value)
    if kind in ("command", MCP) and isinstance(value, str) and value.strip():
        if not commands:
            raise UsageError(
                f"The result of {shown} is {'a command' if kind == 'command' else 'that of an MCP server'}, and"
                " commands are not allowed.",
                "Set tool_commands = true in [playground] of the settings: it is run with your rights.",
            )
        if kind == MCP:
            return partial(_by_server, value, name)
        try:
            arguments = shlex.split(value)
        except ValueError as error:
            raise UsageError(f"The command of {shown} cannot be read: {error}.", "Close its quotes.") from None
        return lambda given: run_command(arguments, given)
    raise UsageError(
        f"{kind} of {shown} cannot be read.",
        'All but regex are texts; regex is a list of ["pattern", "result"].',
    )


def _by_server(server: str, name: str, given: str) -> ToolResult:
    from promptop.client.tools.mcp_servers import call

    return call(server, name, given)


def _by_pattern(name: str, pairs: list[Any]) -> Answer:
    compiled: list[tuple[re.Pattern[str], str]] = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
            raise UsageError(f"A pattern of {name} is not a pair of texts.", 'Write regex = [["Paris", "18 °C"]].')
        try:
            compiled.append((re.compile(pair[0], re.DOTALL), pair[1]))
        except re.error as error:
            raise UsageError(f"{clean_line(pair[0], 60)!r} of {name} is not a pattern: {error}.", "Mend it.") from None

    def answer(given: str) -> ToolResult:
        for pattern, result in compiled:
            if found := pattern.search(given):
                return ToolResult(found.expand(result)[:MOST], "regex")
        return ToolResult(f"No pattern of the mock matches {given[:200]}.", "regex", failed=True)

    return answer


def run_command(arguments: list[str], given: str, *, longest_s: float = LONGEST_S) -> ToolResult:
    """Return what a program prints for these arguments; what goes wrong is a result that says so."""
    started = time.perf_counter()

    def over(text: str, *, failed: bool = False) -> ToolResult:
        return ToolResult(text, "command", time.perf_counter() - started, failed)

    try:
        ended = run_program(arguments, given.encode(), longest_s)
    except OSError as error:
        return over(f"The command could not be started: {error.strerror}.", failed=True)
    text = ended.printed.decode("utf-8", "replace").rstrip("\n")
    if ended.status is None:
        return over(f"The command did not end within {longest_s:g} s.", failed=True)
    if ended.status:
        why = clean_line(ended.complained.decode("utf-8", "replace").strip() or "it said nothing", 400)
        return over(f"The command failed ({ended.status}): {why}", failed=True)
    return over(text[:MOST] + ("\n[the rest was left out]" if len(text) > MOST else ""))


def answer_all(calls: tuple[tuple[str, str], ...], answers: Mapping[str, Answer]) -> list[ToolResult]:
    """Return a result for each call, in their order; blocks. One that raises is told to the model as a failure."""
    results = []
    for name, arguments in calls:
        try:
            results.append(answers[name](arguments))
        except PromptopError as error:
            results.append(ToolResult(error.cause, "failed", failed=True))
    return results
