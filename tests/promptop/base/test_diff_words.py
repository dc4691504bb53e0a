from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptop.base.diff import MOST_WORDS, marked, similarity, word_diff

TEXT = st.text(alphabet="ab 中文\n。x", max_size=40)


def test_words_and_chinese_characters_are_the_units() -> None:
    assert marked(word_diff("The quick brown fox.", "The slow brown fox.")) == "The [-quick-]{+slow+} brown fox."
    assert marked(word_diff("提示工程很重要", "提示工程不重要")) == "提示工程[-很-]{+不+}重要"
    assert marked(word_diff("one two", "three four")) == "[-one two-]{+three four+}"
    assert marked(word_diff("same", "same")) == "same"
    assert marked(word_diff("", "new")) == "{+new+}"
    assert marked(word_diff("set foo_bar now", "set foo_baz now")) == "set [-foo_bar-]{+foo_baz+} now"
    assert marked(word_diff("abc中文", "abd中文")) == "[-abc-]{+abd+}中文"


@given(TEXT, TEXT)
def test_both_texts_can_be_read_out_of_the_difference(before: str, after: str) -> None:
    pieces = word_diff(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == after
    assert 0 <= similarity(pieces) <= 1
    assert (similarity(pieces) == 1) == (before == after)


def test_long_texts_are_compared_by_lines() -> None:
    lines = [f"line {number}\n" for number in range(MOST_WORDS)]
    other = [*lines[:100], "changed\n", *lines[101:]]
    assert [piece.kind for piece in word_diff("".join(lines), "".join(other))] == ["same", "removed", "added", "same"]
