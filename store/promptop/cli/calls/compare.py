"""Send a prompt to several models at once: answers on stdout, a table of figures on stderr, ``*`` marks the best.

With --repeat N each model is asked N times in interleaved order, after a warm-up round that is dropped. The table then
shows medians with 95 % intervals, and compares each model with the first.

Exit codes: 0 all answered, 1 some failed or a --check did, 2 usage error, 130 cancelled with Ctrl-C (what came is
kept).
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from promptop.base import units
from promptop.base.diff import marked, similarity, word_diff
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.base.text_table import aligned
from promptop.budget.gate import Gate
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option
from promptop.cli.shared.call_options import (
    INTERRUPTED,
    call_options,
    cancelling,
    exit_code,
    notes,
    open_endpoints,
    requests_for,
    settings_for,
    tell_prompts,
    tell_shares,
)
from promptop.cli.shared.money import check_cost, lengths_of, price
from promptop.cli.shared.progress import make
from promptop.cli.shared.prompt_input import prompt_given, read_prompt
from promptop.cli.shared.test_set_options import (
    builder,
    embed_of,
    judge_of,
    keeps_texts,
    read_cases,
    test_set_options,
)
from promptop.client.call import run as run_call
from promptop.client.http.local_servers import first_call_s, is_private, load_s
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, RunResult
from promptop.experiments.checks import Check, judge, parse_check
from promptop.experiments.comparison import BEST, COLUMNS, compare, ending, repeated, side_by_side
from promptop.experiments.grid.caller import MeasurementStep
from promptop.experiments.grid.cells import CellStore
from promptop.experiments.grid.export import as_json, failing, report_of, write_grid
from promptop.experiments.grid.export import table as grid_table
from promptop.experiments.grid.plan import GridPlan, planned_cases, require_models
from promptop.experiments.grid.run import GridOutcome, GridRun
from promptop.experiments.interleaved import MOST_REPEATS, Arm, Trial
from promptop.experiments.stats import METRICS, difference, summarise, values_of
from promptop.prompts import Prompt
from promptop.settings import Settings

EXAMPLES = (
    "promptop compare prompt.md -m gpt-4o-mini -m gpt-4o",
    "promptop compare prompt.md -m gpt-4o-mini -m gpt-4o --repeat 10 --no-answers",
    "promptop compare before.md --against after.md -m gpt-4o-mini -v term=token",
)


def parameters() -> Parameters:
    """Return the options of the command."""
    return [
        option(
            "-m",
            "--model",
            complete=models_known,
            many=True,
            metavar="M",
            help="model, or model@profile; once for each (default: the profile's)",
        ),
        option(
            "--against",
            many=True,
            metavar="FILE",
            help="another version of the prompt (a file, or lib:NAME): each model is asked with each version",
        ),
        option("--repeat", type=int, default=1, metavar="N", help="ask each model N times, interleaved"),
        option("--warm-up", type=int, default=1, metavar="N", help="rounds that are dropped (with --repeat)"),
        option("--concurrency", type=int, default=1, metavar="N", help="calls at once (with --repeat)"),
        flag("--load", help="load local models anew first (Ollama, llama.cpp's router; with --repeat)"),
        flag("--diff", help="answers after the first as [-gone-]{+new+} against it"),
        option(
            "--check",
            many=True,
            metavar="CHECK",
            help="what each answer must be: contains:TEXT, lacks:TEXT, equals:TEXT, regex:PATTERN, json, "
            "json-schema:FILE, "
            "max-tokens:N",
        ),
        flag("--allow-python", help="let checks be python:EXPRESSION (text, data, tokens)"),
        flag("--no-answers", help="the table alone, on standard output"),
        *call_options(),
        *test_set_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Make the calls and return the exit code."""
    checks = [parse_check(text, python=args.allow_python) for text in args.check]
    settings = settings_for(args)
    prompt = read_prompt(args)
    specs = args.model or list(settings.active_profile().models)
    if not specs:
        raise UsageError("No model was named.", 'Write -m MODEL for each, or models = ["…"] in the profile.')
    if args.cases is not None:
        return _cases(args, settings, prompt, specs)
    others = {file: prompt_given(file, role=args.role) for file in args.against}
    requests = requests_for(args, settings, prompt, specs, others)
    if args.repeat < 1 or args.warm_up < 0 or args.concurrency < 1:
        raise UsageError("--repeat and --concurrency start at 1, --warm-up at 0.", "Leave them out for a single run.")
    if args.load and args.repeat == 1:
        raise UsageError("--load needs --repeat.", "Loading is held against calls that find the model loaded.")
    if args.cache and args.repeat > 1:
        raise UsageError("--cache and --repeat exclude each other.", "A repeated call is measured; a hit is none.")
    tell_prompts(args, prompt, *others.values())
    gate, priced = check_cost(args, settings, requests, args.repeat + args.warm_up if args.repeat > 1 else 1)
    if priced is not None:
        print(str(priced), file=sys.stderr)
    if args.repeat > 1:
        return _repeated(args, settings, requests, checks, gate)
    results = asyncio.run(
        _calls(requests, settings, gate, progress_shown=not args.json and sys.stderr.isatty(), quiet=args.quiet)
    )
    code = exit_code(results) or int(not all_pass(checks, results))
    if args.json:
        print(json.dumps([_with_checks(result, checks) for result in results], ensure_ascii=False, indent=2))
        return code
    if not args.no_answers:
        for number, result in enumerate(results):
            print(f"== {clean_line(result.title)} ==")
            print(clean(_answer(results[0], result, differ=args.diff and number > 0)).rstrip("\n") + "\n")
        sys.stdout.flush()
    if not args.quiet or args.no_answers:
        where = sys.stdout if args.no_answers else sys.stderr  # without answers the table is what was asked for
        for line in table(results):
            print(line, file=where)
        if together := side_by_side(results):
            print(together, file=where)
    _print_checks(checks, requests, [[result] for result in results])
    for result in results:
        for note in notes(result):
            print(f"{clean_line(result.title)}: {clean(note)}", file=sys.stderr)
    return code


