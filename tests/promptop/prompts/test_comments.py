"""What is switched off is neither sent nor counted, and stays where it is."""

from __future__ import annotations

from promptop.prompts import parse
from promptop.prompts.comments import spans, without

TEXT = """\
system:
Be brief.
{{!-- off
Never sent: {{secret}}
user:
not a message
--}}
Be kind.

user:
{{question}}
"""


def test_a_block_that_is_off_is_no_part_of_the_prompt() -> None:
    prompt = parse(TEXT)
    assert [(each.role, each.content) for each in prompt.messages] == [
        ("system", "Be brief.\nBe kind."),
        ("user", "{{question}}"),
    ]
    assert prompt.variables == ("question",)


def test_blocks_reach_to_their_closing_line_and_other_comments_are_text() -> None:
    assert [TEXT[start:end] for start, end in spans(TEXT)] == [TEXT[TEXT.index("{{!--") : TEXT.index("Be kind")]]
    assert without("a\n{{!-- off\nb") == "a\n"
    assert without("a\r\n{{!-- off\r\nb\r\n--}}\r\nc") == "a\r\nc"
    for other in ("{{!-- off: one line --}}\n", "{{!-- note\nb\n--}}\n", "see {{!-- off\n"):
        assert without(other) == other
