"""How a command declares its command line: options, flags, arguments, groups of them, and verbs.

A command's module has ``parameters()``, or ``verbs()`` where it has sub-commands. Each helper here returns click's own
object, so that parsing, help, completion and the man pages read one declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

Parameters = list[click.Parameter]
LIBRARY = "lib:"
"""What the name of a prompt in the library begins with, where a file could stand (``./lib:x`` is a file)."""
Completer = Callable[[click.Context, click.Parameter, str], list[Any]]
"""Returns what a value may be completed to (:mod:`promptop.cli.command_line.completion`)."""


class ParsedArguments(SimpleNamespace):
    """What a command line says: an attribute for each option and argument, named as click names it."""


class Option(click.Option):
    """An option of click that knows its group in the help, its older names and the options that exclude it."""

    def __init__(self, names: Sequence[str], *, old: Sequence[str] = (), fallback: Any = None, **attributes: Any):
        super().__init__(list(names), **attributes)
        self.old = tuple(old)
        self.fallback = fallback
        """Value where it is not given; as it is, not converted."""
        self.group = ""
        self.choice: OneOf | None = None


class Argument(click.Argument):
    """An argument of click with a line of help and the value that it has where it is not given."""

    def __init__(self, names: Sequence[str], *, help_text: str = "", fallback: Any = None, **attributes: Any):
        super().__init__(list(names), **attributes)
        self.help_text = help_text
        self.fallback = fallback

    def make_metavar(self, ctx: click.Context) -> str:
        """Return ``FILE``, ``[FILE]`` or ``[FILE …]``."""
        name = self.metavar or str(self.name).upper()
        if self.nargs == -1:
            name += " …"
        return name if self.required or name.startswith("--") else f"[{name}]"


class OneOf:
    """ParsedArguments of which at most one may be given, or exactly one if it ``is_required``."""

    def __init__(self, names: Sequence[str], *, is_required: bool) -> None:
        self.names = tuple(names)
        self.is_required = is_required


def option(
    *names: str,
    type: Any = str,  # noqa: A002 - as click and argparse call it
    default: Any = None,
    many: bool = False,
    required: bool = False,
    metavar: str | None = None,
    choices: Iterable[str] = (),
    complete: Completer | None = None,
    old: Sequence[str] = (),
    hidden: bool = False,
    help: str = "",  # noqa: A002
) -> Option:
    """Return an option that takes a value; with ``many`` it may be repeated, and its values are a list.

    ``old`` are names that it had: they are accepted for one release, and a line on stderr names the new one.
    """
    words = list(choices)
    return Option(
        names,
        type=click.Choice(words) if words else _converter(type),
        multiple=many,
        required=required,
        metavar=metavar,
        help=help,
        hidden=hidden,
        old=old,
        fallback=list(default or ()) if many else default,
        shell_complete=complete or _completer(metavar),
    )


def flag(*names: str, default: bool = False, old: Sequence[str] = (), hidden: bool = False, help: str = "") -> Option:  # noqa: A002
    """Return an option without a value: it turns ``default`` into its opposite."""
    return Option(
        names,
        is_flag=True,
        flag_value=not default,
        default=default,
        fallback=default,
        old=old,
        hidden=hidden,
        help=help,
    )


def argument(
    name: str,
    *,
    many: bool = False,
    required: bool = True,
    default: Any = None,
    type: Any = str,  # noqa: A002
    metavar: str | None = None,
    choices: Iterable[str] = (),
    complete: Completer | None = None,
    help: str = "",  # noqa: A002
) -> Argument:
    """Return a positional argument; with ``many`` it takes all words that are left, as a list."""
    words = list(choices)
    return Argument(
        [name],
        type=click.Choice(words) if words else _converter(type),
        nargs=-1 if many else 1,
        required=required and default is None,
        metavar=metavar,
        help_text=help,
        fallback=list(default or ()) if many else default,
        shell_complete=complete or _completer(metavar),
    )


def group(title: str, *parameters: click.Parameter) -> Parameters:
    """Return options that the help lists under a title of their own."""
    for each in parameters:
        if isinstance(each, Option) and not each.group:
            each.group = title
    return list(parameters)


def one_of(*options: Option, required: bool = False) -> Parameters:
    """Return options of which at most one may be given (exactly one if ``required``)."""
    choice = OneOf([max(each.opts, key=len) for each in options], is_required=required)
    for each in options:
        each.choice = choice
    return list(options)


def _completer(metavar: str | None) -> Completer | None:
    """Return what completes a value that is named after a file."""
    if metavar is None or "FILE" not in metavar:
        return None

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[Any]:
        from promptop.cli.command_line.completion import files

        return files(context, parameter, begun)

    return complete


def _converter(kind: Any) -> Any:
    return click.Path(path_type=Path) if kind is Path else kind
