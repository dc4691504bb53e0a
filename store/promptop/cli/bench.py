"""Measure a prompt under load: percentiles of TTFT, total and tokens a second, held against objectives and baselines.

Closed loop: --concurrency N (several steps: 1,4,16). Open loop: --rate R starts calls as Poisson arrivals and counts
latency from when each was due. Models and steps are measured one after the other, each after a warm-up that is dropped.

Exit codes: 0 measured, 1 a --fail-if holds or no call was answered, 2 cannot be meant, 130 cancelled with Ctrl-C (what
came is reported, nothing is saved).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from promptop.cli.bench_table import changes, picture, remarks, table
from promptop.cli.calls import (
    INTERRUPTED,
    add_call_arguments,
    cancelling,
    check_cost,
    open_endpoints,
    read_prompt,
    requests_for,
    settings_for,
    tell_shares,
)
from promptop.errors import UsageError
from promptop.runs import Progress, RunRequest, RunResult
from promptop.runs import run as run_call
from promptop.runs.baselines import Baseline, Baselines
from promptop.runs.bench import MOST_AT_ONCE, MOST_CALLS, Bench, Load, Measured
from promptop.runs.bench_gate import Rule, Verdict, judge, met, parse, parse_objective
from promptop.runs.endpoints import load_sdk
from promptop.safe import clean, clean_line
from promptop.settings import Settings

_Number = TypeVar("_Number", int, float)
OBJECTIVES = ("ttft<1s",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("-m", "--model", action="append", metavar="M", help="model, or model@profile; once for each")
    parser.add_argument("-n", "--requests", type=int, default=20, metavar="N", help="calls per step (default 20)")
    loop = parser.add_mutually_exclusive_group()
    loop.add_argument("--concurrency", default="1", metavar="N,N", help="calls under way, one or several steps")
    loop.add_argument("--rate", metavar="R,R", help="calls started a second, one or several steps (open loop)")
    parser.add_argument(
        "--warm-up", type=int, metavar="N", help="calls dropped before each step (default: as many as at once)"
    )
    parser.add_argument(
        "--slo", action="append", metavar="S", help="what a call must meet for goodput: 'ttft<1s' (default), 'total<8s'"
    )
    parser.add_argument("--save", metavar="NAME", help="keep the result as a baseline")
    parser.add_argument("--baseline", metavar="NAME", help="compare with a kept result")
    parser.add_argument(
        "--fail-if",
        action="append",
        default=[],
        metavar="RULE",
        help="exit 1 if it holds: 'p95_ttft>+10%%', 'errors>1%%'",
    )
    add_call_arguments(parser)
    # An attempt that is repeated is another request to the endpoint: under load it would be counted twice.
    parser.set_defaults(retries=0)


def run(args: argparse.Namespace) -> int:
    """Measure and return the exit code."""
    rules = [parse(text) for text in args.fail_if]
    objectives = [parse_objective(text) for text in args.slo or OBJECTIVES]
    if args.cache:
        raise UsageError("--cache and bench exclude each other.", "A benchmark measures the endpoint; a hit is none.")
    loads = _loads(args)
    baselines = Baselines()
    baseline = baselines.load(args.baseline) if args.baseline else None
    settings = settings_for(args)
    prompt = read_prompt(args)
    specs = args.model or list(settings.active_profile().models)[:1]
    if not specs:
        raise UsageError("No model was named.", 'Write -m MODEL for each, or models = ["…"] in the profile.')
    requests = requests_for(args, settings, prompt, specs)
    _check_baseline(rules, baseline, requests, loads)
    priced = check_cost(args, settings, requests, sum(load.calls + load.warm_ups for load in loads))
    if priced is not None and not args.quiet and not args.json:
        print(str(priced), file=sys.stderr)
    asked = _digest(requests)
    phases, errors, interrupted = asyncio.run(_measure(args, settings, requests, loads, objectives))
    verdicts = [v for phase in phases for v in judge(rules, phase, baseline.find(phase.key) if baseline else None)]
    if args.json:
        print(json.dumps(_json(phases, baseline, verdicts, objectives, errors), ensure_ascii=False, indent=2))
    else:
        _print(args, phases, baseline, verdicts, objectives, errors)
    if baseline is not None and baseline.asked != asked:
        print("The baseline was measured with another prompt or other parameters.", file=sys.stderr)
    if interrupted:
        if args.save:
            print("Nothing was saved: the benchmark did not come to its end.", file=sys.stderr)
        return INTERRUPTED
    answered = any(phase.well for phase in phases)
    if args.save and answered:
        baselines.save(args.save, asked, phases)
        if not args.json:
            print(f"Saved as baseline {clean_line(args.save)}.", file=sys.stderr)
    return 1 if not answered or any(verdict.failed for verdict in verdicts) else 0


def _loads(args: argparse.Namespace) -> list[Load]:
    if not 1 <= args.requests <= MOST_CALLS:
        raise UsageError(f"--requests {args.requests} cannot be meant.", f"Write a number from 1 to {MOST_CALLS}.")
    if args.warm_up is not None and not 0 <= args.warm_up <= MOST_CALLS:
        raise UsageError("--warm-up starts at 0.", "Leave it out for as many as run at once.")
    if args.rate is not None:
        rates = _steps(args.rate, "--rate", float, 10_000.0)
        return [Load(args.requests, rate=rate, warm_ups=2 if args.warm_up is None else args.warm_up) for rate in rates]
    steps = _steps(args.concurrency, "--concurrency", int, MOST_AT_ONCE)
    return [Load(args.requests, step, warm_ups=step if args.warm_up is None else args.warm_up) for step in steps]


def _steps(text: str, option: str, read: Callable[[str], _Number], most: _Number) -> list[_Number]:
    try:
        found = [read(part) for part in str(text).split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < step <= most for step in found):
        raise UsageError(f"{option} {text} cannot be meant.", f"Write numbers above 0 up to {most}, as in 1,4,16.")
    return list(dict.fromkeys(found))


def _check_baseline(
    rules: Sequence[Rule], baseline: Baseline | None, requests: Sequence[RunRequest], loads: Sequence[Load]
) -> None:
    """Find out before anything is paid for whether each gate will have something to compare with."""
    relative = next((rule for rule in rules if rule.relative), None)
    if relative is None:
        return
    if baseline is None:
        raise UsageError(
            f"{relative.text!r} needs a baseline.", "Write --baseline NAME, or a limit such as p95_ttft>2s."
        )
    for request in requests:
        for load in loads:
            wanted = Measured(request.title, load.title)
            if baseline.find(wanted.key) is None:
                had = "; ".join(clean_line(phase.key) for phase in baseline.phases)
                raise UsageError(
                    f"The baseline {baseline.name!r} has no {clean_line(wanted.key)}.", f"It holds: {had}."
                )


def _digest(requests: Sequence[RunRequest]) -> str:
    """Return what tells one benchmark's question from another's; neither model nor text can be read from it."""
    asked = [requests[0].messages, requests[0].parameters()]
    return hashlib.blake2b(json.dumps(asked, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


async def _measure(
    args: argparse.Namespace,
    settings: Settings,
    requests: Sequence[RunRequest],
    loads: Sequence[Load],
    objectives: Sequence[Rule],
) -> tuple[list[Measured], list[str], bool]:
    await load_sdk()  # loading holds the interpreter for most of a second: not under the first call's clock
    endpoints = open_endpoints(settings, "promptop bench")
    errors: dict[str, None] = {}
    shown = not args.json and not args.quiet and sys.stderr.isatty()
    size = len(requests) * sum(load.calls + load.warm_ups for load in loads)

    async def call(number: int, progress: Progress) -> RunResult:
        result = await run_call(requests[number], endpoints, progress=progress)
        if result.error is not None and result.state == "failed":
            errors[str(result.error)] = None
        if shown:
            bar = "█" * ((bench.ended + 1) * 20 // size)
            print(f"\r\x1b[K{bar:░<20} {bench.ended + 1}/{size} calls", end="", file=sys.stderr, flush=True)
        return result

    bench = Bench(call)
    phases: list[Measured] = []
    try:
        with cancelling(bench.stop):
            for load in loads:
                for number, request in enumerate(requests):
                    if bench.stopped:
                        break
                    measured = await bench.measure(number, request.title, load, lambda values: met(objectives, values))
                    if measured.calls:
                        phases.append(measured)
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        await endpoints.aclose()
        tell_shares(endpoints, quiet=args.quiet)
    return phases, list(errors), bench.stopped


def _json(
    phases: Sequence[Measured],
    baseline: Baseline | None,
    verdicts: Sequence[Verdict],
    objectives: Sequence[Rule],
    errors: Sequence[str],
) -> dict[str, object]:
    return {
        "objectives": [rule.text.removeprefix("max_") for rule in objectives],
        "phases": [phase.to_json() for phase in phases],
        "baseline": baseline
        and {
            "name": baseline.name,
            "saved_ms": baseline.saved_ms,
            "phases": [phase.to_json() for phase in baseline.phases],
        },
        "gates": [{"rule": v.rule.text, "phase": v.key, "failed": v.failed, "text": v.text} for v in verdicts],
        "errors": list(errors),
    }


def _print(
    args: argparse.Namespace,
    phases: Sequence[Measured],
    baseline: Baseline | None,
    verdicts: Sequence[Verdict],
    objectives: Sequence[Rule],
    errors: Sequence[str],
) -> None:
    goals = ", ".join(rule.text.removeprefix("max_") for rule in objectives)
    for phase in phases:
        print(f"== {clean_line(phase.key)} ==")
        for line in [*table(phase), *remarks(phase, goals)]:
            print(line)
        if not args.quiet:
            for line in picture(phase):
                print(line)
        before = baseline.find(phase.key) if baseline is not None else None
        if baseline is not None and before is not None:
            for line in changes(phase, before, clean_line(baseline.name)):
                print(line)
        print()
    for verdict in verdicts:
        word = "FAILED" if verdict.failed else "passed"
        print(f"{word}  {clean_line(verdict.rule.text)}  {clean_line(verdict.key)}: {verdict.text}")
    sys.stdout.flush()
    for error in errors[:5]:
        print(f"error: {clean(error)}", file=sys.stderr)
