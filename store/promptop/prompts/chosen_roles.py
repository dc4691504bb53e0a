"""The role that was chosen for a file without role lines, remembered for the next time, in the app and in commands."""

from __future__ import annotations

import json
from pathlib import Path

from promptop.base.files import private_dir, state_dir
from promptop.prompts.files import write_atomic

MOST = 1000
"""Files that are remembered; the oldest choices go first."""


def chosen_role(path: Path) -> str:
    """Return the role that was chosen for a file; empty if none was."""
    return _read().get(str(path.absolute()), "")


def choose_role(path: Path, role: str) -> None:
    """Remember a role for a file; an empty one forgets it. Raises :class:`PromptopError` if that cannot be written."""
    known = _read()
    known.pop(str(path.absolute()), None)
    if role:
        known[str(path.absolute())] = role
    private_dir(state_dir())
    write_atomic(_path(), json.dumps(dict(list(known.items())[-MOST:]), indent=1) + "\n", private=True)


def _path() -> Path:
    return state_dir() / "roles.json"


def _read() -> dict[str, str]:
    try:
        found = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # nothing was chosen yet, or the file is not ours
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
