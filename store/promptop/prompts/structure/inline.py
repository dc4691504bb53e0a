"""Spans inside a line of prose that an edit must leave alone: code, quotations, addresses, placeholders, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from promptop.prompts.structure.model import Protected

_KINDS: tuple[tuple[str, str, str], ...] = (
    ("code", "code", r"(?P<tick>`{1,3})(?!`)[^\n]+?(?P=tick)(?!`)"),
    (
        "template",
        "template syntax",
        r"\{\{\{[^{}\n]*\}\}\}|\{\{[^{}\n]*\}\}|\{%[^\n]*?%\}|\{#[^\n]*?#\}|<%[^\n]*?%>|\$?\{[^{}\n]{0,60}\}"
        r"|%\(\w+\)[sd]|(?<![\w$])\$[A-Z_]{2,}\b",
    ),
    ("tag", "a tag", r"<[/!?]?[A-Za-z_\u4e00-\u9fff][^<>\n]{0,120}>|&[a-z]{2,6};"),
    (
        "quote",
        "a quotation",
        r'"[^"\n]{1,400}"|“[^”\n]{1,400}”|‘[^’\n]{1,400}’|「[^」\n]{1,400}」|『[^』\n]{1,400}』|《[^》\n]{1,80}》'
        r"|(?<![\w'])'[^'\n]{1,200}'(?!\w)",
    ),
    ("placeholder", "a placeholder", r"\[[^\[\]\n]{1,80}\](?:\([^()\s]{1,200}\))?|【[^】\n]{1,60}】|(?:_{3,}|\.{4,})"),
    ("address", "an address", r"\b(?:https?|ftp|file)://[^\s<>\"'，。）]+|\b[\w.+-]+@[\w-]+\.[\w.]+"),
    (
        "name",
        "a name or path",
        r"(?<![\w/.-])(?:\.{0,2}/)?[\w-]+(?:/[\w.*-]+)+/?|(?<![\w-])--?[a-z][\w-]*(?==)|(?<![\w-])--[a-z][\w-]+"
        r"|\b[A-Za-z]\w*_\w+\b|\b[a-z]+[A-Z]\w*\b|\b\w+\(\)",
    ),
    (
        "example",
        "an example",
        r"(?:\b(?:for (?:example|instance)|e\.g\.|such as)|例如|比如|譬如|诸如)[^\n]*?(?=[.!?](?:\s|$)|[。！？；]|$)",
    ),
    (
        "literal",
        "text to be said word for word",
        r"(?:\b(?:say|write|reply|respond|answer|output|print|return|state)(?: only| exactly| with| as| this)*"
        r"|(?:回复|回答|输出|说|写))[:：][ \t]*[^\s][^\n]*$",
    ),
    ("number", "a number", r"(?<![A-Za-z])[-+]?\d(?:[\d.,:/%-]*\d)?"),
)
_INLINE = re.compile("|".join(f"(?P<k_{name}>{pattern})" for name, _, pattern in _KINDS), re.IGNORECASE | re.MULTILINE)
_CASED = re.compile(r"\b[A-Za-z]\w*_\w+\b|\b[a-z]+[A-Z]\w*\b|\b\w+\(\)|/|--?[a-z]")
_REASONS = {f"k_{name}": reason for name, reason, _ in _KINDS}


def inline_spans(text: str, start: int, end: int) -> Iterator[Protected]:
    """Yield the spans of ``text[start:end]``, in order; several may stand one in another's place, the first has it."""
    for found in _INLINE.finditer(text, start, end):
        name = found.lastgroup or ""
        if name == "tick":
            name = "k_code"
        if name == "k_name" and not _CASED.search(found[0]):
            continue
        yield Protected(found.start(), found.end(), _REASONS[name])
