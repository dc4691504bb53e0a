"""Packed ranks: the files that tiktoken would fetch, rebuilt byte for byte, without network."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import lzma
import subprocess
import sys
from pathlib import Path

import pytest

from promptop.base.errors import PromptopError, UsageError
from promptop.tokens import encoding, vocabularies

TIKTOKEN_HASHES = {  # from tiktoken_ext.openai_public
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "p50k_base": "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
    "r50k_base": "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
}
REFERENCES = json.loads((Path(__file__).parent / "references.json").read_text())


@pytest.mark.parametrize("name", TIKTOKEN_HASHES)
def test_the_ranks_rebuild_to_the_file_whose_hash_tiktoken_checks(name: str) -> None:
    made = encoding(name)._mergeable_ranks
    lines = [
        base64.b64encode(token) + b" %d\n" % rank for token, rank in sorted(made.items(), key=lambda item: item[1])
    ]
    assert hashlib.sha256(b"".join(lines)).hexdigest() == TIKTOKEN_HASHES[name]


@pytest.mark.parametrize(
    ("text", "cl100k", "o200k"),
    [
        ("解释什么是提示工程?", 10, 6),
        ("你好", 2, 1),
        ("hello", 1, 1),
        (
            "请你扮演一个资深的软件工程师,详细解释什么是提示工程,包括它的定义、重要性、常用技巧,还要举2个实际例子,语言要通俗易懂,不要用专业术语。",
            81,
            53,
        ),
        ("用200字解释提示工程:定义、1个重要性、1个技巧(比如Few-shot)。", 29, 22),
    ],
)
def test_known_counts(text: str, cl100k: int, o200k: int) -> None:
    assert len(vocabularies.encoder("cl100k_base")(text)) == cl100k
    assert len(vocabularies.encoder("o200k_base")(text)) == o200k
    assert len(vocabularies.encoder("o200k_harmony")(text)) == o200k


@pytest.mark.parametrize("name", ["deepseek", "tekken", "qwen"])
def test_vocabularies_of_others_give_what_their_own_tokenizers_gave(name: str) -> None:
    encode = vocabularies.encoder(name)
    for text, (size, digest) in zip(REFERENCES["texts"], REFERENCES[name]["tokens"], strict=True):
        ids = encode(text)
        assert len(ids) == size, ascii(text)
        assert hashlib.blake2b(",".join(map(str, ids)).encode(), digest_size=8).hexdigest() == digest, ascii(text)


@pytest.mark.parametrize("name", vocabularies.names())
def test_every_encoding_takes_special_token_text_and_surrogates_as_text(name: str) -> None:
    encode, made = vocabularies.encoder(name), encoding(name)
    special = max(made.special_tokens_set, default="<|endoftext|>")
    assert len(encode(special)) > 1
    assert made.decode(encode(special)) == special
    assert encode("") == []
    assert made.decode(encode("a\ud800b")) == "a\ufffdb"


@pytest.mark.parametrize("name", vocabularies.names())
def test_token_lengths_are_those_of_the_tokens(name: str) -> None:
    made, lengths = encoding(name), vocabularies.token_lengths(name)
    for identity in vocabularies.encoder(name)("def f(): 你好 — prompt\n\n"):
        assert lengths[identity] == len(made.decode_single_token_bytes(identity))


def test_special_tokens_have_their_ids() -> None:
    assert encoding("o200k_harmony").encode("<|start|>system<|message|>", allowed_special="all")[0] == 200006
    assert encoding("o200k_base").n_vocab == 200019
    assert encoding("o200k_harmony").n_vocab == 201088
    assert encoding("cl100k_base").n_vocab == 100277
    assert encoding("cl100k_base") is encoding("cl100k_base")


def test_an_unknown_encoding_is_told_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="o200k_base"):
        encoding("o300k")


def test_damaged_ranks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {**vocabularies.manifest()["p50k_base"], "sha256": "0" * 64}
    monkeypatch.setattr(vocabularies, "manifest", lambda: {"p50k_base": entry})
    with pytest.raises(PromptopError, match="damaged"):
        vocabularies.payload("p50k_base")


def test_building_an_encoding_opens_no_socket_and_no_cache(tmp_path: Path) -> None:
    code = (
        "import socket, tempfile\n"
        "def refuse(*a, **k): raise SystemExit('network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from promptop.tokens import encoding\n"
        "print(len(encoding('o200k_base').encode_ordinary('hello world')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"TMPDIR": str(tmp_path), "PATH": ""},
        check=True,
    )
    assert done.stdout.strip() == "2"
    assert list(tmp_path.iterdir()) == []


def test_the_packing_tool_refuses_another_file_and_makes_what_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(__file__).parents[3] / "tools" / "pack_ranks.py"
    spec = importlib.util.spec_from_file_location("pack_ranks", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "PACKED", tmp_path / "packed")
    source = tmp_path / "p50k_base.tiktoken"
    ranked = sorted(encoding("p50k_base")._mergeable_ranks.items(), key=lambda item: item[1])
    lines = [base64.b64encode(token) + b" %d\n" % rank for token, rank in ranked]
    source.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(SystemExit, match="sha256"):
        tool.pack("p50k_base", source)
    assert not (tmp_path / "packed").exists()
    source.write_bytes(b"".join(lines))
    tool.pack("p50k_base", source)
    made = json.loads((tmp_path / "packed" / "manifest.json").read_text())
    assert made["p50k_base"] == vocabularies.manifest()["p50k_base"]
    assert lzma.decompress((tmp_path / "packed" / "p50k_base.xz").read_bytes()) == vocabularies.payload("p50k_base")
