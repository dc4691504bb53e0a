from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from promptop_tui.widgets.text_wrap import wrap

WORDS = st.text(alphabet="ab ，。《》中文é👍,.(", max_size=60)


def test_words_stay_whole_and_chinese_breaks_between_characters() -> None:
    assert wrap("the quick brown fox", 10) == ["the quick ", "brown fox"]
    assert wrap("exactly ten", 7) == ["exactly ", "ten"]
    assert wrap("提示工程是方法", 6) == ["提示工", "程是方", "法"]
    assert wrap("abcdefghijkl", 5) == ["abcde", "fghij", "kl"]
    assert wrap("", 5) == [""]


def test_a_closing_mark_does_not_begin_a_row_nor_an_opening_one_end_it() -> None:
    assert wrap("提示工程,是", 8) == ["提示工", "程,是"]
    assert wrap("说明《提示》", 6) == ["说明", "《提", "示》"]


@given(WORDS, st.integers(2, 20))
def test_nothing_is_lost_and_no_row_is_too_wide(text: str, width: int) -> None:
    rows = wrap(text, width)
    assert "".join(rows) == text
    assert all(cell_len(row.rstrip(" ")) <= width for row in rows)


@given(WORDS, WORDS, st.integers(2, 20))
def test_appending_changes_the_last_row_only(text: str, more: str, width: int) -> None:
    before = wrap(text, width)
    assert before[:-1] + wrap(before[-1] + more, width) == wrap(text + more, width)
