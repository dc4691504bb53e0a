"""The cells of a grid, each kept as soon as it is finished: no answer that was paid for is lost, or asked for twice.

A cell is one answer: of one case, to one version of the prompt, by one model, for one repeat. It is found again by the
digest of the request as it was sent, so that a changed prompt, case or parameter asks only the cells it concerns; and
by its repeat number, so that one answer never stands for two. Texts go to disk only where the history keeps them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptop.base.errors import UsageError
from promptop.client.result import RunResult
from promptop.experiments.checks import Checked
from promptop.experiments.checks.answer_text import trouble_of
from promptop.experiments.grid.checker import answer_digest
from promptop.history.result_json import figures_of, read_result, texts_of
from promptop.history.run_history import notebook_file, notebook_path, open_notebook

if TYPE_CHECKING:
    from sqlite_utils import Database

MOST_PROOFS = 500
"""Runs whose cells are kept; older ones are dropped."""
GOES_ON_S = 24 * 3600
"""Age up to which a run is gone on with by whoever asks the same again: later the models may have changed."""


@dataclass(frozen=True, slots=True)
class CellKey:
    """What a cell is found by within its run."""

    case: str
    side: str
    model: str
    repeat: int
    digest: str
    """Of the request as sent and the endpoint."""


@dataclass(frozen=True, slots=True)
class GridCell:
    """One finished answer."""

    result: RunResult
    checked: Mapping[str, Checked]
    """By the text of the check."""
    whole: bool = True
    """Whether the answer's text is there: after a restart only where the history keeps texts."""
    kept_digest: str = ""
    kept_trouble: str = ""
    """What is known of a text that was not kept."""

    @property
    def digest(self) -> str:
        """What tells whether two answers are the same to the letter."""
        return answer_digest(self.result) if self.whole else self.kept_digest

    @property
    def trouble(self) -> str:
        """``cut``, ``refused``, ``empty`` or nothing."""
        return trouble_of(self.result) if self.whole else self.kept_trouble


