"""What commands share that ask a test set: its options, the set with every variable filled, and its requests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, group, option
from promptop.cli.shared.call_options import requests_for
from promptop.cli.shared.model_names import tell_unknown
from promptop.client.request import Message, RunRequest
from promptop.client.targets import parse_target
from promptop.experiments.checks.judges import JudgeModel
from promptop.experiments.checks.vectors import EmbedModel
from promptop.experiments.grid.plan import standing_in
from promptop.experiments.test_sets import TestSet, read_test_set
from promptop.history.run_history import RunHistory
from promptop.prompts import Prompt
from promptop.settings import Settings


def test_set_options() -> Parameters:
    """Return the options of a test set that is asked and judged."""
    return group(
        "Test set",
        *cases_options(),
        option("--at-once", type=int, default=1, metavar="N", help="cases under way at a time (default 1)"),
        option("--judge", metavar="MODEL", help="model that compares answers and grades rubric: checks"),
        option("--rubric", default="", metavar="TEXT", help="what the judge compares answers by"),
        option("--embed", metavar="MODEL", help="model of the endpoint's /embeddings, for similar: checks"),
        option("--resume", metavar="ID", help="go on with an earlier run: what is answered is not asked again"),
        option(
            "--report",
            many=True,
            type=Path,
            metavar="OUT",
            help="also write OUT.html, .md, .csv, .json, .xml (JUnit) or .promptfoo.json; repeatable",
        ),
    )


def cases_options() -> Parameters:
    """Return the options that say which cases are asked."""
    return group(
        "Test set",
        option("--cases", type=Path, metavar="FILE", help="ask each case of a test set: JSONL, YAML, JSON or CSV"),
        option("--tag", many=True, metavar="TAG", help="only cases with this tag; repeatable"),
        flag("--skip-unknown", help="leave out, and name, what has no equal here"),
    )


def read_cases(args: ParsedArguments, prompts: Sequence[Prompt]) -> TestSet:
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
    args: ParsedArguments,
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


def judge_of(args: ParsedArguments, settings: Settings) -> JudgeModel | None:
    """Return the judge that was named."""
    if not args.judge:
        return None
    target = parse_target(args.judge, settings)
    return JudgeModel(target.profile, target.model, args.rubric)


def embed_of(args: ParsedArguments, settings: Settings) -> EmbedModel | None:
    """Return the model of vectors that was named."""
    if not args.embed:
        return None
    target = parse_target(args.embed, settings)
    return EmbedModel(target.profile, target.model)


def keeps_texts(settings: Settings) -> bool:
    """Whether answers are kept on disk: what the history's page was told, else the settings."""
    return RunHistory().mode(settings.playground.history) == "full"
