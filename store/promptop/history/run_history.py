"""The playground's notebook: runs, ratings and presets in one SQLite file of the data folder, mode 0600.

What is kept of a run is the user's choice (``history`` of ``[playground]``): *metadata* keeps models, parameters,
figures, labels and digests, and neither prompt nor answer; *full* keeps these too; *off* keeps nothing. The file is
bounded: above :data:`MOST_RUNS` runs or :data:`MOST_BYTES` the oldest are dropped. Methods block and load sqlite-utils
(a quarter of a second): call them on a thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from promptop.base import sqlite
from promptop.base.errors import PromptopError
from promptop.base.files import data_dir
from promptop.client.result import RunResult
from promptop.client.variants import PromptVersion
from promptop.history.result_json import figures_of, read_result, texts_of

if TYPE_CHECKING:
    from sqlite_utils import Database

Mode = Literal["full", "metadata", "off"]
MODES: tuple[Mode, ...] = get_args(Mode)
MOST_RUNS = 2_000
MOST_BYTES = 64 << 20
"""Bytes of all prompts and answers together."""
MOST_OF_A_RUN = 8 << 20
"""A run with more than this is kept without its texts."""
CONTENT = frozenset({"tools", "format", "checks", "variables", "mocks"})
"""Parts of a setup that hold the user's content, not parameters; kept with the texts only."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What one model made of one version: every call that counted, and what the reader thought of it."""

    label: str
    model: str
    """As it is written in the list of models."""
    version: str = ""
    results: tuple[RunResult, ...] = ()
    rating: int | None = None
    """From 1 to 5; None: not rated."""
    blind: bool = False
    """Whether it was rated without knowing whose it is."""
    checks: tuple[int, int] | None = None
    """How many checks passed, of how many; None: there were none."""


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One run of the playground."""

    started_ms: int
    setup: Mapping[str, Any]
    """Models and parameters as they were typed."""
    answers: tuple[KeptAnswer, ...]
    versions: tuple[PromptVersion, ...] = ()
    text: str = ""
    """What stood in the prompt's field."""
    source: str = ""
    digest: str = ""
    """Names the text in the prompt's field (:func:`promptop.prompts.draft.digest`), kept or not."""
    repeats: int = 1
    simulated: bool = False
    whole: bool = True
    """Whether prompt and answers are there."""
    id: int = 0

    @property
    def cost_usd(self) -> float:
        """What its calls cost together; those without a price are not in it."""
        return sum(result.cost_usd or 0.0 for answer in self.answers for result in answer.results)

    @property
    def subject(self) -> str:
        """What it was about, in a line: the prompt's first words where they are kept, else where it came from."""
        words = " ".join(self.text.split())
        return words[:200] or self.source or (f"prompt {self.digest[:8]}" if self.digest else "a prompt")


@dataclass(frozen=True, slots=True)
class Rated:
    """How the answers of a model were rated."""

    model: str
    n: int
    mean: float
    blind: int
    """How many of them without knowing whose they are."""
    spread: Mapping[int, int] = field(default_factory=dict)
    """Rating → how often."""


def notebook_path() -> Path:
    """Return the notebook's file, whether it exists or not."""
    return data_dir() / "playground.db"


