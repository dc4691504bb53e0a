"""Rules about whole messages: history, dead examples, blocks said before; numbers and units."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptop.prompts import parse
from promptop.prompts.structure import read_structure
from promptop.tokens import encoding
from promptop.trim import chosen, trim
from promptop.trim.guards import negations

ENCODING = "o200k_base"
NAMES = (
    "old-history", "dead-example", "repeated-block", "thousands", "units", "restated", "list-overhead", "table-weight",
    "json-whitespace", "markdown-weight",
)  # fmt: skip
BLOCK = "Refunds are granted within 30 days of purchase if the item is unused, and never for digital goods or vouchers."
ZH = (
    "退款政策：购买后三十天内未使用的商品可以退款，数字商品和礼品卡不可退款，"
    "运费由客户承担，退款在五个工作日内到账，逾期请联系客服人员处理。"
)


def run(text: str, *names: str, rounds: int = 6) -> str:
    return trim(text, ENCODING, chosen(names, rounds=rounds)).text


def roles(text: str) -> list[str]:
    return [message.role for message in parse(text).messages]


def test_history_goes_by_whole_rounds_and_orphans_no_tool_result() -> None:
    rounds = "".join(f"user:\nquestion {k}\n\nassistant:\ncall {k}\n\ntool:\nresult {k}\n\n" for k in range(5))
    text = f"system:\nBe brief.\n\n{rounds}user:\nand now?\n"
    short = run(text, "old-history", rounds=2)
    assert roles(short) == ["system", *["user", "assistant", "tool"] * 2, "user"]
    assert "question 3" in short
    assert "question 2" not in short
    assert run(short, "old-history", rounds=2) == short
    assert run(text, "old-history", rounds=5) == text
    assert roles(run(text, "old-history", rounds=0)) == ["system", "user"]
    assert run("user:\nfront\n\nassistant:\na\n\nuser:\nb\n", "old-history", rounds=0) == "user:\nb\n"


def test_an_example_shown_before_goes() -> None:
    text = "system:\nSort.\n\nuser:\ncat\n\nassistant:\nanimal\n\nuser:\nCat \n\nassistant:\nanimal\n\nuser:\ncat\n"
    short = run(text, "dead-example")
    assert roles(short) == ["system", "user", "assistant", "user"]
    other = text.replace("Cat \n\nassistant:\nanimal", "Cat \n\nassistant:\nplant")
    assert run(other, "dead-example") == other


@pytest.mark.parametrize("block", [BLOCK, ZH, f"```python\n{BLOCK}\n\nx = 1\n```"])
def test_a_block_of_another_message_becomes_a_reference(block: str) -> None:
    text = f"system:\n{block}\n\nuser:\nHello.\n\n{block}\n\nCan I?\n"
    short = run(text, "repeated-block")
    assert short.count(block) == 1
    assert re.search(r"\(as above: |（同上文：退款政策…）", short)
    assert "Can I?" in short
    assert run(short, "repeated-block") == short
    same = f"user:\n{block}\n\n{block}\n"
    assert (run(same, "repeated-block") == same) == ("```" not in block)  # sentences have a rule of their own


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Answer within 50 milliseconds.", "Answer within 50 ms."),
        ("Keep 20 percent of it.", "Keep 20% of it."),
        ("温度是25 摄氏度。", "温度是25°C。"),
        ('Say "50 milliseconds".', 'Say "50 milliseconds".'),
        ("`20 percent`", "`20 percent`"),
        ("several milliseconds", "several milliseconds"),
        ("Handle 1,000,000 rows.", "Handle 1000000 rows."),
        ("Say `1,000,000` or '1,000,000'.", "Say `1,000,000` or '1,000,000'."),
        ("Pick 1,2,3 or $1,000.50.", "Pick 1,2,3 or $1,000.50."),
    ],
)
def test_numbers_and_units(text: str, short: str) -> None:
    assert run(text, "units", "thousands") in (short, text)  # offered only where it saves
    assert len(encoding(ENCODING).encode_ordinary(run(text, "units", "thousands"))) <= len(
        encoding(ENCODING).encode_ordinary(text)
    )
    if short.startswith("Handle"):
        assert run(text, "units", "thousands") == short


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (
            "Answer in JSON with the keys name and age. Be brief.\n"
            "Remember: the answer must be JSON with keys name, age.",
            "Answer in JSON with the keys name and age. Be brief.",
        ),
        (
            "Never mention the price of a book. Remember to never mention prices of books!",
            "Never mention the price of a book.",
        ),
        ("用简洁的中文回答顾客的问题。请务必记住，要用简洁的中文回答顾客的问题！", "用简洁的中文回答顾客的问题。"),
        ("Answer in at most 30 words of plain text. Again: answer in at most 20 words of plain text.", ""),
        ("Mention the price of the book. Never mention the price of the book.", ""),
        ("Translate the title into English. Translate the body into English.", ""),
        ("Output JSON. Output JSON.", ""),
        ("Is the price of the book known? State whether the price of the book is known.", ""),
        ("user:\nWhat is the price of tea?\n\nassistant:\nThe price of tea is known.\n\nuser:\nGive it.", ""),
    ],
)
def test_an_instruction_given_again_in_other_words_goes(text: str, short: str) -> None:
    assert run(text, "restated") == (short or text)


def test_a_code_block_said_twice_in_a_message_and_examples_under_headings_go_once() -> None:
    fence = f"```python\n{BLOCK}\n```"
    assert run(f"{fence}\n\nThen:\n\n{fence}\n", "repeated-block").count(BLOCK) == 1
    text = (
        "Sort it.\n\nExample 1:\ncat → animal\n\nExample 2:\nrose → plant\n\n"
        "Example 3:\nCat →  animal\n\nNow sort: oak\n"
    )
    assert run(text, "dead-example") == text.replace("Example 3:\nCat →  animal\n\n", "")
    zh = "示例1：\n猫 → 动物\n示例2：\n猫 → 动物\n示例3：\n花 → 植物\n\n输入：树\n"
    assert run(zh, "dead-example") == zh.replace("示例2：\n猫 → 动物\n", "")


@pytest.mark.parametrize(
    ("rule", "text", "short"),
    [
        ("list-overhead", "Rules:\n•   eins\n●  zwei\n-    drei\n", "Rules:\n- eins\n- zwei\n- drei\n"),
        ("list-overhead", "```\n-   x\n\n-   y\n```\n", ""),
        (
            "table-weight",
            "| name      | age   |\n|:----------|------:|\n| Lin Mei   | 30    |\n| `a   |  b` |  x |\n",
            "| name | age |\n|:-|-:|\n| Lin Mei | 30 |\n| `a   |  b` | x |\n",
        ),
        (
            "json-whitespace",
            'Use\n{\n  "a": 1,\n  "b": ["x  y", 2]\n}\nand go.',
            'Use\n{"a":1,"b":["x  y",2]}\nand go.',
        ),
        ("json-whitespace", "```\n[\n  1,\n  2\n]\n```", "```\n[1,2]\n```"),
        ("json-whitespace", "f(\n{\n  hole\n}\n)", ""),
    ],
)
def test_layout_costs_less(rule: str, text: str, short: str) -> None:
    assert run(text, rule) == (short or text)
    assert run(run(text, rule), rule) == run(text, rule)


FRAGMENTS = st.sampled_from(
    [
        "system:\n",
        "user:\n",
        "assistant:\n",
        "tool:\n",
        "cat\n\n",
        "animal\n\n",
        BLOCK + "\n\n",
        ZH + "\n\n",
        f"```\n{BLOCK}\n```\n\n",
        "1,000,000 rows ",
        "50 milliseconds ",
        "3 percent ",
        "`5 percent` ",
        "not ",
        "\n",
        "- item one\n\n- item two\n",
        "| a   | b |\n|-----|---|\n",
        '{\n "x": 1\n}\n',
        "Example 1:\ncat\n",
        "Keep the answer in plain French text. Remember to answer in plain French text.\n",
    ]
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.lists(FRAGMENTS, max_size=24).map("".join))
def test_never_more_tokens_settled_at_once_and_the_pending_turn_stays(text: str) -> None:
    rules = chosen(NAMES, rounds=2)
    result = trim(text, ENCODING, rules)
    count = encoding(ENCODING).encode_ordinary
    assert len(count(result.text)) <= len(count(text))
    assert trim(result.text, ENCODING, rules).text == result.text
    before, after = roles(text), roles(result.text)
    assert after[-1:] == before[-1:]
    assert [role for role in after if role in ("system", "developer")] == [
        role for role in before if role in ("system", "developer")
    ]
    assert ("tool" not in after) or "tool" in before
    units = trim(text, ENCODING, chosen(["units"])).text
    assert negations(units) == negations(text)
    one, other = read_structure(text), read_structure(units)
    assert [units[each.start : each.end] for each in other.protected] == [
        text[each.start : each.end] for each in one.protected
    ]


def test_all_rules_settle_on_the_corpus() -> None:
    parts = re.split(
        r"^=== .+\n", Path(__file__).with_name("corpus.txt").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    for text in parts[1:]:
        result = trim(text, ENCODING, chosen(NAMES))
        assert result.tokens_after <= result.tokens_before
        assert trim(result.text, ENCODING, chosen(NAMES)).text == result.text
