from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptop.base.errors import PromptopError, UsageError
from promptop.cli import main as cli
from promptop.client.embedding import MAX_REQUEST_TOKENS, embed, pack, truncated
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint
from promptop.tokens import encoding


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@given(st.lists(st.integers(1, 8192), max_size=6000))
def test_every_input_is_in_one_request_in_order_and_no_limit_is_passed(tokens: list[int]) -> None:
    parts = pack(tokens)
    assert [index for part in parts for index in part] == list(range(len(tokens)))
    assert all(len(part) <= 2048 and sum(tokens[i] for i in part) <= MAX_REQUEST_TOKENS for part in parts)


def test_inputs_that_no_endpoint_takes_are_named() -> None:
    with pytest.raises(UsageError, match="Input 2 has 8,193 tokens"):
        pack([1, 8193])
    with pytest.raises(UsageError, match="Input 1 is empty"):
        pack([0])


def test_a_cut_text_fits_and_cuts_no_character() -> None:
    text = "解释什么是提示工程 👩‍💻 " * 2000
    cut = truncated(text, 100)
    assert len(encoding("cl100k_base").encode_ordinary(cut)) <= 100
    assert text.startswith(cut)
    assert truncated("short", 100) == "short"


async def test_a_hundred_texts_are_one_request_and_the_order_is_kept(
    endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    texts = [f"text number {n}" for n in range(100)]
    profile = Profile(base_url=endpoint.base_url)
    found = await embed(texts, "text-embedding-3-small", profile, transport={"log": tmp_path / "l"})
    assert found.requests == 1
    assert sum(r.path.endswith("/embeddings") for r in endpoint.requests) == 1
    assert found.input_tokens == sum(len(encoding("cl100k_base").encode_ordinary(text)) for text in texts)
    assert found.usd
    alone = await embed([texts[37]], "text-embedding-3-small", profile, transport={"log": tmp_path / "l"})
    assert found.vectors[37] == alone.vectors[0]
    assert found.vectors[37] != found.vectors[38]


async def test_many_texts_are_several_requests_in_order(endpoint: SimulatedEndpoint, tmp_path: Path) -> None:
    texts = [f"t{n}" for n in range(5000)]
    profile = Profile(base_url=endpoint.base_url, headers={"x-simulate": "shuffled"})
    options = {"dimensions": 4, "transport": {"log": tmp_path / "l"}}
    found = await embed(texts, "text-embedding-3-small", profile, **options)  # type: ignore[arg-type]
    assert found.requests == 3
    unshuffled = Profile(base_url=endpoint.base_url)
    plain = await embed(texts[2047:2050], "text-embedding-3-small", unshuffled, **options)  # type: ignore[arg-type]
    assert found.vectors[2047:2050] == plain.vectors


async def test_a_refusal_is_one_clear_error(endpoint: SimulatedEndpoint, tmp_path: Path) -> None:
    profile = Profile(base_url=endpoint.base_url, headers={"x-simulate": "401"})
    with pytest.raises(PromptopError, match="401"):
        await embed(["a", "b"], "text-embedding-3-small", profile, transport={"log": tmp_path / "l"})


def test_the_command_writes_vectors_and_names_bad_lines(
    endpoint: SimulatedEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    source = tmp_path / "in.txt"
    source.write_text("one\n\n二\n", encoding="utf-8")
    assert cli.main(["embed", str(source)]) == 0
    captured = capsys.readouterr()
    assert [json.loads(line)["index"] for line in captured.out.splitlines()] == [0, 1]
    assert "2 vectors · 1 requests" in captured.err
    bad = tmp_path / "in.jsonl"
    bad.write_text('{"text": "a"}\n{"txt": "b"}\n')
    assert cli.main(["embed", str(bad)]) == 2
    assert "in.jsonl:2" in capsys.readouterr().err
