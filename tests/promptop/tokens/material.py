"""Text that tokenizers find hard, and texts made of it."""

from __future__ import annotations

import random

_WORDS = """
a hello world don't I'LL 's ſ the Prompt ENGINEERING isn't aB AbC ÀÉ ß İ ǅ ʰ _ __init__ == => // / \\ # ## { } ();
<|endoftext|> <|im_start|> 🙂 👨‍👩‍👧 © € + $ ^ ` ~ ´ ¨ — … “ ” 123 4567 ١٢ ½ Ⅷ ² 你好 提示 。 ， ？ 、 「 」 ー ・ ゛ ゝ
か が カタカナ ﾊﾟ 한국어 𠮷 龥 龦 㐀 鿿 𝒜 مرحبا नमस्ते ไทย Привет ελ aaaaaaaaaaaaaaaaaaaaaaaa
"""
ATOMS = _WORDS.split()
ATOMS += [" ", "  ", "   ", "        ", "\n", "\n\n", "\r\n", "\t", "\r", "\n    ", "\n/", "\n//", "!\n/x", "?\n\n/"]
ATOMS += [
    "か\u3099",
    "조\u11a8",
    "\u1100\u1161",
    "e\u0301",
    "\u0301",
    "\u0308",
    "<\u0338",
    "\u200d",
    "\ufe0f",
    "\u200b",
]
ATOMS += ["\ufeff", "\x00", "\x01", "\x1b", "\x7f", "\x85", "\xa0", "\u2028", "\u2029", "\u3000", "\u1680", "\u180e"]
ATOMS += ["\ue000", "\U0010ffff", "\ufffd", "\u0378", "class Foo:\n    def bar(self):\n        return 1\n"]
SURROGATES = ["\ud83d", "\ude00", "\ud83d\ude00"]

ENGLISH = "The quick brown fox doesn't jump over 12,345 lazy dogs; it's (mostly) asleep.\n\n"
CHINESE = "提示工程是指设计和优化输入文本，让模型给出更好的回答。它包括：明确目标、举例说明、限定格式。\n"
CODE = 'def mean(values: list[float]) -> float:\n    """Return the mean."""\n    return sum(values) / len(values)\n\n'


def text(source: random.Random, atoms: int, surrogates: bool = False) -> str:
    """Return a text of so many pieces."""
    stock = ATOMS + SURROGATES if surrogates else ATOMS
    return "".join(source.choice(stock) for _ in range(atoms))


def mixed(characters: int, seed: int = 0) -> str:
    """Return English, Chinese and code in stretches of some lines, so many characters of it."""
    source = random.Random(seed)
    parts: list[str] = []
    size = 0
    while size < characters:
        part = source.choice((ENGLISH, CHINESE, CODE)) * source.randrange(1, 12)
        words = part.split(" ")
        words.insert(source.randrange(len(words)), f"{source.random():.6f}")
        parts.append(" ".join(words))
        size += len(parts[-1])
    return "".join(parts)[:characters]
