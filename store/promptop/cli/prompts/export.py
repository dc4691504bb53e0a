"""Write a prompt in a form that another program reads: text, markdown, prompty, json, curl, python, promptfoo, llm."""

from __future__ import annotations

import sys
from pathlib import Path

from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import LIBRARY, Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.confirmation import refuse_existing
from promptop.cli.shared.prompt_input import (
    ROLES,
    notes_of,
    read_input,
    tell_notes,
    value_options,
    values_of,
)

EXAMPLES = (
    "promptop export prompt.md --to curl -m gpt-4o",
    "promptop export before.md --to json -v term=token",
    "promptop export --library greeting --to prompty -o greeting.prompty",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument(
            "file",
            required=False,
            default="-",
            metavar="FILE",
            complete=prompts,
            help="prompt or messages JSON; - is stdin",
        ),
        option("-t", "--to", default="", metavar="FORM", help="form; without it, they are listed"),
        option(
            "-m", "--model", complete=models_known, default="", metavar="MODEL", help="model, over the one in the file"
        ),
        option("--role", default="", choices=ROLES, help="role of FILE where it has no role lines (user)"),
        *value_options(),
        option("--template", default="", metavar="NAME", help="a template instead of a file; ? lists them"),
        option(
            "--library",
            default="",
            metavar="NAME",
            help="a prompt of the library with its receipt; NAME@3 is version 3",
        ),
        option("-o", "--output", metavar="FILE", help="write there instead of standard output"),
        flag("--force", help="replace a file that exists"),
    ]


def run(args: ParsedArguments) -> int:
    """Print the prompt in the form that was asked for."""
    from promptop.prompts.files import write_atomic
    from promptop.prompts.formats import FORMATS, export, export_notes, form
    from promptop.prompts.templates import TEMPLATES, template

    if args.template == "?":
        for each_template in TEMPLATES:
            print(f"{each_template.name:28} {each_template.description}")
        return 0
    if args.template and not args.to:
        sys.stdout.write(template(args.template).text)
        return 0
    if not args.to:
        for each in FORMATS:
            print(f"{each.name:10} {each.description}")
        return 0
    refuse_existing(Path(args.output) if args.output else None, force=args.force)
    chosen, values = form(args.to), values_of(args)
    receipt = None
    if args.library:
        found = read_input(f"{LIBRARY}{args.library}")
        receipt = found.version.receipt if found.version is not None else None
    elif args.template:
        found = read_input("", template(args.template).text)
    else:
        found = read_input(args.file)
    prompt = found.prompt(args.role)
    notes = notes_of([prompt], values)
    if chosen.keeps_variables:  # whoever reads the export fills them
        notes = [note for note in notes if not note.is_about_filling]
    tell_notes([*notes, *export_notes(prompt, args.to)], strict=args.strict)
    text = export(prompt.with_values(values, model=args.model), args.to, receipt)
    if args.output:
        write_atomic(Path(args.output), text)
    else:
        sys.stdout.write(text)
    return 0
