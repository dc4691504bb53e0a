"""What stays the same from call to call first: providers read the prompt's stable beginning from a cache."""

from __future__ import annotations

import re

from promptop.prompts import parse
from promptop.prompts.stable_prefix import stable_prefix

_PARAGRAPH = re.compile(r"\n{2,}")
_VARIABLE = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def stable_first(text: str) -> str | None:
    """Return the text with the paragraphs that hold a variable behind those that hold none, within each message.

    None where that does not lengthen the stable beginning, or where code, tags or template blocks make order matter.
    """
    prompt = parse(text)
    moved = text
    for message in reversed(prompt.messages):
        body = text[message.start : message.end]
        if "```" in body or "{%" in body or re.search(r"</?\w+>", body):
            continue
        stripped = body.strip("\n")
        pieces = _PARAGRAPH.split(stripped)
        still = [piece for piece in pieces if not _VARIABLE.search(piece)]
        varied = [piece for piece in pieces if _VARIABLE.search(piece)]
        if not still or not varied or pieces == [*still, *varied] or re.match(r"#", pieces[0]):
            continue
        at = text.index(stripped, message.start)
        moved = moved[:at] + "\n\n".join([*still, *varied]) + moved[at + len(stripped) :]
    if moved == text:
        return None
    before, after = stable_prefix(text, prompt), stable_prefix(moved, parse(moved))
    return moved if after.end - after.start > before.end - before.start else None
