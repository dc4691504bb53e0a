"""Optimise a prompt step by step for tokens and latency: each step is measured before and after and kept in a sheet.

Without --step it shows the sheet and the command of the next step. Steps: baseline, shorten, context, parameters,
cache, model, parallel, endpoint, streaming, monitoring. A step starts from the adopted ones before it. Figures are
medians; a difference that chance could explain is called "no measurable effect". The sheet, with the prompt's texts, is
a private file in the state folder.

Exit codes: 0 done, 1 calls failed or a cap ended it, 2 usage error, 130 cancelled with Ctrl-C.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.base.text_table import aligned
from promptop.base.texts import tr
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.call_options import settings_for
from promptop.cli.shared.confirmation import put, refuse_existing
from promptop.cli.shared.money import lengths_of, price
from promptop.cli.shared.options import settings_options
from promptop.cli.shared.progress import make
from promptop.cli.shared.prompt_input import prompt_options, read_input, values_of
from promptop.experiments.guide import export
from promptop.experiments.guide.run import StepRun, finished, without_calls
from promptop.experiments.guide.sheet import Sheet, edited, load, reset, save
from promptop.experiments.guide.steps import BASELINE_CALLS, STEPS, Options, Variant, step_of
from promptop.prompts import parse
from promptop.settings import Settings

INTERRUPTED = 130
_FORMATS = ("table", "md", "html", "csv", "json")
_WIDEST = 46
"""Cells of a change's words in the table; the other forms have all of them."""


