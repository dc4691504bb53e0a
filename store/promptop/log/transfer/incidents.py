"""An incident in one file: rows of a stretch of the log, their sums, what was told of them, and a page to read.

The file is a zip of known names: ``incident.json`` (what is said of it), ``log.db`` with its sums, the bodies' file if
it was asked for, and ``incident.html``. It opens as a replay; whatever else is in such a file is left in it.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.base.files import write_private
from promptop.log import files
from promptop.log.read.log_file import StoredRow
from promptop.log.rollups.rollups import Rollups
from promptop.log.transfer.imports import insert_rows
from promptop.log.write.bodies import BodyStore, read_body
from promptop.log.write.pending import Bodies, Finished

FORMAT = 1
ABOUT, PAGE = "incident.json", "incident.html"
_LOG = "log.db"
_MOST_BYTES = 4 << 30
_FOLD = 20_000


def write_incident(
    target: Path, rows: Iterable[StoredRow], about: dict[str, Any], page: str, bodies_of: Path | None = None
) -> int:
    """Write an incident file (0600) and return its number of rows; ``bodies_of`` is the log whose bodies go along.

    Raises :class:`PromptopError` where there are no rows, :class:`OSError` and :class:`sqlite3.Error`.
    """
    kept = list(rows)
    if not kept:
        raise PromptopError("The log has no call in that time.", "Choose a longer one: --since, --until or --filter.")
    with tempfile.TemporaryDirectory(prefix="promptop-incident-") as folder:
        log = Path(folder) / _LOG
        with contextlib.closing(files.open_log(log)) as connection:
            insert_rows(connection, kept, ("incident", json.dumps({"format": FORMAT})))
        if bodies_of is not None:
            _copy_bodies(bodies_of, log, kept)
        newest = max(row.started_ms or 0 for row in kept)
        with Rollups(log, now_ms=lambda: newest) as rollups:
            rollups.catch_up(float("inf"), limit=_FOLD)
        packed = Path(folder) / "packed"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(ABOUT, json.dumps({"format": FORMAT, **about}, ensure_ascii=False, indent=2))
            archive.writestr(PAGE, page)
            for file in _files_of(log):
                if file.exists():
                    archive.write(file, file.name)
        write_private(target, packed.read_bytes())
    return len(kept)


def open_incident(source: Path, place: Path) -> Path:
    """Unpack an incident file into a private folder and return its log; raises :class:`PromptopError`."""
    log = place / f"{source.stem}.db"
    names = {file.name: target for file, target in zip(_files_of(Path(_LOG)), _files_of(log), strict=True)}
    try:
        with zipfile.ZipFile(source) as archive:
            about = json.loads(archive.read(ABOUT))
            if about.get("format") != FORMAT:
                raise PromptopError(f"{source} was written by a newer promptop.", "Upgrade promptop.")
            if sum(each.file_size for each in archive.infolist()) > _MOST_BYTES:
                raise PromptopError(f"{source} unpacks to more than 4 GB.", "Export a shorter time.")
            for name, target in {**names, ABOUT: place / ABOUT}.items():
                with contextlib.suppress(KeyError):
                    write_private(target, archive.read(name))
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError, EOFError) as error:
        raise PromptopError(
            f"{source} is no incident file, or is damaged ({error}).", "promptop incident export -o FILE writes one."
        ) from None
    except OSError as error:
        raise PromptopError(f"{source} cannot be read ({error.strerror}).", "Check its permissions.") from None
    if not log.exists():
        raise PromptopError(f"{source} holds no log.", "Export it again.")
    return log


def read_about(source: Path) -> dict[str, Any]:
    """Return what is said of an incident: window, changes, alerts, notes, bookmarks; raises :class:`PromptopError`."""
    try:
        with zipfile.ZipFile(source) as archive:
            found = json.loads(archive.read(ABOUT))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise PromptopError(
            f"{source} is no incident file ({error}).", "promptop incident export -o FILE writes one."
        ) from None
    return found if isinstance(found, dict) else {}


def read_page(source: Path) -> str:
    """Return the page of an incident file; raises :class:`PromptopError`."""
    try:
        with zipfile.ZipFile(source) as archive:
            return archive.read(PAGE).decode("utf-8")
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise PromptopError(
            f"{source} is no incident file ({error}).", "promptop incident export -o FILE writes one."
        ) from None


def _files_of(log: Path) -> tuple[Path, Path, Path]:
    return log, files.rollups_path(log), files.bodies_path(log)


def _copy_bodies(source: Path, log: Path, rows: Iterable[StoredRow]) -> None:
    """Copy the bodies of rows, which have got the numbers 1, 2, 3 … in the new log."""
    store = BodyStore(log)
    try:
        for number, row in enumerate(rows, 1):
            body = read_body(source, row.id)
            if body is None or body.mode == "hash":
                continue
            mode: Bodies = "redacted" if body.mode == "redacted" else "full"
            request, response = (None if text is None else text.encode() for text in (body.request, body.response))
            store.insert([(number, Finished(row, request, response, mode, redacted=True))], mode)
    finally:
        store.close()
