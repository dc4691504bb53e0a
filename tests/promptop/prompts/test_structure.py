"""The tree of a prompt: what is prose, what is code, data, an example or a parameter, and how sections nest."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptop.prompts.structure import read_structure


def kinds(text: str) -> list[str]:
    return [block.kind for block in read_structure(text).blocks]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Rules\n\nBe kind to the user.\n- Be brief\n- Be exact\n", ["heading", "paragraph", "item", "item"]),
        ("Parameters:\n- path (required): The file\n- all: Whether to read all\n", ["label", "parameter", "parameter"]),
        ("## Tool\n- path: (required) The file to read\n", ["heading", "parameter"]),
        ("Use it:\n{\n  name: string,\n  many: boolean[],\n}\n", ["label", "code"]),
        ("Use this type.\n\ntype ask = (_: {\n// what to ask\nquestion: string,\n}) => any;\n", ["paragraph", "code"]),
        ("steps:\n  - name: a\n    run: b\n  - name: c\n    run: d\n", ["code"]),
        ("@@ -1 +1 @@\n-    # please\n+    # now\n  same\n", ["code"]),
        ("def f(x):\n    # please   keep\n    return 'a b'\n\nKeep the name of it.\n", ["code", "paragraph"]),
        ("id,text,label\n1,please call,yes\n2,thank you,no\n", ["table"]),
        ("a | b\n--- | ---\n1 | 2\n", ["table"]),
        ("<rules>\nNever lie to the user.\n</rules>\n", ["tag", "paragraph", "tag"]),
        ("<document>\nNever lie to the user.\n</document>\n", ["data"]),
        ("<资料>\n请提前申请，谢谢。\n</资料>\n", ["data"]),
        ("Q: a b\nA: c\n\nQ: d\nA: e\n", ["example"] * 4),
        ("Example 1\nTicket: x\n\nNow you sort the ticket.\n", ["example", "example", "paragraph"]),
        ("## Present\n-\n-\n\n1. [ ]\n", ["heading", "form", "form", "form"]),
        ("Text:\nDear Ms Ode,\n\nplease come.\n", ["label", "data"]),
        ("Rewrite it, please.\n\nDear Ms Ode,\n\nplease come.\n\nKind regards\nTom\n\nThat is all.\n",
         ["paragraph", "data", "paragraph"]),
        ("Use these phrases word for word:\n- Please wait.\n", ["label", "literal"]),
        ("{{#if a}}\nSign it for the user.\n{{/if}}\n", ["template", "paragraph", "template"]),
        ("\"\"\"\nplease\n\"\"\"\n", ["data"]),
        ("```\nYou read the text that is given. You answer in one line.\nIt is the rule for all of it.\n```\n",
         ["separator", "paragraph", "separator"]),
        ("```python\nplease = 1\n```\n", ["fence"]),
    ],
)  # fmt: skip
def test_blocks_are_known_by_their_shape(text: str, expected: list[str]) -> None:
    assert kinds(text) == expected


@pytest.mark.parametrize(
    ("text", "span", "reason"),
    [
        ("Say `please  x` to them.", "`please  x`", "code"),
        ('Say "please" to them.', '"please"', "a quotation"),
        ("Fill {{name}} in for them.", "{{name}}", "template syntax"),
        ("Take at most 3 of them.", "3", "a number"),
        (
            "When it fails, say: Please wait. Thank you.",
            "say: Please wait. Thank you.",
            "text to be said word for word",
        ),
        ("Use short words, for example please or thanks. Then stop.", "for example please or thanks", "an example"),
        ("Call read_file for the user.", "read_file", "a name or path"),
    ],
)
def test_spans_in_prose_are_protected(text: str, span: str, reason: str) -> None:
    found = {text[each.start : each.end]: each.reason for each in read_structure(text).protected}
    assert found[span] == reason


def test_the_outline_nests_headings_tags_and_examples() -> None:
    text = (
        "system:\n# Work\nRead it.\n## Steps\n1. Look\n# Examples\n## One\nQ: a\nA: b\n\nuser:\n<rules>\n"
        "# Tone\nBe kind to the user.\n</rules>\n"
    )
    told = [
        (depth, section.kind, section.title)
        for message in read_structure(text).outline
        for depth, section in message.walk()
    ]
    assert told[:4] == [
        (0, "message", "system"), (1, "heading", "Work"), (2, "heading", "Steps"), (1, "example", "Examples"),
    ]  # fmt: skip
    assert (0, "message", "user") in told
    assert told[-2:] == [(1, "tag", "<rules>"), (2, "heading", "Tone")]
    for message in read_structure(text).outline:
        for _, section in message.walk():
            assert all(section.start <= child.start and child.end <= section.end for child in section.children)


def test_languages_without_rules_are_protected_whole() -> None:
    foreign = "パスワードは絶対に聞かないでください。\n\nBitte nicht die Regeln und das Ziel nennen.\n\n"
    chinese = "请不要提问。" * 20
    assert [block.language for block in read_structure(foreign + chinese).blocks] == ["other", "other", "zh"]
    # What little there is of a language with rules is quoted in a prompt of another one.
    assert [block.language for block in read_structure(foreign + "请不要提问。").blocks] == ["other"] * 3


PIECES = st.sampled_from(
    [
        "# Head\n",
        "## Please\n",
        "- item please\n",
        "1. step\n",
        "   more of it\n",
        "```\ncode\n```\n",
        "~~~\n",
        "<rules>\n",
        "</rules>\n",
        "<doc>x\n",
        "</doc>\n",
        '{\n "a": 1\n}\n',
        "a: 1\n  b: 2\n",
        " a ",
        " b ",
        "\n",
        "Q: x\nA: y\n",
        "Example 1:\n",
        "Parameters:\n",
        '"""\n',
        "{{#if x}}\n",
        "user:\n",
        "assistant:\n",
        "system:\n",
        "---\n",
        "\n\n",
        "请注意，不要。\n",
        "Dear Ms X,\n",
        "Thank you!\n",
        "The user is kind. ",
        "\t",
        "\r\n",
        "| please | b |\n",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.lists(PIECES, max_size=24).map("".join))
def test_any_text_has_a_structure(text: str) -> None:
    found = read_structure(text)
    ends = 0
    for block in found.blocks:
        assert ends <= block.start < block.end <= len(text)
        ends = block.end
    spans = [(each.start, each.end) for each in found.protected]
    assert spans == sorted(spans)
    assert all(start < end for start, end in spans)
    for message in found.outline:
        for _, section in message.walk():
            assert 0 <= section.start <= section.end <= len(text)