EXAMPLES = (
    "promptop guide prompt.md",
    "promptop guide prompt.md --step baseline --step shorten --max-usd 0.20",
    "promptop guide prompt.md --format md -o sheet.md",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument("file", metavar="FILE", complete=prompts, help="prompt: a file, or lib:NAME"),
        option("--step", many=True, metavar="NAME", help="take this step now; repeatable"),
        flag("--all", help="take every step that was not taken yet, in their order"),
        option(
            "-m",
            "--model",
            complete=models_known,
            metavar="M",
            help="model, or model@profile, that the sheet begins with",
        ),
        option(
            "-n", "--repeat", type=int, default=BASELINE_CALLS, metavar="N", help="calls of each way of asking (10)"
        ),
        option("--with", "shorter", metavar="FILE", help="shorten: your own shorter text of the prompt"),
        flag("--rewrite", help="shorten: let the model write a shorter text; what would lose something is left out"),
        option("--to", default="", metavar="M", help="model: what to ask instead; endpoint: its profile"),
        option("--rounds", type=int, default=3, metavar="K", help="context: earlier rounds that are sent (3)"),
        option("--max-tokens", type=int, metavar="N", help="parameters: limit of output tokens (256)"),
        option("--temperature", type=float, default=0.0, metavar="T", help="parameters: temperature (0)"),
        flag("--adopt", help="go on from this change, also for model and endpoint"),
        flag("--leave", help="do not go on from this change"),
        option("--save", metavar="NAME", help="keep the text as a version of the library, with its receipt"),
        flag("--reset", help="forget the sheet and begin anew"),
        option("--format", default="table", choices=_FORMATS, help="form of the sheet (table)"),
        flag("--json", help="the same as --format json"),
        option("-o", "--output", type=Path, metavar="FILE", help="write the sheet there"),
        flag("--force", help="replace a file that exists"),
        option("--max-usd", type=float, metavar="USD", help="send nothing if it may cost more than this"),
        option("--base-url", metavar="URL", help="endpoint, instead of a profile's"),
        flag("-q", "--quiet", help="no progress and no price on stderr"),
        *prompt_options(),
        *settings_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Take the steps that are asked for, and print the sheet."""
    refuse_existing(args.output, force=args.force)
    if args.json:
        args.format = "json"
    if args.repeat < 1 or args.rounds < 0:
        raise UsageError("--repeat starts at 1, --rounds at 0.", "Leave them out for the usual ones.")
    if args.rewrite and args.shorter:
        raise UsageError("--rewrite and --with exclude each other.", "Give one of them.")
    if args.adopt and args.leave:
        raise UsageError("--adopt and --leave exclude each other.", "Give one of them.")
    steps = [step_of(name) for name in args.step]
    settings = settings_for(args)
    if args.reset and reset(args.file) and not steps and not args.all:
        print(f"The sheet of {clean_line(args.file)} is forgotten.", file=sys.stderr)
        return 0
    sheet = load(args.file)
    if sheet is None or args.reset:
        sheet = _begun(args, settings)
    elif args.model and args.model != sheet.current.model:
        sheet = replace(sheet, current=replace(sheet.current, model=args.model))
    code = 0
    args.json = args.format == "json"
    wanted = [step for step in STEPS if sheet.of(step.name) is None] if args.all else steps
    for step in wanted:
        sheet, code = _take(args, settings, sheet, step.name)
        if code:
            break
    if args.save and not code:
        _save(sheet, args.save, settings)
    _print(args, sheet)
    return code


def _begun(args: ParsedArguments, settings: Settings) -> Sheet:
    found = read_input(args.file)
    prompt = parse(found.text)
    model = args.model or prompt.model or next(iter(settings.active_profile().models), "")
    if not model:
        raise UsageError("No model was named.", 'Write -m MODEL, or models = ["…"] in the profile.')
    start = Variant(found.text, model)
    return Sheet(args.file, start, start)


def _take(args: ParsedArguments, settings: Settings, sheet: Sheet, name: str) -> tuple[Sheet, int]:
    """Take one step; returns the sheet and the exit code."""
    step = step_of(name)
    shorter = _shorter(args, sheet) if name == "shorten" else ""
    options = Options(shorter, args.to, args.rounds, args.max_tokens, args.temperature, args.repeat)
    plan = step.plan(sheet.current, settings, options)
    if not plan.changes:
        sheet = without_calls(sheet, step, plan, settings)
        save(sheet)
        return sheet, 0
    work = StepRun(step, plan, sheet.current, settings, options, values_of(args))
    if not args.quiet and not args.json:
        print(
            f"{tr(step.title)}: {', '.join(clean_line(export.said(each.label)) for each in plan.changes)}",
            file=sys.stderr,
        )
    gate = price(args, settings, work.estimate(lengths_of(settings)))
    measured = make(work, args, settings, gate)
    for error in measured.errors[:3]:
        print(f"error: {clean(error)}", file=sys.stderr)
    if measured.stopped or measured.capped or not any(effect.n[0] for effect in measured.effects):
        if measured.capped:
            print("A cap ended the step; it is not in the sheet.", file=sys.stderr)
        return sheet, INTERRUPTED if measured.stopped else 1
    adopt = True if args.adopt else False if args.leave else None
    sheet = finished(sheet, step, plan, measured, adopt=adopt)
    save(sheet)
    return sheet, int(any(effect.errors for effect in measured.effects))


def _shorter(args: ParsedArguments, sheet: Sheet) -> str:
    """Return the text to shorten to: a file's, a model's, or what the prompt was edited to; empty: the rules'."""
    if args.shorter:
        return read_input(args.shorter).text
    if not args.rewrite:
        return edited(sheet, read_input(args.file).text)
    from promptop.cli.shared.rewriting import left_out_line, rewrite

    args.model = sheet.current.model
    found = rewrite(args, sheet.current.text, everything=False)
    if line := left_out_line(found):
        print(line, file=sys.stderr)
    return edited(sheet, found.text)


def _save(sheet: Sheet, name: str, settings: Settings) -> None:
    """Keep where the sheet stands as a version of the library, with its receipt."""
    from promptop.experiments.guide.receipt import receipt_of
    from promptop.experiments.guide.sheet import now_ms
    from promptop.prompts.library import Library

    source = "" if sheet.name.startswith("lib:") else str(Path(sheet.name).absolute())
    receipt = receipt_of(sheet, settings)
    library = Library()
    if not library.versions(name):
        library.save(name, sheet.original.text, now_ms=now_ms(), note="before the guide", source=source)
    version = library.save(
        name, sheet.current.text, now_ms=now_ms(), note="promptop guide", receipt=receipt, source=source
    )
    print(f"{clean_line(version.label)}: {receipt.line()}", file=sys.stderr)


def _print(args: ParsedArguments, sheet: Sheet) -> None:
    if args.format == "json":
        text = json.dumps(export.as_json(sheet), ensure_ascii=False, indent=2)
    elif args.format == "csv":
        text = export.csv_text(sheet)
    elif args.format == "md":
        text = export.markdown_text(sheet)
    elif args.format == "html":
        from promptop.cli.report_formats.html import document, table

        rows, notes = export.lines_of(sheet)
        notes = [*notes, *export.intervals(sheet)]
        text = document(f"promptop guide, {sheet.name}", [table(export.head(), rows, notes=notes)])
    else:
        text = _table(args, sheet)
    put(text, args.output)


def _table(args: ParsedArguments, sheet: Sheet) -> str:
    rows, notes = export.lines_of(sheet)
    spare = len(export.SHOWN) + 1
    short = [tuple(clean_line(cell, _WIDEST) for cell in row) for row in rows if any(row[2:])]
    lines = [f"{clean_line(sheet.name)} · {clean_line(sheet.current.model)}", ""]
    if short:
        lines += [*aligned([export.head(), *short], left=(0, 1, spare + 1)), ""]
    lines += [f"{row[0]}: {clean_line(row[1], 200)}" for row in rows if not any(row[2:])]
    lines += [f"  {clean_line(line)}" for line in export.intervals(sheet)]
    lines += ["", *notes] if notes else []
    command = f"promptop guide {shlex.quote(args.file)}"
    if sheet.of("shorten") is not None and edited(sheet, read_input(args.file).text):
        lines += ["", tr("The prompt was edited since: this measures its present text:"), f"  {command} --step shorten"]
    if sheet.next_step:
        step = step_of(sheet.next_step)
        lines += ["", tr("Next: {what}", what=tr(step.what)), f"  {command} --step {step.name}"]
        lines.append("  " + tr("in the app: s in the playground"))
    else:
        lines += ["", tr("Keep it: {command} --save NAME; --format md is the table alone.", command=command)]
    return "\n".join(lines)
