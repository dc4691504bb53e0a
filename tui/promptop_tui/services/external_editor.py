"""The draft in the user's own editor, and back."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from promptop.base.errors import PromptopError
from promptop.base.files import private_dir, state_dir
from promptop.prompts.files import read_exact, write_atomic


def command(environ: Mapping[str, str] | None = None) -> str:
    """Return the user's editor: ``$VISUAL``, ``$EDITOR`` or vi."""
    environ = os.environ if environ is None else environ
    return environ.get("VISUAL") or environ.get("EDITOR") or "vi"


def edit_in(editor: str, text: str) -> str:
    """Run ``editor`` on a private file with ``text``, wait for it, and return what it left.

    Raises :class:`PromptopError` if the editor cannot be run, fails, or leaves no UTF-8 text.
    """
    with tempfile.TemporaryDirectory(dir=private_dir(state_dir()), prefix="edit-") as folder:
        path = Path(folder) / "prompt.md"
        write_atomic(path, text, private=True)
        try:
            done = subprocess.run([*shlex.split(editor), str(path)], check=False)
        except (OSError, ValueError) as error:
            raise PromptopError(f"The editor {editor!r} cannot be run: {error}.", "Set VISUAL or EDITOR.") from None
        if done.returncode:
            raise PromptopError(f"The editor ended with {done.returncode}.", "The draft is as it was.")
        return read_exact(path)[0]
