"""Commands by name as click's objects; a module is imported when its command is called, helped or completed."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import click

from promptop.cli.command_line.command import Command, Verbs
from promptop.cli.command_line.declare import argument, flag, option
from promptop.cli.commands import COMMANDS

DESCRIPTION = "Tune prompts and watch tokens, latency and spend, in your terminal."
TABS = ("editor", "playground", "monitor")
_TITLES = {
    "prompts": "Prompts",
    "calls": "Calls",
    "traffic": "Traffic",
    "fleet": "Fleet",
    "app": "The app and this command",
}


def module_of(name: str) -> ModuleType:
    """Return the module of a command."""
    return importlib.import_module(COMMANDS[name][0])


def command_of(name: str) -> Command | Verbs:
    """Return a command with its options or its verbs."""
    module, summary = module_of(name), COMMANDS[name][1]
    examples: tuple[str, ...] = getattr(module, "EXAMPLES", ())
    details = (module.__doc__ or "").strip()
    if hasattr(module, "verbs"):
        return Verbs(name, module.verbs(), summary=summary, details=details, examples=examples)
    return Command(
        name,
        module.parameters(),
        summary=summary,
        details=details,
        examples=examples,
        runs_program=getattr(module, "RUNS_PROGRAM", False),
    )


def app_command() -> Command:
    """Return ``promptop`` without a command: it opens the app."""
    from promptop.cli.shared.options import settings_options

    return AppCommand(
        "promptop",
        [
            argument("file", required=False, type=Path, metavar="FILE", help="prompt to open in the editor"),
            option("--tab", choices=TABS, help="tab shown first"),
            option("--cprofile", type=Path, metavar="FILE", help="write a cProfile of the app to FILE"),
            flag("-V", "--version", help="print the version"),
            *settings_options(several_logs=True),
        ],
        details=DESCRIPTION,
        examples=(
            "promptop demo                         the app against a simulated endpoint, no key needed",
            "promptop prompt.md                    open a prompt in the editor",
            "promptop count prompt.md -m gpt-4o    tokens and cost, offline",
            "promptop report --since 7d            what the log says of the last week",
        ),
    )


class AppCommand(Command):
    """The command line of the app, whose help lists the commands by group."""

    def get_help(self, ctx: click.Context) -> str:
        from promptop.cli.command_line.help_text import root_help

        return root_help(self, ctx, grouped())


def grouped() -> dict[str, list[tuple[str, str]]]:
    """Return title → (command, summary); a command's group is the folder of its module."""
    found: dict[str, list[tuple[str, str]]] = {title: [] for title in _TITLES.values()}
    listed: set[str] = set()
    for name, (module, summary) in COMMANDS.items():
        if module not in listed:  # another name of the same command is not listed
            found[_TITLES[module.split(".")[-2]]].append((name, summary))
        listed.add(module)
    return found


class Root(click.Group):
    """All commands as one tree, for completion and the man pages."""

    def __init__(self) -> None:
        app = app_command()
        super().__init__("promptop", params=[each for each in app.params if each.name != "file"], help=DESCRIPTION)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command_of(cmd_name) if cmd_name in COMMANDS else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        """Complete commands and the file that the app opens."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        found = [
            CompletionItem(name, help=summary) for name, (_, summary) in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*found, CompletionItem(incomplete, type="file")]
