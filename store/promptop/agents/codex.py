"""Session files of Codex: a call is a ``token_count`` whose total differs from the one before.

A repeated total is a refresh of the limits. A fork or a sub-agent begins with its parent's history, which is skipped as
far as both agree; equal figures of unrelated sessions are two calls.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from promptop.agents.agent_call import CODEX, AgentCall, last_part, moment_ms
from promptop.providers.usage import Usage, whole

_MARKS = (b'"token_count"', b'"turn_context"', b'"session_meta"')
_COUNTS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")

ParentOf = Callable[[str], list[dict[str, Any]] | None]
"""Returns the ``info`` objects of the token counts of a session, by its id; None if its file is gone."""


def folders(environ: Mapping[str, str], home: Path) -> list[Path]:
    """Return CODEX_HOME, else ``.codex`` of the home."""
    named = environ.get("CODEX_HOME", "").strip()
    return [Path(named).expanduser() if named else home / ".codex"]


def files(places: list[Path]) -> Iterator[Path]:
    """Yield the session files; of one that lies in ``sessions`` and ``archived_sessions`` only the former."""
    for place in places:
        seen: set[str] = set()
        for kind in ("sessions", "archived_sessions"):
            root = place / kind
            for folder, _, names in os.walk(root):
                for name in names:
                    path = Path(folder, name)
                    inside = str(path.relative_to(root))
                    if name.endswith(".jsonl") and inside not in seen:
                        seen.add(inside)
                        yield path


class CodexFile:
    """Reads the lines of one file as they come, and gives its calls and the newest limits."""

    is_waiting = False

    def __init__(self, path: Path, state: Mapping[str, Any], parent_of: ParentOf) -> None:
        """Go on from ``state``; empty for a file that was not read yet."""
        self._path, self._parent_of = path, parent_of
        self._s: dict[str, Any] = {
            "session": "", "project": "", "version": "", "sub": False, "parent": "", "model": "unknown", "effort": "",
            "before": None, "calls": 0, "matched": 0, "matching": False, "orphan": False, **state,
        }  # fmt: skip
        self._calls: list[AgentCall] = []
        self.limits: dict[str, Any] | None = None
        self.limits_at_ms = 0
        self.passed_over: dict[str, int] = {}

    def state(self) -> dict[str, Any]:
        """Return what must be remembered beside the offset."""
        return self._s

    def calls(self, *, all_of_them: bool) -> list[AgentCall]:
        """Return the calls that were read since the last time."""
        ready, self._calls = self._calls, []
        return ready

    def take(self, line: bytes) -> None:
        """Read one line."""
        if not any(mark in line for mark in _MARKS):
            return
        try:
            entry = json.loads(line)
        except ValueError:
            self.passed_over["not JSON"] = self.passed_over.get("not JSON", 0) + 1
            return
        payload = entry.get("payload") if isinstance(entry, dict) else None
        if not isinstance(payload, dict):
            return
        if entry.get("type") == "session_meta":
            self._meta(payload)
        elif entry.get("type") == "turn_context":
            self._s["model"] = payload.get("model") if isinstance(payload.get("model"), str) else "unknown"
            self._s["effort"] = payload.get("effort") if isinstance(payload.get("effort"), str) else ""
            self._s["orphan"] = False
        elif entry.get("type") == "event_msg" and payload.get("type") == "token_count":
            self._count(entry, payload)

    def _meta(self, payload: dict[str, Any]) -> None:
        if self._s["session"]:
            return  # the parent's, copied
        identity = payload.get("id")
        self._s["session"] = identity if isinstance(identity, str) else self._path.stem
        self._s["project"] = last_part(payload.get("cwd"))
        self._s["version"] = payload.get("cli_version") if isinstance(payload.get("cli_version"), str) else ""
        parent = payload.get("forked_from_id")
        if isinstance(parent, str) and parent:
            self._s["parent"] = parent
            self._s["sub"] = isinstance(payload.get("source"), dict)
            self._s["matching"] = True
            if self._parent_of(parent) is None:
                self._s["matching"], self._s["orphan"], self._s["approximate"] = False, True, True

    def _count(self, entry: dict[str, Any], payload: dict[str, Any]) -> None:
        at_ms = moment_ms(entry.get("timestamp"))
        limits = payload.get("rate_limits")
        if isinstance(limits, dict) and at_ms is not None and at_ms >= self.limits_at_ms and _is_real(limits):
            self.limits, self.limits_at_ms = limits, at_ms
        info = payload.get("info")
        if not isinstance(info, dict) or at_ms is None:
            return
        so_far = _counts(info.get("total_token_usage"))
        if so_far is None:
            return
        before = self._s["before"]
        if self._s["matching"]:
            history = self._parent_of(self._s["parent"]) or []
            place = self._s["matched"]
            if place < len(history) and history[place] == info:
                self._s["matched"], self._s["before"] = place + 1, so_far
                return
            self._s["matching"] = False
        if self._s["orphan"]:
            self._s["before"] = so_far
            return
        if so_far == before:
            return
        self._s["before"] = so_far
        last = _counts(info.get("last_token_usage"))
        if last is None:
            falls = before is not None and so_far[0] + so_far[2] < before[0] + before[2]
            last = so_far if before is None or falls else [max(0, a - b) for a, b in zip(so_far, before, strict=True)]
        self._s["calls"] += 1
        self._calls.append(
            AgentCall(
                key=f"{self._s['session']}:{self._s['calls']}",
                app=CODEX,
                at_ms=at_ms,
                model=self._s["model"],
                usage=Usage(last[0], last[2], last[1], None, last[3]),
                session=self._s["session"],
                project=self._s["project"],
                is_sub=bool(self._s["sub"]),
                is_fork=bool(self._s["parent"]),
                is_approximate=bool(self._s.get("approximate")),
                version=self._s["version"],
                effort=self._s["effort"],
                context_window=whole(info.get("model_context_window")),
            )
        )


def _counts(usage: object) -> list[int] | None:
    """Return [input with cached, cached, output with reasoning, reasoning] of a usage object; None if it is none."""
    if not isinstance(usage, dict):
        return None
    return [whole(usage.get(name)) or 0 for name in _COUNTS]


def _is_real(limits: dict[str, Any]) -> bool:
    """Tell limits from a placeholder of zeros."""
    windows = [limits.get(name) for name in ("primary", "secondary")]
    return any(isinstance(window, dict) and window.get("used_percent") for window in windows)


def infos_of(path: Path) -> list[dict[str, Any]]:
    """Return the ``info`` objects of the token counts of a file, its own copied history included."""
    infos = []
    with path.open("rb") as file:
        for line in file:
            if b'"token_count"' not in line:
                continue
            try:
                payload = json.loads(line)["payload"]
            except (ValueError, KeyError, TypeError):
                continue
            if (
                isinstance(payload, dict)
                and payload.get("type") == "token_count"
                and isinstance(payload.get("info"), dict)
            ):
                infos.append(payload["info"])
    return infos
