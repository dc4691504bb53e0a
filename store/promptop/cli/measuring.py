"""What commands that measure share: the price before, progress while it runs, Ctrl-C that keeps what came."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any

from promptop import figures
from promptop.cli.calls import cancelling, purse_of
from promptop.errors import PromptopError
from promptop.runs.ceiling import Ceiling
from promptop.runs.priced import ceiling_of_trial
from promptop.runs.trial import Outcome, Step, Trial
from promptop.safe import clean_line
from promptop.settings import Settings

LOOKS_PER_SECOND = 5
BAR = 20


def price(args: argparse.Namespace, settings: Settings, trial: Trial) -> Ceiling:
    """Price a trial, tell it to a person, and give it an allowance.

    Raises :class:`PromptopError` if it may cost more than ``--max-usd`` or the day allows, or if ``--max-usd`` cannot
    be held because a price is not known.
    """
    found = ceiling_of_trial(trial)
    if args.max_usd is not None and found.open:
        raise PromptopError(
            f"There is no price or no limit for {', '.join(map(clean_line, found.open))}.",
            "Leave --max-usd out, give --max-tokens, or put the price into prices.toml.",
        )
    if args.max_usd is not None and (found.usd or 0.0) > args.max_usd:
        raise PromptopError(
            f"This may cost {figures.usd(found.usd)}, and --max-usd is {figures.usd(args.max_usd)}: nothing was sent.",
            "Lower --max-tokens or -n, ask fewer models, or raise --max-usd.",
        )
    purse = purse_of(settings)
    purse.check(found)
    caps = [cap for cap in (args.max_usd, purse.left_usd) if cap is not None]
    trial.cap_usd = min(caps, default=None)
    if not args.quiet and not args.json:
        print(str(found), file=sys.stderr)
    return found


def make(trial: Trial, args: argparse.Namespace, settings: Settings) -> Outcome:
    """Make the calls of a trial in this process, showing how far it is."""
    options = {"log": settings.log_path(), "bodies": settings.log.bodies}
    return asyncio.run(_make(trial, options, shown=not args.json and not args.quiet and sys.stderr.isatty()))


async def _make(trial: Trial, options: dict[str, Any], *, shown: bool) -> Outcome:
    with cancelling(trial.stop):
        async with _showing(lambda: line_of(trial.snapshot()), shown=shown):
            return await trial.work(options)


def line_of(step: Step) -> str:
    """Return how far a trial is: bar, calls, failures, what it has spent."""
    filled = step.ended * BAR // step.size if step.size else BAR
    failed = f" · {step.failed} failed" if step.failed else ""
    bar = "█" * filled + "░" * (BAR - filled)
    return f"{bar} {step.ended}/{step.size} calls{failed} · spent {figures.usd(step.spent_usd)}"


@contextlib.asynccontextmanager
async def _showing(line: Callable[[], str], *, shown: bool) -> Any:
    """Redraw a line on stderr five times a second, where a person looks at it."""

    async def draw() -> None:
        while True:
            print(f"\r\x1b[K{line()}", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(1 / LOOKS_PER_SECOND)

    drawing = asyncio.create_task(draw()) if shown else None
    try:
        yield
    finally:
        if drawing is not None:
            drawing.cancel()
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
