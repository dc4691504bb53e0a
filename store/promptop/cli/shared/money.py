"""What commands that call models share of money: the gate of a command, and the price before anything is sent."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from promptop.base.sanitize import clean_line
from promptop.budget.budget import day_cap, is_chosen, spent_on
from promptop.budget.estimate import CostEstimate, Lengths, estimate, output_lengths, rough_estimate
from promptop.budget.gate import Cap, Gate, ledger_path, new_scope
from promptop.budget.ledger import Ledger
from promptop.cli.command_line.declare import ParsedArguments
from promptop.client.request import RunRequest
from promptop.settings import Settings


def gate_of(settings: Settings, max_usd: float | None = None, option: str = "--max-usd") -> Gate:
    """Return the gate of a command: the cap that was typed, and the day's.

    Raises :class:`promptop.base.errors.PromptopError` for a log that is none.
    """
    caps = []
    if max_usd is not None:
        caps.append(Cap(new_scope("command"), max_usd, option, f"raise {option}"))
    daily_usd = settings.playground.daily_cap_usd
    if daily_usd:
        caps.append(day_cap(daily_usd, strict=is_chosen(settings)))
    gate = Gate(tuple(caps), Ledger(ledger_path()), lambda text: print(clean_line(text, 300), file=sys.stderr))
    if daily_usd:
        gate.know(spent_on(settings.log_path(), time.time()).usd)
    return gate


def check_cost(
    args: ParsedArguments, settings: Settings, requests: Sequence[RunRequest], calls_each: int = 1
) -> tuple[Gate, CostEstimate | None]:
    """Return the gate of a command's calls, and their price where a person wants it: of repeats and under a cap.

    Raises :class:`promptop.client.spending.OverCapError` if they may cost more than a cap leaves, or if that cannot be
    known.
    """
    gate = gate_of(settings, args.max_usd)
    is_shown = (calls_each > 1 or args.max_usd is not None) and not args.quiet and not args.json
    if not is_shown:
        # A token for each byte first, which no tokenizer exceeds: loading one takes longer than all else of a call.
        rough = rough_estimate(requests, calls_each)
        left = gate.left_usd()
        if not rough.open and (left is None or (rough.usd or 0.0) <= left):
            return gate, None
    found = estimate(requests, calls_each, lengths_of(settings))
    check(gate, found)
    return gate, found if is_shown else None


def check(gate: Gate, most: CostEstimate) -> None:
    """Raise :class:`promptop.client.spending.OverCapError` if a run could pass a cap."""
    gate.check(most.usd, most.why, dearest=most.dearest, calls=most.calls, likely_usd=most.likely_usd)


def price(args: ParsedArguments, settings: Settings, most: CostEstimate) -> Gate:
    """Tell a person what a measurement may cost, and return the gate of its calls.

    Raises :class:`promptop.client.spending.OverCapError` if it may cost more than a cap leaves, or if that cannot be
    known.
    """
    gate = gate_of(settings, args.max_usd)
    check(gate, most)
    if not args.quiet and not args.json:
        print(str(most), file=sys.stderr)
    return gate


def lengths_of(settings: Settings) -> Lengths:
    """Return how long answers were in the log, by model."""
    return output_lengths(settings.log_path(), time.time())
