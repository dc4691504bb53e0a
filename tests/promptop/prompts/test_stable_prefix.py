"""Where the equal beginning of a prompt ends."""

from __future__ import annotations

import pytest

from promptop.prompts import parse
from promptop.prompts.stable_prefix import VOLATILE, first_volatile, stable_prefix


def test_the_equal_beginning_ends_at_the_first_text_that_changes() -> None:
    text = "system:\nToday is 2026-03-01. Be exact.\n\nuser:\n{{question}}\n"
    prefix = stable_prefix(text, parse(text))
    assert (text[prefix.start : prefix.end], prefix.volatile) == ("Today is ", "2026-03-01")
    text = "system:\nBe exact.\n\nuser:\n关于{{question}}，2026年3月1日\n"
    prefix = stable_prefix(text, parse(text))
    assert text[prefix.start : prefix.end].endswith("user:\n关于")
    text = "system:\nBe exact.\n\nuser:\nAlways the same.\n"
    prefix = stable_prefix(text, parse(text))
    assert (text[prefix.end :], prefix.volatile) == ("\n", "")


@pytest.mark.parametrize(
    ("text", "volatile"),
    [
        ("Today is 2026-11-01.", "2026-11-01"),
        ("现在是2026年11月1日。", "2026年11月1日"),
        ("Request id: a81f, answer it.", "Request id: a81f"),
        ("订单号：8812，请回答。", "订单号：8812"),
        ("This is turn 3 of 10.", "turn 3 of 10"),
        ("这是第3轮。", "第3轮"),
        ("At 1795957388 it began.", "1795957388"),
        ("Trace 3f2504e04f8911d39a0c0305e82c3301 began.", "3f2504e04f8911d39a0c0305e82c3301"),
        ("For {{order_id}} and {{turn}}.", "{{order_id}}"),
        ("Use at most 30 words, 3 items, the order of the list and 1000000 rows.", ""),
        ("回答不超过三句话，订单信息不要编造。", ""),
    ],
)
def test_what_changes_from_call_to_call_is_found(text: str, volatile: str) -> None:
    found = VOLATILE.search(text)
    assert (found[0] if found else "") == volatile


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("Current date: 2026-02-15", True),
        ("It is 2026-02-15 today.", True),
        ("Version 2, last updated: 2026-02-15", False),
        ("Knowledge cutoff: 2026-02-15", False),
        ("The header is agents-2026-04-01.", False),
        ("See https://example.test/2026-04-01/time", False),
        ("The shop opened on 2026-04-01.", False),
        ("{{date}}", True),
    ],
)
def test_a_date_of_the_text_stays_and_one_of_the_call_changes(text: str, changes: bool) -> None:
    assert (first_volatile(text, 0, len(text)) is not None) == changes
