from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptop.base.sanitize import clean, clean_line

EVIL = {
    "OSC 52": "a\x1b]52;c;ZXZpbA==\x07b",
    "C1 CSI": "a\x9b31mb",
    "bidi override": "a\u202eb",
    "bidi isolate": "a\u2066b\u2069",
    "line separator": "a\u2028b",
    "lone surrogate": "a\ud800b",
    "DEL": "a\x7fb",
    "CR": "a\rb",
}


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_what_a_terminal_would_obey_becomes_visible(text: str) -> None:
    for shown in (clean(text), clean_line(text)):
        assert shown.isprintable()
        assert shown.startswith("a")
        shown.encode("utf-8")


def test_ordinary_text_in_any_script_stays_as_it_is() -> None:
    text = "def f():\n\treturn '你好, café 👩‍💻 e\u0301'"
    assert clean(text) == text
    assert clean("a\r\nb") == "a\nb"


def test_one_line_stays_one_line_and_is_cut_with_a_mark() -> None:
    assert clean_line("a\nb\tc\rd") == "a b c d"
    assert clean_line("abcdef", 4) == "abc…"


@given(st.text(st.characters()))
def test_nothing_that_moves_a_cursor_survives(text: str) -> None:
    bad = {chr(c) for c in (*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x2028)}
    assert not (set(clean(text)) & (bad - {"\n", "\t"}))
    assert not (set(clean_line(text)) & bad)
