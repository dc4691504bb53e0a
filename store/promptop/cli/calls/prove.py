"""Prove that a trimmed prompt gets the same answers, case by case on a test set; it stops as soon as this is sure.

BASE is the original prompt, FILE the trimmed one. With --cases each case is asked with both prompts in turns. The
verdict is proven, alike, changed, worse or undecided, with the largest drop that is still possible. Without --cases one
input is asked -n times, which can show at most that the answers are alike on this input. --save keeps FILE in the
library with its receipt and proof.

Exit codes: 0 proven (or what --accept names), 1 anything else, 2 usage or settings error, 130 cancelled with Ctrl-C
(what came is judged, reported and kept; --resume continues).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.budget.estimate import CostEstimate
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.call_options import (
    INTERRUPTED,
    call_options,
    requests_for,
    settings_for,
    tell_prompts,
)
from promptop.cli.shared.money import check, gate_of, lengths_of, price
from promptop.cli.shared.progress import make
from promptop.cli.shared.prompt_input import read_input, sendable, values_of
from promptop.cli.shared.test_set_options import (
    builder,
    embed_of,
    judge_of,
    keeps_texts,
    read_cases,
    test_set_options,
)
from promptop.cli.shared.trimmed_input import trimmed_input
from promptop.experiments.checks import FORMS, parse_check
from promptop.experiments.grid.cells import CellStore
from promptop.experiments.grid.plan import asked_once, attempt_of, planned_cases, require_models
from promptop.experiments.proof import rule
from promptop.experiments.proof.exports import write_report
from promptop.experiments.proof.plan import ProofPlan, near_duplicates
from promptop.experiments.proof.price import one_case_price, whole_price
from promptop.experiments.proof.report import ProofReport, report_of
from promptop.experiments.proof.run import ProofRun
from promptop.experiments.proof.single_input import MORE, REPEATS, paired, prove, trial
from promptop.prompts import Prompt
from promptop.prompts.proof import ALIKE, PROVEN, Proof, digest
from promptop.prompts.receipt import Receipt
from promptop.settings import Settings

EXAMPLES = (
    "promptop prove long.md short.md -m gpt-4o-mini --cases cases.jsonl --max-usd 0.50",
    "promptop trim long.md --json | promptop prove long.md - -m gpt-4o-mini --cases cases.jsonl",
    "promptop prove long.md short.md -m gpt-4o-mini -n 10 --accept alike",
)


def parameters() -> Parameters:
    """Return the options of the command."""
    return [
        argument("base", metavar="BASE", complete=prompts, help="the prompt as it was before trimming"),
        option(
            "-m",
            "--model",
            complete=models_known,
            many=True,
            metavar="M",
            help="model, or model@profile; once for each",
        ),
        option(
            "-n",
            "--repeat",
            type=int,
            metavar="N",
            help=f"answers of each side to a case (default: 1, 3 where the baseline wavers; without --cases {REPEATS})",
        ),
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
        option("--most-lost", type=int, default=0, metavar="N", help="cases that may be lost for sure"),
        option("--accept", default=PROVEN, choices=[ALIKE, PROVEN], help="also exit 0 for alike"),
        flag("--allow-python", help="let checks be python:EXPRESSION (text, data, tokens, expected)"),
        option("--show", choices=["lost", "changed", "all"], help="print the answers of these cases side by side"),
        option("--seed-order", type=int, default=1, metavar="N", help="seed of the order of cases (default 1)"),
        option("--save", metavar="NAME", help="keep FILE as a version of NAME in the library, with the proof"),
        *call_options(retries=None),
        *test_set_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Prove and return the exit code."""
    python = args.allow_python
    if not 0 < args.margin < 1:
        raise UsageError(f"--margin {args.margin:g} makes no sense.", "Write a number between 0 and 1, as in 0.1.")
    if args.cache:
        raise UsageError("--cache and prove exclude each other.", "A cached answer is never a second answer.")
    for text in args.check:
        parse_check(text, python=python)
    settings = settings_for(args)
    base = read_input(args.base)
    counted_for = (args.model or [base.prompt(args.role).model or "gpt-4o"])[0]
    trimmed, rules = trimmed_input(args.file, args.text, base, counted_for)
    texts = base.text, trimmed.text
    before, after = (sendable(each, args.role) for each in (base, trimmed))
    specs = args.model or ([after.model] if after.model else list(settings.active_profile().models)[:1])
    if not specs:
        raise UsageError("No model was named.", 'Write -m MODEL for each, or models = ["…"] in the profile.')
    if args.cases is None:
        if args.resume or args.judge:
            raise UsageError("--resume and --judge need a test set.", "Name one with --cases FILE.")
        return _one_input(args, settings, texts, (before, after), specs, rules)
    # A test set's case is incomplete without its answer, so failed calls are tried again.
    args.retries = 2 if args.retries is None else args.retries
    return _test_set(args, settings, texts, (before, after), specs, rules)


# A test set


