"""The promises of the safe rules on sixty realistic prompts: nothing harmed, settled at once, tokens saved."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from promptop.prompts.structure import Structure, read_structure
from promptop.tokens import encoding
from promptop.trim import chosen, trim
from promptop.trim.guards import demands, negations

SAFE = chosen(safe_only=True)
PARTS = re.split(
    r"^=== (.+)\n", Path(__file__).with_name("corpus.txt").read_text(encoding="utf-8"), flags=re.MULTILINE
)[1:]
PROMPTS = dict(zip(PARTS[::2], PARTS[1::2], strict=True))


def test_the_corpus_is_large_enough() -> None:
    assert len(PROMPTS) >= 60
    assert sum(name.startswith("zh") for name in PROMPTS) >= 20


def spans(structure: Structure) -> list[str]:
    """Return the protected spans; a sentence that got short may be read as a label."""
    return [structure.text[each.start : each.end] for each in structure.protected if each.reason != "a label"]


@pytest.mark.parametrize("name", PROMPTS)
def test_nothing_is_harmed(name: str) -> None:
    text = PROMPTS[name]
    result = trim(text, "o200k_base", SAFE)
    before, after = read_structure(text), read_structure(result.text)
    assert spans(after) == spans(before)
    assert demands(result.text) == demands(text)
    assert negations(result.text) == negations(text)
    assert len(after.messages) == len(before.messages)
    assert trim(result.text, "o200k_base", SAFE).text == result.text
    assert result.tokens_after <= result.tokens_before
    assert result.tokens_after == len(encoding("o200k_base").encode_ordinary(result.text))


def test_most_prompts_get_shorter() -> None:
    saved = [
        1 - result.tokens_after / result.tokens_before
        for result in (trim(text, "o200k_base", SAFE) for text in PROMPTS.values())
    ]
    assert sum(saving > 0.05 for saving in saved) > 0.8 * len(saved)
