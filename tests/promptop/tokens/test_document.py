"""The count of a document is the tokenizer's count of its text, after any edits."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.promptop.tokens.material import ATOMS, SURROGATES, mixed, text

from promptop.tokens import TokenDocument, document, vocabularies
from promptop.tokens.split_points import BARRIER, BARRIER_GPT2

NAMES = vocabularies.names()
PROMISED = ("o200k_base", "cl100k_base")


def reference_starts(content: str, name: str) -> list[int]:
    """Return the character in which each token of the whole text begins, from one encoding of all of it."""
    vocabulary = vocabularies.vocabulary(name)
    starts, _ = document.token_starts(
        content, vocabularies.encoder(name), vocabularies.token_lengths(name), vocabulary.nfc
    )
    return list(starts)


@pytest.fixture(params=[(3, 4), (512, 64)], ids=["tiny chunks", "real chunks"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks put a barrier at nearly every place where one may be."""
    target, block = request.param
    monkeypatch.setattr(document, "TARGET", target)
    monkeypatch.setattr(document, "_HARD", 4 * target)
    monkeypatch.setattr(document, "_SMALL", max(1, target // 8))
    monkeypatch.setattr(document, "_BLOCK", block)


def edits(source: random.Random, content: str) -> tuple[int, int, str]:
    start = source.randrange(len(content) + 1)
    end = start if source.random() < 0.5 else min(len(content), start + source.choice((1, 1, 2, 10, 60, 300)))
    gone = end > start and source.random() < 0.6
    return start, end, "" if gone else text(source, source.choice((1, 1, 2, 12)), surrogates=True)


def fuzz(name: str, rounds: int, seed: int) -> int:
    source = random.Random(seed)
    encode = vocabularies.encoder(name)
    made = 0
    while made < rounds:
        content = text(source, source.choice((0, 3, 30, 120)), surrogates=True)
        held = TokenDocument(name, content)
        for _ in range(50):
            start, end, new = edits(source, content)
            before, content = content, content[:start] + new + content[end:]
            assert held.replace(start, end, new) == len(encode(content)), ascii((before, start, end, new))
            made += 1
        assert held.text == content
        assert len(held) == len(content)
        assert held.lines == content.count("\n") + 1
    return made


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("name", PROMISED)
def test_ten_thousand_edits_each_way_are_exact(name: str) -> None:
    assert fuzz(name, 10_000, seed=11) >= 10_000


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in PROMISED])
def test_the_other_encodings_are_exact_too(name: str) -> None:
    fuzz(name, 1_500, seed=12)


_pieces = st.lists(st.sampled_from(ATOMS + SURROGATES) | st.text(max_size=6), max_size=40).map("".join)
_edit = st.tuples(st.floats(0, 1), st.floats(0, 0.3), _pieces)


