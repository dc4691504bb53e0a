"""Reads a prompt for a command: a file exactly, or standard input for ``-``."""

from __future__ import annotations

import sys
from pathlib import Path

from promptop.errors import PromptopError, UsageError
from promptop.prompts.files import read_exact


def prompt_text(file: str) -> str:
    """Return the text of ``file``; raise :class:`PromptopError` if it cannot be read or is not UTF-8."""
    if file != "-":
        return read_exact(Path(file))[0]
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("There is nothing to read.", "Name a file, or pipe text into the command.")
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PromptopError(f"Standard input is not UTF-8 (offset {error.start}).", "Convert it with iconv.") from None
