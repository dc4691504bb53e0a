"""How a prompt is cut into units, and what stands where some are left out."""

from __future__ import annotations

from promptop.experiments.ablation.units import blocks_of, units_of, without

PROMPT = """\
system:
# Role
You sort mail. Be brief, e.g. one word.

# Rules
- Never answer the mail.
- Use one of: spam, work.

```json
{"label": "spam"}
```

user:
Buy now!
assistant:
spam
user:
{{mail}} Answer now.
"""


def shown(text: str) -> list[tuple[str, str]]:
    return [(unit.kind, " ".join(text[unit.start : unit.end].split())) for unit in units_of(text)]


def test_units_are_sentences_items_blocks_and_example_pairs() -> None:
    assert shown(PROMPT) == [
        ("sentence", "You sort mail."),
        ("sentence", "Be brief, e.g. one word."),
        ("item", "Never answer the mail."),
        ("item", "Use one of: spam, work."),
        ("code", '```json {"label": "spam"} ```'),
        ("example", "Buy now! assistant: spam"),
        ("sentence", "{{mail}} Answer now."),
    ]
    units = units_of(PROMPT)
    assert [bool(unit.pinned) for unit in units] == [False] * 6 + [True]
    assert [unit.number for unit in units if unit.caution] == [2]


def test_what_is_left_out_takes_its_bullet_its_role_line_and_its_heading_along() -> None:
    units = units_of(PROMPT)
    assert without(PROMPT, units, ()) == PROMPT
    less = without(PROMPT, units, {2, 5})
    assert "Never answer" not in less and "- Use one of" in less and "Buy now!" not in less
    assert less.count("user:") == 1 and "# Rules" in less
    assert "# Rules" not in without(PROMPT, units, {2, 3, 4})
    assert "- \n" not in less and "\n\n\n" not in less
    first = without(PROMPT, units, {0})
    assert "# Role\nBe brief, e.g. one word.\n" in first


def test_a_user_message_keeps_a_sentence_and_a_system_message_may_go() -> None:
    assert [bool(unit.pinned) for unit in units_of("One thing. Another longer thing.")] == [False, True]
    assert not any(unit.pinned for unit in units_of("system:\nBe brief. Be kind.\nuser:\n{{x}}\n")[:2])


def test_chinese_sentences_are_units() -> None:
    assert [each for _, each in shown("system:\n你是翻译。请用 JSON 回答。不得编造！\nuser:\n{{x}}\n")][:3] == [
        "你是翻译。",
        "请用 JSON 回答。",
        "不得编造！",
    ]


def test_groups_begin_with_what_is_suspected_and_leave_pinned_units_alone() -> None:
    groups = blocks_of(units_of(PROMPT), {3, 1}, 2)
    assert groups[0] == [1, 3]
    assert sorted(unit for group in groups for unit in group) == [0, 1, 2, 3, 4, 5]
