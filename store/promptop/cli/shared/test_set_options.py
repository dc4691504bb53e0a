"""What commands share that ask a test set: its options, the set with every variable filled, and its requests."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.shared.call_options import requests_for
from promptop.cli.shared.model_names import tell_unknown
from promptop.client.request import Message, RunRequest
from promptop.client.targets import parse_target
from promptop.experiments.checks.judges import JudgeModel
from promptop.experiments.checks.vectors import EmbedModel, check_engine
from promptop.experiments.grid.plan import GridPlan, checks_for, standing_in
from promptop.experiments.test_sets import TestSet, read_test_set
from promptop.history.run_history import RunHistory
from promptop.prompts import Prompt
from promptop.settings import Settings


def add_test_set_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a test set that is asked and judged."""
    add = add_cases_arguments(parser)
    add("--at-once", type=int, default=1, metavar="N", help="cases under way at a time (default 1)")
    add("--judge", metavar="MODEL", help="model that compares answers and grades rubric: checks")
    add("--rubric", default="", metavar="TEXT", help="what the judge compares answers by")
    add("--embed", metavar="MODEL", help="model of the endpoint's /embeddings, for similar: checks")
    add("--resume", metavar="ID", help="go on with an earlier run: what is answered is not asked again")
    add(
        "--report",
        type=Path,
        action="append",
        default=[],
        metavar="OUT",
        help="also write OUT.html, .md, .csv, .json, .xml (JUnit) or .promptfoo.json; repeatable",
    )


def add_cases_arguments(parser: argparse.ArgumentParser) -> Callable[..., object]:
    """Add the options that say which cases are asked; return what adds further ones to their group."""
    add = parser.add_argument_group("test set").add_argument
    add("--cases", type=Path, metavar="FILE", help="ask each case of a test set: JSONL, YAML, JSON or CSV")
    add("--tag", action="append", default=[], metavar="TAG", help="only cases with this tag; repeatable")
    add("--skip-unknown", action="store_true", help="leave out, and name, what has no equal here")
    return add


def read_cases(args: argparse.Namespace, prompts: Sequence[Prompt]) -> TestSet:
    """Read the test set and fill every prompt with every case.

    Raises :class:`UsageError` for a file that is not valid, and for a variable without a value, before any call.
    """
    names = list(dict.fromkeys(name for prompt in prompts for name in prompt.unfilled({})))
    test_set = read_test_set(
        args.cases, skip_unknown=args.skip_unknown, only_variable=names[0] if len(names) == 1 else None
    )
    if args.tag:
        test_set = test_set.tagged(args.tag)
    for note in test_set.notes[:20] if not args.quiet else ():
        print(f"note: {clean_line(note, 300)}", file=sys.stderr)
    typed = dict(text.partition("=")[::2] for text in args.var)
    for case in test_set.cases:
        if case.messages:
            continue
        given = {**typed, **case.values(), **{Path(name).stem: "" for name in case.files}}
        missing = list(dict.fromkeys(name for prompt in prompts for name in prompt.missing(given)))
        if missing:
            raise UsageError(
                f"{case.where or case.id}: the prompt's {{{{{clean_line(missing[0], 40)}}}}} has no value.",
                f"Add it to vars, or give --var {clean_line(missing[0], 40)}=VALUE for all cases. Nothing was sent.",
            )
    used = {name for prompt in prompts for name in prompt.variables}
    spare = sorted({name for case in test_set.cases for name in case.vars} - used)
    if spare and not args.quiet and any(not case.messages for case in test_set.cases):
        print(f"note: variables that no prompt uses: {clean_line(', '.join(spare), 200)}", file=sys.stderr)
    return test_set


def builder(
    args: argparse.Namespace,
    settings: Settings,
    prompts: Sequence[Prompt],
    specs: Sequence[str],
    labels: Sequence[str] | None = None,
) -> Callable[[Mapping[str, str], Sequence[Message]], list[list[RunRequest]]]:
    """Return what makes the requests of a case: for each prompt, one to each model; ``labels`` tell prompts apart."""
    tell_unknown((parse_target(spec, settings).model for spec in specs), likely_slips_only=True)

    def build(values: Mapping[str, str], messages: Sequence[Message]) -> list[list[RunRequest]]:
        made = []
        for at, prompt in enumerate(prompts):
            row = [standing_in(each, messages) for each in requests_for(args, settings, prompt, specs, values=values)]
            made.append([replace(each, label=f"{each.title} · {labels[at]}") for each in row] if labels else row)
        return made

    return build


def judge_of(args: argparse.Namespace, settings: Settings) -> JudgeModel | None:
    """Return the judge that was named."""
    if not args.judge:
        return None
    target = parse_target(args.judge, settings)
    return JudgeModel(target.profile, target.model, args.rubric)


def embed_of(args: argparse.Namespace, settings: Settings) -> EmbedModel | None:
    """Return the model of vectors that was named."""
    if not args.embed:
        return None
    target = parse_target(args.embed, settings)
    return EmbedModel(target.profile, target.model)


def check_asked(plan: GridPlan) -> None:
    """Raise :class:`UsageError` before any call where a check needs a model that was not named."""
    kinds = {check.kind for planned in plan.cases for check in checks_for(planned, plan)}
    if "rubric" in kinds and plan.judge is None:
        raise UsageError("A rubric: check needs a judge.", "Name one with --judge MODEL.")
    if "similar" in kinds:
        check_engine(plan.embed)


def keeps_texts(settings: Settings) -> bool:
    """Whether answers are kept on disk: what the history's page was told, else the settings."""
    return (RunHistory().chosen_mode() or settings.playground.history) == "full"
