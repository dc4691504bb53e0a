"""Characters by script: the features from which tokens are estimated where a model's tokenizer is not public.

Each character belongs to exactly one of four classes, whatever stands beside it, so counts add up over messages and
an edit changes them by what it removes and inserts. Standard library only: the log's writer thread calls this inside
other people's services.

============  ===========================================================================================
class         members
============  ===========================================================================================
Latin         ASCII letters, the blank, the marks of prose (``. , ! ? ' " -``), Latin letters with accents
CJK           Han, kana, Hangul, bopomofo, their punctuation, full-width forms
code          digits, line ends, tabs and other ASCII controls, every other ASCII mark
other         everything else: Cyrillic, Greek, Arabic, Devanagari, emoji, combining marks, lone surrogates …
============  ===========================================================================================
"""

from __future__ import annotations

import re
import string
from typing import Final

SCRIPTS: Final = ("Latin", "CJK", "code", "other")
"""Names of the four classes, in the order of every tuple of this module."""

Chars = tuple[int, int, int, int]
"""Characters by script: Latin, CJK, code, other."""

_LATIN_ASCII = (string.ascii_letters + " .,!?'\"-").encode()
_CJK = (
    "\u1100-\u11ff\u2e80-\u2fdf\u2ff0-\u303f\u3040-\u312f\u3130-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3200-\u33ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_LATIN_WIDE = "\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff\u2018\u2019\u201c\u201d\u2013\u2014"
_CJK_RUN = re.compile(f"[{_CJK}]+")
_LATIN_RUN = re.compile(f"[{_LATIN_WIDE}]+")


def chars_by_script(text: str) -> Chars:
    """Return how many characters of ``text`` are Latin, CJK, code and other; they sum to ``len(text)``.

    Takes 2 ms for a megabyte of English and 12 ms for one of Chinese mixed with code.
    """
    ascii_bytes = text.encode("ascii", "ignore")
    code = len(ascii_bytes.translate(None, _LATIN_ASCII))
    latin = len(ascii_bytes) - code
    wide = len(text) - len(ascii_bytes)
    if not wide:
        return latin, 0, code, 0
    without_cjk = _CJK_RUN.sub("", text)
    cjk = len(text) - len(without_cjk)
    accented = 0
    if wide > cjk:
        accented = len(without_cjk) - len(_LATIN_RUN.sub("", without_cjk))
    return latin + accented, cjk, code, wide - cjk - accented


def add(one: Chars, other: Chars, sign: int = 1) -> Chars:
    """Return ``one + sign · other``, class by class."""
    return (
        one[0] + sign * other[0],
        one[1] + sign * other[1],
        one[2] + sign * other[2],
        one[3] + sign * other[3],
    )
