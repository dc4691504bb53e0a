"""Spans inside a line of prose that an edit must leave alone: code, quotations, addresses, placeholders, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from promptop.prompts.structure.model import Protected

_KINDS: tuple[tuple[str, str, str], ...] = (
    ("code", "code", r"(?P<tick>`{1,3})(?!`)[^\n]+?(?P=tick)(?!`)"),
    (
        "template",
        "template syntax",
        r"\{\{\{[^{}\n]*\}\}\}|\{\{[^{}\n]*\}\}|\{%[^\n]*?%\}|\{#[^\n]*?#\}|<%[^\n]*?%>|\$?\{[^{}\n]{0,60}\}"
        r"|%\(\w+\)[sd]|(?<![\w$])\$[A-Z_]{2,}\b",
    ),
    ("comment", "a comment", r"<!--(?:[^-]|-(?!->))*-->"),
    ("tag", "a tag", r"<[/!?]?[A-Za-z_\u4e00-\u9fff][^<>\n]{0,120}>|&[a-z]{2,6};"),
    (
        "quote",
        "a quotation",
        r'"[^"\n]{1,400}"|“[^”\n]{1,400}”|‘[^’\n]{1,400}’|「[^」\n]{1,400}」|『[^』\n]{1,400}』|《[^》\n]{1,80}》|«[^»\n]{1,400}»'
        r"|(?<![\w'])'[^'\n]{1,200}'(?!\w)",
    ),
    ("placeholder", "a placeholder", r"\[[^\[\]\n]{1,80}\](?:\([^()\s]{1,200}\))?|【[^】\n]{1,60}】|(?:_{3,}|\.{4,})"),
    ("address", "an address", r"\b(?:https?|ftp|file)://[^\s<>\"'，。）]+|\b[\w.+-]+@[\w-]+\.[\w.]+"),
    (
        "name",
        "a name or path",
        r"(?<![\w/.-])(?:\.{0,2}/)?[\w-]+(?:/[\w.*-]+)+/?|(?<![\w-])--?[a-z][\w-]*(?==)|(?<![\w-])--[a-z][\w-]+"
        r"|\b[A-Za-z]\w*_\w+\b|(?-i:\b[a-z]+[A-Z]\w*\b)|\b\w+\(\)",
    ),
    (
        "example",
        "an example",
        r"(?:\b(?:for (?:example|instance)|e\.g\.|such as)|例如|比如|譬如|诸如)[^\n]*?(?=[.!?](?:\s|$)|[。！？；]|$)",
    ),
    (
        "literal",
        "text to be said word for word",
        r"(?:\b(?:say|says|said|write|writes|wrote|reply|respond|answer|output|print|return|state|ask|asks"
        r"|asked)(?: only| exactly| with| as| this| back)*"
        r"|\b(?:following|below|this|these)(?: \w+){0,3}? (?:text|sentence|paragraph|passage|message|mail"
        r"|e-?mail|article|letter|review|comment|tweet|document"
        r"|content|word|phrase|question|quote|statement|title|headline|abstract|post|lyrics|poem|dialogue|conversation|story|transcript|request|query)s?"
        r"|(?:回复|回答|输出|说|写|问|下文|以下(?:文本|内容|句子|段落|文字|文章|邮件|评论)|下列(?:文本"
        r"|句子)))[:：][ \t]*(?-i:[^\sa-z])[^\n]*$",
    ),
    ("number", "a number", r"(?<![A-Za-z])[-+]?\d(?:[\d.,:/%-]*\d)?"),
)
_INLINE = re.compile("|".join(f"(?P<k_{name}>{pattern})" for name, _, pattern in _KINDS), re.IGNORECASE | re.MULTILINE)
_REASONS = {f"k_{name}": reason for name, reason, _ in _KINDS}


def inline_spans(text: str, start: int, end: int) -> Iterator[Protected]:
    """Yield the spans of ``text[start:end]``, in order."""
    for begin, stop, reason in _spans(text[start:end]):
        yield Protected(start + begin, start + stop, reason)


@lru_cache(maxsize=16_384)
def _spans(text: str) -> tuple[tuple[int, int, str], ...]:
    """Keep the spans of a paragraph: in a draft that is being written all but one are the same as before."""
    found = []
    for each in _INLINE.finditer(text):
        name = each.lastgroup or ""
        found.append((each.start(), each.end(), _REASONS["k_code" if name == "tick" else name]))
    return tuple(found)
