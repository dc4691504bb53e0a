from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptop.base import word_diff
from promptop.base.word_diff import diff, marked, similarity

TEXT = st.text(alphabet="ab 中文\n。x", max_size=40)


def test_words_and_chinese_characters_are_the_units() -> None:
    assert marked(diff("The quick brown fox.", "The slow brown fox.")) == "The [-quick-]{+slow+} brown fox."
    assert marked(diff("提示工程很重要", "提示工程不重要")) == "提示工程[-很-]{+不+}重要"
    assert marked(diff("one two", "three four")) == "[-one two-]{+three four+}"
    assert marked(diff("same", "same")) == "same"
    assert marked(diff("", "new")) == "{+new+}"


@given(TEXT, TEXT)
def test_both_texts_can_be_read_out_of_the_difference(before: str, after: str) -> None:
    pieces = diff(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == after
    assert 0 <= similarity(pieces) <= 1
    assert (similarity(pieces) == 1) == (before == after)


def test_long_texts_are_compared_by_lines() -> None:
    lines = [f"line {number}\n" for number in range(word_diff.MOST_WORDS)]
    other = [*lines[:100], "changed\n", *lines[101:]]
    assert [piece.kind for piece in diff("".join(lines), "".join(other))] == ["same", "removed", "added", "same"]
