"""The extra ``fast``: exact, tried before it is used, and not needed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from tests.promptop.tokens.material import text

from promptop.base.errors import PromptopError, UsageError
from promptop.models import families, find
from promptop.tokens import TokenDocument, count, document, encoding, splintr, vocabularies
from promptop.tokens.counting import encodings_for

CACHES = (
    splintr.available,
    splintr.encoder,
    splintr.build,
    splintr._splintr,
    splintr._tokens,
    families.traits,
    families.has_extra,
)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Forget what was found out about the extra, before and after."""
    for cached in CACHES:
        cached.cache_clear()
    yield
    for cached in CACHES:
        cached.cache_clear()


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setattr(splintr, "available", lambda: False)
    monkeypatch.setattr(families, "has_extra", lambda: False)


with_extra = pytest.mark.skipif(not splintr.available(), reason="splintr-rs has no wheel for this system")


@with_extra
@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base", *splintr.VOCABULARIES])
def test_it_gives_tiktokens_ids(name: str) -> None:
    quick, reference = splintr.encoder(name), encoding(name).encode_ordinary
    assert quick is not reference
    source = random.Random(21)
    for _ in range(1500):
        content = text(source, source.choice((1, 2, 5, 20)), surrogates=True)
        assert quick(content) == reference(content), ascii(content)
    assert quick("x'ſ it'ſ") == reference("x'ſ it'ſ")  # where splintr alone differs


@with_extra
@pytest.mark.parametrize("name", list(splintr.VOCABULARIES))
def test_documents_of_its_vocabularies_are_exact(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "TARGET", 4)
    monkeypatch.setattr(document, "_HARD", 16)
    monkeypatch.setattr(document, "LONG", 8)
    source, reference = random.Random(22), encoding(name).encode_ordinary
    for _ in range(20):
        content = text(source, 30)
        held = TokenDocument(name, content, splintr.encoder(name))
        for _ in range(20):
            start = source.randrange(len(content) + 1)
            end = min(len(content), start + source.choice((0, 0, 1, 5)))
            new = text(source, source.choice((0, 1, 3)))
            content = content[:start] + new + content[end:]
            assert held.replace(start, end, new) == len(reference(content))
        assert sum(held.count_lines(0, held.lines)) == held.count


@with_extra
def test_models_of_its_vocabularies_are_exact(fresh: None) -> None:
    assert count("Hello world!", "llama-3.1-8b-instruct").kind == "exact"
    assert encodings_for(["llama-3.3-70b-versatile"]) == ("llama3",)


@pytest.mark.usefixtures("without_extra")
def test_without_it_everything_else_works() -> None:
    model = find("llama-3.1-8b-instruct")
    assert model is not None
    assert (model.encoding, model.count_kind) == ("o200k_base", "estimated")
    assert count("Hello world!", "llama-3.1-8b-instruct").kind == "estimated"
    assert splintr.encoder("o200k_base")("hello") == vocabularies.encoder("o200k_base")("hello")
    with pytest.raises(PromptopError, match=r"promptop\[fast\]"):
        encoding("llama3")


@with_extra
def test_what_fails_its_trial_is_not_used(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    class Wrong:
        def encode_ordinary(self, content: str) -> list[int]:
            return [0]

    real = splintr._splintr("llama3")
    splintr._tokens("llama3")
    monkeypatch.setattr(splintr, "_splintr", lambda name: Wrong())
    encode = splintr.encoder("o200k_base")
    assert encode("hello world") == encoding("o200k_base").encode_ordinary("hello world")
    assert real is not None
    with pytest.raises(PromptopError, match="trial"):
        splintr.build("llama3")


@with_extra
def test_long_chunks_go_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, seen = splintr.encoder("o200k_base"), []
    held = TokenDocument("o200k_base", "a" * 50_000, lambda part: seen.append(len(part)) or quick(part))
    assert held.count == len(encoding("o200k_base").encode_ordinary("a" * 50_000))
    assert held.replace(0, 0, "x y z ") == len(encoding("o200k_base").encode_ordinary("x y z " + "a" * 50_000))
    assert len(seen) == 2
    assert min(seen) >= 50_000


def test_an_unknown_encoding_names_those_of_the_extra_too() -> None:
    with pytest.raises(UsageError, match="llama3"):
        vocabularies.vocabulary("no-such")
