"""Templates are prompts without remarks of their own kind, and every placeholder has a sample value."""

from __future__ import annotations

import pytest

from promptop.base.errors import UsageError
from promptop.cli.main import main
from promptop.prompts import parse
from promptop.prompts.formats import FORMATS, export
from promptop.prompts.templates import PERFORMANCE, PERFORMANCE_ZH, TEMPLATES, Template, template
from promptop.trim.lint import lint


@pytest.mark.parametrize("each", TEMPLATES, ids=lambda each: each.name)
def test_placeholders_have_sample_values_and_lint_has_no_warning(each: Template) -> None:
    prompt = parse(each.text)
    assert prompt.variables
    assert set(prompt.variables) == set(prompt.sample)
    assert all("{{" not in message.content for message in prompt.filled())
    remarks = [remark for remark in lint(each.text) if remark.severity == "warning"]
    assert not remarks
    for form in FORMATS:
        if form.name != "llm" or "assistant:" not in each.text:
            assert export(prompt, form.name)


def test_performance_names_target_time_library_fields_and_paging() -> None:
    for each in (PERFORMANCE, PERFORMANCE_ZH):
        assert {"target_ms", "library", "fields", "page_size", "rows"} <= set(parse(each.text).variables)
        assert "unmeasured-speed" not in {remark.rule for remark in lint(each.text)}


@pytest.mark.parametrize(
    ("text", "is_flagged"),
    [
        ("Write a fast Python function.", True),
        ("写一个高性能的查询代码。", True),
        ("Write a fast Python function: 50 ms for 10,000 rows.", False),
        ("写一个高性能的查询代码，100万行，不超过50毫秒。", False),
        ("Be quick about it.", False),
    ],
)
def test_code_without_a_measurable_limit_is_flagged(text: str, is_flagged: bool) -> None:
    assert ("unmeasured-speed" in {remark.rule for remark in lint(text)}) == is_flagged


def test_unknown_names_are_refused_and_the_command_prints_templates(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no-such"):
        template("no-such")
    assert main(["export", "--template", "?"]) == 0
    assert "performance-requirements " in capsys.readouterr().out
    assert main(["export", "--template", "performance-requirements"]) == 0
    assert capsys.readouterr().out == PERFORMANCE.text
    assert main(["export", "--template", "summarise", "--to", "json", "--var", "points=7"]) == 0
    assert "in 7 bullets" in capsys.readouterr().out
