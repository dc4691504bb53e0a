"""The help of a command: usage, what it does, its options by group, and examples; in colour on a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from promptop.base.terminal import wants_colour, write_styled
from promptop.cli.command_line.declare import Argument, Option

if TYPE_CHECKING:
    from cloup import HelpFormatter, HelpTheme

OPTIONS = "Options"
_HYPHEN = "\N{NON-BREAKING HYPHEN}"
_MARKUP = re.compile(r":[a-z]+:`~?(?:[\w.]*\.)?([^`]+)`|``([^`]+)``")


def command_help(command: click.Command, context: click.Context) -> str:
    """Return the help page of a command or a verb, with escape sequences where it is shown in colour."""
    form = formatter()
    form.write_usage(context.command_path, " ".join(command.collect_usage_pieces(context)))
    form.write_paragraph()
    form.write_text(_unbroken(plain(command.help or "")))
    if isinstance(command, click.Group):
        rows = [(name, command.commands[name].short_help or "") for name in command.list_commands(context)]
        write_section(form, "Commands", rows)
    for title, rows in sections(command, context).items():
        write_section(form, title, rows)
    write_examples(form, getattr(command, "examples", ()))
    return form.getvalue().replace(_HYPHEN, "-")


def root_help(command: click.Command, context: click.Context, groups: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Return the help page of ``promptop`` itself; ``groups`` are title → (command, summary)."""
    form = formatter()
    form.write_usage("promptop", "[OPTIONS] [FILE]")
    form.write("       promptop COMMAND …\n")
    form.write_paragraph()
    form.write_text(plain(command.help or ""))
    width = max(len(name) for rows in groups.values() for name, _ in rows)
    for title, rows in groups.items():
        write_section(form, title, [(name.ljust(width), text) for name, text in rows])
    for title, rows in sections(command, context).items():
        write_section(form, title, rows)
    write_examples(form, getattr(command, "examples", ()))
    form.write_paragraph()
    form.write_text("promptop help COMMAND explains one of them.")
    return form.getvalue().replace(_HYPHEN, "-")


def sections(command: click.Command, context: click.Context) -> dict[str, list[tuple[str, str]]]:
    """Return title → (option or argument, its help) in the order in which they were declared."""
    found: dict[str, list[tuple[str, str]]] = {}
    for each in command.get_params(context):
        if isinstance(each, Argument):
            found.setdefault("Arguments", []).append((each.make_metavar(context), each.help_text))
    for each in command.get_params(context):
        if isinstance(each, click.Option) and not each.hidden:
            title = each.group if isinstance(each, Option) and each.group else OPTIONS
            found.setdefault(title, []).append((names_of(each, context), plain(each.help or "")))
    if OPTIONS in found:  # the command's own stand before those that it shares
        arguments = {"Arguments": found.pop("Arguments")} if "Arguments" in found else {}
        found = {**arguments, OPTIONS: found.pop(OPTIONS), **found}
    return found


def names_of(option: click.Option, context: click.Context) -> str:
    """Return ``-m, --model MODEL``."""
    names = ", ".join(sorted(option.opts, key=len))
    return names if option.is_flag else f"{names} {option.make_metavar(context)}"


def plain(text: str) -> str:
    """Return a docstring's text without the markup of Sphinx."""
    return _MARKUP.sub(lambda found: found[1] or found[2], text)


def _unbroken(text: str) -> str:
    """Return text whose words are not broken at their hyphens, until :data:`_HYPHEN` is put back."""
    return re.sub(r"(?<=\S)-(?=\S)", _HYPHEN, text)


def formatter() -> HelpFormatter:
    """Return cloup's formatter for the terminal at hand; it is loaded where help is shown alone."""
    from cloup import HelpFormatter

    return HelpFormatter(max_width=100, col1_max_width=32, theme=_theme())


def _theme() -> HelpTheme:
    from cloup import HelpTheme, Style
    from cloup.styling import Color

    if not wants_colour(sys.stdout):
        return HelpTheme()
    return HelpTheme(
        invoked_command=Style(bold=True), heading=Style(fg=Color.cyan, bold=True), col1=Style(fg=Color.green)
    )


def write_section(form: HelpFormatter, title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Write a titled list of two columns."""
    from cloup.formatting import HelpSection

    form.write_section(HelpSection(title, [(name, _unbroken(text)) for name, text in rows]))


def write_examples(form: HelpFormatter, examples: Sequence[str]) -> None:
    """Write command lines as they are typed, each on a line of its own."""
    if not examples:
        return
    form.write_paragraph()
    form.write_heading("Examples")
    for line in examples:
        form.write(f"  {line}\n")


def page(text: str) -> None:
    """Print a help page."""
    write_styled(sys.stdout, text if text.endswith("\n") else f"{text}\n")
