"""Asks before something is lost: files that would be replaced, entries that would be deleted; and writes results."""

from __future__ import annotations

import sys
from pathlib import Path

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line


def refuse_existing(path: Path | None, *, force: bool) -> None:
    """Raise :class:`UsageError` for a file that exists, unless ``--force`` was given; a device or a pipe is none."""
    if path is not None and not force and path.is_file():
        raise UsageError(f"{clean_line(str(path))} exists already.", "Choose another name, or replace it with --force.")


def put(text: str, output: Path | None) -> None:
    """Print a result, or write it to the file of ``-o``; raise :class:`PromptopError` if that cannot be written."""
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        where = clean_line(str(output))
        raise PromptopError(f"{where} cannot be written ({error.strerror}).", "Choose another file.") from None


def confirm(question: str, *, yes: bool, unattended: bool = False) -> bool:
    """Return whether to go on: ``--yes`` was given, or a person at the terminal says so.

    Without a terminal to ask at it raises :class:`UsageError`, unless the command may run ``unattended``.
    """
    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        if unattended:
            return True
        raise UsageError(f"{clean_line(question, 200)} Nobody can be asked here.", "Add --yes to do it.")
    print(f"{clean_line(question, 200)} [y/N] ", end="", file=sys.stderr, flush=True)
    said = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not said:
        print("Nothing was changed.", file=sys.stderr)
    return said