def _test_set(
    args: ParsedArguments,
    settings: Settings,
    texts: tuple[str, str],
    prompts: tuple[Prompt, Prompt],
    specs: Sequence[str],
    rules: Mapping[str, int],
) -> int:
    test_set = read_cases(args, prompts)
    planned = planned_cases(test_set, args.check, builder(args, settings, prompts, specs), seed=args.seed_order)
    cases, folded = asked_once(planned)
    titles = tuple(request[0].title for request in cases[0].requests)
    hosts = [request[0].profile.base_url for request in cases[0].requests]
    plan = ProofPlan(
        cases,
        titles,
        folder=test_set.folder,
        python=args.allow_python,
        margin=args.margin,
        answers=_answers(args.repeat),
        at_once=max(1, args.at_once),
        most_lost=args.most_lost,
        seed=args.seed_order,
        judge=judge_of(args, settings),
        embed=embed_of(args, settings),
        set_digest=test_set.digest,
        tags=test_set.tags,
        folded=folded,
        near=near_duplicates(cases),
        attempt=attempt_of(digest(texts[0]), test_set.digest, titles, hosts),
    )
    store = CellStore(args.resume or "", full=keeps_texts(settings))
    proof = ProofRun(plan, store, resumed=bool(args.resume))
    require_models(plan)
    gate = gate_of(settings, args.max_usd)
    lengths = lengths_of(settings)
    check(gate, one_case_price(plan, lengths))
    if not args.quiet:
        _tell_before(plan, store, whole_price(plan, lengths))
    outcome = make(proof, args, settings, gate)
    report = report_of(plan, outcome, texts, int(time.time() * 1000))
    receipt = replace(receipt_of(specs[0], prompts[0], prompts[1], None), proof=report.proof, rules=rules)
    if args.json:
        print(json.dumps(report.to_json() | {"receipt": receipt.as_dict()}, ensure_ascii=True, indent=2))
    else:
        _print(report, receipt, args)
    for out in args.report:
        write_report(out, report, texts)
    if outcome.stopped:
        return INTERRUPTED
    accepted = report.verdict == PROVEN or (report.verdict == ALIKE and args.accept == ALIKE)
    if args.save and accepted:
        save_versions(args.save, texts, receipt, report.proof.made_ms, quiet=args.json)
    elif args.save and not args.quiet:
        print(f"Nothing was saved: the verdict is {report.verdict}.", file=sys.stderr)
    return 0 if accepted else 1


def _answers(repeat: int | None) -> int | None:
    if repeat is not None and not 1 <= repeat <= 100:
        raise UsageError(f"-n {repeat} makes no sense with --cases.", "Write 1 to 100 answers of each side to a case.")
    return repeat


def _tell_before(plan: ProofPlan, store: CellStore, most: CostEstimate) -> None:
    """Say on stderr what it may cost, what so many cases can show, and how to go on after a kill."""
    n = len(plan.cases)
    print(str(most), file=sys.stderr)
    needed = rule.cases_needed(plan.margin)
    seen = f"{n} cases can show a drop of {units.share(rule.could_see(n))} at best"
    more = f"; {needed} are needed for {units.share(plan.margin)}" if needed > n else ""
    print(f"{seen}{more}. Run {store.run}: --resume {store.run} goes on with it.", file=sys.stderr)
    for note in plan.notes():
        print(f"{note}.", file=sys.stderr)
    if not plan.has_checks and not store.full:
        print(
            "Texts are not kept (history of [playground]): resumed, it asks again, since no check is given.",
            file=sys.stderr,
        )
    if not plan.has_checks:
        print("No check is given: at most alike can be shown. --check tells what must hold.", file=sys.stderr)


def _print(report: ProofReport, receipt: Receipt, args: ParsedArguments) -> None:
    print(clean_line(f"{report.verdict}: {report.why}", 600))
    for line in report.lines:
        print(f"  {clean_line(line, 400)}")
    if report.advice:
        print(f"  → {clean_line(report.advice, 300)}")
    if args.show:
        for line in report.side_by_side(args.show):
            print(line)
    sys.stdout.flush()
    for error in report.errors[:5]:
        print(f"error: {clean_line(error, 300)}", file=sys.stderr)
    if report.is_capped:
        print(f"A cap ended it. {clean_line(report.over_cap, 300)}", file=sys.stderr)
    print(clean_line(receipt.line(), 400), file=sys.stderr)


# One input


