"""Session files of Claude Code: a call is a ``message.id``, written as several lines while it streams.

Rules, each held by a fixture: the largest of the lines counts; the id alone tells calls apart, in whatever file it
stands; sub-agents' lines are calls of their own, copies of the parent's message are not; sums in tool results and
``<synthetic>`` messages are no calls.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptop.agents.agent_call import CLAUDE_CODE, AgentCall, largest, last_part, moment_ms
from promptop.providers.anthropic import ANTHROPIC
from promptop.providers.usage import amount

_ASSISTANT = (b'"assistant"', b'"usage"')


def folders(environ: Mapping[str, str], home: Path) -> list[Path]:
    """Return where session files lie: CLAUDE_CONFIG_DIR (several by commas), else both places of the home."""
    named = [
        Path(part.strip()).expanduser() for part in environ.get("CLAUDE_CONFIG_DIR", "").split(",") if part.strip()
    ]
    return [folder / "projects" for folder in named or (home / ".claude", home / ".config" / "claude")]


def folders_of(folder: Path) -> list[Path]:
    """Return the places that belong to a folder that the user named: ``.claude`` has a second one beside it."""
    places = [folder / "projects", folder] if (folder / "projects").is_dir() else [folder]
    if folder.name == ".claude":
        places.append(folder.parent / ".config" / "claude" / "projects")
    return [place for place in dict.fromkeys(places[:1] + places[2:]) if place.is_dir()]


def files(places: list[Path]) -> Iterator[Path]:
    """Yield the session files of some places, sub-agents' included."""
    for place in places:
        for folder, _, names in os.walk(place):
            for name in names:
                if name.endswith(".jsonl"):
                    yield Path(folder, name)


class ClaudeFile:
    """Reads the lines of one file as they come, and gives the calls that are complete."""

    def __init__(self, path: Path, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, which is what :meth:`state` returned; empty for a file that was not read yet."""
        self._path = path
        self._open: dict[str, AgentCall] = {}
        self.passed_over: dict[str, int] = {}
        """Lines that are no calls, by cause."""

    def state(self) -> dict[str, Any]:
        """Return what must be remembered beside the offset: nothing, for a call is given only once it is complete."""
        return {}

    def take(self, line: bytes) -> None:
        """Read one line."""
        if not all(mark in line for mark in _ASSISTANT):
            return
        try:
            entry = json.loads(line)
        except ValueError:
            self._pass("not JSON")
            return
        if not isinstance(entry, dict) or entry.get("type") != "assistant":
            return
        message = entry.get("message")
        usage = message.get("usage") if isinstance(message, dict) else None
        if not isinstance(usage, dict) or not isinstance(message, dict):
            return
        if message.get("model") == "<synthetic>" or entry.get("isApiErrorMessage"):
            self._pass("error message")
            return
        identity, at_ms = message.get("id"), moment_ms(entry.get("timestamp"))
        if not isinstance(identity, str) or at_ms is None:
            self._pass("without id or time")
            return
        call = self._call(entry, message, identity, at_ms)
        known = self._open.get(identity)
        if known is None:
            self._open[identity] = call
            return
        known.usage = largest(known.usage, call.usage)
        known.is_sub = known.is_sub and call.is_sub
        known.at_ms = min(known.at_ms, call.at_ms)
        known.finish = call.finish or known.finish

    def calls(self, *, all_of_them: bool) -> list[AgentCall]:
        """Return the calls that were read since the last time; without those that may still grow unless ``all``."""
        ready = [call for call in self._open.values() if all_of_them or call.finish]
        for call in ready:
            del self._open[call.key]
        return ready

    @property
    def is_waiting(self) -> bool:
        """Whether a call was begun that is not complete."""
        return bool(self._open)

    def _pass(self, cause: str) -> None:
        self.passed_over[cause] = self.passed_over.get(cause, 0) + 1

    def _call(self, entry: dict[str, Any], message: dict[str, Any], identity: str, at_ms: int) -> AgentCall:
        usage = ANTHROPIC.usage(message["usage"])
        cost = amount(entry.get("costUSD"))  # old versions wrote it
        if cost:
            usage = replace(usage, cost_usd=cost)
        model = message.get("model")
        return AgentCall(
            key=identity,
            app=CLAUDE_CODE,
            at_ms=at_ms,
            model=model if isinstance(model, str) and model else "unknown",
            usage=usage,
            session=_text(entry.get("sessionId")),
            project=last_part(entry.get("cwd")),
            branch=_text(entry.get("gitBranch")),
            agent=_text(entry.get("agentId")),
            is_sub=bool(entry.get("isSidechain")),
            version=_text(entry.get("version")),
            request_id=_text(entry.get("requestId")),
            finish=_text(message.get("stop_reason")),
            tier=_text(message["usage"].get("service_tier")),
        )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
