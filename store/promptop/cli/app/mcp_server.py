"""Answer an agent's questions over the Model Context Protocol (stdio): cost, changes, caches, tokens. Read-only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from promptop import models
from promptop.base.errors import PromptopError
from promptop.base.times import moment_ms
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag
from promptop.cli.report_formats import changes as change_forms
from promptop.cli.report_formats import report_text
from promptop.cli.shared.options import settings_of, settings_options
from promptop.log import LogReader
from promptop.settings import Settings

_MOST_TEXT = 1_000_000
_MOST_ROWS = 20_000
_ROWS = ("id", "started_ms", "app", "request_model", "prompt_name", "prompt_version", "error_type", "total_s", "ttft_s")
_USED = ("usage_input_tokens", "usage_output_tokens", "usage_cache_read_input_tokens", "cost_usd", "cost_status")


EXAMPLES = (
    "promptop mcp",
    "promptop mcp --bodies",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        *settings_options(),
        flag("--bodies", help="let requests be read with their prompts and answers, where they are kept"),
    ]


def run(args: ParsedArguments) -> int:
    """Serve on standard input and output until the client ends."""
    settings = settings_of(args)
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.types import ToolAnnotations
    except ImportError:
        raise PromptopError("promptop mcp needs the extra mcp.", "pip install 'promptop[mcp]'") from None
    import promptop

    questions = Questions(settings)
    server = MCPServer("promptop", version=promptop.__version__, log_level="ERROR", instructions=__doc__)
    tools: list[Callable[..., object]] = [
        questions.what_did_it_cost,
        questions.what_changed,
        questions.which_prompt_regressed,
        questions.why_did_the_cache_miss,
        questions.count_tokens,
        questions.trim_text,
        questions.latest_requests,
    ]
    if args.bodies:
        tools.append(questions.request_bodies)
    reading = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)
    for tool in tools:
        server.tool(annotations=reading)(tool)
    server.run("stdio")
    return 0


class Questions:
    """The tools: each answers with JSON objects and changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def what_did_it_cost(
        self, since: str = "24h", until: str = "now", by: str = "model", where: str = ""
    ) -> dict[str, Any]:
        """Cost, tokens, latency, errors and cache hits of a window of the request log, in all and by group.

        since, until: 24h, 7d, today or 2026-11-21T09:30. by: model, app, prompt, provider, host, day, tag.KEY.
        where: a filter such as 'app:web status:error'.
        """
        from promptop.cli.traffic.report import read

        begin, end, _ = _window(since, until)
        with self._log() as log:
            return dict(json.loads(report_text.json_text(read(log, begin, end, by=by, where=where))))

    def what_changed(self, since: str = "") -> list[Any]:
        """What is unusual now against the hours and days before; with since, that window against the one before it."""
        from promptop.alerts import watch
        from promptop.alerts.comparison import window_changes

        with self._log() as log:
            if since:
                begin, end, _ = _window(since, "now")
                found = window_changes(log, begin, end)
            else:
                found = list(watch.look(log, time.time_ns() // 1_000_000).changes)
        return list(json.loads(change_forms.json_text(found)))

    def which_prompt_regressed(self, since: str = "24h") -> list[Any]:
        """Prompts and their versions that became slower, dearer or worse in a window against the one before it."""
        from promptop.alerts.comparison import window_changes

        begin, end, _ = _window(since, "now")
        with self._log() as log:
            found = [c for c in window_changes(log, begin, end) if c.dimension in ("prompt", "version")]
        return list(json.loads(change_forms.json_text(found)))

    def why_did_the_cache_miss(self, since: str = "24h", where: str = "") -> list[Any]:
        """Why the provider's prompt cache or promptop's response cache did not answer, the dearest cause first."""
        from promptop.cache.misses import findings_of

        begin, end, _ = _window(since, "now")
        with self._log() as log:
            rows = log.between(begin, end, _MOST_ROWS, where or None)
        names = ("where", "cause", "model", "app", "prompt", "n", "tokens", "first_ms", "last_ms")
        found = findings_of(reversed(rows), lambda model: None)
        return [{name: getattr(each, name) for name in names} for each in found]

    def count_tokens(self, text: str, model: str = "gpt-4o") -> dict[str, Any]:
        """Tokens of a text for a model; kind says whether that is exact or estimated."""
        from promptop.tokens.counting import count

        found = count(_bounded(text), model)
        return {
            "model": model,
            "tokens": found.tokens,
            "kind": found.kind,
            "encoding": found.encoding,
            "interval": found.interval,
        }

    def trim_text(self, text: str, model: str = "gpt-4o", safe_only: bool = True) -> dict[str, Any]:
        """A prompt with fewer tokens by promptop's rules, and each edit; only edits that are safe unless asked."""
        from promptop.cli.prompts.trim import trimmed_json
        from promptop.trim import trim
        from promptop.trim.rule_switches import rules_for

        rules = rules_for(self._settings.editor, safe_only=safe_only)
        known = models.find(model)
        encoding = known.encoding if known is not None else "o200k_base"
        return trimmed_json(model, trim(_bounded(text), encoding, rules))

    def latest_requests(self, limit: int = 20, where: str = "") -> list[Any]:
        """The newest requests of the log, without prompts and answers. where: a filter such as 'status:error'."""
        with self._log() as log:
            rows = log.latest(max(1, min(limit, 200)), where=where or None)
        return [{name: getattr(row, name) for name in (*_ROWS, *_USED)} for row in rows]

    def request_bodies(self, request: int) -> dict[str, Any]:
        """The prompt and the answer of one request, by its id in the log, where bodies are kept."""
        from promptop.log.write.bodies import read_body

        found = read_body(self._settings.log_path(), request)
        return {"request": found.request if found else None, "response": found.response if found else None}

    def _log(self) -> LogReader:
        return LogReader(self._settings.log_path())


def _window(since: str, until: str) -> tuple[int, int, int]:
    now_ms = time.time_ns() // 1_000_000
    return moment_ms(since, now_ms), moment_ms(until, now_ms) + (until == "now"), now_ms


def _bounded(text: str) -> str:
    if len(text) > _MOST_TEXT:
        raise PromptopError(f"A text may have {_MOST_TEXT:,} characters.", "Send a part of it.")
    return text