def _one_input(
    args: ParsedArguments,
    settings: Settings,
    texts: tuple[str, str],
    prompts: tuple[Prompt, Prompt],
    specs: Sequence[str],
    rules: Mapping[str, int],
) -> int:
    # A repeated attempt would stand in for an answer that the other prompt had to give at once.
    args.retries = args.retries or 0
    checks = [parse_check(text, python=args.allow_python) for text in args.check]
    if any(each.is_asked for each in checks):
        raise UsageError("similar: and rubric: need a test set.", "Name one with --cases FILE.")
    names = list(dict.fromkeys(name for prompt in prompts for name in prompt.missing(values_of(args))))
    if names:
        raise UsageError(
            f"The variable {{{{{clean_line(names[0], 40)}}}}} has no value: nothing was sent.",
            f"Give --var {clean_line(names[0], 40)}=VALUE, or a test set with --cases FILE.",
        )
    asked = [requests_for(args, settings, prompt, specs) for prompt in prompts]
    tell_prompts(args, *prompts)
    pairs = list(zip(*asked, strict=True))
    if pairs[0][0].parameters() != pairs[0][1].parameters():
        print("The two prompts name other parameters: a difference may be theirs.", file=sys.stderr)
    tried = trial(pairs, args.repeat or REPEATS)
    gate = price(args, settings, tried.estimate(lengths_of(settings)))
    outcome = make(tried, args, settings, gate)
    titles = [request.title for request in asked[0]]
    now_ms = int(time.time() * 1000)
    groups = paired(outcome.kept)
    found = prove(*texts, titles, groups, checks, now_ms=now_ms, margin=args.margin, first=outcome.first)
    receipt = replace(receipt_of(specs[0], prompts[0], prompts[1], None), proof=found, rules=rules)
    errors = list(dict.fromkeys(str(each.error) for arm in outcome.kept for each in arm if each.error is not None))
    first = next((each for each in outcome.first if each is not None and each.error is not None), None)
    if not errors and first is not None:
        errors = [str(first.error)]
    if args.json:
        print(json.dumps(_one_json(found, titles, groups, errors, receipt), ensure_ascii=True, indent=2))
    else:
        _print_one(found, receipt)
        for error in errors[:5]:
            print(f"error: {clean_line(error, 300)}", file=sys.stderr)
        if outcome.is_capped:
            print("A cap ended it before the last round.", file=sys.stderr)
    if outcome.stopped:
        return INTERRUPTED
    accepted = found.verdict == ALIKE and args.accept == ALIKE
    if args.save and accepted:
        save_versions(args.save, texts, receipt, now_ms, quiet=args.json)
    return 0 if accepted else 1


def _one_json(
    found: Proof, titles: Sequence[str], groups: Sequence[Any], errors: Sequence[str], receipt: Receipt
) -> dict[str, Any]:
    answers = [
        {"case": "the one input", "model": title, "version": side, "text": result.text, "passed": None}
        for title, pair in zip(titles, groups, strict=True)
        for side, results in zip(("before", "after"), pair, strict=True)
        for result in results
        if result.state == "done"
    ]
    checks = [
        {
            "check": check.check,
            "before": check.before / check.of_before if check.of_before else None,
            "after": check.after / check.of_after if check.of_after else None,
            "difference": None,
            "low": None,
            "high": None,
        }
        for model in found.models
        for check in model.checks
    ]
    return {
        "verdict": found.verdict,
        "why": found.why,
        "margin": found.margin,
        "confidence": found.confidence,
        "cases": [],
        "checks": checks,
        "tokens": {"before": receipt.tokens_before, "after": receipt.tokens_after},
        "cost_usd": found.usd,
        "answers": answers,
        "advice": MORE,
        "receipt": receipt.as_dict(),
        "errors": list(errors),
    }


def _print_one(found: Proof, receipt: Receipt) -> None:
    for model in found.models:
        print(f"== {clean_line(model.model)}: {model.verdict} (n={model.n_before}+{model.n_after}) ==")
        for line in model.sentences():
            print(f"  {clean_line(line, 300)}")
    print(clean_line(f"{found.said()} (margin {found.margin:g})", 400))
    print(f"  → {MORE}")
    sys.stdout.flush()
    print(clean_line(receipt.line(), 400), file=sys.stderr)


# Both


def receipt_of(model: str, before: Prompt, after: Prompt, found: Proof | None) -> Receipt:
    """Return tokens and input dollars of both prompts by our own count, with the proof."""
    from promptop import models
    from promptop.prompts import compose
    from promptop.tokens import count

    name = model.partition("@")[0] if models.find(model) is None else model
    counts = [count(compose(prompt.openai()), name) for prompt in (before, after)]
    usd = [models.price(name, input_tokens=each.tokens, output_tokens=0).usd for each in counts]
    return Receipt(name, counts[0].kind, counts[0].tokens, counts[1].tokens, usd[0], usd[1], {}, found)


def save_versions(name: str, texts: tuple[str, str], receipt: Receipt, now_ms: int, *, quiet: bool) -> None:
    """Keep both texts as versions: the trimmed one says what it was trimmed from."""
    from promptop.prompts.library import Library

    library = Library()
    known = library.versions(name)
    if not any(version.text == texts[0] for version in known):
        library.save(name, texts[0], now_ms=now_ms, note="before trimming")
    saved = library.save(name, texts[1], now_ms=now_ms, note=receipt.line(), receipt=receipt)
    if not quiet:
        print(f"Saved as {clean_line(saved.label)}.", file=sys.stderr)
