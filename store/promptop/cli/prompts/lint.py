"""Find what a prompt leaves open, contradicts, or asks that models do badly.

Output: one line each, file:line, severity, rule, message; --sentences adds the sentence. Exit code: 1 with a warning, 0
with hints alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from promptop.base.sanitize import clean_line
from promptop.base.terminal import painter, write_styled
from promptop.base.texts import sentence
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import LIBRARY, Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.prompt_input import from_library, prompt_text, read_input
from promptop.cli.shared.several_prompts import Failures, opened
from promptop.prompts.reader import reading_notes

if TYPE_CHECKING:
    from promptop.trim.lint import LintFinding

READER = "reader"
"""The rule under which what the reader of prompts has to say is listed."""


EXAMPLES = (
    "promptop lint prompt.md",
    "promptop lint prompts/ --json",
    "promptop lint prompt.md --advice",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument(
            "files",
            many=True,
            required=False,
            default=["-"],
            metavar="FILE",
            complete=prompts,
            help="prompts or folders; none: standard input",
        ),
        option("--select", default="", metavar="IDS", help="only these rules, with commas between them"),
        flag("--rules", help="list the rules and stop"),
        flag("--sentences", help="print below each remark the sentence that it is about"),
        flag("--complexity", help="print how hard each task seems instead, with terms"),
        flag("--advice", help="print the max_tokens and stop that the log's answers call for"),
        option("--log", metavar="FILE", help="request log, with --advice (default: promptop log path)"),
        flag("--json", help="print a JSON list"),
    ]


def run(args: ParsedArguments) -> int:
    """Print the remarks."""
    from promptop.trim.lint import CHECKS

    if args.rules:
        print(f"{READER:18} {'hint':8} what is sent otherwise than it may be meant: roles, variables, front matter")
        for check in CHECKS:
            print(f"{check.id:18} {check.severity:8} {sentence(check.description)}")
        return 0
    args.files = opened(args.files)
    if args.complexity:
        return _complexity(args.files, as_json=args.json)
    if args.advice:
        return _advice(args.files, args.log, as_json=args.json)
    selected = [name.strip() for name in args.select.split(",") if name.strip()]
    failures = Failures(args.files)
    found: list[tuple[str, LintFinding]] = []
    for file in args.files:
        with failures.of(file):
            found += [(file, finding) for finding in _findings(file, selected)]
    if args.json:
        fields = ("line", "column", "rule", "severity", "message", "sentence", "start", "end")
        told = [{"file": file, **{name: getattr(finding, name) for name in fields}} for file, finding in found]
        told += failures.told
        json.dump(told, sys.stdout, ensure_ascii=False, indent=1)
        print()
    else:
        paint = painter(sys.stdout)
        for file, finding in found:
            place = paint(f"{clean_line(file)}:{finding.line}", "heading")
            severity = paint(finding.severity, "warning" if finding.severity == "warning" else "name")
            message = clean_line(sentence(finding.message))
            write_styled(sys.stdout, f"{place}: {severity} {finding.rule}: {message}\n")
            if args.sentences and finding.sentence:
                write_styled(sys.stdout, paint(f"    {clean_line(finding.sentence)}", "quiet") + "\n")
    return 1 if failures or any(finding.severity == "warning" for _, finding in found) else 0


def _findings(file: str, selected: Sequence[str]) -> list[LintFinding]:
    """Return what the reader has to say of a prompt, then the remarks of the rules."""
    from promptop.cli.shared.options import own_settings
    from promptop.trim.lint import LintFinding, lint

    given = read_input(file)
    notes = reading_notes(given.prompt())
    read = [LintFinding(READER, "hint", note.line or 1, 1, str(replace(note, line=None)), 0, 0, "") for note in notes]
    rules = [name for name in selected if name != READER]
    return [
        *(read if not selected or READER in selected else ()),
        *(lint(given.text, rules, off=own_settings().editor.lint_off) if not selected or rules else ()),
    ]


def _complexity(files: list[str], *, as_json: bool) -> int:
    """Print score, tier and terms of each file, and the model that is recommended for it."""
    from promptop import models
    from promptop.cli.shared.options import own_settings
    from promptop.prompts import parse
    from promptop.prompts.complexity import read, recommended, score

    chosen = own_settings().editor
    watched = chosen.watch or models.watch_list()
    told = []
    for file in files:
        text = prompt_text(file)
        found = score(
            read(text[parse(text).body_start :]), (chosen.tier_medium, chosen.tier_complex, chosen.tier_expert)
        )
        model = recommended(found.tier, watched, chosen.tier_models)
        terms = {name: value for name, value, _ in found.terms}
        told.append({"file": file, "score": found.score, "tier": found.tier, "terms": terms, "model": model})
        if not as_json:
            print(f"{clean_line(file)}: complexity {found} → {clean_line(model) or 'no priced model'}")
    if as_json:
        json.dump(told, sys.stdout, ensure_ascii=False, indent=1)
        print()
    return 0


def _advice(files: list[str], log_path: str | None, *, as_json: bool) -> int:
    """Print, for each file, what the log knows of it: calls a day, lengths of answers, the limit and stops that fit."""
    import time
    from pathlib import Path

    from promptop.cli.shared.options import own_settings
    from promptop.client.request import show_stops
    from promptop.log import LogReader
    from promptop.prompts import parse
    from promptop.trim.log_insights import limit_advice, look, stop_advice

    told = []
    with LogReader(Path(log_path) if log_path else own_settings().log_path()) as log:
        for file in files:
            text = prompt_text(file)
            prompt = parse(text)
            name = from_library(file.removeprefix(LIBRARY)).name if file.startswith(LIBRARY) else ""
            known = look(log, text, prompt, name, now_ms=time.time_ns() // 1_000_000)
            limit, stops = limit_advice(known, prompt.parameters.get("max_tokens")), stop_advice(prompt, known)
            told.append(
                {
                    "file": file,
                    "known_by": known.how if known is not None else None,
                    "calls_per_day": known.calls_per_day if known is not None else None,
                    "n": len(known.lengths) + len(known.cut) if known is not None else 0,
                    "cut": len(known.cut) if known is not None else None,
                    "output_tokens": {
                        f"p{p}": known.percentile(p / 100) if known is not None else None for p in (50, 95, 99)
                    },
                    "max_tokens": limit.tokens,
                    "reason": limit.reason,
                    "stop": [
                        {"stop": s.stop, "answers_beyond": s.hits, "answers": s.answers, "tokens_per_call": s.tokens}
                        for s in stops
                    ],
                }
            )
            if as_json:
                continue
            head = clean_line(file)
            if known is not None:
                sizes = " ".join(f"p{p} {known.percentile(p / 100) or 'n/a'}" for p in (50, 95, 99))
                n = len(known.lengths) + len(known.cut)
                print(f"{head}: known by {known.how}: {known.volume} calls a day; answers {sizes} tokens (n {n:,})")
            print(f"{head}: max_tokens {limit.tokens if limit.tokens is not None else 'n/a'}: {limit.reason}")
            for stop in stops:
                saves = f"≈{stop.tokens:,.0f} tokens a call, {stop.hits} of {stop.answers} answers go on"
                print(f"{head}: stop {show_stops([stop.stop])}: {saves if stop.tokens is not None else stop.reason}")
    if as_json:
        json.dump(told, sys.stdout, ensure_ascii=False, indent=1)
        print()
    return 0
