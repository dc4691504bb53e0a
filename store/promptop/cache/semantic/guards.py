"""Guards of the semantic level: the differences that make two prompts two questions, however alike they sound.

An embedding puts "turn on" beside "turn off" and 2024 beside 2025. Each guard is deterministic and looks at the texts
alone; a guard that is wrong costs a hit, never a wrong answer. What no table knows counts as a name: every word that
carries content must stand in the other prompt too, as itself or as a synonym that :mod:`.wording` lists. So the vectors
rank and confirm what has passed here, and never decide alone that two names mean the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from promptop.cache.semantic.lexicon import DIGITS_ZH, SCALES_ZH, content, number_of, opposites, plain, units

_SCRIPTS = (
    ("ja", re.compile(r"[぀-ヿ]")),
    ("ko", re.compile(r"[가-힣]")),
    ("zh", re.compile(r"[㐀-鿿]")),
    ("ru", re.compile(r"[Ѐ-ӿ]")),
    ("ar", re.compile(r"[؀-ۿ]")),
    ("he", re.compile(r"[֐-׿]")),
    ("th", re.compile(r"[฀-๿]")),
    ("hi", re.compile(r"[ऀ-ॿ]")),
    ("el", re.compile(r"[Ͱ-Ͽ]")),
)
_OWN_SCRIPT = frozenset(name for name, _ in _SCRIPTS)
_TELLTALE = """
en the is are how what do does a an of to my please write explain and in for i
es el la los las cómo qué es de mi por para una un y en con
de der die das wie was ist und ein eine ich mein bitte heute nicht mit für
fr le la les comment que est un une je mon et pour avec dans des du quel quelle
it il lo gli come che è un una mio per con di e della sono
pt o os as como que é um uma meu por para com de e não
"""
_WORDS_OF = {line.split()[0]: frozenset(line.split()[1:]) for line in _TELLTALE.strip().split("\n")}

_FENCE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_CODE = re.compile(
    r"https?://[^\s,。，)）]+"  # addresses
    r"|[A-Za-z_][\w.]*\([^)\n]*\)"  # calls
    r"|[A-Za-z]\w*_\w+"  # snake_case
    r"|(?<![A-Za-z0-9_])[a-z]+[A-Z]\w*"  # camelCase
    r"|(?<![\w-])--?[A-Za-z][\w-]*"  # options
    r"|[\w.-]+\.(?:py|js|ts|md|txt|json|ya?ml|toml|csv|sh|c|h|cpp|rs|go|java|html|css|sql|pdf|docx?|xlsx?)\b"
    r"|[\w.+-]+@[\w-]+\.[\w.]+"  # mail addresses
    r"|\w+\[[^\]\n]*\]"  # indexing
    r"|[=!<>+*/%&|^~-]=|&&|\|\||->|=>|:=|\+\+|--|\*\*|<<|>>",  # operators
    re.ASCII,
)
_STATEMENT = re.compile(
    r"(?i)\b(?:select|insert|update|delete|create|alter|drop)\s.+?\b(?:from|into|set|table)\b.*|[{};]"
)
_QUOTED = re.compile(r"“([^”]+)”|\"([^\"]+)\"|《([^》]+)》|「([^」]+)」|‘([^’]+)’")

_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:[.,:/]\d+)*|\d+(?:[.,:/]\d+)*")
_NUMBER_ZH = re.compile(r"第?[零〇一二两三四五六七八九十百千万亿]+")
# "一" that counts nothing: an article with its measure word, or part of another word.
_ARTICLE_ZH = re.compile(
    r"一(?=[个首篇段封种些只下位条份张部本句幅套般样定直起切致共旦边])|(?<=[统万唯之同第单])一(?=[^章节次个十百千万年月日]|$)"
    r"|千(?=万不|万别)|万(?=一)|百(?=度)|三(?=明治)|十(?=分)|四(?=川)|万(?=能)"
)

_NOT_EN = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|except|cannot|un(?=safe|able|happy))|n't\b"
)
_NOT_ZH = re.compile(r"不|没|無|无|勿|未|別|别|非|莫|除了|避免|禁止")
_NOT_NEGATIVE = re.compile(
    r"能不能|会不会|是不是|要不要|可不可以|好不好|有没有|行不行|对不对|不同|不过|不仅|不但|不断|不管|不论|不错|不如|差不多|对不起|"
    r"没关系|非常|无论|无线|区别|类别|性别|特别|别人|级别|识别|分别|告别|个别|别墅|未来|除非|非洲|无人机|不锈钢"
)
# Said to the model and not of anybody.
_POLITE = re.compile(
    r"\b(?:(?:can|could|would|will) you|(?:tell|show|give|help|let) (?:me|us)|i (?:want|need|would like) to|i'd like to"
    r"|thank you)\b|请你|你能不能|你能|你可以|帮我|给我|告诉我|我想知道|我想|我要"
)
_PERSONS = (
    ("first", re.compile(r"\b(?:i|me|my|mine|we|us|our|ours|i'm|i'll)\b|我|咱")),
    ("second", re.compile(r"\b(?:you|your|yours)\b|你|您")),
    ("third", re.compile(r"\b(?:he|she|they|him|his|her|hers|them|their|theirs)\b|[他她它]")),
)
_PAST = re.compile(r"\b(?:did|was|were|had|used to)\b")
_PRESENT = re.compile(r"\b(?:do|does|is|are|am|has|have)\b|\w's\b")
_SHADES = (
    re.compile(r"\b(?:will|shall|going to)\b(?! you)|'ll\b|将(?:会|要|来)"),
    re.compile(r"\b(?:should|must|ought|have to|has to)\b|应该|必须|得"),
)
"""What is to come, and what one ought to do: another question than what is."""
_MOVABLE = frozenset(("cause", "原因", "write", "写", "calculate", "计算"))
"""Words that stand anywhere in a question without changing it."""

# What a question asks for. "What" and "which" ask for anything and stand beside every other.
_ASKS = (
    ("who", re.compile(r"\b(?:who|whom|whose)\b|谁")),
    ("when", re.compile(r"\bwhen\b|什么时候|何时|几点|哪年|哪一年|哪天")),
    ("where", re.compile(r"\bwhere(?:'s)?\b|哪里|哪儿|何处")),
    ("why", re.compile(r"\bwhy\b|为什么|为何|原因|\b(?:causes?|reasons?)\b")),
    ("how long", re.compile(r"\bhow (?:long|much time)\b|多久|多长时间|多少时间")),
    ("how much", re.compile(r"\bhow (?:much|many)\b(?! time)|多少|几")),
    ("how", re.compile(r"\bhow (?!long|much|many)|怎么|如何|怎样")),
    ("list", re.compile(r"^(?:please )?(?:list|enumerate)\b|列出|列举")),
)


def difference(one: str, other: str) -> str:
    """Return the kind of the first difference that needs an answer of its own; empty if there is none.

    Kinds: ``language``, ``code``, ``number``, ``unit``, ``negation``, ``entity``.
    """
    for kind, differs in _GUARDS:
        if differs(one, other):
            return kind
    return ""


def language_of(text: str) -> str:
    """Return the script or, for Latin script, the likely language of a text; empty if it cannot be told."""
    for name, pattern in _SCRIPTS:
        if len(pattern.findall(text)) >= max(1, len(text) // 50):
            return name
    words = re.findall(r"[^\W\d_]+", text.lower())
    counts = {name: sum(word in known for word in words) for name, known in _WORDS_OF.items()}
    best = max(counts.values(), default=0)
    leaders = [name for name, count in counts.items() if count == best]
    return leaders[0] if best and len(leaders) == 1 else ""


def _language(one: str, other: str) -> bool:
    first, second = language_of(one), language_of(other)
    if first == second or not (re.search(r"[^\W\d_]", one) and re.search(r"[^\W\d_]", other)):
        return False
    # A Latin text whose language cannot be told is still not a Chinese one.
    return bool(first and second) or first in _OWN_SCRIPT or second in _OWN_SCRIPT


def codes(text: str) -> Counter[str]:
    """Return the pieces of code in a text: fences, calls, identifiers, paths, options, operators."""
    found = Counter(" ".join(piece.strip("`").split()) for piece in _FENCE.findall(text))
    rest = _FENCE.sub(" ", text)
    found.update(_CODE.findall(rest))
    found.update(" ".join(piece.split()) for piece in _STATEMENT.findall(rest))
    return found


def _code(one: str, other: str) -> bool:
    return codes(one) != codes(other)


def numbers(text: str) -> Counter[str]:
    """Return the numbers in a text by value, whatever they are written in: 3, ３, three and 三 are one."""
    low = plain(text)
    found: Counter[str] = Counter()
    for piece in _NUMBER.findall(low):
        found[_value(piece)] += 1
    for word in re.findall(r"[a-z]+", low):
        if (value := number_of(word)) is not None:
            found[str(value)] += 1
    for piece in _NUMBER_ZH.findall(_ARTICLE_ZH.sub(" ", low)):
        found[_chinese_value(piece.removeprefix("第"))] += 1
    return found


def _value(piece: str) -> str:
    piece = piece.replace("−", "-").rstrip(".,:/")
    bare = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", piece)
    try:
        return str(Fraction(bare))
    except (ValueError, ZeroDivisionError):
        return bare


def _chinese_value(piece: str) -> str:
    """Return 二十三 as 23 and 二〇二四 as 2024."""
    if not any(char in SCALES_ZH for char in piece):
        return str(int("".join(str(DIGITS_ZH[char]) for char in piece)))
    total = section = digit = 0
    for char in piece:
        if char in DIGITS_ZH:
            digit = DIGITS_ZH[char]
        elif (scale := SCALES_ZH[char]) >= 10**4:
            total = (total + section + digit or 1) * scale
            section = digit = 0
        else:
            section += (digit or 1) * scale
            digit = 0
    return str(total + section + digit)


def _numbers(one: str, other: str) -> bool:
    return numbers(one) != numbers(other)


_UNIT = re.compile(r"[a-z]+|[°℃℉$€£¥%][cf]?")


def measures(text: str) -> tuple[str, ...]:
    """Return the units that a text names, in order: "from °C to °F" is not "from °F to °C"."""
    known = units()
    low = plain(text)
    counted = re.sub(r"(?<=\d)(?=[a-z])", " ", low)
    found = [(match.start(), known[match[0]]) for match in _UNIT.finditer(counted) if match[0] in known]
    chinese = sorted((word for word in known if not word.isascii() and len(word) > 1), key=len, reverse=True)
    single = [word for word in known if len(word) == 1 and "㐀" <= word <= "鿿"]
    pattern = (
        "|".join(map(re.escape, chinese)) + "|(?<=[0-9一二两三四五六七八九十百千万几])(?:" + "|".join(single) + ")"
    )
    found += [(match.start(), known[match[0]]) for match in re.finditer(pattern, low)]
    return tuple(name for _, name in sorted(found))


def _units(one: str, other: str) -> bool:
    return measures(one) != measures(other)


def _negation(one: str, other: str) -> bool:
    first, second = plain(one), plain(other)
    if _denials(first) != _denials(second):
        return True
    for left, right in opposites():
        sides = [(_has(text, left), _has(text, right)) for text in (first, second)]
        if sides[0] != sides[1] and sides[0][0] + sides[0][1] + sides[1][0] + sides[1][1] >= 2:
            return True
    return False


def _denials(text: str) -> int:
    return len(_NOT_EN.findall(text)) + len(_NOT_ZH.findall(_NOT_NEGATIVE.sub(" ", text)))


def _has(text: str, words: frozenset[str]) -> bool:
    if any(not word.isascii() and word in text for word in words):
        return True
    return not words.isdisjoint(re.findall(r"[a-z]+", text))


def _entity(one: str, other: str) -> bool:
    if _quoted(one) != _quoted(other) or _acronyms(one) != _acronyms(other):
        return True
    if _persons(one, other) or _tense(one, other):
        return True
    first, second = content(one), content(other)
    if not first and not second:
        return True  # "Who am I?" and "Who are you?" are fillers throughout: nothing tells them apart
    left, right = Counter(first) - Counter(second), Counter(second) - Counter(first)
    asked, wanted = _asked(one), _asked(other)
    if asked and wanted and asked.isdisjoint(wanted):
        return True
    if left or right:
        return True
    # The same words in another order: "from A to B" is not "from B to A", nor "dog bites man" "man bites dog".
    return [word for word in first if word not in _MOVABLE] != [word for word in second if word not in _MOVABLE]


def _persons(one: str, other: str) -> bool:
    """Whether the texts speak of different persons: mine and yours, his and theirs."""
    told = [
        frozenset(who for who, said in _PERSONS if said.search(_POLITE.sub(" ", plain(text)))) for text in (one, other)
    ]
    return bool(told[0] and told[1] and told[0] != told[1])


def _tense(one: str, other: str) -> bool:
    """Whether one text asks what was and the other what is, or only one what will be or ought to."""
    first, second = (_POLITE.sub(" ", plain(text)) for text in (one, other))
    if any(bool(shade.search(first)) != bool(shade.search(second)) for shade in _SHADES):
        return True
    past, present = bool(_PAST.search(first)), bool(_PRESENT.search(first))
    was, now = bool(_PAST.search(second)), bool(_PRESENT.search(second))
    return (past and not present and now and not was) or (was and not now and present and not past)


def _acronyms(text: str) -> frozenset[str]:
    """Return the abbreviations that are spelled like words without content: IT, US, WHO."""
    return frozenset(word for word in re.findall(r"\b[A-Z]{2,}\b", text) if not content(word))


def _asked(text: str) -> frozenset[str]:
    low = plain(text)
    return frozenset(kind for kind, pattern in _ASKS if pattern.search(low))


def _quoted(text: str) -> Counter[str]:
    return Counter(next(filter(None, groups)) for groups in _QUOTED.findall(text))


_GUARDS: tuple[tuple[str, Callable[[str, str], bool]], ...] = (
    ("language", _language),
    ("code", _code),
    ("number", _numbers),
    ("unit", _units),
    ("negation", _negation),
    ("entity", _entity),
)
