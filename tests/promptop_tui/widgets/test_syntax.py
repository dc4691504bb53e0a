"""Which characters are coloured as what, also after edits and in long texts."""

from __future__ import annotations

import random
import time

from promptop_tui.widgets.prompt_area.document import ExactDocument
from promptop_tui.widgets.prompt_area.syntax import State, SyntaxIndex, spans


def states(text: str) -> list[str]:
    document = ExactDocument(text)
    index = SyntaxIndex(document)
    return [index.state(row).value for row in range(document.line_count)]


def names(text: str, state: State = State.TEXT) -> list[tuple[str, str]]:
    return [
        (text[first:behind], name.removeprefix("prompt-area--")) for first, behind, name in spans(text, state, 0, 99)
    ]


def test_front_matter_fences_and_what_is_off() -> None:
    text = "---\nmodel: x\n---\nuser:\n```json\n---\n{}\n```\n{{!-- off\n```\n--}}\nafter\n~~~~\n```\n~~~\n~~~~\nend"
    assert states(text) == (["front"] * 3 + ["text"] + ["code"] * 4 + ["off"] * 3 + ["text"] + ["code"] * 4 + ["text"])
    assert states("---\nno end\n```") == ["text", "text", "code"]


def test_roles_headings_variables_tags_and_code() -> None:
    assert names("system:") == [("system:", "role")]
    assert names("用户 system:") == []
    assert names("## Rules of {{shop}}") == [("## Rules of {{shop}}", "heading"), ("{{shop}}", "variable")]
    assert names("Use `a b` in <doc id='1'>{{x}}</doc>, 2 < 3") == [
        ("`a b`", "code"),
        ("<doc id='1'>", "tag"),
        ("{{x}}", "variable"),
        ("</doc>", "tag"),
    ]
    assert names("{{#if x}} **bold** {% for a in b %} {{!-- note --}}") == [
        ("{{#if x}}", "variable"),
        ("**bold**", "bold"),
        ("{% for a in b %}", "variable"),
        ("{{!-- note --}}", "comment"),
    ]
    assert names("system:", State.CODE) == [("system:", "code")]
    assert names("【输出格式】") == [("【输出格式】", "heading")]


def test_fenced_code_has_the_colours_of_its_language() -> None:
    document = ExactDocument("Do it:\n```python\ndef f(x):  # {{note}}\n    return 1\n```\n~~~\ndef f\n~~~\n")
    index = SyntaxIndex(document)
    assert [index.language(row) for row in range(8)] == ["", "", "python", "python", "python", "", "", ""]
    line = document.get_line(2)
    found = [
        (line[first:behind], name.removeprefix("prompt-area--"))
        for first, behind, name in spans(line, State.CODE, 0, 99, "python")
    ]
    assert ("def", "code-keyword") in found
    assert ("f", "code-name") in found
    assert ("# {{note}}", "code-comment") in found
    assert found[-1] == ("{{note}}", "variable")
    assert names("```", State.CODE) == [("```", "code")]


def test_edits_keep_the_states_right() -> None:
    rng = random.Random(5)
    parts = ["```\n", "~~~\n", "a\n", "---\n", "{{!-- off\n", "--}}\n", "\n", "x", "```py\n"]
    document = ExactDocument("---\na\n---\n")
    index = SyntaxIndex(document)
    for _ in range(400):
        length = document.length
        start = rng.randrange(length + 1)
        end = min(length, start + rng.choice([0, 0, 1, 5, 30]))
        text = "".join(rng.choice(parts) for _ in range(rng.randrange(0, 80 if rng.random() < 0.05 else 4)))
        document.replace_range(document.location_at(start), document.location_at(end), text)
        for span in document.take_pending():
            index.move(span)
        fresh = SyntaxIndex(ExactDocument(document.text))
        rows = range(document.line_count)
        assert [index.state(row) for row in rows] == [fresh.state(row) for row in rows]


def test_a_long_text_costs_little_a_key() -> None:
    """170,000 short lines: an edit and the states of a screen take a small part of building the index."""
    document = ExactDocument("word\n" * 170_000)
    start = time.process_time()
    index = SyntaxIndex(document)
    built = time.process_time() - start
    start = time.process_time()
    for _ in range(10):
        document.replace_range((169_000, 0), (169_000, 0), "`")
        for span in document.take_pending():
            index.move(span)
        for row in range(169_000, 169_040):
            index.state(row)
    assert time.process_time() - start < 5 * built
    assert len(spans("{{a}} " * 50_000, State.TEXT, 150_000, 150_080)) < 100
