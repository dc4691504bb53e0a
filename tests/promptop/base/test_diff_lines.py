"""Diffs: both texts can be read from them, words are found within lines, figures are those of the texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptop.base.diff import Gap, folded, line_diff
from promptop.cli.main import main
from promptop.tokens import encoding

TEXTS = st.lists(
    st.sampled_from(["one two three", "one 2 three", "你好世界", "你好，世界", "", "- item"]), max_size=8
).map("\n".join)


@given(TEXTS, TEXTS)
def test_both_texts_can_be_read_from_a_diff(before: str, after: str) -> None:
    lines = line_diff(before, after)
    assert "\n".join(line.text for line in lines if line.kind != "added") == before
    assert "\n".join(line.text for line in lines if line.kind != "removed") == after
    assert [line.before for line in lines if line.before] == list(range(1, before.count("\n") + 2))
    assert [line.after for line in lines if line.after] == list(range(1, after.count("\n") + 2))


def test_words_are_found_within_lines_and_characters_in_chinese() -> None:
    removed, added = line_diff("Please write it short.", "Write it very short.")
    assert [part.text for part in removed.parts if part.is_changed] == ["Please write"]
    assert [part.text for part in added.parts if part.is_changed] == ["Write", " very"] or [
        part.text for part in added.parts if part.is_changed
    ] == ["Write", "very "]
    removed, added = line_diff("请你总结文章", "总结文章")
    assert [part.text for part in removed.parts if part.is_changed] == ["请你"]
    assert not any(part.is_changed for part in added.parts)


def test_far_lines_are_folded() -> None:
    before = "\n".join(f"line {n}" for n in range(30))
    lines = folded(line_diff(before, before.replace("line 15", "changed")), context=2)
    assert lines[0] == Gap(13)
    assert lines[-1] == Gap(12)
    assert len(lines) == 2 + 2 + 2 + 2


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a.md", tmp_path / "b.md"
    a.write_text("Please write a short poem.\nsame\x1b\n")
    b.write_text("Write a short poem.\nsame\x1b\n")
    assert main(["diff", str(a), str(b)]) == 1
    printed = capsys.readouterr()
    assert "   1     - [-Please write-] a short poem." in printed.out
    assert "       1 + {+Write+} a short poem." in printed.out
    assert "\x1b" not in printed.out
    tokens = [len(encoding("o200k_base").encode_ordinary(path.read_text())) for path in (a, b)]
    assert f"={tokens[0]} → ={tokens[1]} tokens (−{tokens[0] - tokens[1]})" in printed.err
    assert main(["diff", str(a), str(a)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["diff", "--json", str(a), str(b)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["tokens_before"], told["tokens_after"]) == tuple(tokens)
    assert [line["kind"] for line in told["lines"]] == ["removed", "added"]
    assert told["input_usd_delta"] < 0
    assert main(["diff", str(a), str(tmp_path / "absent")]) == 1
