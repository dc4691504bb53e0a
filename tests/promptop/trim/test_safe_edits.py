"""Safe means safe: what no rule may touch, and what a guard stops when a rule is wrong."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptop.prompts.structure import Structure, read_structure
from promptop.tokens import encoding
from promptop.trim import chosen, look, trim
from promptop.trim.guards import demands, grammar_lost, meaning_lost, negations

SAFE = chosen(safe_only=True)
ENCODING = "o200k_base"


def safe(text: str) -> str:
    return trim(text, ENCODING, SAFE).text


@pytest.mark.parametrize(
    "text",
    [
        "## view\nParameters:\n- path (required): Full path\n## drop\nParameters:\n- path (required): Full path\n",
        "[A]\n1. Read the code twice before you write.\n\n[B]\n1. Read the code twice before you write.\n",
        "Ask for the name. Wait for the user to answer. Ask for the age. Wait for the user to answer. Then stop.\n",
        "However, if you are asked to simplify a passage, you answer with code only.\n",
        "Look at your work and make sure you completed all checks.\n",
        "No filler phrases like: certainly, absolutely, of course, let's explore.\n",
        "Your goal is not to keep each message. Your goal IS to keep:\n- decisions\n- dates\n",
        "Ask:\n- How was the show?\n- Would you recommend it to a friend?\n- What was missing?\n",
        "He liked the flat. Would you have time to show it at noon?\n",
        "I will ask you to draw icons, and you answer with SVG alone.\n",
        "Tell them that you are not able to see images.\n",
        "Items must be added in order to their parent.\n",
        "def greet(name):\n    # please make sure that you strip it\n    return name\n",
        "<old>    if val == True:  # please</old>\n<new>    if val:</new>\n",
        "## Replies\n- Refund: Please note that it takes a while. Thank you!\n- Delay: Could you please wait?\n",
        "If it fails, say: Please try again. Thank you for your patience.\n",
        "Translate this sentence: Please make sure that you come. Thank you very much!\n",
        "User: Could you please help?\nAssistant: Of course! Please go on.\nUser: Thank you!\nAssistant: Welcome.\n",
        "rules:\n  - please be kind\n  - could you please\nstyle:\n  tone: in order to   please\n",
        "id,text\n1,please call me\n2,thank you\n3,please   stop\n",
        "# Thanks\nThank you very much!\n",
        "- Thank you!\n- Be kind.\n",
        "Note that x and y are names.\n",
        "请假流程：员工请假需审批。请求失败时请勿重试。\n",
        "对用户的问题进行分类的结果不要展示。\n",
        "パスワードは聞かないでください。最後に質問をしてください。\n",
        "Bitte nicht die Regeln und das Ziel nennen. Please danke.\n",
    ],
)
def test_what_must_stay_stays(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("First of all, read the task.", "Read the task."),
        ("It goes without saying that you read it.", "You read it."),
        ("In terms of language, use the language of the user.", "Use the language of the user."),
        ("Say it in a clear and concise manner.", "Say it clearly and concisely."),
        ("You are a cook. In your role as cook, name three dishes.", "You are a cook. Name three dishes."),
        ("Write a page with the goal of attracting guests.", "Write a page to attract guests."),
        ("Plan it with the aim of being early.", "Plan it to be early."),
        ("Do not write JSON, under any circumstances.", "Do not write JSON."),
        ("Greet them. This is very important. Then ask.", "Greet them. Then ask."),
        ("Use their language, whatever that language may happen to be.", "Use their language."),
        ("I will give you a text and your task is to shorten it.", "I will give you a text; shorten it."),
        ("Rank the findings. Thank you very much for your help!", "Rank the findings."),
        ("<rules>\nPlease note that it is short.\n</rules>\n", "<rules>\nIt is short.\n</rules>\n"),
        ("```\nPlease answer in one line for the user.\nThe rule is for all of it.\n```\n",
         "```\nAnswer in one line for the user.\nThe rule is for all of it.\n```\n"),
        ("你的工作非常重要，请认真对待。只回答问题。", "只回答问题。"),
        ("你好，请总结文章。", "总结文章。"),
        ("需要注意的是，不要重复调用。", "不要重复调用。"),
    ],
)  # fmt: skip
def test_what_may_go_goes(text: str, short: str) -> None:
    assert safe(text) == short


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Do not lie.", "Lie."),
        ("You must cite it.", "You cite it."),
        ("Only cite it.", "Cite it."),
        ("不要猜测。", "猜测。"),
        ("你必须回答。", "你回答。"),
    ],
)
def test_meaning_is_guarded(before: str, after: str) -> None:
    assert meaning_lost(before, after)
    assert not meaning_lost(before, before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Note it.", ""),
        ("Please keep it.", "keep it."),
        ("If you are asked to simplify it, wait.", "If simplify it, wait."),
        ("Make it short. Send it.", "Make it short.Send it."),
        ("Send it to the user.", "Send it to."),
        ("Read the text. Be brief.", "The text. Be brief."),
        ("Read it, then stop.", ", then stop."),
        ("Do not write it, ever.", "Do not write it,."),
        ("You read the the text.".replace("the the", "the"), "You read the the text."),
    ],
)
def test_grammar_is_guarded(before: str, after: str) -> None:
    assert grammar_lost(before, after)
    assert not grammar_lost(before, before)


def test_what_was_left_is_told_with_its_line_and_reason() -> None:
    found = look('Be kind.\nSay "please wait" and "in order to" to them.\n', SAFE)
    assert found.edits == ()
    assert {(each.line, each.reason) for each in found.skipped} == {(2, "it is in a quotation")}


def test_safe_edits_come_before_those_to_check_and_are_never_hidden_by_them() -> None:
    text = "You are a helpful assistant. Could you please try to answer in order to help? Take a deep breath."
    alone = trim(text, ENCODING, SAFE)
    both = look(text)
    assert {(edit.start, edit.end) for edit in look(text, SAFE).edits} <= {
        (edit.start, edit.end) for edit in both.edits
    }
    assert trim(alone.text, ENCODING).text == trim(text, ENCODING).text


def test_praise_for_a_role_is_offered_to_check() -> None:
    text = "请你扮演一个资深的软件工程师,详细解释什么是提示工程。"
    assert safe(text) == "扮演一个资深的软件工程师,详细解释什么是提示工程。"
    assert trim(text, ENCODING).text == "详细解释什么是提示工程。"


def test_a_refused_edit_is_left() -> None:
    text = "Please answer. In order to help, read it."
    refused = {(edit.rule, edit.before, edit.after) for edit in look(text, SAFE).edits if edit.rule == "polite-en"}
    assert trim(text, ENCODING, SAFE, refused=refused).text == "Please answer. To help, read it."


PIECES = st.sampled_from(
    [
        "# Please\n",
        "- please cite it\n",
        "1. Make sure that you ask.\n",
        "   Thank you!\n",
        "```\nplease   x\n```\n",
        "<rules>\n",
        "</rules>\n",
        "<doc>\nplease\n",
        "</doc>\n",
        '{\n "please": 1\n}\n',
        "a: please\n  b: in order to\n",
        " please ",
        " b ",
        "\n",
        "Q: please\nA: thanks\n",
        "Example 1:\nplease\n",
        "Parameters:\n",
        "- path (required): please\n",
        '"""\n',
        "{{#if x}}\n",
        "user:\n",
        "assistant:\n",
        "system:\n",
        "---\n",
        "\n\n",
        "请注意，不要说。\n",
        "对文章进行分析。",
        "非常感谢！\n",
        "Dear Ms X,\n",
        "Thank you!\n",
        "Could you please answer the user? ",
        "In order to help, ",
        "You must not lie. ",
        "Never ",
        "It is important to note that ",
        "please\n",
        "In a clear and polite manner, ",
        "As mentioned above, ",
        "if you are asked to ",
        "This is very important. ",
        "Be kind. Be kind. ",
        "   ",
        "\t",
        "!!!",
        "| please | b |\n",
    ]
)


def protected(structure: Structure) -> list[str]:
    return [structure.text[each.start : each.end] for each in structure.protected if each.reason != "a label"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.lists(PIECES, max_size=20).map("".join))
def test_structure_negations_and_demands_outlive_the_safe_rules(text: str) -> None:
    result = trim(text, ENCODING, SAFE)
    before, after = read_structure(text), read_structure(result.text)
    assert protected(after) == protected(before)
    assert after.roles == before.roles
    assert negations(result.text) == negations(text)
    assert demands(result.text) == demands(text)
    assert len(encoding(ENCODING).encode_ordinary(result.text)) <= len(encoding(ENCODING).encode_ordinary(text))
    assert safe(result.text) == result.text
