"""Which language a piece of prose is written in: the trim rules know English and Chinese, and leave the rest alone."""

from __future__ import annotations

import re
from functools import lru_cache

from promptop.prompts.structure.model import Language

_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7a3]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_SCRIPTS = re.compile(r"[\u0370-\u05ff\u0600-\u06ff\u0900-\u0eff\u10a0-\u10ff]")
_ACCENTED = re.compile(r"[à-öø-ÿ]", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-zÀ-ÿ]+(?:['’][A-Za-z]+)?")
_ENGLISH = frozenset(
    "the a an and or of to in on for with is are be you your not do don't if it this that as at by from will"
    " must should"
    " never always please can i we when use all any no so but have has what which how only than then they user".split()
)
_FOREIGN = (
    frozenset(
        "der die das und nicht ist ein eine mit auf für von zu sie bitte le la les des et un une est vous pas"
        " pour dans que"
        " qui du el los las una para con por si no se del como il che di per non sono con gli della o os um uma"
        " com não em"
        " do da de y al su muy"
        " het een en van je niet voor met op och att det som på inte är og ikke til av nie się na jest w"
        " z".split()
    )
    - _ENGLISH
)


@lru_cache(maxsize=16_384)
def language_of(text: str) -> Language:
    """Return the language of a paragraph; ``other`` for any but English and Chinese, and for those mixed with it."""
    if _KANA_OR_HANGUL.search(text) or len(_SCRIPTS.findall(text)) > 3:
        return "other"
    words = [word.lower() for word in _WORD.findall(text)]
    foreign, english = (
        sum(word in _FOREIGN or _ACCENTED.search(word) is not None for word in words),
        sum(word in _ENGLISH for word in words),
    )
    if foreign >= 2 and foreign > 2 * english:
        return "other"
    if _HAN.search(text):
        return "mixed" if len(words) >= 3 else "zh"
    return "en"