def _cases(args: ParsedArguments, settings: Settings, prompt: Prompt, specs: Sequence[str]) -> int:
    """Ask every case of a test set of each model and version; exit 0 only if all pass."""
    if not 1 <= args.repeat <= MOST_REPEATS:
        raise UsageError(f"--repeat {args.repeat} is not valid.", f"Write a number from 1 to {MOST_REPEATS}.")
    if args.cache and args.repeat > 1:
        raise UsageError("--cache and --repeat exclude each other.", "A cached answer is never a second answer.")
    files = [args.file, *args.against]
    prompts = [prompt, *(prompt_given(file, role=args.role) for file in args.against)]
    test_set = read_cases(args, prompts)
    build = builder(args, settings, prompts, specs, files if args.against else None)
    cases = planned_cases(test_set, args.check, build)
    flat = [replace(each, requests=tuple((one,) for row in each.requests for one in row)) for each in cases]
    titles = [row[0].title for row in flat[0].requests]
    judge, embed = judge_of(args, settings), embed_of(args, settings)
    require_models(GridPlan(cases, (), folder=test_set.folder, python=args.allow_python, judge=judge, embed=embed))
    store = CellStore(args.resume or "", full=keeps_texts(settings))
    if args.resume:
        store.begin({}, resumed=True)
    grid = GridRun(
        flat,
        titles,
        store,
        folder=test_set.folder,
        python=args.allow_python,
        at_once=max(1, args.at_once),
        judge=judge,
        embed=embed,
        asks=True,
        repeats=args.repeat,
    )
    gate = price(args, settings, grid.estimate(lengths_of(settings)))
    again = f" × {args.repeat} answers" if args.repeat > 1 else ""
    if not args.quiet and not args.json:
        print(f"{len(cases)} cases × {len(titles)} columns{again}; --resume {store.run} goes on.", file=sys.stderr)
    outcome = make(_Stepped(grid), args, settings, gate)
    report = report_of(flat, titles, outcome, store.run)
    for out in args.report:
        write_grid(out, report)
    if args.json:
        print(json.dumps(as_json(report), ensure_ascii=True, indent=2))
    else:
        for line in grid_table(report) + failing(report):
            print(line)
        for error in outcome.errors[:5]:
            print(f"error: {clean(error)}", file=sys.stderr)
        if outcome.is_capped:
            print("A cap ended it.", file=sys.stderr)
    if outcome.stopped:
        return INTERRUPTED
    whole = len(outcome.cells) == grid.size
    return int(not whole or any(case.is_failing for case in report.cases))


