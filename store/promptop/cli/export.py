"""Write a prompt in a form that another program reads: text, markdown, prompty, json, curl, python, promptfoo, llm."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from promptop.cli.reading import prompt_text
from promptop.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="prompt or messages JSON; - is stdin")
    parser.add_argument("-t", "--to", default="", metavar="FORM", help="form; without it, they are listed")
    parser.add_argument("-m", "--model", default="", metavar="MODEL", help="model, over the one in the file")
    parser.add_argument("-v", "--var", action="append", default=[], metavar="NAME=VALUE", help="value of a variable")
    parser.add_argument("--template", default="", metavar="NAME", help="a template instead of a file; ? lists them")
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead of standard output; must not exist")


def run(args: argparse.Namespace) -> int:
    """Print the prompt in the form that was asked for."""
    from dataclasses import replace

    from promptop.prompts import parse
    from promptop.prompts.files import save
    from promptop.prompts.formats import FORMATS, export, read
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
    values = {}
    for pair in args.var:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair!r} is no NAME=VALUE.", "Write for example --var topic=tea.")
        values[name] = value
    prompt = parse(template(args.template).text if args.template else read(prompt_text(args.file)))
    prompt = replace(prompt, model=args.model or prompt.model, sample={**prompt.sample, **values})
    text = export(prompt, args.to)
    if args.output:
        save(Path(args.output), text, None)
    else:
        sys.stdout.write(text)
    return 0
