"""Exports opened as logs: the rows of a JSONL, CSV or incident file in a private log that goes when the process goes.

Nothing is added to the user's own log, and nobody writes to this one, so that retention never prunes what is looked at.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
from itertools import count
from pathlib import Path

INCIDENT = ".promptop"
"""Ending of an incident's file."""
SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", INCIDENT})
_numbers = count(1)


def is_export(path: Path) -> bool:
    """Tell whether a path names a file that :func:`open_export` takes, by its ending and its first bytes."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return not file.read(16).startswith(b"SQLite format 3")
    return True  # what it is will be said when it is opened


def open_export(source: Path, folder: Path) -> Path:
    """Return a log with the rows of ``source``, in a folder of its own below ``folder`` (0700), removed at the end.

    Raises :class:`PromptopError` with cause and remedy for a file that holds no call.
    """
    # Here, because every start of the app asks this module, and few have an export.
    from promptop.log.transfer import incidents
    from promptop.log.transfer.imports import import_file

    place = private_folder(folder)
    if source.suffix.lower() == INCIDENT:
        return incidents.open_incident(source, place)
    log = place / f"{source.stem}.db"
    import_file(log, source, fresh=True)
    return log


def private_folder(folder: Path) -> Path:
    """Return a new folder below ``folder`` (0700) that is removed at the end of the process."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(folder)
    place = folder / f"{os.getpid()}-{next(_numbers)}"
    place.mkdir(mode=0o700)
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed left behind."""
    for place in folder.iterdir():
        owner = place.name.partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(place, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True
