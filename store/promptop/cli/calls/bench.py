"""Load-test a prompt: percentiles of TTFT, total time and tokens per second, against objectives and baselines.

Closed loop: --concurrency N (several steps: 1,4,16). Open loop: --rate R starts calls as Poisson arrivals; --arrivals
1h repeats the arrivals of the last hour of the log. In an open loop latency counts from when each call was due. Models
and steps are measured one after the other, each after a warm-up that is dropped.

Exit codes: 0 measured, 1 a --fail-if holds or no call was answered, 2 usage error, 130 cancelled with Ctrl-C (what
came is reported, nothing is saved).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.base.times import moment_ms
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.declare import Parameters, ParsedArguments, one_of, option
from promptop.cli.shared.call_options import (
    INTERRUPTED,
    call_options,
    requests_for,
    settings_for,
    tell_prompts,
)
from promptop.cli.shared.money import lengths_of, price
from promptop.cli.shared.progress import make
from promptop.cli.shared.prompt_input import read_prompt
from promptop.cli.shared.test_set_options import builder, cases_options, read_cases
from promptop.client.request import RunRequest
from promptop.experiments.bench.arrivals import load_of
from promptop.experiments.bench.baselines import Baseline, Baselines, digest
from promptop.experiments.bench.gates import GateRule, GateVerdict, judge, parse, parse_objective
from promptop.experiments.bench.load_generator import MOST_AT_ONCE, MOST_CALLS, Load, MeasuredRequest
from promptop.experiments.bench.report import changes, picture, remarks, table
from promptop.experiments.bench.runner import BenchRun
from promptop.experiments.checks import Check
from promptop.experiments.grid.plan import GridPlan, checks_for, planned_cases
from promptop.experiments.stats import share_interval
from promptop.prompts import Prompt
from promptop.settings import Settings

_Number = TypeVar("_Number", int, float)
OBJECTIVES = ("ttft<1s",)
CALLS = 20


EXAMPLES = (
    "promptop bench prompt.md -m gpt-4o-mini -n 50 --concurrency 1,4,16 --max-tokens 200",
    "promptop bench prompt.md -m gpt-4o-mini --rate 2 --max-tokens 200 --save before",
    "promptop bench prompt.md -m gpt-4o-mini --rate 2 --max-tokens 200 --baseline before --fail-if 'p95_ttft>+10%'",
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
            help="model, or model@profile; once for each",
        ),
        option("-n", "--requests", type=int, metavar="N", help="calls per step (20, or one for each case)"),
        *one_of(
            option("--concurrency", default="1", metavar="N,N", help="calls under way, one or several steps"),
            option("--rate", metavar="R,R", help="calls started a second, one or several steps (open loop)"),
            option("--arrivals", metavar="SINCE", help="calls started as in the log since 1h, today, 2026-11-21T09:30"),
        ),
        option("--until", metavar="T", help="end of the stretch of --arrivals (default: now)"),
        option("--arrivals-filter", default="", metavar="F", help="whose arrivals: app:web model:gpt-4o"),
        option("--speed", type=float, default=1.0, metavar="X", help="divide the pauses of --arrivals by X"),
        option("--warm-up", type=int, metavar="N", help="calls dropped before each step (default: as many as at once)"),
        option(
            "--slo", many=True, metavar="S", help="what a call must meet for goodput: 'ttft<1s' (default), 'total<8s'"
        ),
        option("--save", metavar="NAME", help="keep the result as a baseline"),
        option("--baseline", metavar="NAME", help="compare with a kept result"),
        option("--fail-if", many=True, metavar="RULE", help="exit 1 if it holds: 'p95_ttft>+10%', 'errors>1%'"),
        option("--check", many=True, metavar="CHECK", help="what each answer must be (with --cases): json"),
        # An attempt that is repeated is another request to the endpoint: under load it would be counted twice.
        *call_options(retries=0),
        *cases_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Measure and return the exit code."""
    rules = [parse(text) for text in args.fail_if]
    objectives = [parse_objective(text) for text in args.slo or OBJECTIVES]
    if args.cache:
        raise UsageError("--cache and bench exclude each other.", "A benchmark measures the endpoint; a hit is none.")
    settings = settings_for(args)
    if args.check and args.cases is None:
        raise UsageError("--check needs a test set.", "Name one with --cases FILE.")
    prompt = read_prompt(args)
    specs = args.model or list(settings.active_profile().models)[:1]
    if not specs:
        raise UsageError("No model was named.", 'Write -m MODEL for each, or models = ["…"] in the profile.')
    cases, checks = _cases(args, settings, prompt, specs) if args.cases is not None else ([], [])
    if args.requests is None:
        args.requests = len(cases) or CALLS
    loads = _loads(args, settings)
    baselines = Baselines()
    baseline = baselines.load(args.baseline) if args.baseline else None
    requests = cases[0] if cases else requests_for(args, settings, prompt, specs)
    if not cases:
        tell_prompts(args, prompt)
    _check_baseline(rules, baseline, requests, loads)
    bench = BenchRun(requests, loads, objectives, cases=cases, checks=checks)
    gate = price(args, settings, bench.estimate(lengths_of(settings)))
    least_s = len(requests) * sum(load.arrivals()[-1] for load in loads if load.is_open)
    if least_s > 5 and not args.quiet and not args.json:
        print(f"Takes {units.seconds(least_s)} at least.", file=sys.stderr)
    asked = digest([request for case in cases for request in case] if cases else requests)
    outcome = make(bench, args, settings, gate)
    phases, errors, interrupted = outcome.phases, outcome.errors, outcome.stopped
    for line in outcome.shares if not args.quiet else ():
        print(line, file=sys.stderr)
    verdicts = [v for phase in phases for v in judge(rules, phase, baseline.find(phase.key) if baseline else None)]
    if args.json:
        print(json.dumps(_json(phases, baseline, verdicts, objectives, errors), ensure_ascii=False, indent=2))
    else:
        _print(args, phases, baseline, verdicts, objectives, errors)
    if baseline is not None and baseline.asked != asked:
        print("The baseline was measured with another prompt or other parameters.", file=sys.stderr)
    if outcome.is_capped:
        print("The cap ended it before its last call.", file=sys.stderr)
    if interrupted or outcome.is_capped:
        if args.save:
            print("Nothing was saved: the benchmark did not come to its end.", file=sys.stderr)
        return INTERRUPTED if interrupted else 1
    answered = any(phase.well for phase in phases)
    if args.save and answered:
        baselines.save(args.save, asked, phases)
        if not args.json:
            print(f"Saved as baseline {clean_line(args.save)}.", file=sys.stderr)
    return 1 if not answered or any(verdict.failed for verdict in verdicts) else 0


