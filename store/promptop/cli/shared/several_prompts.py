"""Several prompts in one command: folders are opened, and one that cannot be read does not stop the others."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line

SUFFIXES = frozenset((".md", ".markdown", ".txt", ".prompt", ".prompty", ".j2", ".jinja", ".jinja2"))
"""Of a folder's files those are prompts; any other file is read where it is named."""


def opened(names: Iterable[str]) -> list[str]:
    """Return the names of files, folders replaced by the prompts below them; hidden files and links are left out.

    Raises :class:`UsageError` for a folder without a prompt.
    """
    found: list[str] = []
    for name in names:
        if name == "-" or not Path(name).is_dir():
            found.append(name)
            continue
        below = list(_below(Path(name)))
        if not below:
            endings = ", ".join(sorted(SUFFIXES))
            raise UsageError(f"There is no prompt in {clean_line(name)}.", f"Prompts in folders end in {endings}.")
        found += map(str, below)
    return found


def relative(folder: Path) -> dict[str, str]:
    """Return the prompts below a folder: path within it → path."""
    return {str(path.relative_to(folder)): str(path) for path in _below(folder)}


def _below(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name))
    except OSError as error:
        where = clean_line(str(folder))
        raise PromptopError(f"{where} cannot be read: {error.strerror}.", "Check its permissions.") from None
    for entry in entries:
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _below(entry)
        elif entry.suffix.lower() in SUFFIXES:
            yield entry


class Failures:
    """Prompts that could not be read, told on stderr when they are met; a single one fails the command at once."""

    def __init__(self, names: list[str]) -> None:
        self._single = len(names) == 1
        self.told: list[dict[str, str]] = []
        """File, cause and remedy of each, for JSON."""

    def of(self, name: str) -> _Kept:
        """Keep what is raised about one prompt, so that the others are read."""
        return _Kept(self, name)

    def keep(self, name: str, error: PromptopError) -> bool:
        """Tell of a prompt that could not be read; return whether the others are to be read."""
        if self._single:
            return False
        self.told.append({"file": name, "error": error.cause, "remedy": error.remedy})
        print(f"promptop: {error}", file=sys.stderr)
        return True

    def __bool__(self) -> bool:
        return bool(self.told)


class _Kept:
    """What one prompt raises is kept among the failures."""

    def __init__(self, failures: Failures, name: str) -> None:
        self._failures = failures
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, PromptopError) and self._failures.keep(self._name, error)