class _Stepped:
    """A grid whose snapshot is the figures of its calls alone."""

    def __init__(self, grid: GridRun) -> None:
        self._grid = grid

    async def work(self, options: Mapping[str, Any]) -> GridOutcome:
        """Make the calls."""
        return await self._grid.work(options)

    def stop(self) -> Sequence[CallProgress]:
        """Begin no further call and cancel those under way."""
        self._grid.stop()
        return ()

    def snapshot(self) -> MeasurementStep:
        """Return how far it is."""
        return self._grid.snapshot().step


def all_pass(checks: Sequence[Check], results: Sequence[RunResult]) -> bool:
    """Whether every answer passes every check."""
    return all(check.judge(result).passed for check in checks for result in results)


def _with_checks(result: RunResult, checks: Sequence[Check]) -> dict[str, object]:
    found = result.to_json()
    return found | {"checks": [checked.to_json() for checked in judge(checks, result)]} if checks else found


def _print_checks(
    checks: Sequence[Check], requests: Sequence[RunRequest], groups: Sequence[Sequence[RunResult]]
) -> None:
    """Say for each check and model how many answers pass, and why the first that does not fails."""
    for check in checks:
        for request, results in zip(requests, groups, strict=True):
            found = [check.judge(result) for result in results]
            passed = sum(checked.passed for checked in found)
            why = next((f": {clean_line(checked.why, 120)}" for checked in found if not checked.passed), "")
            word = "passed" if passed == len(found) else "FAILED"
            share = f" {passed}/{len(found)}" if len(found) != 1 else ""
            print(f"{word}{share}  {clean_line(check.text, 60)}  {clean_line(request.title)}{why}", file=sys.stderr)


def _answer(first: RunResult, result: RunResult, *, differ: bool) -> str:
    """Return an answer, or how it differs from the first one."""
    whole = said_in(result)
    if not differ:
        return whole
    pieces = word_diff(said_in(first), whole)
    return f"{marked(pieces)}\n({units.share(similarity(pieces))} in common with {first.title})"


def said_in(result: RunResult) -> str:
    """Return all that an answer says: its text, further choices, tool calls with their arguments."""
    parts = [result.text] if result.text else []
    parts += [f"== choice {number} ==\n{text}" for number, text in enumerate(result.choices, 2)]
    parts += [f"{name}({arguments})" for name, arguments in result.tool_calls]
    return "\n".join(parts)


def _repeated(
    args: ParsedArguments,
    settings: Settings,
    requests: Sequence[RunRequest],
    checks: Sequence[Check],
    gate: Gate,
) -> int:
    arms = [Arm(request.title, request) for request in requests]
    trial = Trial(arms, args.repeat, app="promptop compare", warm_ups=args.warm_up, concurrency=args.concurrency)
    loads = asyncio.run(_loads(requests)) if args.load else [None] * len(requests)
    outcome = make(trial, args, settings, gate)
    kept = outcome.kept
    for line in outcome.shares if not args.quiet else ():
        print(line, file=sys.stderr)
    loading = [
        Loading(load, first_call_s(first, later)) for load, first, later in zip(loads, outcome.first, kept, strict=True)
    ]
    if args.json:
        print(json.dumps(summary_json(requests, kept, checks, loading), ensure_ascii=False, indent=2))
    else:
        if not args.no_answers:
            for request, results in zip(requests, kept, strict=True):
                print(f"== {clean_line(request.title)} (1 of {len(results)}) ==")
                print(clean(said_in(results[0]) if results else "").rstrip("\n") + "\n")
            sys.stdout.flush()
        if not args.quiet or args.no_answers:
            where = sys.stdout if args.no_answers else sys.stderr
            for line in repeated_table(requests, kept) + loading_lines(requests, loading):
                print(line, file=where)
        _print_checks(checks, requests, kept)
    everything = [result for results in kept for result in results]
    if not args.json:
        for error in dict.fromkeys(str(result.error) for result in everything if result.error is not None):
            print(f"error: {clean(error)}", file=sys.stderr)
    if outcome.is_capped:
        print("A cap ended it before its last round.", file=sys.stderr)
    code = exit_code(everything) or int(outcome.is_capped or not all_pass(checks, everything))
    return INTERRUPTED if outcome.stopped else code


