"""Print what a call costs, from its numbers of tokens, for each model; without a known price it is n/a, never $0."""

from __future__ import annotations

import json
import sys

from promptop import models
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option
from promptop.cli.shared.model_names import require_provider, tell_unknown

EXAMPLES = (
    "promptop cost --in 1200 --out 300 -m gpt-4o -m claude-sonnet-5-5",
    "promptop cost --in 9000 --cached 8000 --out 300 --calls 1000 --json",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        option("--in", "input", type=int, required=True, metavar="N", help="input tokens, cached included"),
        option("--out", "output", type=int, required=True, metavar="N", help="output tokens"),
        option("--cached", type=int, default=0, metavar="N", help="input tokens read from the provider's cache"),
        option("-m", "--model", complete=models_known, many=True, metavar="MODEL", help="model; may be repeated"),
        option("--provider", metavar="NAME", help="who serves it: azure, openrouter, groq …"),
        option("--calls", type=int, default=1, metavar="N", help="so many such calls (default 1)"),
        flag("--json", help="print a JSON list"),
    ]


def run(args: ParsedArguments) -> int:
    """Print the cost of each model; exit code 0, also where a model is unpriced."""
    for name, value in (
        ("--in", args.input),
        ("--out", args.output),
        ("--cached", args.cached),
        ("--calls", args.calls),
    ):
        if value < 0:
            raise UsageError(f"{name} cannot be {value}.", "Give a number of tokens from 0 on.")
    if args.cached > args.input:
        raise UsageError(
            f"--cached {args.cached} is more than --in {args.input}.", "Input tokens include those read from the cache."
        )
    if args.provider:
        require_provider(args.provider)
    names = tuple(dict.fromkeys(args.model)) or _watched()
    prices = [
        (
            name,
            models.price(
                name,
                input_tokens=args.input,
                output_tokens=args.output,
                cache_read=args.cached,
                provider=args.provider,
            ),
        )
        for name in names
    ]
    tell_unknown((name for name, price in prices if price.usd is None), args.provider)
    if args.json:
        fields = [
            {
                "model": name,
                "usd": None if price.usd is None else _times(price.usd, args.calls),
                "status": price.status,
                "as_of": price.as_of,
                "priced_as": price.model,
            }
            for name, price in prices
        ]
        json.dump(fields, sys.stdout, ensure_ascii=False, indent=1)
        print()
        return 0
    rows = [
        (models.usd_text(None if price.usd is None else _times(price.usd, args.calls)), price.status, clean_line(name))
        for name, price in prices
    ]
    table = [("cost", "status", "model"), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(2)]
    for cost, status, name in table:
        print(f"{cost:>{widths[0]}}  {status:<{widths[1]}}  {name}")
    print(f"prices as of {models.as_of()}, USD")
    return 0


def _times(usd: float, calls: int) -> float:
    """Multiply without the last digits of binary fractions."""
    from decimal import Decimal

    return float(Decimal(repr(usd)) * calls)


def _watched() -> tuple[str, ...]:
    from promptop.settings import load

    return load().editor.watch or models.watch_list()
