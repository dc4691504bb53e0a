"""A test set is written in the form of its file, and never in one that would lose something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from promptop.base.errors import UsageError
from promptop.experiments.test_sets import Case, TestSet, read_test_set
from promptop.experiments.test_sets.writer import write_test_set

CASES = (
    Case("a", {"q": "Übung, 1\n2"}, expected={"sum": 3}, checks=("json", "contains:3"), tags=("x", "y"), weight=4.0),
    Case("b", {"q": "zwei"}, expected="two"),
)


@pytest.mark.parametrize("name", ["c.jsonl", "c.json", "c.yaml", "c.csv", "c.tsv"])
def test_a_set_reads_back_as_the_same_cases(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = path.suffix in (".csv", ".tsv")
    cases = (replace(CASES[0], expected="3"), CASES[1]) if table else CASES
    write_test_set(path, TestSet(cases, (), path))
    again = read_test_set(path)
    assert [case.to_json() for case in again.cases] == [case.to_json() for case in cases]
    write_test_set(path, again)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_form_cannot_hold_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    table, foreign, lines = tmp_path / "c.csv", tmp_path / "promptfoo.yaml", tmp_path / "c.jsonl"
    table.write_text("id,q\na,1\n", encoding="utf-8")
    foreign.write_text("prompts: [p.txt]\ntests:\n- vars: {q: one}\n", encoding="utf-8")
    before = table.read_text(encoding="utf-8"), foreign.read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="holds no messages"):
        write_test_set(table, TestSet((Case("a", {"q": "1"}, critical=True),)))
    with pytest.raises(UsageError, match="holds more than cases"):
        write_test_set(foreign, read_test_set(foreign))
    with pytest.raises(UsageError, match="no checks for all cases"):
        write_test_set(lines, TestSet(CASES, ("json",)))
    with pytest.raises(UsageError, match="cannot hold the case 'a' as it is"):
        write_test_set(table, TestSet(CASES))
    assert before == (table.read_text(encoding="utf-8"), foreign.read_text(encoding="utf-8"))
