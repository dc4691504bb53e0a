"""Test sets: create one, draw one from the log, show it, check it before money is spent, convert it.

Exit codes: 0 done, 1 check found something, 2 usage error or unreadable test set.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.base.files import write_private
from promptop.base.sanitize import clean_line
from promptop.base.text_table import aligned
from promptop.base.times import moment_ms
from promptop.cli.command_line.command import Command, verb
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.declare import ParsedArguments, argument, flag, option
from promptop.cli.shared.confirmation import refuse_existing
from promptop.cli.shared.options import settings_of, settings_options
from promptop.cli.shared.prompt_input import prompt_given
from promptop.client.result import RunResult
from promptop.experiments.checks import Check, answered, parse_check
from promptop.experiments.proof import rule
from promptop.experiments.proof.broken_answers import caught
from promptop.experiments.test_sets import TestSet, read_test_set
from promptop.experiments.test_sets.from_log import Drawn, Logged, drawn
from promptop.experiments.test_sets.writer import text_of
from promptop.prompts import Prompt
from promptop.settings import Settings

_BEGINNING = (
    '{"id": "first", "vars": {"input": "the text that stands in for {{input}}"}, "expected": "what is right",'
    ' "tags": ["example"]}\n'
    '{"id": "second", "vars": {"input": "another text"}, "checks": ["contains:a word", "json"]}\n'
)
MOST_ROWS = 20_000
"""Rows of the log that are looked at."""
SHOWN = 60


EXAMPLES = (
    "promptop cases new --prompt summary.md cases-new.jsonl",
    "promptop cases from-log --prompt support -o drawn.jsonl",
    "promptop cases show cases.jsonl",
    "promptop cases check cases.jsonl --prompt summary.md",
    "promptop cases convert tests.yaml cases.csv",
)


def verbs() -> list[Command]:
    """Declare the sub-commands."""
    return [
        verb(
            "new",
            "write a test set to begin with",
            argument("out", type=Path, metavar="OUT", help="file to create: cases.jsonl"),
            option("--prompt", metavar="FILE", help="prompt whose variables the cases have"),
            flag("--force", help="replace a file that exists"),
        ),
        verb(
            "from-log",
            "draw cases from logged requests (where bodies are kept)",
            option("--prompt", required=True, metavar="NAME|FILE", help="prompt's name in the log, or its file"),
            option("--since", default="7d", metavar="T", help="from when on (default 7d)"),
            option("-n", "--count", type=int, default=30, metavar="N", help="cases to draw (default 30)"),
            option("-o", "--output", type=Path, required=True, metavar="OUT", help="file to write (0600): cases.jsonl"),
            option("--seed", type=int, default=1, metavar="N", help="seed of the draw"),
            *settings_options(),
            flag("--force", help="replace a file that exists"),
        ),
        verb(
            "show",
            "print the cases of a set",
            argument("file", type=Path, metavar="FILE", help="test set: JSONL, YAML, JSON or CSV"),
            flag("--skip-unknown", help="leave out, and name, what has no equal here"),
            flag("--json", help="print JSON"),
        ),
        verb(
            "check",
            "names, variables, doubles, checks, tokens: what can be told without a call",
            argument("file", type=Path, metavar="FILE", help="test set: JSONL, YAML, JSON or CSV"),
            flag("--skip-unknown", help="leave out, and name, what has no equal here"),
            flag("--json", help="print JSON"),
            option("--prompt", many=True, metavar="FILE", help="prompt that the set is for"),
            option("--check", many=True, metavar="CHECK", help="check of all cases"),
            flag("--allow-python", help="let checks be python:EXPRESSION"),
            option(
                "-m",
                "--model",
                complete=models_known,
                default="gpt-4o-mini",
                metavar="M",
                help="model to count tokens for",
            ),
        ),
        verb(
            "convert",
            "write a set in another form: .jsonl, .json or .csv",
            flag("--force", help="replace a file that exists"),
            argument("file", type=Path, metavar="FILE", help="test set: JSONL, YAML, JSON or CSV"),
            flag("--skip-unknown", help="leave out, and name, what has no equal here"),
            argument("out", type=Path, metavar="OUT", help="file to write"),
        ),
    ]


def run(args: ParsedArguments) -> int:
    """Run one sub-command."""
    if args.verb == "new":
        return _new(args)
    if args.verb == "from-log":
        return _from_log(args, settings_of(args))
    test_set = read_test_set(args.file, skip_unknown=args.skip_unknown)
    for note in test_set.notes:
        print(f"note: {clean_line(note, 300)}", file=sys.stderr)
    if args.verb == "show":
        return _show(args, test_set)
    if args.verb == "convert":
        return _convert(args, test_set)
    return _check(args, test_set)


def _write(out: Path, text: str, *, force: bool) -> None:
    refuse_existing(out, force=force)
    try:
        write_private(out, text)
    except OSError as error:
        raise PromptopError(f"{out} cannot be written ({error.strerror}).", "Choose another name.") from None


def _new(args: ParsedArguments) -> int:
    text = _BEGINNING
    if args.prompt:
        names = prompt_given(args.prompt).variables
        if not names:
            raise UsageError(f"{args.prompt} has no {{{{variable}}}}.", "Write {{input}} where a case's text belongs.")
        shape = {"id": "first", "vars": dict.fromkeys(names, ""), "expected": "what is right", "tags": []}
        text = json.dumps(shape, ensure_ascii=False) + "\n"
    _write(args.out, text, force=args.force)
    print(f"Wrote {clean_line(str(args.out))}: a case a line.", file=sys.stderr)
    return 0


def _from_log(args: ParsedArguments, settings: Settings) -> int:
    from promptop.base.redact import json_value

    path = Path(args.prompt)
    prompt = prompt_given(args.prompt) if path.is_file() else None
    if settings.log.bodies in ("off", "hash"):
        raise UsageError(
            f'Bodies are not kept (bodies = "{settings.log.bodies}" in [log]), so that no request can be read back.',
            'Set bodies = "redacted" (or "full") in [log] of the settings; requests from then on can be drawn.',
        )
    name = prompt.name or path.stem if prompt is not None else args.prompt
    logged = list(_logged(settings, name, prompt, moment_ms(args.since, int(time.time() * 1000))))
    if not logged:
        raise PromptopError(
            f"The log has no request of {clean_line(name, 60)} since {args.since} whose body is kept.",
            "Name another prompt or a longer time; promptop report --by prompt lists the names.",
        )
    template = (
        [{"role": each.role, "content": each.content} for each in prompt.messages] if prompt is not None else None
    )
    found: Drawn = drawn(logged, template, args.count, json_value, seed=args.seed)
    if not found.cases:
        raise PromptopError(f"None of {found.requests} requests fits the prompt.", "Is it the version that was sent?")
    lines = "".join(json.dumps(case.to_json(), ensure_ascii=True) + "\n" for case in found.cases)
    _write(args.output, lines, force=args.force)
    print(
        f"{found.requests} requests, {found.unfit} do not fit the prompt, {found.folds} different ones:"
        f" {len(found.cases)} cases in {clean_line(str(args.output))}",
        file=sys.stderr,
    )
    print("The set holds real inputs. seen is what was answered, not what is right: write expected.", file=sys.stderr)
    return 0


def _logged(settings: Settings, name: str, prompt: Prompt | None, since_ms: int) -> Any:
    """Yield the requests of a prompt, found by its name, else by the same system text."""
    from promptop.log import LogReader
    from promptop.log.write.bodies import read_body

    log = settings.log_path()
    system = None
    if prompt is not None:
        system = [each.content for each in prompt.messages if each.role in ("system", "developer")] or None
    with LogReader(log) as reader:
        rows = reader.between(since_ms, int(time.time() * 1000) + 1000, MOST_ROWS)
        for row in rows:
            if row.error_type is not None or (row.prompt_name != name and system is None):
                continue
            kept = read_body(log, row.id)
            if kept is None or kept.request is None:
                continue
            try:
                body = json.loads(kept.request)
            except ValueError:
                continue
            messages = body.get("messages") if isinstance(body, dict) else None
            if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
                continue
            said = [each.get("content") for each in messages if each.get("role") in ("system", "developer")]
            if row.prompt_name != name and said != system:
                continue
            yield Logged(row.started_ms or 0, tuple(messages), kept.response or "")


def _show(args: ParsedArguments, test_set: TestSet) -> int:
    if args.json:
        print(json.dumps([case.to_json() for case in test_set.cases], ensure_ascii=True, indent=2))
        return 0
    rows = [["id", "vars", "expected", "checks", "tags"]]
    for case in test_set.cases:
        values = json.dumps(case.values(), ensure_ascii=False) if case.vars else f"{len(case.messages)} messages"
        checks = ", ".join(check.text for check in case.parsed(test_set.folder, python=True))
        expected = "" if case.expected is None else str(case.expected)
        cells = (case.id, values, expected, checks, ",".join(case.tags))
        rows.append([clean_line(text, SHOWN) for text in cells])
    for line in aligned(rows, left=tuple(range(len(rows[0])))):
        print(line)
    return 0


def _convert(args: ParsedArguments, test_set: TestSet) -> int:
    _write(args.out, text_of(test_set, args.out.suffix), force=args.force)
    return 0


def _check(args: ParsedArguments, test_set: TestSet) -> int:
    """Say what is wrong with a set, and what its checks are worth, without a call."""
    problems: list[str] = []
    prompts = [prompt_given(name) for name in args.prompt]
    checks: dict[str, list[Check]] = {}
    for case in test_set.cases:
        shared = [
            parse_check(spec, python=args.allow_python, expected=case.expected, folder=test_set.folder)
            for spec in (*test_set.checks, *args.check)
        ]
        checks[case.id] = [answered(), *shared, *case.parsed(test_set.folder, python=args.allow_python)]
        for prompt in prompts if not case.messages else ():
            missing = prompt.unfilled(case.values())
            problems += [f"{case.where or case.id}: {{{{{name}}}}} has no value" for name in missing]
        if len(checks[case.id]) == 1:
            problems.append(f"{case.where or case.id}: nothing is checked")
    seen = [
        (RunResult("", "", "", case.seen, "done"), checks[case.id])
        for case in test_set.cases
        if isinstance(case.seen, str)
    ]
    deaf = [found for found in caught(seen).values() if not found.tells] if seen else []
    problems += [found.said() for found in deaf]
    tokens = _tokens(test_set, prompts, args.model) if prompts else None
    n = len(test_set.cases)
    told = {
        "cases": n,
        "tags": list(test_set.tags),
        "digest": test_set.digest,
        "could_see": rule.could_see(n),
        "needed": rule.cases_needed(),
        "input_tokens": tokens,
        "problems": problems,
    }
    if args.json:
        print(json.dumps(told, ensure_ascii=True, indent=2))
        return int(bool(problems))
    print(f"{n} cases, digest {test_set.digest}; tags: {clean_line(', '.join(test_set.tags) or 'none', 200)}")
    print(f"{n} cases can show a drop of {units.share(rule.could_see(n))} at best; {rule.cases_needed()} show 10 %")
    if tokens is not None:
        print(f"{tokens:,} input tokens for one pass of {len(prompts)} prompt{'s' * (len(prompts) != 1)}, {args.model}")
    for problem in problems[:50]:
        print(f"✗ {clean_line(problem, 200)}")
    if len(problems) > 50:
        print(f"✗ and {len(problems) - 50} more")
    return int(bool(problems))


def _tokens(test_set: TestSet, prompts: Sequence[Prompt], model: str) -> int:
    from promptop.tokens import count

    return sum(
        count("\n".join(str(each["content"]) for each in prompt.openai(case.values())), model).tokens
        for prompt in prompts
        for case in test_set.cases
    )