def _cases(
    args: ParsedArguments, settings: Settings, prompt: Prompt, specs: Sequence[str]
) -> tuple[list[list[RunRequest]], list[list[Check]]]:
    """Return for each case its request to each model, and its checks."""
    test_set = read_cases(args, [prompt])
    planned = planned_cases(test_set, args.check, builder(args, settings, [prompt], specs))
    plan = GridPlan(planned, (), folder=test_set.folder)
    checks = [checks_for(each, plan) if each.specs else [] for each in planned]
    if asked := next((check.text for each in checks for check in each if check.is_asked), ""):
        raise UsageError(
            f"The check {clean_line(asked, 60)} asks a model: its calls would be in the measurement.",
            "Leave it out, or use promptop compare --cases.",
        )
    return [[pair[0] for pair in each.requests] for each in planned], checks


def _loads(args: ParsedArguments, settings: Settings) -> list[Load]:
    if not 1 <= args.requests <= MOST_CALLS:
        raise UsageError(f"--requests {args.requests} is not valid.", f"Write a number from 1 to {MOST_CALLS}.")
    if args.warm_up is not None and not 0 <= args.warm_up <= MOST_CALLS:
        raise UsageError("--warm-up starts at 0.", "Leave it out for as many as run at once.")
    if args.arrivals is not None:
        return [_arrivals(args, settings)]
    if args.rate is not None:
        rates = _steps(args.rate, "--rate", float, 10_000.0)
        return [Load(args.requests, rate=rate, warm_ups=2 if args.warm_up is None else args.warm_up) for rate in rates]
    steps = _steps(args.concurrency, "--concurrency", int, MOST_AT_ONCE)
    return [Load(args.requests, step, warm_ups=step if args.warm_up is None else args.warm_up) for step in steps]


def _arrivals(args: ParsedArguments, settings: Settings) -> Load:
    if not 0 < args.speed <= 10_000:
        raise UsageError(f"--speed {args.speed:g} is not valid.", "Write a number above 0, as in 10.")
    now_ms = int(time.time() * 1000)
    since_ms = moment_ms(args.arrivals, now_ms)
    until_ms = moment_ms(args.until, now_ms) if args.until else now_ms
    load = load_of(
        settings.log_path(),
        since_ms,
        until_ms,
        args.requests,
        name=f"arrivals of {args.arrivals}",
        where=args.arrivals_filter,
        speed=args.speed,
    )
    return load if args.warm_up is None else replace(load, warm_ups=args.warm_up)


def _steps(text: str, option: str, read: Callable[[str], _Number], most: _Number) -> list[_Number]:
    try:
        found = [read(part) for part in str(text).split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < step <= most for step in found):
        raise UsageError(f"{option} {text} is not valid.", f"Write numbers above 0 up to {most}, as in 1,4,16.")
    return list(dict.fromkeys(found))


def _check_baseline(
    rules: Sequence[GateRule], baseline: Baseline | None, requests: Sequence[RunRequest], loads: Sequence[Load]
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
            wanted = MeasuredRequest(request.title, load.title)
            if baseline.find(wanted.key) is None:
                had = "; ".join(clean_line(phase.key) for phase in baseline.phases)
                raise UsageError(
                    f"The baseline {baseline.name!r} has no {clean_line(wanted.key)}.", f"It holds: {had}."
                )


def _json(
    phases: Sequence[MeasuredRequest],
    baseline: Baseline | None,
    verdicts: Sequence[GateVerdict],
    objectives: Sequence[GateRule],
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
    args: ParsedArguments,
    phases: Sequence[MeasuredRequest],
    baseline: Baseline | None,
    verdicts: Sequence[GateVerdict],
    objectives: Sequence[GateRule],
    errors: Sequence[str],
) -> None:
    goals = ", ".join(rule.text.removeprefix("max_") for rule in objectives)
    for phase in phases:
        print(f"== {clean_line(phase.key)} ==")
        for line in [*table(phase), *remarks(phase, goals)]:
            print(line)
        if phase.checked:
            low, high = share_interval(phase.passed, phase.checked)
            share = f"{units.share(low)}–{units.share(high)}"
            print(f"checks: {phase.passed} of {phase.checked} answers pass all of them (95 %: {share})")
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
