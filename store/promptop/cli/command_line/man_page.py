"""Man pages in roff, from the declarations that parse and help read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

import promptop
from promptop.cli.command_line.help_text import plain, sections
from promptop.cli.command_line.loading import app_command, command_of, grouped
from promptop.cli.commands import COMMANDS


def man_page(command: click.Command, context: click.Context) -> str:
    """Return the page of a command, its verbs included, in section 1."""
    name = context.command_path.replace(" ", "-")
    summary = command.short_help or plain(command.help or "").split("\n")[0].rstrip(".")
    lines = [
        f'.TH "{_text(name.upper())}" "1" "" "promptop {promptop.__version__}" "promptop"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(summary)}",
        ".SH SYNOPSIS",
        f".B {_text(context.command_path)}",
        _text(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        *_paragraphs(plain(command.help or "")),
    ]
    if context.parent is None:
        for title, rows in grouped().items():
            lines += _rows(title, [(f"promptop {each}", text) for each, text in rows])
    lines += _sections(command, context)
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            below = command.commands[verb]
            inner = click.Context(below, info_name=verb, parent=context)
            lines += [f'.SH "{_text(inner.command_path.upper())}"', *_paragraphs(plain(below.help or ""))]
            lines += [".PP", f".B {_text(inner.command_path)}", _text(" ".join(below.collect_usage_pieces(inner)))]
            for rows in sections(below, inner).values():
                lines += _list(rows)
    if examples := getattr(command, "examples", ()):
        lines += [".SH EXAMPLES", ".nf", *(_text(line) for line in examples), ".fi"]
    lines += [
        ".SH EXIT STATUS",
        "0 done; 1 failed, or what was checked did not hold; 2 usage or settings error; 130 interrupted.",
        ".SH SEE ALSO",
        ".BR promptop (1)",
    ]
    return "\n".join(lines) + "\n"


def write_all(folder: Path) -> int:
    """Write ``promptop.1`` and a page for each command; return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    app = app_command()
    pages = {"promptop": man_page(app, click.Context(app, info_name="promptop"))}
    root = click.Context(click.Command("promptop"), info_name="promptop")
    for name in COMMANDS:
        command = command_of(name)
        pages[f"promptop-{name}"] = man_page(command, click.Context(command, info_name=name, parent=root))
    for name, text in pages.items():
        (folder / f"{name}.1").write_text(text, encoding="utf-8")
    return len(pages)


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    for title, rows in sections(command, context).items():
        yield from _rows(title, rows)


def _rows(title: str, rows: list[tuple[str, str]]) -> list[str]:
    return [f'.SH "{_text(title.upper())}"', *_list(rows)]


def _list(rows: list[tuple[str, str]]) -> list[str]:
    return [line for name, text in rows for line in (".TP", f".B {_text(name)}", _text(text))]


def _paragraphs(text: str) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        lines += [".PP", _text(" ".join(paragraph.split()))]
    return lines[1:]


def _text(text: str) -> str:
    """Escape what roff would obey: backslashes, hyphens, and dots and quotes that begin a line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped
