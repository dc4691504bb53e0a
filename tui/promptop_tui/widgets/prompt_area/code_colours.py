"""Which part of code has which colour, by Pygments: of the editor's fences a line at a time, of answers a whole block.

A line alone is enough for what is on the screen, and an edit then costs the lines that it changed; what spans lines,
such as a docstring, is coloured on the line that begins it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.lexer import Lexer

CODE_PARTS: dict[str, tuple[str, ...]] = {
    "keyword": ("Token.Keyword", "Token.Operator.Word", "Token.Name.Tag"),
    "string": ("Token.Literal.String",),
    "comment": ("Token.Comment",),
    "number": ("Token.Literal.Number", "Token.Keyword.Constant"),
    "name": ("Token.Name.Function", "Token.Name.Class", "Token.Name.Builtin", "Token.Name.Attribute"),
}
"""Component class of a part of code (``stream--code-keyword`` …) → the lexer's names for it, with all below them."""
LONGEST_CODE = 50_000
"""Characters of a block of code above which it has one colour."""
_FENCE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[ \t]*(?:\{\.?)?(?P<language>[\w+#.-]*)")


def code_parts(code: str, language: str) -> Iterator[tuple[int, int, str]]:
    """Yield [start, end) and part of everything in a piece of code that has a colour; none for an unknown language."""
    lexer = _lexer(language or "text") if len(code) <= LONGEST_CODE else None
    if lexer is None:
        return
    for start, kind, text in lexer.get_tokens_unprocessed(code):
        if part := _part(str(kind)):
            yield start, start + len(text), part


def language_of(fence: str) -> str:
    """Return the language that a fence's first line names, if its colours are known; else an empty string."""
    found = _FENCE.match(fence)
    name = found["language"].lower() if found is not None else ""
    return name if name and _lexer(name) is not None else ""


@lru_cache(512)
def _part(name: str) -> str:
    fitting = [(len(each), part) for part, names in CODE_PARTS.items() for each in names if name.startswith(each)]
    return max(fitting)[1] if fitting else ""


@lru_cache(64)
def _lexer(language: str) -> Lexer | None:
    """Return the lexer of a language; the first takes about 20 ms, and a text without code loads none."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer: Lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
    return lexer
