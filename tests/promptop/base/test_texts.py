"""The catalogues: they hold every text of the code, their places agree, and the language is chosen as said."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from promptop import settings
from promptop.base import texts
from promptop.base.errors import UsageError
from promptop.base.texts import paragraphs, tr, tr_n

ROOT = Path(__file__).parents[3]
CATALOGUES = [language for language in texts.languages() if language != texts.ENGLISH]


@pytest.fixture(autouse=True)
def english_afterwards() -> Iterator[None]:
    before = texts.use(texts.ENGLISH)
    yield
    texts.use(before)


@cache
def _collected() -> dict[str, str]:
    found: dict[str, str] = _tool().collected()
    return found


@cache
def _messages() -> dict[str, str]:
    found: dict[str, str] = _tool().messages()
    return found


@cache
def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("texts_of_the_code", ROOT / "tools" / "texts.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.mark.parametrize("language", CATALOGUES)
def test_what_is_translated_is_a_text_of_the_code(language: str) -> None:
    """A text that was changed has lost its translation: carry it over in the catalogue, then run make texts."""
    said = _collected()
    assert "Help" in said
    assert [text for text in texts.catalogue(language) if text not in said] == []


@pytest.mark.parametrize("language", CATALOGUES)
def test_nothing_is_left_in_english(language: str) -> None:
    """A new text: run make texts, and translate what has come without a translation."""
    for kind, said in (("", _collected()), ("messages", _messages()), ("help", _tool().help_texts())):
        known = texts.catalogue(language, kind)
        assert [text for text in said if text not in known] == [], f"{kind or 'texts'} of {language}"


@pytest.mark.parametrize("language", CATALOGUES)
def test_translations_have_the_places_of_their_texts(language: str) -> None:
    def places(text: str) -> list[str]:
        # {{name}} is a variable of a prompt; how a date is written is the language's own.
        return sorted(set(re.findall(r"(?<!\{)\{([^{}:]*)[^{}]*\}", text)))

    wrong = {key: said for key, said in texts.catalogue(language).items() if places(key) != places(said)}
    assert wrong == {}


@pytest.mark.parametrize("language", CATALOGUES)
def test_a_text_is_translated_and_one_that_is_not_stays_english(language: str) -> None:
    known = texts.catalogue(language)
    assert known
    texts.use(language)
    assert tr("Help") == known["Help"] != "Help"
    assert tr("no such text, {n}", n=3) == "no such text, 3"


def test_english_has_one_and_many_and_braces_that_stay() -> None:
    assert [tr_n("{n} alert", "{n} alerts", n) for n in (0, 1, 2)] == ["0 alerts", "1 alert", "2 alerts"]
    assert tr("{{name}} is a variable; {editor.save} saves") == "{{name}} is a variable; {editor.save} saves"


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "zh_SG.UTF-8"}, "zh"),
        ({"LANG": "xx_YY.UTF-8"}, "en"),
    ],
)
def test_the_environment_chooses_the_language(environ: dict[str, str], language: str) -> None:
    assert texts.from_environment(environ) == language


def test_settings_name_a_language_that_there_is(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('language = "zh"\n', encoding="utf-8")
    assert settings.load(file, {}).language == "zh"
    file.write_text('language = "klingon"\n', encoding="utf-8")
    (problem,) = settings.load(file, {}).problems
    assert "'language' cannot be 'klingon'" in problem.cause
    assert "zh" in problem.remedy


def test_the_language_is_asked_for_with_the_first_text() -> None:
    asked: list[str] = []

    def language() -> str:
        asked.append("asked")
        return "zh"

    texts.use(language)
    assert asked == []
    tr("Help")
    tr("Quit")
    assert asked == ["asked"]


def test_reading_a_catalogue() -> None:
    said = 'a "quoted" line\nand {name}'
    po = f'# by hand\nmsgid ""\nmsgstr "Language: xx\\n"\n\n#: a.py\nmsgid {json.dumps(said)}\nmsgstr ""\n"x"\n"y"\n'
    assert texts.read(po) == {"": "Language: xx\n", said: "xy"}
    with pytest.raises(ValueError, match="msgctxt"):
        texts.read('msgctxt "menu"\n')


def test_where_a_text_is_wrapped_does_not_matter() -> None:
    assert paragraphs("\none\ntwo\n\nthree\n") == "one two\n\nthree"


@pytest.mark.parametrize("language", CATALOGUES)
def test_finished_sentences_are_of_the_code_and_keep_their_places(language: str) -> None:
    said = _messages()
    known = texts.catalogue(language, "messages")
    assert [text for text in known if text not in said] == []
    places = re.compile(r"\{\d+\}")
    assert {
        key: text for key, text in known.items() if sorted(places.findall(key)) != sorted(places.findall(text))
    } == {}


def test_a_cause_and_its_remedy_are_told_in_the_users_language() -> None:
    error = UsageError("There is no lint rule 'x'.", "Rules: a, b.")
    assert str(error) == "There is no lint rule 'x'.\n  → Rules: a, b."
    texts.use("zh")
    assert str(error) == "没有检查规则 'x'。\n  → 现有规则：a, b。"
    assert error.cause == "There is no lint rule 'x'."
    assert texts.sentence("no sentence of ours: {0}") == "no sentence of ours: {0}"


def test_help_is_told_paragraph_by_paragraph_and_laid_out_by_cells() -> None:
    from promptop.base.text_table import width
    from promptop.cli.command_line.loading import command_of

    texts.use("zh")
    command = command_of("guide")
    with click.Context(command, info_name="promptop guide") as context:
        page = command.get_help(context)
    assert "逐步优化提示词的 token 和延迟" in page
    assert "--step NAME" in page
    assert all(width(line) <= 100 for line in page.splitlines())
    assert texts.help_text("no such help\n\nnor this") == "no such help\n\nnor this"
