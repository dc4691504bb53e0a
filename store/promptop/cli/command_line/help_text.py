"""The help of a command: usage, what it does, its options by group, and examples; in colour on a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from promptop.base.terminal import wants_colour, write_styled
from promptop.base.text_table import width as cells
from promptop.base.text_table import wrapped
from promptop.base.texts import help_text
from promptop.cli.command_line.declare import Argument, Option

if TYPE_CHECKING:
    from cloup import HelpFormatter, HelpTheme

OPTIONS = "Options"
LAST_LINE = "promptop help COMMAND explains one of them."
_HYPHEN = "\N{NON-BREAKING HYPHEN}"
_MARKUP = re.compile(r":[a-z]+:`~?(?:[\w.]*\.)?([^`]+)`|``([^`]+)``")


def command_help(command: click.Command, context: click.Context) -> str:
    """Return the help page of a command or a verb, with escape sequences where it is shown in colour."""
    form = formatter()
    form.write_usage(context.command_path, " ".join(command.collect_usage_pieces(context)))
    form.write_paragraph()
    _write_text(form, command.help or "")
    if isinstance(command, click.Group):
        rows = [(name, command.commands[name].short_help or "") for name in command.list_commands(context)]
        write_section(form, "Commands", rows)
    for title, rows in sections(command, context).items():
        write_section(form, title, rows)
    write_examples(form, getattr(command, "examples", ()))
    return re.sub(r" +$", "", form.getvalue().replace(_HYPHEN, "-"), flags=re.MULTILINE)


def root_help(command: click.Command, context: click.Context, groups: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Return the help page of ``promptop`` itself; ``groups`` are title → (command, summary)."""
    form = formatter()
    form.write_usage("promptop", "[OPTIONS] [FILE]")
    form.write("       promptop COMMAND …\n")
    form.write_paragraph()
    _write_text(form, command.help or "")
    width = max(len(name) for rows in groups.values() for name, _ in rows)
    for title, rows in groups.items():
        write_section(form, title, [(name.ljust(width), text) for name, text in rows])
    for title, rows in sections(command, context).items():
        write_section(form, title, rows)
    write_examples(form, getattr(command, "examples", ()))
    form.write_paragraph()
    _write_text(form, LAST_LINE)
    return re.sub(r" +$", "", form.getvalue().replace(_HYPHEN, "-"), flags=re.MULTILINE)


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


def split_example(line: str) -> tuple[str, str, str]:
    """Return the command of an example, the blanks behind it and what is said of it, which may be nothing."""
    found = re.match(r"(.*?)(?:( {3,})(.*))?$", line)
    return (line, "", "") if found is None or found[2] is None else (found[1], found[2], found[3])


def _write_text(form: HelpFormatter, text: str) -> None:
    form.write_text(_laid_out(help_text(plain(text)), form.width - form.current_indent))


def _laid_out(text: str, width: int) -> str:
    """Return text for click, which counts characters: what has wide ones is put into lines here, marked as laid out."""
    if len(text) == cells(text):
        return _unbroken(text)
    told = "\n\n".join("\b\n" + "\n".join(wrapped(each, width)) for each in text.split("\n\n"))
    # What is shorter than a line would be taken as it is, the mark too.
    return text if cells(text) <= width and "\n" not in text else told.ljust(width + 1)


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

    told = [(name, partial(_laid_out, help_text(text))) for name, text in rows]
    form.write_section(HelpSection(help_text(title), told))


def write_examples(form: HelpFormatter, examples: Sequence[str]) -> None:
    """Write command lines as they are typed, each on a line of its own."""
    if not examples:
        return
    form.write_paragraph()
    form.write_heading(help_text("Examples"))
    for line in examples:
        command, blanks, about = split_example(line)
        form.write(f"  {command}{blanks}{help_text(about)}\n")


def page(text: str) -> None:
    """Print a help page."""
    write_styled(sys.stdout, text if text.endswith("\n") else f"{text}\n")
