"""Reads a prompt for a command: a file exactly, standard input for ``-``, a version of the library for ``lib:NAME``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError, UsageError
from promptop.prompts.files import read_exact

if TYPE_CHECKING:
    from promptop.prompts.library import Version

LIBRARY = "lib:"
"""What the name of a prompt in the library begins with, where a file could stand (``./lib:x`` is a file)."""


def from_library(name: str) -> Version:
    """Return the version that ``NAME`` (the newest) or ``NAME@2`` means; raise :class:`PromptopError` if none does."""
    from promptop.prompts.library import Library

    before, _, number = name.rpartition("@")
    is_numbered = bool(before) and number.isascii() and number.isdigit()
    return Library().version(before, int(number)) if is_numbered else Library().version(name)


def prompt_text(file: str) -> str:
    """Return the text of ``file``; raise :class:`PromptopError` if it cannot be read or is not UTF-8."""
    if file.startswith(LIBRARY):
        return from_library(file.removeprefix(LIBRARY)).text
    if file != "-":
        return read_exact(Path(file))[0]
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("There is nothing to read.", "Name a file, or pipe text into the command.")
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PromptopError(f"Standard input is not UTF-8 (offset {error.start}).", "Convert it with iconv.") from None
