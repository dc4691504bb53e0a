"""What the simulated endpoint answers when it is asked to shorten a prompt: a shorter one, made by the trim rules.

Models lose things. So does this one: of four sentences or more it leaves out the last that forbids something.
"""

from __future__ import annotations

import re

_PART = re.compile(r"<prompt>\n(?P<text>.*)\n</prompt>\s*\Z", re.DOTALL)
_SENTENCE = re.compile(
    r"[^\n.。！？!?]*(?:\bnot\b|\bnever\b|不要|不得|禁止)[^\n.。！？!?]*[.。！？!?][ \t]*", re.IGNORECASE
)


def rewritten(system: str, asked: str) -> str:
    """Return the shorter prompt for a request of ``promptop trim --rewrite``; an empty string for any other."""
    found = _PART.search(asked)
    if found is None or "You shorten prompts" not in system:
        return ""
    from promptop.trim import apply, find

    text = found["text"]
    for _ in range(3):  # one trim makes room for another
        text = apply(text, find(text))
    forbidding = list(_SENTENCE.finditer(text))
    if forbidding and len(re.findall(r"[.。！？!?](?=\s|$|[\u4e00-\u9fff])", text)) >= 4:
        text = text[: forbidding[-1].start()] + text[forbidding[-1].end() :]
    return text
