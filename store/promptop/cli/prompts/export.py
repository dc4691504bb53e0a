"""Write a prompt in a form that another program reads: text, markdown, prompty, json, curl, python, promptfoo, llm."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError, UsageError
from promptop.cli.shared.prompt_input import prompt_text

if TYPE_CHECKING:
    from promptop.prompts.library import Version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="prompt or messages JSON; - is stdin")
    parser.add_argument("-t", "--to", default="", metavar="FORM", help="form; without it, they are listed")
    parser.add_argument("-m", "--model", default="", metavar="MODEL", help="model, over the one in the file")
    parser.add_argument("-v", "--var", action="append", default=[], metavar="NAME=VALUE", help="value of a variable")
    parser.add_argument("--template", default="", metavar="NAME", help="a template instead of a file; ? lists them")
    parser.add_argument(
        "--library", default="", metavar="NAME", help="a prompt of the library with its receipt; NAME@3 is version 3"
    )
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
    version = _version(args.library) if args.library else None
    if version is not None:
        prompt = parse(version.text)
    else:
        prompt = parse(template(args.template).text if args.template else read(prompt_text(args.file)))
    prompt = replace(prompt, model=args.model or prompt.model, sample={**prompt.sample, **values})
    text = export(prompt, args.to, version.receipt if version is not None else None)
    if args.output:
        save(Path(args.output), text, None)
    else:
        sys.stdout.write(text)
    return 0


def _version(spec: str) -> Version:
    """Return a version of the library, ``NAME`` (the newest) or ``NAME@3``."""
    from promptop.prompts.library import Library

    name, at, number = spec.rpartition("@")
    if not at or not number.isdecimal():
        name, number = spec, ""
    found = Library().versions(name)
    if not found:
        raise PromptopError(f"The library has no prompt {name!r}.", "ctrl+l in the editor lists what it has.")
    for version in found:
        if not number or version.version == int(number):
            return version
    raise PromptopError(f"{name!r} has no version {number}.", f"It has 1 to {found[0].version}.")
