"""Lint looks at instructions alone, names the sentence, and can be silenced."""

from __future__ import annotations

import pytest

from promptop.base.errors import UsageError
from promptop.trim.lint import CHECKS, lint


def rules(text: str) -> set[str]:
    return {finding.rule for finding in lint(text)}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Answer in 2 sentences. Suggest some tests.", "vague-quantity"),
        ("I will name a city and you will come up with several hotels in 2 lists.", "vague-quantity"),
        ("Act as my interviewer and ask me one question at a time.", "no-length-limit"),
        ("Write captions for portraits. Be kind.", "no-length-limit"),
        ("Current date: 2026-02-15\n" + "stable text " * 200, "volatile-prefix"),
        ("Be formal and warm. Use casual language.", "conflict"),
        ("用两句话回答。最后列出几个相关的问题。", "vague-quantity"),
        ("用两句话回答。每天计算各服务器磁盘使用率的平均值。", "arithmetic"),
        ("写一个处理CSV的Python函数。", "open-code"),
        ("写一个Flask接口，返回用户列表。", "open-code"),
        ("Write an endpoint in FastAPI.", "open-code"),
        ("Write a short but thorough and detailed essay.", "conflict"),
        ("Explain your reasoning step by step first. Output only valid JSON.", "conflict"),
        ("Act as a world-class chef and name 3 dishes, one line each.", "role-play"),
        ("请扮演一个资深的软件工程师，用三句话解释闭包。", "role-play"),
        ("用三句话解释，语言要通俗易懂，不要用专业术语。", "doubled-demand"),
        ("Explain it in 3 sentences of plain English. Avoid jargon.", "doubled-demand"),
        ("Sort it.\n\n" + "".join(f"Q: case {k} of it\nA: label\n\n" for k in range(5)), "example-cost"),
        ("---\nsample: {a: 1}\n---\nIn 2 sentences: {{a}} {{b}}", "variables"),
    ],
)
def test_what_is_found(text: str, rule: str) -> None:
    assert rule in rules(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("I will give you some notes. Sort them by date in 2 lists.", "vague-quantity"),
        ("我会提供一些句子。用两句话回答。", "vague-quantity"),
        ("You can output multiple commands in one turn.", "vague-quantity"),
        ("Cite multiple sources, at least 3.", "vague-quantity"),
        ("报告分为几个部分：\n- 背景\n- 结论\n", "vague-quantity"),
        ("Corners: Total corners of both halves. In 2 sentences.", "arithmetic"),
        ("Build a platform game. Use rays to calculate the gap between walls.", "arithmetic"),
        ("Be formal. Do NOT use casual language.", "conflict"),
        ("The tone (formal/casual) is the user's choice.", "conflict"),
        ("Flag replies that sound overly formal and lack slang.", "conflict"),
        ("Stay semi-formal. Be casual and kind.", "conflict"),
        ("解释的程度（例如：简要，中等，详细）由用户给出。", "conflict"),
        ("Write a script for a TikTok video about soap.", "open-code"),
        ("Your task is NOT to write code yet.", "open-code"),
        ("Generate unit tests for the selected code.", "open-code"),
        ("Write code for spaced repetition for optimized learning, 1 file.", "unmeasured-speed"),
        ("Ultra-realistic portrait of a baker, 9:16, soft lighting, bokeh.", "no-length-limit"),
        ("Generate an image of a cat on a roof in watercolour.", "no-output-format"),
        ("一只猫在屋顶上，写实摄影，柔和光影，浅景深构图", "no-length-limit"),
        ("Act as an image creator. Your task is to make it bright.", "no-output-format"),
        ("Create a video that explores old pillars and their sound.", "no-length-limit"),
        ("Game concept: players turn the world to leave a maze.", "no-length-limit"),
        ("Build a memory card game with flip animations.", "no-length-limit"),
        ("Play chess with me. You are black.", "no-output-format"),
        ("A red boat on a quiet lake, early morning.", "no-output-format"),
        ("Sen bir öğretmensin ve öğrencilere için kısa örnekler ver.", "no-length-limit"),
        ("Version: 2, last updated: 2026-02-15\n" + "stable text " * 200, "volatile-prefix"),
        ("The header is agents-2026-04-01 for now.\n" + "stable text " * 200, "volatile-prefix"),
        ("If there are several dates, take the first.", "vague-quantity"),
        ("如果用户同时提出多个问题，逐个回答。", "vague-quantity"),
        ("Example: Suggest some tests.", "vague-quantity"),
        ("你在计算机机房值守。", "arithmetic"),
        ("识别需求和约束。", "arithmetic"),
        ("Copy the total; do not add up the lines.", "arithmetic"),
        ("写一个函数，计算每个用户的平均消费。", "arithmetic"),
        ("Write a Python function that counts the duplicates.", "arithmetic"),
        ("不要放进代码块。", "open-code"),
        ("Write 3 search queries. Do not generate code.", "open-code"),
        ("写一个处理百万行CSV的Python函数，处理时间≤1秒，只返回代码，不超过60行。", "open-code"),
        ("You are an expert in prompt optimisation.", "unmeasured-speed"),
        ("The subject has at most 8 words and the letter at most 150 words.", "conflict"),
        ("If the question is simple, be brief. Otherwise give a detailed answer.", "conflict"),
        ("Call the tool with the path of the file in the repository.", "no-length-limit"),
        ("---\nsample: {items: x}\n---\n{{#each items}}\n- {{this.title}}\n{{else}}\nnone\n{{/each}}\n", "variables"),
        ("Commit 3f2504e04f8911d39a0c0305e82c3301 is fine.\n" + "stable text " * 200, "volatile-prefix"),
    ],
)
def test_what_is_no_remark(text: str, rule: str) -> None:
    assert rule not in rules(text)


def test_a_finding_has_its_place_and_its_sentence() -> None:
    text = "Answer in 2 sentences.\nBe kind. Suggest some tests. Stop.\n"
    (found,) = lint(text)
    assert (found.line, found.column) == (2, 18)
    assert text[found.start : found.end] == "some"
    assert found.sentence == "Suggest some tests."


def test_remarks_are_silenced_in_the_text_in_front_matter_and_by_settings() -> None:
    text = "Answer in 2 sentences.\nSuggest some tests. {0}\n\nAdd a few words.\n"
    assert [finding.line for finding in lint(text.format(""))] == [2, 4]
    assert [finding.line for finding in lint(text.format("<!-- lint-off: vague-quantity -->"))] == [4]
    assert [finding.line for finding in lint(text.format("<!-- lint-off -->"))] == [4]
    assert lint("<!-- lint-off: vague-quantity -->\n" + text.format("")) == []
    assert lint("---\nname: a\nlint-off: [vague-quantity]\n---\n" + text.format("")) == []
    assert lint(text.format(""), off=["vague-quantity"]) == []
    with pytest.raises(UsageError, match="no-such"):
        lint(text, off=["no-such"])
    assert len({check.id for check in CHECKS}) == len(CHECKS)
