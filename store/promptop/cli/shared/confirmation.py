"""Asks before something is lost: files that would be replaced, entries that would be deleted; and writes results."""

from __future__ import annotations

import sys
from pathlib import Path

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.base.terminal import Paint, painter, plain, write_styled


def refuse_existing(path: Path | None, *, force: bool) -> None:
    """Raise :class:`UsageError` for a file that exists, unless ``--force`` was given; a device or a pipe is none."""
    if path is not None and not force and path.is_file():
        raise UsageError(f"{clean_line(str(path))} exists already.", "Choose another name, or replace it with --force.")


def put(text: str, output: Path | None, *, styled: bool = False) -> None:
    """Print a result, or write it to the file of ``-o``; raise :class:`PromptopError` if that cannot be written.

    Text that is ``styled`` holds colours, and what is foreign in it is cleaned already.
    """
    if output is None:
        if styled:
            write_styled(sys.stdout, text + "\n")
        else:
            print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        where = clean_line(str(output))
        raise PromptopError(f"{where} cannot be written ({error.strerror}).", "Choose another file.") from None


def paint_of(output: Path | None) -> Paint:
    """Return what colours a result that :func:`put` writes: nothing in a file."""
    return painter(sys.stdout) if output is None else plain


def confirm(question: str, *, yes: bool) -> bool:
    """Return whether to go on: ``--yes`` was given, or a person at the terminal says so.

    Without a terminal to ask on it raises :class:`UsageError`.
    """
    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        raise UsageError(f"{clean_line(question, 200)} There is no terminal to ask on.", "Add --yes to do it.")
    print(f"{clean_line(question, 200)} [y/N] ", end="", file=sys.stderr, flush=True)
    said = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not said:
        print("Nothing was changed.", file=sys.stderr)
    return said
