"""How long ``promptop agents`` takes on a heavy user's session files, and what following them costs.

Run: python tests/benchmarks/agents.py [MB] [--follow-s S] [--folder FOLDER]. Makes session files of Claude Code and
Codex (1,000 MB by default: about 2,600 files of 30 days, lines of 0.5 to 60 KB) in a temporary folder, imports them
into a new log, and prints seconds of wall and processor time: the first import, first figures once the index knows the
files (median of 5 processes; aim: 2 s at 1,000 MB), the status line, and a follower's share of one core while a session
is written to once a second (aim: 1 %), with the time from a line to its row. Misses of an aim give exit code 1, as do
calls that are lost or counted twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

PROJECTS = ("web", "api", "infra", "docs", "tools")
CLAUDE_MODELS = ("claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5-20251001")
WORDS = "made-up words of a tool's result, as long as results are; " * 1_100
_DAYS = 30
_AIM_S, _AIM_CORE = 2.0, 0.01
_COMMAND = "import sys; from promptop_tui.main import main; sys.exit(main())"


@dataclass
class Made:
    """What was made."""

    bytes: int = 0
    files: int = 0
    lines: int = 0
    calls: int = 0
    output_tokens: int = 0


def _stamp(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def claude_call(number: int, at_s: float, session: str, project: str, output: int, **more: Any) -> list[str]:
    """Return the lines of one call of Claude Code: one for each of its two content blocks; the second is complete."""
    lines = []
    for stop, shown in ((None, output // 3), ("end_turn", output)):
        usage = {
            "input_tokens": number % 900,
            "cache_read_input_tokens": number * 37 % 120_000,
            "cache_creation_input_tokens": number * 11 % 9_000,
            "cache_creation": {"ephemeral_5m_input_tokens": number * 11 % 9_000, "ephemeral_1h_input_tokens": 0},
            "output_tokens": shown,
            "service_tier": "standard",
        }
        message = {
            "id": f"msg_{number:08d}", "type": "message", "role": "assistant", "stop_reason": stop, "usage": usage,
            "model": CLAUDE_MODELS[number % 3], "content": [{"type": "text", "text": WORDS[: number * 53 % 900]}],
        }  # fmt: skip
        line = {
            "type": "assistant", "timestamp": _stamp(at_s), "sessionId": session, "requestId": f"req_{number:08d}",
            "cwd": f"/home/dev/{project}", "gitBranch": "main", "version": "2.1.40", "isSidechain": False, **more,
            "message": message,
        }  # fmt: skip
        lines.append(json.dumps(line, separators=(",", ":")) + "\n")
    return lines


def _tool_result(at_s: float, size: int, kind: str) -> str:
    if kind == "claude":
        content = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": WORDS[:size]}]
        line = {"type": "user", "timestamp": _stamp(at_s), "message": {"role": "user", "content": content}}
    else:
        payload = {"type": "function_call_output", "output": WORDS[:size]}
        line = {"timestamp": _stamp(at_s), "type": "response_item", "payload": payload}
    return json.dumps(line, separators=(",", ":")) + "\n"


def codex_count(at_s: float, total: list[int], last: list[int]) -> str:
    """Return a token count of Codex; figures are [input, cached, output, reasoning, all]."""
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")
    info = {
        "total_token_usage": dict(zip(names, total, strict=True)),
        "last_token_usage": dict(zip(names, last, strict=True)),
        "model_context_window": 272_000,
    }
    limits = {
        "primary": {"used_percent": 12.5, "window_minutes": 300, "resets_at": round(at_s) + 3_600},
        "secondary": {"used_percent": 40.0, "window_minutes": 10_080, "resets_at": round(at_s) + 86_400},
    }
    payload = {"type": "token_count", "info": info, "rate_limits": limits}
    return json.dumps({"timestamp": _stamp(at_s), "type": "event_msg", "payload": payload}) + "\n"


def _claude_session(folder: Path, chance: random.Random, at_s: float, made: Made) -> None:
    project, session = chance.choice(PROJECTS), str(uuid.UUID(int=chance.getrandbits(128)))
    root = folder / ".claude/projects" / f"-home-dev-{project}"
    lines: list[str] = []
    for turn in range(chance.randrange(6, 24)):
        at_s += chance.randrange(5, 300)
        output = chance.randrange(40, 2_500)
        made.calls += 1
        made.output_tokens += output
        lines += [*claude_call(made.calls, at_s, session, project, output)]
        lines.append(_tool_result(at_s, chance.randrange(500, 60_000), "claude"))
        if turn % 8 == 5:  # a sub-agent's own file
            output = chance.randrange(40, 2_500)
            made.calls += 1
            made.output_tokens += output
            inside = claude_call(made.calls, at_s, session, project, output, isSidechain=True, agentId=f"a{turn}")
            inside.append(_tool_result(at_s, chance.randrange(500, 60_000), "claude"))
            _write(root / session / "subagents" / f"agent-{turn}.jsonl", inside, at_s, made)
    _write(root / f"{session}.jsonl", lines, at_s, made)


def _codex_session(folder: Path, chance: random.Random, at_s: float, made: Made) -> None:
    project, session = chance.choice(PROJECTS), str(uuid.UUID(int=chance.getrandbits(128)))
    at = datetime.fromtimestamp(at_s, UTC)
    path = folder / ".codex/sessions" / f"{at:%Y/%m/%d}" / f"rollout-{at:%Y-%m-%dT%H-%M-%S}-{session}.jsonl"
    meta = {"id": session, "cwd": f"/home/dev/{project}", "cli_version": "0.60.0", "originator": "codex_cli"}
    context = {"model": "gpt-5.4", "effort": "medium", "cwd": f"/home/dev/{project}"}
    lines = [
        json.dumps({"timestamp": _stamp(at_s), "type": kind, "payload": payload}) + "\n"
        for kind, payload in (("session_meta", meta), ("turn_context", context))
    ]
    total = [0] * 5
    for _ in range(chance.randrange(6, 24)):
        at_s += chance.randrange(5, 300)
        taken, output = chance.randrange(900, 90_000), chance.randrange(40, 2_500)
        last = [taken, taken // 2, output, output // 4, taken + output]
        total = [a + b for a, b in zip(total, last, strict=True)]
        made.calls += 1
        made.output_tokens += output
        lines.append(_tool_result(at_s, chance.randrange(500, 60_000), "codex"))
        lines += [codex_count(at_s, total, last), codex_count(at_s + 1, total, last)]  # the second renews the limits
    _write(path, lines, at_s, made)


def _write(path: Path, lines: list[str], at_s: float, made: Made) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(lines)
    path.write_text(text, encoding="utf-8")
    for each in (path, path.parent, path.parent.parent):
        os.utime(each, (at_s, at_s))
    made.files, made.lines, made.bytes = made.files + 1, made.lines + len(lines), made.bytes + len(text)


def make(folder: Path, size: int, now_s: float) -> Made:
    """Write session files of about ``size`` bytes that end an hour before ``now_s`` at the latest."""
    chance, made = random.Random(1), Made()
    while made.bytes < size:
        at_s = now_s - 9_000 - chance.random() * _DAYS * 86_400
        (_codex_session if chance.random() < 0.4 else _claude_session)(folder, chance, at_s, made)
    return made


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {f"PROMPTOP_{kind}_DIR": str(folder / "promptop") for kind in ("STATE", "DATA", "CONFIG")}


def _command(folder: Path, *words: str) -> list[str]:
    places = [str(folder / ".claude"), str(folder / ".codex")]
    action = [] if words[0].startswith("-") else [words[0]]
    options = words[len(action) :]
    return [sys.executable, "-c", _COMMAND, "agents", *action, *places, *options, "--log", str(folder / "log.db")]


def timed(folder: Path, *words: str) -> tuple[float, float, str]:
    """Run the command; return seconds of wall and of processor time, and what it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        _command(folder, *words), env=_environment(folder), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def follow(folder: Path, seconds: int, first: int) -> tuple[float, list[float]]:
    """Write one call a second to a session beside a follower; return its share of a core, and seconds to each row."""
    path = folder / ".claude/projects/-home-dev-web/followed.jsonl"
    delays: list[float] = []
    command = _command(folder, "import", "--follow")
    with (
        subprocess.Popen(command, env=_environment(folder), stderr=subprocess.PIPE, text=True) as process,
        closing(sqlite3.connect(folder / "log.db")) as log,
    ):
        try:
            assert process.stderr is not None
            process.stderr.readline()  # it has caught up
            time.sleep(2)
            child = psutil.Process(process.pid)
            times, start = child.cpu_times(), time.perf_counter()
            for number in range(first, first + seconds):
                written = time.perf_counter()
                with path.open("a", encoding="utf-8") as file:
                    file.writelines(claude_call(number, time.time(), "followed", "web", 100))
                found = None
                while found is None and time.perf_counter() - written < 10:
                    time.sleep(0.02)
                    query = "SELECT 1 FROM requests WHERE response_id = ?"
                    found = log.execute(query, (f"msg_{number:08d}",)).fetchone()
                delays.append(time.perf_counter() - written if found else float("inf"))
                time.sleep(max(0.0, written + 1 - time.perf_counter()))
            wall, after = time.perf_counter() - start, child.cpu_times()
        finally:
            process.kill()
    return (after.user + after.system - times.user - times.system) / wall, delays


