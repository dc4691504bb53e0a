"""Show the catalogue: prices, context windows and tokenizers of models; learn token factors from the request log."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptop import models
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.model_names import no_such_model, require_provider
from promptop.models import overrides, snapshot
from promptop.models.catalogue import Model
from promptop.models.names import near

LEARNED_FROM = 20_000
"""Newest rows of the log that factors are learned from."""


EXAMPLES = (
    "promptop models gpt-4o claude-sonnet-5-5",
    "promptop models --search haiku --provider anthropic",
    "promptop models --learn",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument(
            "names", many=True, required=False, metavar="MODEL", help="models to show; none: those that are watched"
        ),
        option("--search", metavar="WORDS", help="models whose id, name or provider contain these words"),
        option("--provider", metavar="NAME", help="only this provider: openai, openrouter, groq …"),
        flag("--factors", help="show the token factors learned from the log"),
        flag("--learn", help="learn token factors from the request log now"),
        option("--log", type=Path, metavar="FILE", help="request log to learn from"),
        flag("--json", help="print a JSON list"),
    ]


def run(args: ParsedArguments) -> int:
    """Print models or factors; exit code 1 if a search found nothing, 2 for a name that is not in the catalogue."""
    for problem in overrides.current().problems:
        print(f"promptop: {clean_line(problem)}", file=sys.stderr)
    if args.learn:
        _learn(args.log)
    if args.learn or args.factors:
        return _print_factors(args.json)
    found, unknown = _chosen(args)
    if args.json:
        told = [{"id": name, "error": error.cause, "remedy": error.remedy} for name, error in unknown]
        json.dump([*map(_fields, found), *told], sys.stdout, ensure_ascii=False, indent=1)
        print()
    elif found:
        _print(found)
        table = snapshot.load()
        print(f"{len(found)} models; USD per million tokens, {table.source}, as of {table.as_of}")
    if not found and not unknown:
        print("promptop: no model in the catalogue matches", file=sys.stderr)
        return 1
    return 2 if unknown else 0


def _chosen(args: ParsedArguments) -> tuple[Sequence[Model], list[tuple[str, UsageError]]]:
    """Return the models, and the names that are none; raise :class:`UsageError` if all of those named are none."""
    if args.provider:
        require_provider(args.provider)
    if args.search is not None or (args.provider and not args.names):
        return models.search(args.search or "", args.provider), []
    from promptop.settings import load

    names = args.names or load().editor.watch or models.watch_list()
    found: list[Model] = []
    unknown: list[tuple[str, UsageError]] = []
    for name in names:
        model = models.find(name, args.provider)
        if model is not None and not near(name):
            found.append(model)
        else:
            unknown.append((name, no_such_model(name)))
    if unknown and not found:
        raise unknown[0][1]
    for _, error in unknown:
        print(f"promptop: {error}", file=sys.stderr)
    return found, unknown


def _fields(model: Model) -> dict[str, Any]:
    rates = model.prices
    return {
        "id": model.id,
        "provider": model.provider or None,
        "name": model.name,
        "family": model.family or None,
        "context_window": model.context_window,
        "max_output": model.max_output,
        "encoding": model.encoding,
        "count_kind": model.count_kind,
        "input_usd_mtok": rates.input if rates else None,
        "output_usd_mtok": rates.output if rates else None,
        "cache_read_usd_mtok": rates.cache_read if rates else None,
        "cache_write_usd_mtok": rates.cache_write if rates else None,
        "tiered": rates.tiered if rates else None,
        "deprecated": model.deprecated,
        "overridden": model.overridden,
        "price_status": "table" if rates else "unpriced",
    }


def _print(found: Sequence[Model]) -> None:
    titles = ("input", "output", "cached", "window", "max out", "tokens", "provider", "model")
    rows = [titles]
    for model in found:
        rates = model.prices
        amounts = (rates.input, rates.output, rates.cache_read) if rates else (None, None, None)
        cells = [models.usd_text(amount) for amount in amounts]
        if rates and rates.tiered:
            cells[0] += "+"  # large inputs cost more
        mark = "=" if model.count_kind == "exact" else "≈"
        rows.append(
            (
                cells[0],
                cells[1],
                cells[2],
                _short(model.context_window),
                _short(model.max_output),
                f"{mark} {model.encoding}",
                model.provider or "-",
                clean_line(model.id) + (" (prices.toml)" if model.overridden else ""),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(7)]
    for row in rows:
        cells = [row[i].rjust(widths[i]) for i in range(5)] + [row[i].ljust(widths[i]) for i in (5, 6)]
        print("  ".join([*cells, row[7]]))


def _short(tokens: int | None) -> str:
    """Write 128k, 1.05M: three digits, so that a line fits 80 columns; --json has the number."""
    if tokens is None:
        return "n/a"
    return f"{tokens / 1e6:.3g}M" if tokens >= 1_000_000 else f"{tokens / 1e3:.3g}k" if tokens >= 1_000 else str(tokens)


def _learn(log: Path | None) -> None:
    from promptop.log import LogReader
    from promptop.settings import load
    from promptop.tokens import factors

    reader = LogReader(log or load().log_path())
    notices = factors.update(reader.latest(LEARNED_FROM))
    reader.close()
    for notice in notices:
        print(f"promptop: {clean_line(str(notice))}", file=sys.stderr)


def _print_factors(as_json: bool) -> int:
    from dataclasses import asdict

    from promptop.tokens import factors
    from promptop.tokens.scripts import SCRIPTS

    known = sorted(factors.current().values(), key=lambda entry: entry.model)
    if as_json:
        json.dump([asdict(entry) for entry in known], sys.stdout, ensure_ascii=False, indent=1)
        print()
        return 0
    if not known:
        print(f"No factors yet: {factors.ENOUGH} logged calls of a model with reported usage are needed.")
        return 0
    print("  ".join([*(f"{name:>6}" for name in SCRIPTS), "a message", " error", "calls", "model"]))
    for entry in known:
        cells = [f"{value:6.3f}" for value in entry.factors]
        print(
            "  ".join(
                [*cells, f"{entry.overhead:9.1f}", f"{entry.error:6.1%}", f"{entry.n:5}", clean_line(entry.model)]
            )
        )
    return 0