@dataclass(frozen=True, slots=True)
class Loading:
    """What the start of a model costs, seconds; None is unknown."""

    load_s: float | None = None
    """From unloaded to loaded, by the server's word or by the clock."""
    first_call_s: float | None = None
    """By how much the first call's TTFT exceeded the median of those that followed."""


async def _loads(requests: Sequence[RunRequest]) -> list[float | None]:
    """Load each model anew, one after the other, where its server can be told to."""
    return [await load_s(request.profile, request.model) for request in requests]


def loading_lines(requests: Sequence[RunRequest], loading: Sequence[Loading]) -> list[str]:
    """Return a line for each model on this machine or network: what its start costs."""
    lines = []
    for request, found in zip(requests, loading, strict=True):
        said = []
        if found.load_s is not None:
            said.append(f"load {units.seconds(found.load_s)}")
        if found.first_call_s is not None:
            said.append(f"first call ≈ {units.seconds(found.first_call_s)} above the median")
        if said and is_private(urllib.parse.urlsplit(request.profile.base_url).hostname or ""):
            lines.append(f"{clean_line(request.title, 40)}: {', '.join(said)}")
    return lines


def summary_json(
    requests: Sequence[RunRequest],
    kept: Sequence[Sequence[RunResult]],
    checks: Sequence[Check] = (),
    loading: Sequence[Loading] | None = None,
) -> dict[str, object]:
    """Return the shape of ``compare --repeat --json``."""
    models = []
    for request, results, start in zip(requests, kept, loading or [Loading()] * len(requests), strict=True):
        well = [result for result in results if result.state == "done"]
        measured: dict[str, object] = {}
        for metric in METRICS:
            summary = summarise(values_of(results, metric))
            measured[metric.key] = summary.to_json() if summary else None
        models.append(
            {"request_model": request.model, "title": request.title, "n": len(well), "errors": len(results) - len(well)}
            | measured
            | asdict(start)
        )
    differences = [
        {"baseline": requests[0].title, "title": request.title} | found.to_json()
        for request, results in zip(requests[1:], kept[1:], strict=True)
        for metric in METRICS
        if (found := difference(kept[0], results, metric)) is not None
    ]
    runs = [_with_checks(result, checks) for results in kept for result in results]
    return {"models": models, "differences": differences, "runs": runs}


def repeated_table(requests: Sequence[RunRequest], kept: Sequence[Sequence[RunResult]]) -> list[str]:
    """Return medians with intervals as lines of text, and under them how each model differs from the first."""
    rows = [["model", "n", *(f"{metric.name} " for metric in METRICS)]]
    for request, cells in zip(requests, repeated(kept), strict=True):
        n, *others = cells
        rows.append(
            [clean_line(request.title, 40), n.text, *(cell.text + (BEST if cell.best else " ") for cell in others)]
        )
    lines = aligned(rows)
    for request, results in zip(requests[1:], kept[1:], strict=True):
        lines.append(f"{clean_line(request.title, 40)} against {clean_line(requests[0].title, 40)}:")
        found = (difference(kept[0], results, metric) for metric in METRICS)
        lines += [f"  {each.verdict()}" for each in found if each is not None]
    return lines


async def _calls(
    requests: Sequence[RunRequest], settings: Settings, gate: Gate, *, progress_shown: bool, quiet: bool
) -> list[RunResult]:
    endpoints = open_endpoints(settings, "promptop compare", gate)
    calls = [CallProgress() for _ in requests]
    ended = 0

    async def one(request: RunRequest, progress: CallProgress) -> RunResult:
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
        tell_shares(endpoints, quiet=quiet)


def table(results: Sequence[RunResult]) -> list[str]:
    """Return the comparison as lines of text."""
    rows = [["model", *(f"{column.heading} " for column in COLUMNS), "end"]]
    for result, cells in zip(results, compare(results), strict=True):
        marked = [cell.text + (BEST if cell.best else " ") for cell in cells]
        rows.append([clean_line(result.title, 40), *marked, ending(result)])
    return aligned(rows, left=(0, len(rows[0]) - 1))
