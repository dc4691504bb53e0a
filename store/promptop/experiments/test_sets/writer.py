"""Test sets to files: JSONL, JSON, YAML and tables, in the form that the file's name says.

A file is only replaced by one that reads back as the same cases: what a form cannot hold is said, and nothing is lost.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError, UsageError
from promptop.base.files import write_private
from promptop.base.sanitize import clean_line
from promptop.experiments.test_sets.case import Case, TestSet
from promptop.experiments.test_sets.reader import read_test_set, rows_of

_LISTS = (".yaml", ".yml", ".json")


def text_of(test_set: TestSet, suffix: str) -> str:
    """Return the text of a set in the form of a file's ending; raise :class:`UsageError` for what it cannot hold."""
    suffix = suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        if test_set.checks:
            raise UsageError("JSON lines hold no checks for all cases.", "Write .json or .yaml.")
        return "".join(json.dumps(case.to_json(), ensure_ascii=True) + "\n" for case in test_set.cases)
    if suffix in _LISTS:
        return _document(test_set, suffix)
    if suffix in (".csv", ".tsv"):
        return _table(test_set.cases, "\t" if suffix == ".tsv" else ",")
    raise UsageError(f"The ending {suffix!r} names no form.", "Write .jsonl, .json, .yaml, .csv or .tsv.")


def write_test_set(path: Path, test_set: TestSet) -> None:
    """Replace a file by this set in the form of its name (0600).

    Raises :class:`UsageError` where the form cannot hold the set, and :class:`PromptopError` where it cannot be
    written; the file is then as it was.
    """
    if path.exists() and path.suffix.lower() in _LISTS:
        _refuse_foreign(path)
    text = text_of(test_set, path.suffix)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(text, encoding="utf-8")
        again = read_test_set(trial)
    # An id that was left empty is made from what the case holds when it is read.
    for case, read in zip(test_set.cases, again.cases, strict=False):
        if _shape(case) != _shape(read if case.id else replace(read, id="")):
            raise UsageError(
                f"{clean_line(path.name, 60)} cannot hold the case {clean_line(case.id, 40)!r} as it is.",
                "Save it under a name that ends in .jsonl.",
            )
    if len(again.cases) != len(test_set.cases):
        raise UsageError(f"{clean_line(path.name, 60)} cannot hold these cases.", "Save them as .jsonl.")
    try:
        write_private(path, text)
    except OSError as error:
        raise PromptopError(f"{path} cannot be written ({error.strerror}).", "Choose another name.") from None


def _shape(case: Case) -> dict[str, Any]:
    # A table has a cell for each variable of any case: one that a case has not is empty there.
    return {**case.to_json(), "seen": None, "vars": {name: value for name, value in case.values().items() if value}}


def _refuse_foreign(path: Path) -> None:
    """Raise for a file whose other parts would be lost: promptfoo's configuration, tests from other files."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise PromptopError(f"{path} cannot be read again ({clean_line(str(error), 80)}).", "Check it.") from None
    if isinstance(data, dict) and not set(data) <= {"cases", "checks"}:
        raise UsageError(
            f"{clean_line(path.name, 60)} holds more than cases ({clean_line(', '.join(map(str, data)), 80)}).",
            "Save the cases under another name, as in cases.jsonl.",
        )


def _document(test_set: TestSet, suffix: str) -> str:
    shape = {
        "cases": [case.to_json() for case in test_set.cases],
        "checks": [each if isinstance(each, str) else dict(each) for each in test_set.checks],
    }
    if suffix == ".json":
        return json.dumps(shape, ensure_ascii=True, indent=1, default=dict) + "\n"
    import yaml

    plain = json.loads(json.dumps(shape, default=dict))  # YAML's own writer refuses what JSON takes as a table
    return yaml.safe_dump(plain, allow_unicode=True, sort_keys=False, width=100)


def _table(cases: Sequence[Case], delimiter: str) -> str:
    if any(case.messages or case.files or case.critical for case in cases):
        raise UsageError("A table holds no messages, files or critical cases.", "Write .jsonl.")
    rows = list(rows_of(cases))
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
