"""Shapes of public prompts that hold words and blanks which are not instructions: trim and lint leave them alone."""

from __future__ import annotations

import pytest

from promptop.prompts.formats.chat_json import read
from promptop.prompts.structure import read_structure
from promptop.trim import chosen, trim
from promptop.trim.lint import lint

SAFE = chosen(safe_only=True)


def safe(text: str) -> str:
    return trim(text, "o200k_base", SAFE).text


@pytest.mark.parametrize(
    "text",
    [
        "From: Lena <lena@example.org>\nSubject: Please call back\n\nPlease call me in order to pay.\nThank you!\n",
        "Dear colleague,\n\nPlease send the keys.\n\nKind regards,\nOmar\n",
        "SELECT name,   city\nFROM clubs   -- please keep  the blanks\nWHERE city = 'x'\nORDER BY name;\n",
        "Keep <!-- please do not move this, in order to help editors --> as it is.\n",
        "The line in the show is «Please sit down.» and nothing else.\n",
        "Set these verses to music:\n\n    O please, please come home,\n    please come, please come.\n",
        "--depth N      please keep this small\n--root PATH    in order to start elsewhere\n",
        "host    please use the short name\nport    please use a number above 1024\n",
        "@param depth please keep it small\n@return the tree, in order to walk it\n",
        ":param depth: please keep it small\n:return: the tree, in order to walk it\n",
    ],
    ids=["mail", "letter", "query", "comment", "guillemets", "verses", "options", "columns", "doc-tags", "rest-fields"],
)
def test_what_is_shown_is_left_alone(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Seat the guests as they please. A crowd is hard to please.\n",
        "Count how often the caller says please.\n",
        "Do not use the word please.\n",
        "Our motto: Please mind your head.\n",
        "The motto — please mind your head — ends each post.\n",
        "The second button reads Please Retry, the heading says In Order To Continue.\n",
        "As Lee wrote – in order to learn, ask – it is simple.\n",
        "It goes without saying that, as ever, you stay calm.\n",
        "Tags: #calm, please.py and read.py\n",
        'The tool "please" builds it: please build all.\n',
    ],
)
def test_words_that_are_spoken_of_stay(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Answer in Dutch, please.", "Answer in Dutch."),
        ("Sort the list please.", "Sort the list."),
        ("If the file is gone, please stop.", "If the file is gone, stop."),
        ("Use the log in order to find it.", "Use the log to find it."),
        ("请对日志进行一次检查。", "对日志检查。"),
    ],
)
def test_the_same_words_still_go_where_they_are_politeness(text: str, short: str) -> None:
    assert safe(text) == short


@pytest.mark.parametrize("text", ["每天进行一次检查。", "每小时进行一次备份检查。", "失败后再进行一次检查。"])
def test_how_often_something_is_done_stays(text: str) -> None:
    assert safe(text) == text


def test_english_in_a_prompt_of_another_language_is_shown_there() -> None:
    text = (
        "Eres un guía de museos. Responde con una sola frase y no des precios del bar.\n\n"
        "El visitante no habla español, escribe en inglés con faltas.\n\n"
        "Please help me in order to find the exit.\n"
    )
    assert safe(text) == text
    assert all(block.language == "other" for block in read_structure(text).blocks if block.is_prose)
    assert lint(text) == []


def rules(text: str) -> list[str]:
    return [finding.rule for finding in lint(text)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "# Boat\nAlways close with the booking code.\n\n# Train\nAlways close with the booking code.\n",
            "doubled-demand",
        ),
        (
            "Tool a. Arguments: path – the file to read.\nTool b. Arguments: path – the file to read.\n",
            "doubled-demand",
        ),
        ("Use a formal tone with lawyers and a casual tone with pupils.", "conflict"),
        ("Use a formal tone with lawyers. Use a casual tone with pupils.", "conflict"),
        ("请把句子写得短一些。", "vague-quantity"),
        ("당신은 안내원입니다. 반드시 한 문장으로 답하세요.", "no-length-limit"),
        ("Du bist ein Bäcker. Antworte bitte mit einem Satz und nicht mit zwei.", "no-length-limit"),
    ],
)
def test_no_false_alarm(text: str, rule: str) -> None:
    assert rule not in rules(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Always close with the booking code. Be calm. Always close with the booking code.", "doubled-demand"),
        ("Use a formal tone. Use a casual tone.", "conflict"),
        ("请列出一些例子。", "vague-quantity"),
    ],
)
def test_the_alarm_still_comes(text: str, rule: str) -> None:
    assert rule in rules(text)


def test_a_text_behind_json_makes_no_json_lines() -> None:
    assert read('{"role": "tutor", "n": 1}\n\nFollow the settings above.') is None
    found = read('{"role": "user", "content": "a"}\n{"role": "user", "content": "b"}')
    assert found is not None
    assert found.notes