def main() -> int:
    """Print the figures; 1 where an aim was missed or a call was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mb", type=int, nargs="?", default=1_000)
    parser.add_argument("--follow-s", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="promptop-agents-", dir=args.folder) as name:
        folder = Path(name)
        made = make(folder, args.mb * 1_000_000, time.time())
        print(f"{made.bytes / 1e6:,.0f} MB, {made.files:,} files, {made.lines:,} lines, {made.calls:,} calls")
        wall, cpu, _ = timed(folder, "import")
        print(f"first import          {wall:6.2f} s wall, {cpu:6.2f} s processor")
        held = True
        for title, words in (("first figures, warm", ("--since", "31d", "--json")), ("status line, warm", ("--line",))):
            runs = [timed(folder, *words) for _ in range(5)]
            wall, cpu = statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)
            held = held and wall <= _AIM_S
            print(f"{title:<21} {wall:6.2f} s wall, {cpu:6.2f} s processor")
            if "--json" in words:
                total = json.loads(runs[-1][2])["total"]
                right = (total["calls"], total["output_tokens"]) == (made.calls, made.output_tokens)
                held = held and right
                print(f"calls and output tokens {'equal' if right else f'DIFFER: {total}'}")
        share, delays = follow(folder, args.follow_s, made.calls + 1)
        held = held and share <= _AIM_CORE
        usual, longest = statistics.median(delays), max(delays)
        print(f"follow                {share:6.2%} of a core, row after {usual:.2f} s (longest {longest:.2f} s)")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
