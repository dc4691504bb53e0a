"""Answers made from the question: its language, its topic words, the form it asks for.

No model is involved. What matters is that an answer looks like one (length, mixture of scripts, lists, code, JSON),
that it is the same for the same question, and that a question shortened without losing its topic words keeps its
answer, so that trimming a prompt can be shown to change nothing.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptop.simulator.answers.phrases import CHINESE, ENGLISH, Phrases

_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_+#.-]*[A-Za-z0-9+#]|[A-Za-z]")
_READ_CHARS = 6000
"""Only so much of a prompt's end is read for its topic: enough for any question, and constant in a 1 MB prompt."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a prompt asks for."""

    language: str
    """``zh`` or ``en``."""
    shape: str
    """``prose``, ``list``, ``table``, ``json``, ``code`` or ``choice``."""
    topics: tuple[str, ...]
    count: int | None = None
    """Number of items of a list."""
    length: int | None = None
    """Limit in words (English) or characters (Chinese)."""
    sentences: int | None = None
    """Number of sentences, where the prompt says one."""
    options: tuple[str, ...] = ()
    """The labels of a choice."""

    @property
    def phrases(self) -> Phrases:
        """The sentences of its language."""
        return CHINESE if self.language == "zh" else ENGLISH


def read(prompt: str, system: str = "") -> Ask:
    """Read language, form, topic words and limits from a prompt; ``system`` helps where the prompt says little."""
    text = prompt if len(prompt) <= _READ_CHARS else prompt[: _READ_CHARS // 3] + "\n" + prompt[-_READ_CHARS * 2 // 3 :]
    language = _language(text)
    topics = _topics(text)
    if len(topics) < 2:
        topics = (*topics, *(topic for topic in _topics(system[:_READ_CHARS]) if topic not in topics))[:6]
    both = f"{system[:2000]}\n{text}"
    options = _options(both)
    return Ask(language, _shape(both, options), topics, _count(text), _length(text), _sentences(both), options)


def as_json(ask: Ask) -> Ask:
    """Return the same question with an answer in JSON."""
    return replace(ask, shape="json")


def answer(ask: Ask, rng: random.Random, schema: Mapping[str, Any] | None = None) -> str:
    """Write the answer. ``schema`` is the JSON schema to follow where the request carries one."""
    if ask.shape == "json":
        value = from_schema(schema, ask, rng) if schema else _plain_json(ask, rng)
        return json.dumps(value, ensure_ascii=False, indent=2)
    if ask.shape == "choice":
        return rng.choice(ask.options)
    if ask.shape == "code":
        return _code(ask, rng)
    if ask.shape == "table":
        return _table(ask, rng)
    if ask.shape == "list":
        return _list(ask, rng)
    return _prose(ask, rng)


def reasoning(ask: Ask, rng: random.Random, sentences: int) -> str:
    """Write thoughts that come before an answer."""
    return _join(ask, [fill(rng.choice(ask.phrases.thoughts), ask, rng) for _ in range(sentences)])


def seeded(*parts: object) -> random.Random:
    """Return a generator that depends on the parts alone, across processes and runs."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "big"))


def from_schema(schema: Mapping[str, Any], ask: Ask, rng: random.Random, root: Mapping[str, Any] | None = None) -> Any:
    """Invent a value that a JSON schema accepts (types, enum, const, anyOf, $ref, bounds of numbers and arrays)."""
    root = schema if root is None else root
    if reference := schema.get("$ref"):
        target: Any = root
        for step in str(reference).lstrip("#/").split("/"):
            target = target.get(step, {})
        return from_schema(target, ask, rng, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return rng.choice(list(schema["enum"]))
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return from_schema(schema[key][0], ask, rng, root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object":
        return {name: from_schema(part, ask, rng, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        least = int(schema.get("minItems", 1))
        size = max(least, min(int(schema.get("maxItems", 3)), 3))
        return [from_schema(schema.get("items", {}), ask, rng, root) for _ in range(size)]
    if kind in ("integer", "number"):
        low = float(schema.get("minimum", 0))
        high = float(schema.get("maximum", low + 100))
        value = rng.uniform(low, high)
        return round(value) if kind == "integer" else round(value, 2)
    if kind == "boolean":
        return rng.random() < 0.5
    return None if kind == "null" else _topic(ask, rng)


def _language(text: str) -> str:
    asked = re.search(
        r"用(中文|英文|英语)|(?:in|into|to) (Chinese|English)\b|(?:译成|翻译为|翻译成)(中文|英文|英语)", text
    )
    if asked:
        return "zh" if next(group for group in asked.groups() if group) in ("中文", "Chinese") else "en"
    chinese = len(_CJK.findall(text))
    words = len(_WORD.findall(text))
    return "zh" if chinese > words else "en"


def _topics(text: str) -> tuple[str, ...]:
    """Return up to six topic words, the most frequent first, earlier ones before later ones."""
    counts: dict[str, int] = {}
    spread = CHINESE.stop.sub(" ", text)
    for run in re.findall(_CJK.pattern + "+", spread):
        for start in range(0, len(run), 8):
            if len(piece := run[start : start + 8]) >= 2:
                counts[piece] = counts.get(piece, 0) + 1
    for word in _WORD.findall(text):
        if len(word) > 2 and not ENGLISH.stop.fullmatch(word.lower()):
            known = next((form for form in (word, word.lower(), word.capitalize()) if form in counts), word)
            counts[known] = counts.get(known, 0) + 1
    ranked = sorted(counts, key=lambda word: -counts[word])  # stable: ties stay in order of appearance
    return tuple(ranked[:6])


def _shape(text: str, options: Sequence[str]) -> str:
    low = text.lower()
    if re.search(r"\bjson\b", low):
        return "json"
    if options:
        return "choice"
    if re.search(r"\btable\b|表格", low):
        return "table"
    if re.search(
        r"\b(write|implement|refactor)\b[^.]{0,40}\b(function|code|script|class|query|sql)\b", low
    ) or re.search(r"(写|实现|创建|编写)[^。]{0,12}(函数|代码|脚本|方法|程序|类|SQL)", text):
        return "code"
    if re.search(r"\b(list|bullets?|bullet points|steps|ideas)\b|列出|列表|清单|步骤|要点", low):
        return "list"
    if _count(text) is not None and not re.search(r"\d\s*字", text):
        return "list"
    return "prose"


def _options(text: str) -> tuple[str, ...]:
    found = re.search(
        r"(?:one of|one word|exactly one|only one|labels?|categor(?:y|ies)|其中之一|分类为|只回答|只输出)"
        r"[^:：\n]{0,24}[:：]\s*"
        r"([^\n.。;]{3,120})",
        text,
        re.IGNORECASE,
    )
    if not found:
        return ()
    parts = [part.strip(" \"'`“”") for part in re.split(r"\s*(?:,|、|/|\||,|\bor\b|或)\s*", found[1])]
    parts = [part for part in parts if part]
    return tuple(parts) if len(parts) >= 2 and all(len(part) <= 24 for part in parts) else ()


_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "ten": 10}
_NUMBERS |= {"两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10}


def _count(text: str) -> int | None:
    found = re.search(
        r"(\d{1,2}|two|three|four|five|six|seven|eight|ten)\s+(?:\w+\s+){0,2}?"
        r"(?:items?|points?|bullets?|bullet points|ideas?|steps?|reasons?|examples?|tips|ways|names|questions)\b",
        text,
        re.IGNORECASE,
    ) or re.search(r"(\d{1,2}|[两三四五六七八九十])\s*[个条点项种步]", text)
    if not found:
        return None
    word = found[1].lower()
    return max(1, min(30, int(word) if word.isdigit() else _NUMBERS[word]))


def _length(text: str) -> int | None:
    if found := re.search(r"(\d{1,4})\s*(?:words|字)", text):
        return max(5, int(found[1]))
    return None


def _sentences(text: str) -> int | None:
    words = "|".join(_NUMBERS)
    if found := re.search(rf"(\d|one|{words})\s*(?:short )?(?:sentences?\b|句话?)|(一)句话", text, re.IGNORECASE):
        word = (found[1] or "one").lower()
        return max(1, int(word) if word.isdigit() else _NUMBERS.get(word, 1))
    return 3 if re.search(r"\b(brief|briefly|short|concise)\b|简短|简要|简洁", text, re.IGNORECASE) else None


def _topic(ask: Ask, rng: random.Random) -> str:
    return rng.choice(ask.topics) if ask.topics else ask.phrases.nothing


def fill(template: str, ask: Ask, rng: random.Random) -> str:
    """Put topic words into the slots a, b, c of a sentence; different ones where there are enough."""
    words = list(ask.topics) or [ask.phrases.nothing]
    picked = [*rng.sample(words, min(3, len(words))), *ask.phrases.beside]
    sentence = template.format(a=picked[0], b=picked[1], c=picked[2])
    return sentence[:1].upper() + sentence[1:]


def _size(ask: Ask, text: str) -> int:
    return len(_CJK.findall(text)) if ask.language == "zh" else len(text.split())


def _join(ask: Ask, sentences: Sequence[str]) -> str:
    return ("" if ask.language == "zh" else " ").join(sentences)


def _prose(ask: Ask, rng: random.Random) -> str:
    phrases = ask.phrases
    sentences = [fill(rng.choice(phrases.openings), ask, rng)]
    pool = rng.sample(phrases.bodies, len(phrases.bodies))
    wanted = ask.sentences or rng.randint(3, 8)
    for index in range(400):
        if ask.length is None and len(sentences) >= wanted:
            break
        text = _join(ask, sentences)
        sentence = fill(pool[index % len(pool)], ask, rng)
        if ask.length is not None and _size(ask, text) + _size(ask, sentence) > ask.length:
            break
        sentences.append(sentence)
    if ask.length is None and len(sentences) > 4:
        half = len(sentences) // 2
        return _join(ask, sentences[:half]) + "\n\n" + _join(ask, sentences[half:])
    return _join(ask, sentences)


def _list(ask: Ask, rng: random.Random) -> str:
    phrases = ask.phrases
    count = ask.count or rng.randint(3, 6)
    pool = rng.sample(phrases.items, len(phrases.items))
    lines = [fill(pool[index % len(pool)], ask, rng) for index in range(count)]
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def _table(ask: Ask, rng: random.Random) -> str:
    head = "| " + " | ".join(ask.phrases.columns) + " |\n|---|---|---|"
    names = ask.topics or (ask.phrases.nothing,)
    rows = [f"| {name} | {rng.randint(1, 99)} | {rng.choice(ask.phrases.grades)} |" for name in names]
    return "\n".join((head, *rows))


def _code(ask: Ask, rng: random.Random) -> str:
    ascii_topics = [re.sub(r"\W+", "_", topic.lower()) for topic in ask.topics if topic.isascii()]
    name = "_".join(ascii_topics[:2]) or "solve"
    before, after = fill(rng.choice(ask.phrases.code_before), ask, rng), fill(rng.choice(ask.phrases.items), ask, rng)
    body = rng.choice(
        (
            "    if not values:\n        return 0.0\n    return sum(values) / len(values)\n",
            "    seen = {}\n    for value in values:\n        seen[value] = seen.get(value, 0) + 1\n"
            "    return max(seen, key=seen.get)\n",
            "    ordered = sorted(values)\n    return ordered[len(ordered) // 2]\n",
        )
    )
    return f"{before}\n\n```python\ndef {name}(values):\n{body}```\n\n{after}"


def _plain_json(ask: Ask, rng: random.Random) -> dict[str, Any]:
    summary = fill(rng.choice(ask.phrases.openings), ask, rng)
    return {"topic": _topic(ask, rng), "summary": summary, "items": list(ask.topics), "score": round(rng.random(), 2)}
