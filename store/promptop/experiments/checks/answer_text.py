"""What is read out of the text of an answer: numbers, negations, yes or no, refusals, the language."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from promptop.client.result import RunResult

_MINUS = "-−–﹣－‐‑"
_NUMBER = re.compile(
    rf"(?<![\w.])(?P<sign>[{_MINUS}]\s?)?(?P<digits>\d{{1,3}}(?:[,'’\u00a0\u202f\u2009]\d{{3}})+(?!\d)(?:\.\d+)?|\d{{1,3}}(?:\.\d{{3}}){{2,}}(?:,\d+)?"
    r"|\d+(?:[.,]\d+)?|\.\d+)(?P<power>[eE][+-]?\d+)?"
)
_REFUSALS = re.compile(
    r"(?i)\A\W*(?:"
    r"(?:i(?:['’]m| am)|we(?:['’]re| are))\s+(?:sorry,?\s+(?:but\s+)?)?(?:unable|not able|not allowed)\s+to\b"
    r"|(?:i(?:['’]m| am)\s+)?(?:so |very )?(?:sorry|afraid|apologi[sz]e|unfortunately)\b[^.!?\n]{0,50}?"
    r"\b(?:can(?:['’]t|not| not)|unable|not able|won['’]t|not allowed)\b"
    r"|(?:i|we)\s+(?:can(?:['’]t|not| not)|won['’]t|will not|must decline to|decline to|am not going to)\s+(?:\w+\s+)?"
    r"(?:help|assist|provide|answer|do|comply|fulfil|fulfill|create|generate|write|discuss|share|support|engage|continue"
    r"|complete|give|respond)\b"
    r"|as an ai\b|i (?:don['’]t|do not) feel comfortable"
    r"|[^。！？\n]{0,12}(?:抱歉|对不起|遗憾)[^。！？\n]{0,30}(?:无法|不能|没法|不可以)"
    r"|(?:我|本人)?(?:无法|不能|没法|不便)(?:提供|回答|协助|帮助|满足|完成|处理|讨论)"
    r"|作为(?:一个|一名)?\s*(?:ai|人工智能))"
)
_REFUSAL_CHARS = 80
_NEGATIONS = re.compile(
    r"(?i)\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|\w+n['’]t)\b|不|没|無|无|未|别|勿|非"
)
_YES = re.compile(
    r"(?i)\A\W*(?:(?P<yes>yes|yep|true|correct|是的?|对|可以|能)|(?P<no>no|nope|false|incorrect|不是|不|否|没有))(?!\w)"
)
_STOPWORDS = {
    "en": "the of and to is in that it for you with are this was be on not have as at",
    "de": "der die das und ist nicht ein eine zu den mit für auf sie es im dem auch wird sind",
    "fr": "le la les et est un une des du dans que pour pas vous sur avec ce qui au ne",
    "es": "el la los las y es un una que en por con para no se del lo su al como",
    "it": "il lo gli la e è un una che di per non con si del della sono al da come",
    "pt": "o os as e é um uma que de não para com se do da em no na por mais",
    "nl": "de het een en is niet van dat te in voor met op zijn je aan ook er maar om",
}
_WORDS = {name: frozenset(words.split()) for name, words in _STOPWORDS.items()}


def numbers_in(text: str) -> list[float]:
    """Return the numbers of a text in order: thousands separators and minus signs of all kinds are read."""
    found = []
    for match in _NUMBER.finditer(unicodedata.normalize("NFKC", text).replace("\u2212", "-")):
        digits = match["digits"]
        if re.fullmatch(r"\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?", digits):
            digits = digits.replace(".", "").replace(",", ".")
        elif re.fullmatch(r"\d+,\d+", digits) and not re.fullmatch(r"\d{1,3},\d{3}", digits):
            digits = digits.replace(",", ".")
        else:
            digits = re.sub(r"[,'’\s]", "", digits)
        found.append(float(digits + (match["power"] or "")) * (-1 if match["sign"] else 1))
    return found


def refuses(text: str) -> bool:
    """Whether an answer begins as refusals do, in English or Chinese."""
    return bool(_REFUSALS.match(text.lstrip()[:_REFUSAL_CHARS]))


def negations_in(text: str) -> int:
    """Return how many negations a text has, in English or Chinese."""
    return len(_NEGATIONS.findall(text))


def stance_of(text: str) -> str:
    """Return ``yes`` or ``no`` where an answer begins with it; else an empty text."""
    found = _YES.match(text)
    return "" if found is None else "yes" if found["yes"] else "no"


def language_of(text: str) -> str:
    """Return the language of a text as two letters, by its script and its commonest words; empty if not clear."""
    scripts: Counter[str] = Counter()
    for char in text:
        if char.isalpha():
            scripts[_script(char)] += 1
    if not scripts:
        return ""
    total = sum(scripts.values())
    if scripts["kana"] > 0.1 * total:
        return "ja"
    script, most = scripts.most_common(1)[0]
    if scripts["han"] > 0.3 * total:
        return "zh"
    if most < 0.5 * total:
        return ""
    by_script = {
        "hangul": "ko",
        "cyrillic": "ru",
        "arabic": "ar",
        "greek": "el",
        "hebrew": "he",
        "thai": "th",
        "devanagari": "hi",
    }
    if script in by_script:
        return by_script[script]
    words = re.findall(r"[^\W\d_]+", text.lower())
    counts = {name: sum(word in known for word in words) for name, known in _WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else ""


def _script(char: str) -> str:
    code = ord(char)
    if 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or code >= 0x20000:
        return "han"
    if 0x3040 <= code <= 0x30FF:
        return "kana"
    if 0xAC00 <= code <= 0xD7AF:
        return "hangul"
    name = unicodedata.name(char, "").split(" ", 1)[0].lower()
    return name if name in ("cyrillic", "arabic", "greek", "hebrew", "thai", "devanagari") else "latin"


def trouble_of(result: RunResult) -> str:
    """Return ``cut``, ``refused``, ``empty`` or nothing for an answer."""
    if result.cut_short:
        return "cut"
    if result.is_withheld or (refuses(result.text) and not result.tool_calls):
        return "refused"
    return "empty" if not result.text.strip() and not result.tool_calls else ""
