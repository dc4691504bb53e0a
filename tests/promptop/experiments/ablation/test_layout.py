"""What stays the same from call to call is put first, where nothing says that order matters."""

from __future__ import annotations

from promptop.experiments.ablation.layout import stable_first

VARIED = "system:\nThe mail is {{mail}}.\n\nSort it into spam or work.\n\nSay one word.\nuser:\nGo.\n"


def test_paragraphs_with_variables_go_behind_the_others() -> None:
    assert stable_first(VARIED) == (
        "system:\nSort it into spam or work.\n\nSay one word.\n\nThe mail is {{mail}}.\nuser:\nGo.\n"
    )


def test_what_is_in_order_or_cannot_be_moved_stays() -> None:
    for text in ("system:\nSort it.\n\n{{mail}}\n", "Sort it.\n", VARIED.replace("Say one", "<a>\nSay</a> one")):
        assert stable_first(text) is None
