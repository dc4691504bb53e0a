"""What words of a command line may be completed to: models, profiles, prompts of the library, files.

Bash, zsh and fish ask through the environment variable ``_PROMPTOP_COMPLETE`` (click's protocol); a failure completes
to nothing, because it must not print into a line that is being typed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from promptop.base.errors import PromptopError

VARIABLE = "_PROMPTOP_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_LIBRARY = "lib:"
_FILE = CompletionItem("", type="file")


def asked() -> bool:
    """Tell whether a shell asks for completions."""
    return VARIABLE in os.environ


def answer(root: click.Command) -> int:
    """Print the completions that the shell asks for."""
    shell = os.environ[VARIABLE].partition("_")[0]
    found = get_completion_class(shell)
    if found is None:
        return 1
    with contextlib.suppress(PromptopError, OSError, ValueError, sqlite3.Error):
        sys.stdout.write(found(root, {}, "promptop", VARIABLE).complete() + "\n")
    return 0


def script(root: click.Command, shell: str) -> str:
    """Return the script that a shell sources to complete ``promptop``."""
    found = get_completion_class(shell)
    assert found is not None
    return found(root, {}, "promptop", VARIABLE).source()


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
    if begun.startswith(_LIBRARY[: max(1, len(begun))]) and begun:
        return [*_items((f"{_LIBRARY}{name}" for name in _library()), begun), _FILE]
    return [_FILE]


def library_names(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of a prompt of the library."""
    return _items(_library(), begun)


def files(_: click.Context, __: click.Parameter, ___: str) -> list[CompletionItem]:
    """Leave it to the shell to complete a file."""
    return [_FILE]


def commands(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of a command."""
    from promptop.cli.commands import COMMANDS

    return _items(COMMANDS, begun)


def _library() -> list[str]:
    from promptop.prompts.library import Library

    return [entry.name for entry in Library().entries("")]


def _items(names: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(begun)]
