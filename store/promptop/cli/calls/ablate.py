"""Find which sentences of a prompt matter: leave groups of them out, see which cases break, and prove the trim.

One part of the cases is searched; the rest is held out for the proof of the trim that follows. A sentence is called
load-bearing, or without measurable effect, only where the answers show it; everything else is undecided. The price is
printed before anything is sent. The search stops at --max-usd and --max-calls, and keeps what it found.

Exit codes: 0 the search finished (the trim's verdict is in the output), 1 it did not (cap, refused, failing, no case
passes), 2 usage or settings error, 130 cancelled with Ctrl-C (what is known is reported and kept; --resume continues).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from promptop.base import units as figures
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.budget.estimate import CostEstimate, estimate, times
from promptop.budget.gate import Gate
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option
from promptop.cli.shared.call_options import INTERRUPTED, call_options, settings_for
from promptop.cli.shared.confirmation import refuse_existing
from promptop.cli.shared.money import check, gate_of, lengths_of
from promptop.cli.shared.progress import make
from promptop.cli.shared.prompt_input import PromptInput, read_input, sendable
from promptop.cli.shared.test_set_options import (
    builder,
    embed_of,
    judge_of,
    keeps_texts,
    read_cases,
    test_set_options,
)
from promptop.experiments.ablation.asker import PlanOf
from promptop.experiments.ablation.report import AblationReport, could_show, report_on
from promptop.experiments.ablation.run import AblationPlan, AblationRun, plan_ablation, without_copies
from promptop.experiments.ablation.search import CARRIES, FREE, likely_calls
from promptop.experiments.ablation.units import units_of
from promptop.experiments.checks import FORMS, parse_check
from promptop.experiments.grid.cells import CellStore
from promptop.experiments.grid.plan import GridPlan, PlannedCase, planned_cases, require_models
from promptop.experiments.proof import rule
from promptop.prompts import Prompt
from promptop.prompts.files import write_atomic
from promptop.settings import Settings
from promptop.trim import find

EXAMPLES = (
    "promptop ablate prompt.md -m gpt-4o-mini --cases cases.jsonl --max-usd 0.50",
    "promptop ablate prompt.md -m gpt-4o-mini --cases cases.jsonl --apply shorter.md",
)


def parameters() -> Parameters:
    """Return the options of the command."""
    return [
        *search_options(),
        option("--apply", type=Path, metavar="OUT", help="write the trimmed prompt, proven or not, to OUT"),
        flag("--force", help="replace a file that exists"),
        option("--weigh", type=int, default=8, metavar="N", help="cases that each unit is weighed on (8)"),
        *call_options(retries=2),
        *test_set_options(),
    ]


def search_options() -> Parameters:
    """Return what ``ablate`` and ``optimise`` share: model, checks, margin, the part that is held out."""
    return [
        option("-m", "--model", complete=models_known, many=True, metavar="M", help="model, or model@profile"),
        option("--check", many=True, metavar="CHECK", help="what each answer must be: " + ", ".join(FORMS)),
        option(
            "--margin",
            "--margin-pass",
            "margin",
            type=float,
            default=rule.MARGIN,
            metavar="R",
            help=f"drop that still counts as held, 0.1 is 10 points (default {rule.MARGIN})",
        ),
        option(
            "--hold-out", type=float, metavar="R", help="share of cases kept for the proof (1/3; 1/2 of 60 or more)"
        ),
        option("--max-calls", type=int, metavar="N", help="answers the search may ask for (cases × (units + 1))"),
        flag("--allow-python", help="let checks be python:EXPRESSION (text, data, tokens, expected)"),
        option("--seed-order", type=int, default=1, metavar="N", help="seed of the order of cases (default 1)"),
    ]


def run(args: ParsedArguments) -> int:
    """Search and return the exit code."""
    refuse_existing(args.apply, force=args.force)
    check_options(args)
    settings = settings_for(args)
    found = read_input(args.file, args.text)
    prompt = sendable(found, args.role)
    spec = one_model(args, settings, prompt)
    plan, plan_of = planned_search(args, settings, found, prompt, spec)
    store = CellStore(args.resume or "", full=keeps_texts(settings))
    ablation = AblationRun(plan, plan_of, store, resumed=bool(args.resume))
    gate = price_search(args, settings, plan, store)
    outcome = make(ablation, args, settings, gate)
    report = report_on(outcome, spec.partition("@")[0])
    if args.json:
        print(json.dumps(report.to_json(), ensure_ascii=True, indent=2))
    else:
        _print(report)
    if args.apply and outcome.found.removed:
        write_atomic(args.apply, outcome.trimmed)
    if outcome.stopped:
        return INTERRUPTED
    return 1 if outcome.found.ended or not outcome.found.sound else 0


def check_options(args: ParsedArguments) -> None:
    """Raise :class:`UsageError` for options that make no sense, before anything is read."""
    if args.cases is None:
        raise UsageError("A test set is needed.", "Name one with --cases FILE; promptop cases new begins one.")
    if not 0 < args.margin < 1:
        raise UsageError(f"--margin {args.margin:g} makes no sense.", "Write a number between 0 and 1, as in 0.1.")
    if args.hold_out is not None and not 0 <= args.hold_out < 1:
        raise UsageError(f"--hold-out {args.hold_out:g} makes no sense.", "Write a share from 0 to 0.9, as in 0.5.")
    if args.max_calls is not None and args.max_calls < 1:
        raise UsageError(f"--max-calls {args.max_calls} makes no sense.", "Write 1 or more.")
    if args.cache:
        raise UsageError("--cache cannot be used here.", "A cached answer is never a second answer.")
    for text in args.check:
        parse_check(text, python=args.allow_python)


def one_model(args: ParsedArguments, settings: Settings, prompt: Prompt) -> str:
    """Return the model that is asked; weights of another model are other weights, so it is one."""
    specs = args.model or ([prompt.model] if prompt.model else list(settings.active_profile().models)[:1])
    if not specs:
        raise UsageError("No model was named.", 'Write -m MODEL, or models = ["…"] in the profile.')
    if len(specs) > 1:
        raise UsageError("Several models were named.", "Run it once for each: weights differ from model to model.")
    return str(specs[0])


def planned_search(
    args: ParsedArguments, settings: Settings, found: PromptInput, prompt: Prompt, spec: str
) -> tuple[AblationPlan, PlanOf]:
    """Return what is searched, and what makes the requests of a changed text; raise :class:`UsageError` if nothing is
    checked.
    """
    test_set = read_cases(args, [prompt])
    base = found.text
    plan_of = plans(args, settings, spec, prompt_maker(args, found, prompt), test_set)
    cases, plan_of, folded = without_copies(plan_of, base)
    if folded and not args.quiet:
        print(f"{folded} cases ask what another asks: each input counts once.", file=sys.stderr)
    grid = GridPlan(
        cases,
        (cases[0].requests[0][0].title,),
        folder=test_set.folder,
        python=args.allow_python,
        at_once=max(1, args.at_once),
        seed=args.seed_order,
        judge=judge_of(args, settings),
        embed=embed_of(args, settings),
        set_digest=test_set.digest,
        tags=test_set.tags,
    )
    if not grid.has_checks:
        raise UsageError(
            "Nothing says what a right answer is: no case has a check or an expected answer.",
            "Give --check CHECK, or expected in the cases.",
        )
    units = units_of(base)
    if not any(not unit.pinned for unit in units):
        raise UsageError("There is no sentence in the prompt that could be left out.", "Name a longer prompt.")
    plan = plan_ablation(
        base,
        cases,
        grid,
        hold_out=args.hold_out,
        suspected=suspected_of(base),
        most_calls=args.max_calls,
        weigh=getattr(args, "weigh", 0),
        margin=args.margin,
    )
    return plan, plan_of


def suspected_of(text: str) -> frozenset[int]:
    """Return the units that trim rules find something to leave out in."""
    edits = find(text)
    return frozenset(
        unit.number for unit in units_of(text) if any(e.start < unit.end and unit.start < e.end for e in edits)
    )


def prompt_maker(args: ParsedArguments, found: PromptInput, prompt: Prompt) -> Callable[[str], Prompt]:
    """Return what reads a changed text as the prompt was read: same role, name and folder."""
    from dataclasses import replace

    from promptop.prompts.reader import draft_from

    def make_prompt(text: str) -> Prompt:
        changed = PromptInput(found.given, text, draft_from(text), found.form, found.version)
        return replace(sendable(changed, args.role), name=prompt.name)

    return make_prompt


def plans(
    args: ParsedArguments, settings: Settings, spec: str, make_prompt: Callable[[str], Prompt], test_set: object
) -> PlanOf:
    """Return what plans every case with a text of the prompt."""
    from promptop.experiments.test_sets import TestSet

    assert isinstance(test_set, TestSet)

    def plan_of(text: str) -> Sequence[PlannedCase]:
        build = builder(args, settings, (make_prompt(text),), [spec])
        return planned_cases(test_set, args.check, build, seed=args.seed_order)

    return plan_of


def price_search(
    args: ParsedArguments, settings: Settings, plan: AblationPlan, store: CellStore, note: str = ""
) -> Gate:
    """Return the gate of a search that may begin, its price said on stderr with how to go on; ``note`` follows that.

    Raises :class:`PromptopError` where not even one pass over the cases fits: a search stops at its cap.
    """
    require_models(plan)
    gate = gate_of(settings, args.max_usd)
    one = estimate([planned.requests[0][0] for planned in plan.cases], 1, lengths_of(settings))
    refuse_unbounded(args, one)
    check(gate, one)
    if not args.quiet:
        tell_price(plan, one, args.max_usd)
        print(could_show(len(plan.held), plan.margin), file=sys.stderr)
        print(f"Run {store.run}: --resume {store.run} goes on with it.{note}", file=sys.stderr)
    return gate


def refuse_unbounded(args: ParsedArguments, one: CostEstimate) -> None:
    """Raise :class:`UsageError` where nobody can say what it may cost and no cap was typed."""
    if args.max_usd is None and (one.open or one.usd is None):
        why = clean_line("; ".join(one.why) or "the model has no known price", 200)
        raise UsageError(f"What this may cost has no bound: {why}.", "Give --max-usd USD, or --max-tokens N.")


def tell_price(plan: AblationPlan, one: CostEstimate, cap: float | None) -> None:
    """Say on stderr what a search is likely to take and what it takes at most."""
    each = max(1, one.calls)
    likely = likely_calls(len(plan.units), len(plan.cases))
    most = times(one, -(-plan.most_calls // each))
    usd = f", about {figures.usd(one.usd / each * likely)}" if one.usd is not None else ""
    stop = f"; stops at {figures.usd(cap)}" if cap is not None else ""
    ceiling = f"at most {plan.most_calls} calls" + (f", {figures.usd(most.usd)}" if most.usd is not None else "")
    print(
        f"{len(plan.units)} units × {len(plan.cases)} cases: about {likely} calls{usd}; {ceiling}{stop}",
        file=sys.stderr,
    )


def _print(report: AblationReport) -> None:
    marks = {CARRIES: "█", FREE: "·"}
    for row in report.rows:
        finding = row.finding
        interval = finding.interval
        weight = "" if finding.effect is None else f"{figures.share(max(0.0, finding.effect))}"
        ends = "" if interval is None else f"[{figures.share(interval[0])} to {figures.share(interval[1])}]"
        twin = f" = unit {finding.twin}" if finding.twin is not None else ""
        usd = "" if row.usd is None else f" {figures.usd(row.usd)}"
        state = f"pinned: {row.unit.pinned}" if row.unit.pinned else finding.state
        head = f"{marks.get(finding.state, '?')} {row.unit.number:3} {row.tokens:4} tokens{usd}"
        print(clean_line(f"{head}  {state} {weight} {ends}{twin}  {' '.join(row.text.split())[:70]}", 240))
    for title, rows in (
        ("Expensive and without effect", report.expensive_free),
        ("Cheap and load-bearing", report.cheap_carrying),
    ):
        if rows:
            print(f"{title}: " + ", ".join(f"{row.unit.number} ({row.tokens} tokens)" for row in rows[:12]))
    for line in report.lines():
        print(clean_line(line, 400))
    cautious = [row.unit.number for row in report.expensive_free if row.unit.caution]
    if cautious:
        print(f"Read before you cut: {', '.join(map(str, cautious))} are prohibitions; no case here may need them.")
    sys.stdout.flush()
    for error in report.outcome.errors[:5]:
        print(f"error: {clean_line(error, 300)}", file=sys.stderr)
    if report.outcome.is_capped:
        print(f"A cap ended it. {clean_line(report.outcome.over_cap, 300)}", file=sys.stderr)
