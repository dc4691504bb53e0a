"""The part of ``promptop trim --rewrite`` that asks a model: priced before, and only what loses nothing is taken."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop.budget.estimate import estimate
from promptop.budget.gate import Gate
from promptop.cli.command_line.declare import ParsedArguments
from promptop.cli.shared.call_options import (
    cancelling,
    figures_line,
    notes,
    open_endpoints,
    settings_for,
)
from promptop.cli.shared.money import check, gate_of, lengths_of
from promptop.client.call import run as run_call
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, RunResult
from promptop.client.targets import parse_target
from promptop.prompts import parse
from promptop.settings import Settings
from promptop.trim.rewrite import Hunk, answer_of, hunks, request

APP = "promptop trim"


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A text after a model's changes."""

    text: str
    hunks: tuple[tuple[Hunk, bool], ...]
    """Each change, with its offsets in the text that the model was given, and whether it was taken."""
    result: RunResult

    @property
    def taken(self) -> int:
        """Number of changes that were taken."""
        return sum(is_taken for _, is_taken in self.hunks)


def left_out_line(found: Rewritten) -> str:
    """Say which changes were not taken since they lose or add something; empty if all were taken."""
    flagged = [hunk for hunk, is_taken in found.hunks if not is_taken]
    if not flagged:
        return ""
    what = ", ".join(dict.fromkeys(clean(each) for hunk in flagged for each in (*hunk.lost, *hunk.added)))
    return tr("{n} of the model's changes left out, they lose or add: {what}", n=len(flagged), what=what)


def rewrite(args: ParsedArguments, text: str, *, everything: bool) -> Rewritten:
    """Ask ``args.model`` to shorten ``text`` behind its front matter; take what is not flagged, or ``everything``.

    Raises :class:`promptop.base.errors.PromptopError` for a call that may cost too much or did not end well, and
    KeyboardInterrupt after Ctrl-C.
    """
    from promptop.tokens import count

    settings = settings_for(args)
    start = parse(text).body_start
    body = text[start:]
    target = parse_target(args.model, settings)
    asked = request(target, body, count(body, target.model).tokens)
    gate = gate_of(settings, args.max_usd)
    check(gate, estimate([asked], 1, lengths_of(settings)))
    result = asyncio.run(_call(asked, settings, gate))
    print(figures_line(result), file=sys.stderr)
    for note in notes(result):
        print(clean(note), file=sys.stderr)
    if result.state == "cancelled":
        raise KeyboardInterrupt
    found = [(hunk, everything or not hunk.is_flagged) for hunk in hunks(body, answer_of(result, body))]
    written = body
    for hunk, is_taken in reversed(found):
        if is_taken:
            written = written[: hunk.start] + hunk.after + written[hunk.end :]
    return Rewritten(text[:start] + written, tuple(found), result)


async def _call(asked: RunRequest, settings: Settings, gate: Gate) -> RunResult:
    endpoints = open_endpoints(settings, APP, gate)
    progress = CallProgress()
    try:
        with cancelling(lambda: [progress]):
            return await run_call(asked, endpoints, progress=progress)
    finally:
        await endpoints.aclose()
