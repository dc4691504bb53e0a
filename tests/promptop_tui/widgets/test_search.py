from __future__ import annotations

from promptop_tui.widgets.prompt_area.code_colours import code_parts
from promptop_tui.widgets.stream_text import matches_in


def test_matches_are_found_across_wrapped_rows_and_whatever_their_case() -> None:
    rows = ["The nee", "dle, a NEEDLE", " 针针"]
    assert matches_in(rows, "needle") == [((0, 4, 7), (1, 0, 3)), ((1, 7, 13),)]
    assert matches_in(rows, "针") == [((2, 1, 2),), ((2, 2, 3),)]
    assert matches_in(rows, "nothing") == [] and matches_in([], "x") == []
    assert matches_in(["İx"], "x") == [((0, 1, 2),)], "a letter whose small form is longer moves nothing"


def test_parts_of_code_have_their_kinds_and_an_unknown_language_has_none() -> None:
    code = 'def look(word): # 注释\n    return "猫" + 42'
    parts = {code[start:end]: part for start, end, part in code_parts(code, "python")}
    assert parts["def"] == "keyword" and parts["# 注释"] == "comment" and parts["42"] == "number"
    assert parts["look"] == "name" and "猫" in "".join(text for text, part in parts.items() if part == "string")
    assert list(code_parts(code, "no-such-language")) == []
