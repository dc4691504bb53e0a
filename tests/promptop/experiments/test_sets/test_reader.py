"""Test sets of other programs: what each file means, and what is named because it has no equal here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptop.base.errors import UsageError
from promptop.experiments.test_sets import TestSet, read_test_set
from promptop.experiments.test_sets.from_log import Logged, drawn, pattern_of, variables_in


def read(path: Path, text: str, **options: Any) -> TestSet:
    path.write_text(text, encoding="utf-8")
    return read_test_set(path, **options)


def test_our_own_lines(tmp_path: Path) -> None:
    line = {"id": "a", "vars": {"n": 3}, "expected": "x", "checks": ["json"], "tags": ["t"], "weight": 2}
    found = read(tmp_path / "c.jsonl", "\ufeff" + json.dumps(line) + "\n\n" + '{"vars": {"n": "\u2028"}}\n')
    first, second = found.cases
    assert (first.id, first.values(), first.expected, first.tags, first.weight) == ("a", {"n": "3"}, "x", ("t",), 2.0)
    assert len(second.id) == 10 and second.values() == {"n": "\u2028"}
    assert found.digest != read(tmp_path / "d.jsonl", json.dumps(line)).digest
    assert [check.name for check in first.parsed(None)] == ["json"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("c.jsonl", '{"id": "a", "vars": {}}\n{"id": "a", "vars": {"x": "1"}}', ":2: the id 'a'"),
        ("c.jsonl", '{"vars": {"x": "1"}}\n{"vars": {"x": "1"}}', "the same as the one at"),
        ("c.jsonl", '{"vars": {"x": "1"}, "expcted": "1"}', "'expcted' is not known"),
        ("c.jsonl", "[1]", "must be a JSON object"),
        ("c.jsonl", "", "holds no case"),
        ("c.jsonl", '{"vars": {"x": "1"}, "weight": 0}', "not a number above 0"),
        ("c.csv", "a,a\n1,2\n", "twice"),
        ("c.csv", "a,b\n1\n", ":2: the row"),
        ("c.yaml", "a: &x [1]\ntests: *x\n", "aliases"),
        ("c.yaml", "tests: [", "not YAML"),
        ("c.yaml", "tests:\n- {vars: {a: 1}, assert: [{type: javascript, value: x}]}\n", "javascript"),
        ("c.yaml", "tests: https://example.org/x.csv\n", "from elsewhere"),
        ("c.txt", "x", "not a test set by its name"),
    ],
)
def test_what_cannot_be_meant_is_named(name: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read(tmp_path / name, text)


def test_what_has_no_equal_can_be_left_out_and_is_said(tmp_path: Path) -> None:
    text = "tests:\n- vars: {a: 1}\n  assert: [{type: javascript, value: x}, {type: icontains, value: Yes}]\n"
    found = read(tmp_path / "c.yaml", text, skip_unknown=True)
    assert "javascript" in found.notes[0]
    (check,) = found.cases[0].parsed(None)
    assert check.kind == "contains"


def test_promptfoos_tests(tmp_path: Path) -> None:
    text = """
defaultTest: {assert: [{type: is-json}], vars: {lang: en}}
tests:
- description: first
  vars: {q: hi}
  assert:
  - {type: not-contains, value: error, metric: clean}
  - {type: similar, value: hello, threshold: 0.6}
  - {type: latency, threshold: 1500}
  metadata: {tags: [a, b]}
"""
    (case,) = read(tmp_path / "c.yaml", text).cases
    assert (case.id, case.tags, case.values()) == ("first", ("a", "b"), {"lang": "en", "q": "hi"})
    checks = case.parsed(None)
    assert [check.kind for check in checks] == ["json", "contains", "similar", "max-seconds"]
    assert (checks[1].name, checks[2].at) == ("clean", 0.6)


def test_a_table_with_promptfoos_columns(tmp_path: Path) -> None:
    text = 'q;__expected1;__expected2;__metadata:tags;weight\nhi;is-json;"contains:""a"": 1";x,y;3\nyo;plain;;;\n'
    first, second = read(tmp_path / "c.csv", text).cases
    assert (first.tags, first.weight, len(first.checks)) == (("x", "y"), 3.0, 2)
    assert second.checks == ({"type": "equals", "value": "plain"},)


def test_openai_and_langfuse(tmp_path: Path) -> None:
    lines = [
        {"input": [{"role": "user", "content": "2+2"}], "ideal": ["4", "four"]},
        {"item": {"q": "x", "correct_label": "y"}},
    ]
    found = read(tmp_path / "o.jsonl", "\n".join(map(json.dumps, lines)))
    assert found.cases[0].messages[0]["content"] == "2+2"
    assert found.cases[0].parsed(None)[0].kind == "equals-any"
    assert found.cases[1].expected is None and "correct_label" in found.notes[0]
    items = [
        {"id": "1", "input": {"q": "a"}, "expectedOutput": "b", "metadata": {"tags": ["t"]}, "status": "ACTIVE"},
        {"id": "2", "input": "old", "expectedOutput": "b", "status": "ARCHIVED"},
        {"id": "3", "input": "plain", "expectedOutput": {"a": 1}, "status": "ACTIVE"},
    ]
    found = read(tmp_path / "l.json", json.dumps(items), only_variable="question")
    assert [case.id for case in found.cases] == ["1", "3"]
    assert found.cases[1].values() == {"question": "plain"}
    assert any("archived" in note for note in found.notes)


def test_files_stay_in_the_folder_of_the_set(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text("x")
    found = read(tmp_path / "in" / "c.jsonl", '{"vars": {}, "files": ["../secret.txt"]}')
    with pytest.raises(UsageError, match="outside the folder"):
        found.read(found.cases[0], "../secret.txt")


def test_each_tag_comes_early_and_the_order_is_fixed(tmp_path: Path) -> None:
    lines = [json.dumps({"vars": {"n": n}, "tags": ["rare" if n >= 95 else "common"]}) for n in range(100)]
    found = read(tmp_path / "c.jsonl", "\n".join(lines))
    order = found.ordered()
    assert order == found.ordered()
    assert any("rare" in case.tags for case in order[:30])


def test_variables_are_read_back_and_near_duplicates_are_folded() -> None:
    template = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Order {{number}} of {{name}}: {{text}}"},
    ]

    def logged(at: int, text: str) -> Logged:
        messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": text})
        return Logged(at, messages, f"answer {at}")

    rows = [logged(n, f"Order {n} of Ann: where is my parcel, it was sent on {n}.3.?") for n in range(10, 16)]
    rows += [logged(99, "Order 7 of 王: 我的包裹在哪里"), logged(5, "Something else")]

    def hide(value: Any) -> Any:
        return json.loads(json.dumps(value).replace("Ann", "[name]"))

    found = drawn(rows, template, 10, hide)
    assert (found.requests, found.unfit, found.folds) == (8, 1, 2)
    many = next(case for case in found.cases if case.weight == 6)
    assert many.vars["name"] == "[name]" and many.seen == "answer 15" and many.expected is None
    assert variables_in(template, rows[-1].messages) is None
    assert pattern_of("{{a}}{{b}}") is None
