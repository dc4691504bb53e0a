"""Send a prompt to several models at once: the answers on stdout, a table of figures on stderr, ``*`` marking the best.

Exit codes: 0 all answered, 1 some failed, 2 cannot be meant, 130 cancelled with Ctrl-C (what came is kept).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

from promptop.cli.calls import (
    add_call_arguments,
    cancelling,
    exit_code,
    notes,
    read_prompt,
    requests_for,
    settings_for,
)
from promptop.errors import UsageError
from promptop.runs import Endpoints, Progress, RunRequest, RunResult
from promptop.runs import run as run_call
from promptop.runs.comparison import BEST, COLUMNS, compare, ending
from promptop.safe import clean, clean_line
from promptop.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "-m",
        "--model",
        action="append",
        metavar="M",
        help="model, or model@profile; once for each (default: the profile's)",
    )
    parser.add_argument("--no-answers", action="store_true", help="the table alone")
    add_call_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make the calls and return the exit code."""
    settings = settings_for(args)
    prompt = read_prompt(args)
    specs = args.model or list(settings.active_profile().models)
    if not specs:
        raise UsageError("No model was named.", 'Write -m MODEL for each, or models = ["…"] in the profile.')
    requests = requests_for(args, settings, prompt, specs)
    results = asyncio.run(_calls(requests, settings, progress_shown=not args.json and sys.stderr.isatty()))
    if args.json:
        print(json.dumps([result.to_json() for result in results], ensure_ascii=False, indent=2))
        return exit_code(results)
    if not args.no_answers:
        for result in results:
            print(f"== {clean_line(result.title)} ==")
            print(clean(result.text).rstrip("\n") + "\n")
        sys.stdout.flush()
    if not args.quiet:
        for line in table(results):
            print(line, file=sys.stderr)
    for result in results:
        for note in notes(result):
            print(f"{clean_line(result.title)}: {clean(note)}", file=sys.stderr)
    return exit_code(results)


async def _calls(requests: Sequence[RunRequest], settings: Settings, *, progress_shown: bool) -> list[RunResult]:
    endpoints = Endpoints(log=settings.log_path(), app="promptop compare", bodies=settings.log.bodies)
    calls = [Progress() for _ in requests]
    ended = 0

    async def one(request: RunRequest, progress: Progress) -> RunResult:
        nonlocal ended
        result = await run_call(request, endpoints, progress=progress)
        ended += 1
        if progress_shown:
            print(f"\r{ended}/{len(requests)} answered", end="", file=sys.stderr, flush=True)
        return result

    try:
        with cancelling(lambda: calls):
            return list(await asyncio.gather(*map(one, requests, calls)))
    finally:
        if progress_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        await endpoints.aclose()


def table(results: Sequence[RunResult]) -> list[str]:
    """Return the comparison as lines of text."""
    from rich.cells import cell_len, set_cell_size

    rows = [["model", *(f"{column.heading} " for column in COLUMNS), "end"]]
    for result, cells in zip(results, compare(results), strict=True):
        marked = [cell.text + (BEST if cell.best else " ") for cell in cells]
        rows.append([clean_line(result.title, 40), *marked, ending(result)])
    widths = [max(cell_len(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = []
    for row in rows:
        figures = [" " * (width - cell_len(text)) + text for text, width in zip(row[1:-1], widths[1:-1], strict=True)]
        lines.append("  ".join([set_cell_size(row[0], widths[0]), *figures, row[-1]]).rstrip())
    return lines
