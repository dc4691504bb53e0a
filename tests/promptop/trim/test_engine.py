"""Trimming keeps what matters: protected zones, negations, a word in each message; it saves tokens and settles."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptop.base.errors import UsageError
from promptop.prompts.structure import Structure, read_structure
from promptop.tokens import encoding
from promptop.trim import RULES, apply, chosen, contexts, find, trim
from promptop.trim.guards import demands, negations

SAFE = chosen(safe_only=True)
ENCODING = "o200k_base"


def tokens(text: str) -> int:
    return len(encoding(ENCODING).encode_ordinary(text))


def protected(structure: Structure) -> list[str]:
    """Return the protected spans; a sentence that got short may be read as a label."""
    return [structure.text[each.start : each.end] for each in structure.protected if each.reason != "a label"]


def safe(text: str) -> str:
    return trim(text, ENCODING, SAFE).text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Could you please summarise the article?", "Summarise the article?"),
        ("I would like you to translate this text.", "Translate this text."),
        ("Read it, and please keep it short.", "Read it, and keep it short."),
        ("Keep it short, please.", "Keep it short."),
        (
            "We sell books. Please\nmake sure that you always answer.",
            "We sell books. Always answer.",
        ),  # a sentence over two lines
        ("Be kind, please\n- one", "Be kind\n- one"),
        ("I would like you to please answer.", "Answer."),
        ("Translate this. Thank you very much in advance!", "Translate this."),
        ("In order to answer, read the text.", "To answer, read the text."),
        ("Make sure that you cite sources.", "Cite sources."),
        ("Provide a list of countries.", "List countries."),
        ("请你帮我总结下面的文章，非常感谢。", "总结下面的文章。"),
        ("麻烦你翻译成英文。", "翻译成英文。"),
        ("能否帮我写一封邮件？", "写一封邮件？"),
        ("我希望你能够扮演面试官。", "扮演面试官。"),
        ("请问你能否解释量子力学？谢谢！", "解释量子力学？"),
        ("对文章进行详细的分析。", "对文章详细分析。"),
        ("在用户没有登录的情况下，提示登录。", "用户没有登录时，提示登录。"),
        ("one    two", "one two"),
        ("Never lie.\n==========\nAlways cite.", "Never lie.\n===\nAlways cite."),
    ],
)
def test_what_the_safe_rules_do(text: str, short: str) -> None:
    assert safe(text) == short


@pytest.mark.parametrize(
    "text",
    [
        'Answer only with "please wait".',
        "```python\n# please make use of   spaces\n```",
        "Run `echo  please` now.",
        "See https://example.com/please/in-order-to?q=1 now.",
        "The user is pleased with 1,000 items.",
        "请求超时后重试，请勿重复提交。",
        "他请客吃饭，遇到麻烦。",
        "翻译「请你帮我」这句话。",
        "Fill {{please}} into the form.",
        "| a  | b   |\n|---|---|\n| c   | d  |",
        "Please.",
        "谢谢！",
        "Make sure that you are polite.",
    ],
)
def test_what_the_safe_rules_leave_alone(text: str) -> None:
    assert safe(text) == text


def test_check_rules_are_offered_but_are_not_safe() -> None:
    text = "You are a helpful assistant. Write very short answers in **bold** style."
    found = {edit.rule: edit.severity for edit in find(text)}
    assert {"preamble", "hedge"} <= set(found)  # bold marks are left unless they are asked for
    assert {edit.rule for edit in find(text, chosen(["markdown-weight"]))} == {"markdown-weight"}
    assert set(found.values()) == {"check"}
    assert safe(text) == text


def test_json_loses_blanks_and_no_value() -> None:
    text = 'Use:\n```json\n{\n  "a b": [1.50, 2e3],\n  "c": "x  y"\n}\n```\nand this:\n```json\n{"open": ...}\n```'
    result = trim(text, ENCODING, chosen(["json-whitespace"]))
    assert '{"a b":[1.50,2e3],"c":"x  y"}' in result.text
    assert '{"open": ...}' in result.text


def test_repeated_sentences_go_once_and_labels_stay() -> None:
    said = "Answer in the language of the user."
    text = f"system:\n{said} Be brief. {said}\n\n- item\n- item\n- {said}\n\n# Later\n{said}\n\nuser:\n{said}\n"
    result = trim(text, ENCODING, SAFE)
    assert result.text == text.replace(f"Be brief. {said}", "Be brief.")  # items, sections, messages keep their own
    across = [edit for edit in find(text) if edit.rule == "repeated-across"]
    assert len(across) == 0 or all(edit.severity == "check" for edit in across)


def test_edits_tell_the_whole_change_in_offsets_of_the_input() -> None:
    text = "user:\nPlease note that it is able to read.   \n\n\n\nThanks a lot in advance!\n请你帮我进行总结，谢谢。\n"
    result = trim(text, ENCODING)
    rebuilt = text
    for edit in reversed(result.edits):
        assert rebuilt[edit.start : edit.end] == edit.before
        assert edit.line == text.count("\n", 0, edit.start) + 1
        rebuilt = rebuilt[: edit.start] + edit.after + rebuilt[edit.end :]
    assert rebuilt == result.text
    assert sum(edit.tokens_saved for edit in result.edits) == result.tokens_before - result.tokens_after
    assert (result.tokens_before, result.tokens_after) == (tokens(text), tokens(result.text))


def test_unknown_rules_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no-such"):
        chosen(["no-such"])
    assert [rule.id for rule in chosen(["hedge"])] == ["hedge"]
    assert len({rule.id for rule in RULES}) == len(RULES)


_ENGLISH = (
    "Please |could you please write |In order to |summarise the text. |Thank you very much! |do not |never |very |- "
    "|make sure that you cite |you are a helpful assistant. |Always answer in the language of the user. "
)
_CHINESE = "请你帮我|非常感谢。|麻烦您|进行分析|不要|总结一下|，谢谢|。|能否|在他来的情况下|的话，如果|「请你」"
_OTHER = (
    '\n|\n\n\n|   |`please  x` |"in order to" |```\nplease   keep\n```\n|{{please}}|https://a.b/please |3.14 |system:\n'
    "|user:\n|<b>|🙂|'quoted please' |---\n"
)
FRAGMENTS = st.sampled_from([part for each in (_ENGLISH, _CHINESE, _OTHER) for part in each.split("|")])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.lists(FRAGMENTS, max_size=24).map("".join))
def test_safe_rules_hold_their_promises(text: str) -> None:
    result = trim(text, ENCODING, SAFE)
    before, after = read_structure(text), read_structure(result.text)
    assert protected(after) == protected(before)
    assert after.roles == before.roles
    assert negations(result.text) == negations(text)
    assert demands(result.text) == demands(text)
    assert tokens(result.text) <= tokens(text)
    assert trim(result.text, ENCODING, SAFE).text == result.text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.lists(FRAGMENTS, max_size=16).map("".join))
def test_single_edits_can_be_taken_alone_or_together(text: str) -> None:
    found = find(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    for edit in found:
        assert text[edit.start : edit.end] == edit.before
        one = apply(text, [edit])
        piece_before, piece_after = contexts(text, edit)
        assert piece_before in text
        assert piece_after in one
