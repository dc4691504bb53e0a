"""YAML of prompt files: bounded, and words stay words."""

from __future__ import annotations

import pytest

from promptop.prompts.syntax.yaml_values import YamlError, read_yaml, read_yaml_texts, write_yaml


def test_values_are_those_of_yaml_1_2_and_texts_are_as_written() -> None:
    text = "a: no\nb: 2025-13-45\nc: 1.10\nd: 010\ne: 1:30\nf: true\ng: ~\nh: -3\ni: 1e-05\nj: 'x'\nk: !made {l: 1}\n"
    assert read_yaml(text) == {
        "a": "no", "b": "2025-13-45", "c": 1.1, "d": "010", "e": "1:30", "f": True, "g": None, "h": -3,
        "i": 1e-05, "j": "x", "k": {"l": 1},
    }  # fmt: skip
    assert read_yaml_texts(text)["c"] == "1.10"
    assert read_yaml("a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}\n")["d"] == {"b": 3, "c": 2}
    assert read_yaml("") is None


@pytest.mark.parametrize(
    ("text", "cause", "line"),
    [
        ("\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 9)}]" for i in range(12)), "200,000", 6),
        ("a: &a [*a]", "itself", 1),
        ("a0: &a0 [x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 300)), "deeper than 100", None),
        ("[" * 3000 + "]" * 3000, ".", None),
        ("a: [", ".", None),
        ("a: 1\n---\nb: 2", "another document", None),
        ("a: b: c", "mapping values", 1),
    ],
)
def test_what_grows_or_is_broken_is_refused_at_once(text: str, cause: str, line: int | None) -> None:
    with pytest.raises(YamlError, match=cause) as raised:
        read_yaml(text)
    assert line is None or raised.value.line == line


def test_what_is_written_is_read_back() -> None:
    value = {"a": "no", "b": "2025-01-01", "c": ["x: y", "- z", ""], "d": {"e": None, "f": 1e-7}, "g": "two\nlines \n"}
    assert read_yaml(write_yaml(value)) == value
    shared = {"x": [1]}
    assert "&" not in write_yaml({"a": shared, "b": shared})
