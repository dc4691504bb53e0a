"""One call of a coding agent, as its session file tells it, and the row of the log that it becomes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from promptop.log.row import Row
from promptop.log.write.row_pricing import price_row
from promptop.providers.usage import Usage

CLAUDE_CODE, CODEX = "claude-code", "codex"
APPS = (CLAUDE_CODE, CODEX)
"""Values of the column ``app`` of agents' rows."""


@dataclass(slots=True)
class AgentCall:
    """A call; times are UTC Unix milliseconds."""

    key: str
    """What tells it from every other call of that agent, also in another file."""
    app: str
    at_ms: int
    model: str
    """``unknown`` where the file names none."""
    usage: Usage
    session: str = ""
    project: str = ""
    branch: str = ""
    agent: str = ""
    """Id of the sub-agent; empty for the session's own calls."""
    is_sub: bool = False
    version: str = ""
    effort: str = ""
    request_id: str = ""
    finish: str = ""
    tier: str = ""
    context_window: int | None = None
    is_fork: bool = False
    is_approximate: bool = False
    """The history that it shares with another session could not be told apart for certain."""
    tags: dict[str, str] = field(default_factory=dict)

    def row(self) -> Row:
        """Return the row; its latency columns stay NULL, for session files do not tell them."""
        tags = {
            "project": self.project,
            "branch": self.branch,
            "agent": self.agent,
            "sub": "1" if self.is_sub else "",
            "effort": self.effort,
            "fork": "1" if self.is_fork else "",
            "approximate": "1" if self.is_approximate else "",
            "version": self.version,
            "cache_1h": str(self.usage.cache_write_1h or ""),
            "context_window": str(self.context_window or ""),
            **self.tags,
        }
        is_claude = self.app == CLAUDE_CODE
        usage = self.usage
        row = Row(
            started_ms=self.at_ms,
            app=self.app,
            tags=json.dumps({name: value for name, value in tags.items() if value}, ensure_ascii=False),
            operation_name="chat",
            provider_name=_claude_provider(self.model) if is_claude else "openai",
            openai_api_type=None if is_claude else "responses",
            conversation_id=self.session or None,
            request_model=self.model,
            response_model=self.model,
            response_id=self.key if is_claude else None,
            request_id=self.request_id or None,
            response_service_tier=self.tier or None,
            response_finish_reasons=json.dumps([self.finish]) if self.finish else None,
            request_reasoning_effort=self.effort or None,
            usage_input_tokens=usage.input_tokens,
            usage_output_tokens=usage.output_tokens,
            usage_cache_read_input_tokens=usage.cache_read,
            usage_cache_write_input_tokens=usage.cache_write,
            usage_reasoning_output_tokens=usage.reasoning,
            usage_source="reported",
            cost_usd=usage.cost_usd,
            cost_status="reported" if usage.cost_usd is not None else None,
        )
        price_row(row, usage)
        return row


def _claude_provider(model: str) -> str:
    """Return who serves a model of Claude, by the form of its name: Bedrock and Vertex have their own."""
    if model.startswith(("us.", "eu.", "apac.", "anthropic.", "global.")):
        return "aws.bedrock"
    return "gcp.vertex_ai" if "@" in model else "anthropic"


def largest(one: Usage, other: Usage) -> Usage:
    """Return, for each figure, the larger of two readings of the same call: output grows while it is written."""
    grown: dict[str, Any] = {}
    for name in (
        "input_tokens",
        "output_tokens",
        "cache_read",
        "cache_write",
        "cache_write_1h",
        "reasoning",
        "web_searches",
    ):
        values = [value for value in (getattr(one, name), getattr(other, name)) if value is not None]
        grown[name] = max(values) if values else None
    return replace(one, **grown, cost_usd=one.cost_usd if one.cost_usd is not None else other.cost_usd)


def moment_ms(text: object) -> int | None:
    """Return Unix milliseconds of an ISO time with its zone; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def last_part(path: object) -> str:
    """Return the last part of a path of either kind of system."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(path, str) else ""
