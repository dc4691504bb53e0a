"""Send a prompt to one model: the answer on stdout as it streams, its figures on stderr.

Exit codes: 0 answered, 1 failed, 2 usage error, 130 cancelled with Ctrl-C (what came is kept).
"""

from __future__ import annotations

import asyncio
import json
import sys

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean
from promptop.budget.gate import Gate
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option
from promptop.cli.shared.call_options import (
    call_options,
    cancelling,
    exit_code,
    figures_line,
    notes,
    open_endpoints,
    requests_for,
    settings_for,
    tell_prompts,
    tell_shares,
)
from promptop.cli.shared.money import check_cost
from promptop.cli.shared.prompt_input import read_prompt
from promptop.client.call import run as run_call
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, Delta, RunResult
from promptop.client.routing import routed
from promptop.routing.policy import policy_of
from promptop.settings import Settings

EXAMPLES = (
    "promptop run prompt.md -m gpt-4o-mini",
    "promptop run --text 'What is a token?' -m gpt-4o-mini --max-tokens 100",
    "promptop run before.md -m gpt-4o-mini -v term=token --json",
)


def parameters() -> Parameters:
    """Return the options of the command."""
    return [
        option(
            "-m",
            "--model",
            complete=models_known,
            metavar="M",
            help="model, or model@profile (default: the prompt's, the profile's)",
        ),
        flag("--route", help="ask the model that [routing] of the settings names"),
        *call_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Make the call and return the exit code."""
    settings = settings_for(args)
    prompt = read_prompt(args)
    spec = args.model or prompt.model or next(iter(settings.active_profile().models), "")
    if not spec:
        raise UsageError("No model was named.", 'Write -m MODEL, or models = ["…"] in the profile.')
    request = requests_for(args, settings, prompt, [spec])[0]
    if args.route or settings.routing.on:
        request = routed(request, policy_of(settings), "promptop run")
    tell_prompts(args, prompt)
    gate, _ = check_cost(args, settings, [request])
    result = asyncio.run(_call(request, settings, gate, quiet=args.json, silent=args.quiet))
    if args.json:
        print(json.dumps(result.to_json(), ensure_ascii=False, indent=2))
    for number, text in enumerate(result.choices if not args.json else (), 2):
        print(f"\n== choice {number} ==\n{clean(text)}")
    if not args.quiet and not args.json:
        print(figures_line(result), file=sys.stderr)
    if not args.json:
        for note in notes(result):
            print(clean(note), file=sys.stderr)
    return exit_code([result])


async def _call(request: RunRequest, settings: Settings, gate: Gate, *, quiet: bool, silent: bool) -> RunResult:
    endpoints = open_endpoints(settings, "promptop run", gate)
    progress = CallProgress()
    answer = _Printer(progress)
    try:
        with cancelling(lambda: [progress]):
            return await run_call(request, endpoints, on_delta=None if quiet else answer.show, progress=progress)
    finally:
        await endpoints.aclose()
        answer.end()
        tell_shares(endpoints, quiet=quiet or silent)


class _Printer:
    """Writes the answer to stdout as it comes; reasoning stays out of it."""

    def __init__(self, progress: CallProgress) -> None:
        self._progress = progress
        self._open_line = False
        self._in_call = False
        """Whether a tool call was begun whose parenthesis is open."""
        self._broken: BrokenPipeError | None = None

    def show(self, delta: Delta) -> None:
        """Write a piece and let it be seen at once; without a reader (``| head``) the call is cancelled."""
        if delta.kind == "reasoning" or self._broken is not None:
            return
        text = clean(delta.text)
        if self._in_call and (delta.kind != "tool" or delta.text.endswith("(")):
            text = ")\n" + text
        self._in_call = delta.kind == "tool"
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError as error:
            self._broken = error
            self._progress.cancel()
        self._open_line = not text.endswith("\n")

    def end(self) -> None:
        """End the last line; raise :class:`BrokenPipeError` if the reader went away."""
        if self._broken is not None:
            raise self._broken
        if self._open_line:
            sys.stdout.write(")\n" if self._in_call else "\n")
            sys.stdout.flush()
