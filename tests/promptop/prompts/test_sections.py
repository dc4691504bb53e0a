"""What the parts of a prompt are for, and where its equal beginning ends."""

from __future__ import annotations

import pytest

from promptop.prompts import parse
from promptop.prompts.sections import KINDS, VOLATILE, sections, stable_prefix

CHAT = """\
---
model: gpt-4o
---
system:
You sort tickets.

user:
printer is broken

assistant:
hardware

tool:
42 open tickets

user:
背景：
客户上周购买了打印机。

问题：
该退款吗？
"""


def kinds(text: str) -> list[tuple[str, str]]:
    return [(part.kind, text[part.start : part.end].strip()) for part in sections(text, parse(text))]


def test_roles_and_headings_tell_what_a_part_is_for() -> None:
    assert kinds(CHAT) == [
        ("system", "You sort tickets."),
        ("examples", "printer is broken"),
        ("examples", "hardware"),
        ("context", "42 open tickets"),
        ("context", "背景：\n客户上周购买了打印机。"),
        ("question", "问题：\n该退款吗？"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Just a question?", ["question"]),
        ("Fix this:\n```python\nx = 1\n```\nand explain.", ["question", "context", "question"]),
        ("Classify.\n\nExamples:\ngood -> 1\nbad -> 0\n\n## Task\nfine", ["question", "examples", "question"]),
        ("总结。\n示例：\n输入 a 输出 b\n\n文档：\n很长的文字", ["question", "examples", "context"]),
        ("", []),
    ],
)
def test_parts_of_one_message(text: str, expected: list[str]) -> None:
    found = kinds(text)
    assert [kind for kind, _ in found] == expected
    assert set(expected) <= set(KINDS)
    assert "".join(said for _, said in found).replace("\n", "") == text.replace("\n", "")


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
