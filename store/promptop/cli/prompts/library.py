"""The library of named prompts and their versions: list, show, add, rename, remove.

Other commands read a version as lib:NAME (the newest) or lib:NAME@2. Exit code: 0, or 1 for a name that is not there.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.cli.command_line.command import Command, verb
from promptop.cli.command_line.completion import library_names
from promptop.cli.command_line.declare import ParsedArguments, argument, flag, option
from promptop.cli.shared.confirmation import confirm
from promptop.cli.shared.prompt_input import from_library, read_input, tell_notes
from promptop.cli.shared.several_prompts import Failures, opened

if TYPE_CHECKING:
    from promptop.prompts.library import LibraryEntry, Version


EXAMPLES = (
    "promptop library list",
    "promptop library show greeting",
    "promptop library versions greeting",
    "promptop library add prompts/greeting.md --tag support --note 'first version'",
    "promptop library rename greeting welcome",
    "promptop library remove welcome --yes",
)


def verbs() -> list[Command]:
    """Declare the sub-commands."""
    return [
        verb(
            "list",
            "names, newest first; with words or #tags, those that have all of them",
            argument(
                "words",
                many=True,
                required=False,
                metavar="WORD",
                help="part of name, tags or newest text; #TAG: a whole tag",
            ),
            flag("--json", help="print a JSON list"),
        ),
        verb(
            "show",
            "print a version's text",
            argument(
                "name",
                metavar="NAME[@N]",
                complete=library_names,
                help="prompt, and the number of its version (default: the newest)",
            ),
        ),
        verb(
            "versions",
            "what a prompt has been, newest first",
            argument("name", metavar="NAME", complete=library_names, help="prompt"),
            flag("--json", help="print a JSON list"),
        ),
        verb(
            "add",
            "save files as versions of prompts named after them",
            argument("files", many=True, metavar="FILE", help="prompts or folders; - is standard input"),
            option("--name", default="", help="name of the prompt, for a single file"),
            option("--tag", many=True, metavar="TAG", help="tag to add; -TAG takes one away"),
            option("--note", default="", metavar="TEXT", help="note of the version"),
            flag("--json", help="print a JSON list"),
        ),
        verb(
            "rename",
            "give a prompt another name, with all its versions",
            argument("name", metavar="NAME", complete=library_names, help="prompt"),
            argument("new_name", metavar="NEW", help="its new name"),
        ),
        verb(
            "remove",
            "remove a prompt with all its versions",
            argument("name", metavar="NAME", complete=library_names, help="prompt"),
            flag("--yes", help="do not ask"),
        ),
    ]


def run(args: ParsedArguments) -> int:
    """Run one sub-command."""
    from promptop.prompts.library import Library

    library = Library()
    if args.verb == "list":
        return _list(library.entries(" ".join(args.words)), as_json=args.json)
    if args.verb == "show":
        text = from_library(args.name).text
        sys.stdout.write(clean(text) if sys.stdout.isatty() else text)
        return 0
    if args.verb == "add":
        return _add(args)
    library.version(args.name)  # or say that there is none
    if args.verb == "versions":
        told = [_told(version) for version in library.versions(args.name)]
        if args.json:
            _print_json(told)
        for each in () if args.json else told:
            notes = "  ".join(clean_line(str(each[key])) for key in ("note", "source") if each[key])
            print(f"v{each['version']:<4} {each['saved_at']}  {each['chars']:>9,} chars  {notes}".rstrip())
    elif args.verb == "rename":
        library.rename(args.name, args.new_name)
        print(f"{clean_line(args.name)} is {clean_line(args.new_name)} now.", file=sys.stderr)
    else:
        count = len(library.versions(args.name))
        versions = f"{count} version{'s' * (count != 1)}"
        if not confirm(f"Remove {clean_line(args.name)} with {versions}, for good?", yes=args.yes):
            return 1
        library.delete(args.name)
        print(f"{clean_line(args.name)} was removed with {versions}.", file=sys.stderr)
    return 0


def _list(entries: list[LibraryEntry], *, as_json: bool) -> int:
    if as_json:
        _print_json(
            [
                {"name": each.name, "version": each.versions, "saved_at": _when(each.saved_at_ms), "tags": each.tags}
                for each in entries
            ]
        )
        return 0
    from promptop.base.text_table import text_table

    rows = [
        (clean_line(e.name), f"v{e.versions}", _when(e.saved_at_ms), " ".join(f"#{clean_line(tag)}" for tag in e.tags))
        for e in entries
    ]
    for line in text_table(("name", "newest", "saved", "tags"), rows) if rows else ():
        print(line)
    return 0


def _told(version: Version) -> dict[str, object]:
    return {
        "name": version.name,
        "version": version.version,
        "saved_at": _when(version.saved_at_ms),
        "chars": len(version.text),
        "note": version.note,
        "source": version.source,
        "receipt": version.receipt.as_dict() if version.receipt is not None else None,
    }


def _when(at_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=1)
    print()


def _add(args: ParsedArguments) -> int:
    if args.name and len(args.files) > 1:
        raise UsageError("One name cannot be that of several files.", "Leave --name out: they are named after files.")
    if "-" in args.files and not args.name:
        raise UsageError("Standard input has no name.", "Add --name NAME.")
    told = []
    files = opened(args.files)
    failures = Failures(files)
    for file in files:
        with failures.of(file):
            version = _save(args, file)
            told.append(_told(version))
            if not args.json:
                print(clean_line(version.label))
    if args.json:
        _print_json([*told, *failures.told])
    return 1 if failures else 0


def _save(args: ParsedArguments, file: str) -> Version:
    """Save one file as a version."""
    from promptop.prompts.library import Library

    found = read_input(file)
    if not found.text.strip():
        raise PromptopError(f"{file} is empty.", "Write a prompt into it.")
    version = Library().save(
        args.name or Path(file).stem,
        found.text,
        now_ms=time.time_ns() // 1_000_000,
        note=args.note,
        tags=args.tag,
        source="" if file == "-" else str(Path(file).absolute()),
    )
    tell_notes(found.draft.notes)
    return version