class RunHistory:
    """The file; created at the first write."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = notebook_path() if path is None else path

    # Runs

    def add(self, run: KeptRun, *, full: bool) -> int:
        """Keep a run and return its number; prompts and answers go to disk only if ``full``."""
        row = _row_of(run, full=full)
        answers = [_answer_of(answer, full=bool(row["whole"])) for answer in run.answers]
        row["bytes"] = sum(len(str(value)) for each in (row, *answers) for value in each.values())
        with self._open() as database:
            number = int(database.table("runs").insert(row).last_pk)  # type: ignore[arg-type]
            database.table("answers").insert_all(
                {"run": number, "number": at, **answer} for at, answer in enumerate(answers)
            )
            _prune(database)
        return number

    def find(self, search: str = "", limit: int = 200) -> list[KeptRun]:
        """Return the runs that have every word of ``search``, newest first, without their results' texts."""
        words = search.split()
        place = (
            "models || ' ' || labels || ' ' || source || ' ' || digest || ' ' || coalesce(prompt, '') || ' ' || said"
        )
        condition = " AND ".join([f"({place}) LIKE ? ESCAPE '\\'"] * len(words) or ["1"])
        likes = ["%" + word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%" for word in words]
        if not self.path.exists():
            return []
        with self._open() as database:
            rows = list(
                database.query(f"SELECT * FROM runs WHERE {condition} ORDER BY id DESC LIMIT {int(limit)}", likes)
            )
            numbers = ",".join(str(int(row["id"])) for row in rows)
            found: dict[int, list[dict[str, Any]]] = {}
            for each in database.query(f"SELECT {_LISTED} FROM answers WHERE run IN ({numbers}) ORDER BY run, number"):
                found.setdefault(each["run"], []).append(each)
        return [_run_of(row, found.get(row["id"], [])) for row in rows]

    def load(self, number: int) -> KeptRun:
        """Return a run with all that was kept of it; raise :class:`PromptopError` if it is gone."""
        if self.path.exists():
            with self._open() as database:
                for row in database.query("SELECT * FROM runs WHERE id = ?", [number]):
                    answers = database.query("SELECT * FROM answers WHERE run = ? ORDER BY number", [number])
                    return _run_of(row, list(answers))
        raise PromptopError(f"Run {number} is no longer in the history.", "It was deleted, or dropped as the oldest.")

    def rate(self, number: int, at: int, rating: int | None, *, blind: bool) -> None:
        """Keep what the reader thought of an answer of a run."""
        self._change(
            "UPDATE answers SET rating = ?, blind = ? WHERE run = ? AND number = ?", (rating, int(blind), number, at)
        )

    def judge(self, number: int, checks: Sequence[tuple[int, int]]) -> None:
        """Keep how many checks each answer of a run passed, of how many."""
        for at, (passed, total) in enumerate(checks):
            self._change(
                "UPDATE answers SET passed = ?, checked = ? WHERE run = ? AND number = ?", (passed, total, number, at)
            )

    def delete(self, number: int) -> None:
        """Forget a run; its pages are overwritten with zeros."""
        self._change("DELETE FROM runs WHERE id = ?", (number,))

    def clear(self) -> None:
        """Forget all runs."""
        self._change("DELETE FROM runs", ())

    def ratings(self) -> list[Rated]:
        """Return how each model was rated, the best first."""
        if not self.path.exists():
            return []
        sql = (
            "SELECT model, rating, count(*) AS n, sum(blind) AS blind FROM answers"
            " WHERE rating IS NOT NULL GROUP BY model, rating"
        )
        spread: dict[str, dict[int, int]] = {}
        blind: dict[str, int] = {}
        with self._open() as database:
            for row in database.query(sql):
                spread.setdefault(row["model"], {})[row["rating"]] = row["n"]
                blind[row["model"]] = blind.get(row["model"], 0) + row["blind"]
        found = []
        for model, counts in spread.items():
            n = sum(counts.values())
            found.append(
                Rated(model, n, sum(rating * each for rating, each in counts.items()) / n, blind[model], counts)
            )
        return sorted(found, key=lambda each: (-each.mean, each.model))

    # Presets

    def save_preset(self, name: str, setup: Mapping[str, Any], now_ms: int) -> None:
        """Keep a setup under a name, instead of an earlier one of that name."""
        name = " ".join(name.split())
        if not name:
            raise PromptopError("A preset needs a name.", "Type one.")
        with self._open() as database:
            row = {"name": name, "saved_ms": now_ms, "setup": json.dumps(dict(setup), ensure_ascii=False)}
            database.table("presets").upsert(row, pk="name")

    def presets(self) -> list[tuple[str, dict[str, Any]]]:
        """Return names and setups, in the order of the names."""
        if not self.path.exists():
            return []
        with self._open() as database:
            rows = database.query("SELECT name, setup FROM presets ORDER BY name COLLATE NOCASE")
            return [(str(row["name"]), json.loads(row["setup"])) for row in rows]

    def delete_preset(self, name: str) -> None:
        """Forget a preset."""
        self._change("DELETE FROM presets WHERE name = ?", (name,))

    # What the user chose on the screen

    def chosen_mode(self) -> Mode | None:
        """Return what the history's page was told to keep; None if it was never told."""
        if not self.path.exists():
            return None
        with self._open() as database:
            found = [row["value"] for row in database.query("SELECT value FROM choices WHERE name = 'history'")]
        return next((mode for mode in MODES if found and mode == found[0]), None)

    def mode(self, setting: str) -> Mode:
        """Return what is kept: the settings' word, but *metadata* may have been raised on the history's page."""
        given: Mode = next((mode for mode in MODES if mode == setting), "metadata")
        return self.chosen_mode() or given if given == "metadata" else given

    def choose_mode(self, mode: Mode) -> None:
        """Remember what is to be kept from now on."""
        with self._open() as database:
            database.table("choices").upsert({"name": "history", "value": mode}, pk="name")

    # The file

    def _change(self, sql: str, values: Sequence[Any]) -> None:
        if not self.path.exists():
            return
        with self._open() as database:
            database.execute(sql, tuple(values))

    def _open(self) -> AbstractContextManager[Database]:
        """Open the file for one transaction, creating it first."""
        return open_notebook(self.path)


def open_notebook(path: Path) -> AbstractContextManager[Database]:
    """Open the file with the schema of this version for one transaction, creating it first (0600)."""
    return sqlite.tables(path, (_create, _create_proofs), secure_delete=True)


def notebook_file(path: Path) -> sqlite.TableFile:
    """Return the file as one that stays open from its first transaction on, for what writes often."""
    return sqlite.TableFile(path, (_create, _create_proofs), secure_delete=True)


def _create(database: Database) -> None:
    """Version 1: runs with their answers, presets and choices."""
    for statement in _CREATE.split(";\n"):
        database.execute(statement)


def _create_proofs(database: Database) -> None:
    """Version 2: proofs with their cells."""
    for statement in _PROOFS.split(";\n"):
        database.execute(statement)


_PROOFS = """
CREATE TABLE IF NOT EXISTS proofs (
    id TEXT PRIMARY KEY,                     -- names the run for --resume
    started_ms INTEGER NOT NULL,             -- Unix time
    setup TEXT NOT NULL,                     -- JSON: models, digest of the test set, margin
    verdict TEXT,                            -- NULL while it goes on
    attempt TEXT,                            -- same for further attempts at one prompt and test set
    counts INTEGER NOT NULL DEFAULT 0        -- 1: cases were looked at
);
CREATE TABLE IF NOT EXISTS proof_cells (
    run TEXT NOT NULL REFERENCES proofs (id) ON DELETE CASCADE,
    "case" TEXT NOT NULL,
    side TEXT NOT NULL,                      -- before, after, or a version's name
    model TEXT NOT NULL,
    repeat INTEGER NOT NULL,
    digest TEXT NOT NULL,                    -- of the request as sent and the endpoint
    done_ms INTEGER NOT NULL,
    figures TEXT NOT NULL,                   -- JSON: the figures of the call
    texts TEXT,                              -- JSON: the answer; NULL where it is not kept
    checks TEXT NOT NULL,                    -- JSON: check, whether it passed, why not
    PRIMARY KEY (run, "case", side, model, repeat, digest)
) WITHOUT ROWID;
"""
_LISTED = "run, number, label, model, version, rating, blind, passed, checked, figures"
_CREATE = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started_ms INTEGER NOT NULL,             -- Unix time
    models TEXT NOT NULL,                    -- as written in the list of models, with line breaks between them
    labels TEXT NOT NULL,                    -- of the prompt versions, likewise
    source TEXT NOT NULL,                    -- where the prompt came from
    digest TEXT NOT NULL,                    -- SHA-256 of the text in the prompt's field
    repeats INTEGER NOT NULL,
    cost_usd REAL NOT NULL,                  -- of the calls that have a price
    simulated INTEGER NOT NULL,
    whole INTEGER NOT NULL,                  -- 1: prompt and answers are kept
    setup TEXT NOT NULL,                     -- JSON: parameters as typed
    prompt TEXT,                             -- JSON: text and versions; NULL where they are not kept
    said TEXT NOT NULL DEFAULT '',           -- the answers' text, to be searched; empty where it is not kept
    bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS answers (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,                 -- from 0, in the order of the panes
    label TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    rating INTEGER,                          -- 1 to 5
    blind INTEGER NOT NULL DEFAULT 0,
    passed INTEGER,                          -- checks
    checked INTEGER,
    figures TEXT NOT NULL,                   -- JSON list: the figures of each call
    texts TEXT,                              -- JSON list: the answers; NULL where they are not kept
    PRIMARY KEY (run, number)
);
CREATE TABLE IF NOT EXISTS presets (name TEXT PRIMARY KEY, saved_ms INTEGER NOT NULL, setup TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS choices (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def _row_of(run: KeptRun, *, full: bool) -> dict[str, Any]:
    prompt = None
    said = ""
    if full and run.whole:
        versions = [
            {"label": each.label, "name": each.name, "version": each.version, "messages": list(each.messages)}
            for each in run.versions
        ]
        prompt = json.dumps({"text": run.text, "versions": versions}, default=str)
        said = "\n".join([run.text, *(answer.results[-1].text for answer in run.answers if answer.results)])
        said = said.encode("utf-8", "replace").decode("utf-8")
        if len(prompt) + len(said) > MOST_OF_A_RUN:
            prompt, said = None, ""
    setup = {key: value for key, value in run.setup.items() if prompt is not None or key not in CONTENT}
    return {
        "started_ms": run.started_ms,
        "models": "\n".join(dict.fromkeys(answer.model for answer in run.answers)),
        "labels": "\n".join(each.label for each in run.versions if each.label),
        "source": run.source,
        "digest": run.digest,
        "repeats": run.repeats,
        "cost_usd": run.cost_usd,
        "simulated": int(run.simulated),
        "whole": int(prompt is not None),
        "setup": json.dumps(setup, ensure_ascii=False),
        "prompt": prompt,
        "said": said,
    }


def _answer_of(answer: KeptAnswer, *, full: bool) -> dict[str, Any]:
    passed, checked = answer.checks or (None, None)
    return {
        "label": answer.label,
        "model": answer.model,
        "version": answer.version,
        "rating": answer.rating,
        "blind": int(answer.blind),
        "passed": passed,
        "checked": checked,
        "figures": json.dumps([figures_of(result) for result in answer.results]),
        # Escaped, because half of a surrogate pair in an answer cannot be written as UTF-8.
        "texts": json.dumps([texts_of(result) for result in answer.results]) if full else None,
    }


def _run_of(row: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> KeptRun:
    prompt = json.loads(row["prompt"]) if row["prompt"] else {}
    labels = [label for label in str(row["labels"]).split("\n") if label]
    versions = tuple(
        PromptVersion(each["label"], each["messages"], each["name"], each["version"])
        for each in prompt.get(
            "versions", [{"label": label, "messages": (), "name": None, "version": None} for label in labels]
        )
    )
    return KeptRun(
        started_ms=row["started_ms"],
        setup=json.loads(row["setup"]),
        answers=tuple(_read_answer(each) for each in answers),
        versions=versions,
        text=prompt.get("text", ""),
        source=row["source"],
        digest=row["digest"],
        repeats=row["repeats"],
        simulated=bool(row["simulated"]),
        whole=bool(row["whole"]),
        id=row["id"],
    )


def _read_answer(row: Mapping[str, Any]) -> KeptAnswer:
    figures = json.loads(row["figures"])
    texts = json.loads(row.get("texts") or "null") or [{}] * len(figures)
    results = tuple(read_result({**each, **text}) for each, text in zip(figures, texts, strict=True))
    checks = None if row["checked"] is None else (int(row["passed"]), int(row["checked"]))
    return KeptAnswer(row["label"], row["model"], row["version"], results, row["rating"], bool(row["blind"]), checks)


def _prune(database: Database) -> None:
    """Drop the oldest runs above the bounds; the newest always stays."""
    database.execute(
        "DELETE FROM runs WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER newest AS place,"
        " sum(bytes) OVER newest AS size FROM runs WINDOW newest AS (ORDER BY id DESC))"
        " WHERE place > 1 AND (place > ? OR size > ?))",
        (MOST_RUNS, MOST_BYTES),
    )
