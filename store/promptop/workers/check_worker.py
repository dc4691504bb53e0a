"""Checks of a screen's answers, in a process of their own.

A pattern may take for ever on one answer, and Python's matcher holds the interpreter's lock while it does: in the
screen's process that would be a screen that no key reaches. Here it is a check that took too long.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from promptop.base import processes
from promptop.base.errors import PromptopError
from promptop.client.result import RunResult
from promptop.experiments.checks import Checked, parse_check
from promptop.history.result_json import figures_of, read_result, texts_of

LIMIT_S = 10.0
"""Seconds that all checks of a run may take together."""


def check_lines(text: str) -> list[str]:
    """Return the checks of a text: one a line, empty lines and those that begin with ``#`` left out."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def judge_apart(
    checks: Sequence[str], results: Sequence[RunResult], *, python: bool = False, limit_s: float = LIMIT_S
) -> list[list[Checked]]:
    """Hold every answer against all checks, and return what they say of each; blocks for at most ``limit_s`` seconds.

    What could not be judged in that time fails and says so. Raises :class:`PromptopError` for a check that could never
    be judged.
    """
    for check in checks:
        parse_check(check, python=python)
    asked = {
        "checks": list(checks),
        "python": python,
        "results": [figures_of(result) | texts_of(result) for result in results],
    }
    with processes.launch("promptop.workers.check_worker") as process:
        try:
            said, _ = process.communicate(json.dumps(asked).encode(), limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    # Verdicts come one a line, those of an answer after each other: what is missing at the end was not reached, and
    # a line without its end was cut.
    verdicts = [
        Checked(each["check"], each["passed"], each["why"])
        for each in map(json.loads, said.rpartition(b"\n")[0].splitlines())
    ]
    found: list[list[Checked]] = []
    for number in range(len(results)):
        mine = verdicts[number * len(checks) : (number + 1) * len(checks)]
        mine += [Checked(check, False, f"was not judged ({limit_s:g} s at most)") for check in checks[len(mine) :]]
        found.append(mine)
    return found


def main() -> None:
    """Judge what standard input asks for; a line of JSON for each verdict."""
    asked: dict[str, Any] = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an expression prints is not a verdict
    checks = [parse_check(check, python=asked["python"]) for check in asked["checks"]]
    for shape in asked["results"]:
        result = read_result(shape)
        for check in checks:
            out.write(json.dumps(check.judge(result).to_json()) + "\n")
            out.flush()


if __name__ == "__main__":
    try:
        main()
    except PromptopError:  # the asking process has said so already, unless a schema's file changed in between
        sys.exit(1)
