"""Print the help of a command, as --help does; with --man as a man page, or all man pages into a folder."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.completion import commands
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option

EXAMPLES = ("promptop help count", "promptop help log tail", "promptop help count --man | man -l -")


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument(
            "words", many=True, required=False, metavar="COMMAND", complete=commands, help="command, and its verb"
        ),
        flag("--man", help="print the man page instead"),
        option("--man-dir", type=Path, metavar="DIR", help="write the man pages of all commands into a folder"),
    ]


def run(args: ParsedArguments) -> int:
    """Print a help page."""
    import click

    from promptop.cli.command_line.help_text import page
    from promptop.cli.command_line.loading import app_command, command_of
    from promptop.cli.command_line.man_page import man_page, write_all
    from promptop.cli.commands import COMMANDS

    if args.man_dir is not None:
        print(f"{write_all(args.man_dir)} man pages in {clean_line(str(args.man_dir))}")
        return 0
    command: click.Command = app_command()
    context = click.Context(command, info_name="promptop")
    root = click.Context(click.Command("promptop"), info_name="promptop")  # whose path has no FILE in it
    for at, word in enumerate(args.words):
        known = list(COMMANDS) if at == 0 else list(command.commands) if isinstance(command, click.Group) else []
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else "promptop --help lists the commands."
            raise UsageError(f"There is no command {clean_line(' '.join(args.words[: at + 1]), 60)!r}.", hint)
        command = command_of(word) if at == 0 else command.commands[word]  # type: ignore[attr-defined]
        context = click.Context(command, info_name=word, parent=context if at else root)
    if args.man:
        sys.stdout.write(man_page(command, context))
    else:
        page(command.get_help(context))
    return 0