@pytest.mark.parametrize("name", PROMISED)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(content=_pieces, steps=st.lists(_edit, max_size=8))
def test_any_sequence_of_edits_is_exact(
    name: str, content: str, steps: list[tuple[float, float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "TARGET", 4)
    monkeypatch.setattr(document, "_HARD", 16)
    held = TokenDocument(name, content)
    for at, size, new in steps:
        start = int(at * len(content))
        end = min(len(content), start + int(size * len(content)))
        content = content[:start] + new + content[end:]
        held.replace(start, end, new)
    assert held.count == len(vocabularies.encoder(name)(content))
    assert held.text == content


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base", "deepseek", "tekken", "qwen"])
def test_a_barrier_splits_the_count_of_any_text(name: str) -> None:
    source, encode = random.Random(5), vocabularies.encoder(name)
    checked = 0
    for _ in range(300):
        content = text(source, 40)
        places = [found.start() for found in BARRIER.finditer(content)]
        for place in source.sample(places, min(3, len(places))):
            assert len(encode(content[:place])) + len(encode(content[place:])) == len(encode(content)), ascii(content)
            checked += 1
    assert checked > 500


@pytest.mark.parametrize("character", ["a", "你", "\u0301", " ", "\n", "!", "/", "'", "🙂", "1", "\ud83d"])
def test_very_long_runs_of_one_character(character: str) -> None:
    for name in PROMISED:
        encode = vocabularies.encoder(name)
        content = character * 6000
        held = TokenDocument(name, content)
        for start, end, new in ((3000, 3000, "x"), (10, 4000, ""), (0, 0, character * 3000), (2500, 2501, "\n")):
            content = content[:start] + new + content[end:]
            assert held.replace(start, end, new) == len(encode(content))


def test_newlines_are_no_barriers_for_gpt2() -> None:
    assert BARRIER.search("\n\nx", 1) is not None
    assert BARRIER_GPT2.search("\n\nx", 1) is None
    encode = vocabularies.encoder("r50k_base")
    assert len(encode("\n\n")) + len(encode("x")) != len(encode("\n\nx"))  # why they are none


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("name", NAMES)
def test_ranges_lines_and_edges_are_those_of_the_whole_text(name: str) -> None:
    source = random.Random(7)
    for _ in range(25):
        content = text(source, 60, surrogates=True)
        held = TokenDocument(name)
        for _ in range(6):
            at = source.randrange(len(held) + 1)
            held.replace(at, at, text(source, 5, surrogates=True))
        held.replace(0, len(held), content)
        starts = reference_starts(content, name)
        edges = held.boundaries(0, len(content))
        assert [place for place, _ in edges] == sorted(set(starts))
        for place, merged in edges:
            assert merged or starts.count(place) == 1
        low, high = sorted(source.randrange(len(content) + 1) for _ in range(2))
        assert held.count_range(low, high) == sum(low <= start < high for start in starts)
        assert held.slice(low, high) == content[low:high]
        assert [place for place, _ in held.boundaries(low, high)] == [p for p in sorted(set(starts)) if low <= p < high]
        lines = content.split("\n")
        ends = [sum(len(line) + 1 for line in lines[: k + 1]) for k in range(len(lines))]
        expected = [sum(end - len(line) - 1 <= s < end for s in starts) for line, end in zip(lines, ends, strict=True)]
        assert held.count_lines(0, len(lines) + 5) == expected
        assert held.offset_of_line(len(lines) - 1) == len(content) - len(lines[-1])


def test_an_edge_inside_a_character_is_moved_to_it_and_marked() -> None:
    held = TokenDocument("cl100k_base", "a龦b")
    assert held.count == 4  # the Han character is two tokens
    assert held.boundaries(0, 3) == [(0, False), (1, True), (2, False)]
    assert held.count_range(1, 2) == 2


def test_an_empty_document_and_wrong_ranges() -> None:
    held = TokenDocument("o200k_base")
    assert (held.count, held.text, held.lines, held.boundaries(0, 5), held.count_lines(0, 3)) == (0, "", 1, [], [0])
    with pytest.raises(IndexError):
        held.replace(0, 1, "x")
    with pytest.raises(IndexError):
        held.replace(-1, 0, "x")
    assert held.replace(0, 0, "hello") == 1
    assert held.replace(0, 5, "") == 0


def test_only_touched_chunks_are_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    held = TokenDocument("o200k_base", mixed(200_000))
    assert held.count > 0
    encoded: list[int] = []
    encode = held._encode
    monkeypatch.setattr(held, "_encode", lambda part: (encoded.append(len(part)), encode(part))[1])
    held.replace(100_000, 100_000, "x")
    assert sum(encoded) < 8 * document.TARGET


def test_edits_before_a_count_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    held = TokenDocument("o200k_base", "hello " * 50)
    assert held.count == 51
    calls: list[str] = []
    encode = held._encode
    monkeypatch.setattr(held, "_encode", lambda part: (calls.append(part), encode(part))[1])
    for _ in range(10):
        held.apply(3, 3, "y")
    assert calls == []
    assert held.count == len(encode(held.text))
    assert len(calls) == 1