class CellStore:
    """The cells of one run. It can be pickled before it is used; then it opens the file anew.

    The file stays open while cells come: to open it for each would take longer than a fast endpoint's answer.
    """

    def __init__(
        self,
        run: str = "",
        *,
        path: Path | None = None,
        full: bool = False,
        earlier: Mapping[CellKey, GridCell] | None = None,
        asked: str = "",
    ) -> None:
        """``run`` is the id of an earlier run that goes on; ``full`` keeps prompts and answers on disk.

        ``earlier`` are cells that this process still has whole, whatever the disk keeps of them. ``asked`` names what
        is asked, so that :func:`run_to_go_on` finds the run in a later process.
        """
        self.run = run or f"p-{secrets.token_hex(4)}"
        self.path = notebook_path() if path is None else path
        self.full = full
        self.asked = asked
        self._earlier = dict(earlier or {})
        self._known: dict[CellKey, GridCell] = {}
        self._file = notebook_file(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {"run": self.run, "path": self.path, "full": self.full, "earlier": self._earlier, "asked": self.asked}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(state["run"], **{name: state[name] for name in state if name != "run"})  # type: ignore[misc]

    @property
    def cells(self) -> Mapping[CellKey, GridCell]:
        """Every finished cell that is known."""
        return self._known

    def close(self) -> None:
        """Close the file; what is kept afterwards opens it again."""
        self._file.close()

    def begin(self, setup: Mapping[str, Any], *, resumed: bool = False) -> int:
        """Note that the run begins, and return how many cells are kept; raise :class:`UsageError` for no such run."""
        if self.asked:
            setup = {**setup, "asked": _name_of(self.asked)}
        with self._open() as database:
            row = database.execute("SELECT 1 FROM proofs WHERE id = ?", (self.run,)).fetchone()
            if resumed and row is None:
                raise UsageError(
                    f"There is no run {self.run!r} to resume.", "promptop prove names its id at the start."
                )
            database.execute(
                "INSERT INTO proofs (id, started_ms, setup) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE"
                " SET setup = excluded.setup",
                (self.run, int(time.time() * 1000), json.dumps(setup, ensure_ascii=False)),
            )
            database.execute(
                "DELETE FROM proofs WHERE id NOT IN (SELECT id FROM proofs ORDER BY started_ms DESC LIMIT ?)",
                (MOST_PROOFS,),
            )
            database.execute("DELETE FROM proof_cells WHERE run NOT IN (SELECT id FROM proofs)")
            rows = database.execute(
                'SELECT "case", side, model, repeat, digest, figures, texts, checks FROM proof_cells WHERE run = ?',
                (self.run,),
            ).fetchall()
        for case, side, model, repeat, digest, figures, texts, checks in rows:
            self._known[CellKey(case, side, model, repeat, digest)] = _cell(figures, texts, checks)
        self._known |= self._earlier
        return len(rows)

    def find(self, key: CellKey) -> GridCell | None:
        """Return a cell that is finished; None for one that must be asked."""
        return self._known.get(key)

    def put(self, key: CellKey, cell: GridCell) -> None:
        """Keep a finished cell at once."""
        self._known[key] = cell
        checks = {text: [each.passed, each.why if self.full else ""] for text, each in cell.checked.items()}
        known = {"answer_digest": cell.digest, "trouble": cell.trouble}
        texts = json.dumps(texts_of(cell.result), ensure_ascii=True) if self.full else None
        with self._open() as database:
            database.execute(
                'INSERT OR REPLACE INTO proof_cells (run, "case", side, model, repeat, digest, done_ms, figures, texts,'
                " checks) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(self.run, key.case, key.side, key.model, key.repeat, key.digest, int(time.time() * 1000)),
                    *(json.dumps(figures_of(cell.result) | known), texts, json.dumps(checks)),
                ),
            )

    def end(self, verdict: str, attempt: str, *, counts: bool) -> None:
        """Keep the verdict; ``attempt`` names what was tried, ``counts`` whether it was looked at at all."""
        with self._open() as database:
            database.execute(
                "UPDATE proofs SET verdict = ?, attempt = ?, counts = ? WHERE id = ?",
                (verdict, attempt, int(counts), self.run),
            )

    def failed_attempts(self, attempt: str) -> int:
        """Return how many runs of the same prompt and test set were not proven since the last one that was."""
        with self._open() as database:
            rows = database.execute(
                "SELECT verdict FROM proofs WHERE attempt = ? AND counts = 1 AND id != ? ORDER BY started_ms DESC",
                (attempt, self.run),
            ).fetchall()
        failed = 0
        for (verdict,) in rows:
            if verdict == "proven":
                break
            failed += 1
        return failed

    def _open(self) -> AbstractContextManager[Database]:
        return self._file.transaction()


def _cell(figures: str, texts: str | None, checks: str) -> GridCell:
    shape = json.loads(figures)
    if texts is not None:
        shape |= json.loads(texts)
    checked = {text: Checked(text, bool(passed), why) for text, (passed, why) in json.loads(checks).items()}
    digest, trouble = str(shape.get("answer_digest") or ""), str(shape.get("trouble") or "")
    return GridCell(read_result(shape), checked, texts is not None, digest, trouble)


def _name_of(asked: str) -> str:
    return hashlib.blake2b(asked.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def run_to_go_on(asked: str, path: Path | None = None) -> str:
    """Return the latest run of the last day that asked the same, empty if there is none: its answers are paid for."""
    path = notebook_path() if path is None else path
    if not path.exists():
        return ""
    since_ms = int((time.time() - GOES_ON_S) * 1000)
    with open_notebook(path) as database:
        row = database.execute(
            "SELECT id FROM proofs WHERE json_extract(setup, '$.asked') = ? AND started_ms > ?"
            " ORDER BY started_ms DESC LIMIT 1",
            (_name_of(asked), since_ms),
        ).fetchone()
    return str(row[0]) if row is not None else ""


def runs_of(path: Path | None = None, limit: int = 20) -> Sequence[tuple[str, int, str, Mapping[str, Any]]]:
    """Return the latest runs: id, start (Unix milliseconds), verdict (empty while it goes on), and its setup."""
    path = notebook_path() if path is None else path
    if not path.exists():
        return []
    with open_notebook(path) as database:
        rows = database.execute(
            "SELECT id, started_ms, verdict, setup FROM proofs ORDER BY started_ms DESC LIMIT ?", (limit,)
        ).fetchall()
    return [(run, started, verdict or "", json.loads(setup)) for run, started, verdict, setup in rows]
