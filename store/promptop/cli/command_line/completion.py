"""What words of a command line may be completed to: models, profiles, prompts of the library, files.

Bash, zsh and fish ask through the environment variable ``_PROMPTOP_COMPLETE`` (click's protocol); a failure completes
to nothing, because it must not print into a line that is being typed. Commands name the functions here where they
declare their options, so what only completing needs is imported when a shell asks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from promptop.cli.command_line.declare import LIBRARY

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VARIABLE = "_PROMPTOP_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


def answer(root: click.Command) -> int:
    """Print the completions that the shell asks for."""
    import contextlib
    import sqlite3

    from promptop.base.errors import PromptopError
    from promptop.cli.command_line.shells import asking

    found = asking(os.environ[VARIABLE].partition("_")[0], root, VARIABLE)
    if found is None:
        return 1
    with contextlib.suppress(PromptopError, OSError, ValueError, sqlite3.Error):
        sys.stdout.write(found.complete() + "\n")
    return 0


def script(root: click.Command, shell: str) -> str:
    """Return the script that a shell sources to complete ``promptop``."""
    from promptop.cli.command_line.shells import asking

    found = asking(shell, root, VARIABLE)
    assert found is not None
    return found.source()


def profiles(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of a profile of the settings."""
    from promptop.settings import load

    return _items(load().profiles, begun)


def models(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete a model: those of the profiles first, then the catalogue's; ``model@profile`` too."""
    from promptop import models as catalogue
    from promptop.settings import load

    settings = load()
    name, at, profile = begun.partition("@")
    if at:
        return _items((f"{name}@{each}" for each in settings.profiles), f"{name}@{profile}")
    own = [model for each in settings.profiles.values() for model in each.models]
    known = [model.id for model in catalogue.search("")]
    return _items(dict.fromkeys([*own, *catalogue.watch_list(), *known]), begun)


def prompts(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete a prompt: a file, or ``lib:NAME``."""
    asks = bool(begun) and begun[: len(LIBRARY)] == LIBRARY[: len(begun)]
    return [*_items((f"{LIBRARY}{name}" for name in (_library() if asks else ())), begun), _file(begun)]


def library_names(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of a prompt of the library."""
    return _items(_library(), begun)


def files(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Leave it to the shell to complete a file."""
    return [_file(begun)]


def commands(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of a command."""
    from promptop.cli.commands import COMMANDS

    return _items(COMMANDS, begun)


def _library() -> list[str]:
    from promptop.prompts.library import Library

    return [entry.name for entry in Library().entries("")]


def _file(begun: str) -> CompletionItem:
    from click.shell_completion import CompletionItem

    return CompletionItem(begun, type="file")


def _items(names: Iterable[str], begun: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in names if name.startswith(begun)]
