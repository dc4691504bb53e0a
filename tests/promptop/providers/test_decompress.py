"""Decompression in bounded pieces: all of it, whatever the reads, and nothing after something broken."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptop.capture.parse.stream_reader import MOST_DECODED, StreamReader
from promptop.providers.stream.decompress import PIECE, inflater


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "x-gzip": gzip.compress,
}


def unpacked(encoding: str, *reads: bytes) -> tuple[bytes, bool]:
    inflate = inflater(encoding)
    assert inflate is not None
    pieces = [piece for read in reads for piece in inflate(read)]
    assert all(0 < len(piece) <= PIECE for piece in pieces)
    return b"".join(pieces), inflate.broken


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("step", [1, 100, 1 << 20])
def test_a_megabyte_comes_out_whole(encoding: str, step: int) -> None:
    data = b"0123456789" * 100_000
    packed = PACKERS[encoding](data)
    assert unpacked(encoding, *(packed[i : i + step] for i in range(0, len(packed), step))) == (data, False)


@given(st.binary(max_size=500), st.integers(1, 50), st.sampled_from([*PACKERS, "raw"]))
def test_any_split(data: bytes, step: int, encoding: str) -> None:
    packed = raw_deflate(data) if encoding == "raw" else PACKERS[encoding](data)
    name = "deflate" if encoding == "raw" else encoding
    first = max(step, 2)  # the format shows in the first two bytes
    reads = [packed[:first], *(packed[i : i + step] for i in range(first, len(packed), step))]
    assert unpacked(name, *reads) == (data, False)


def test_what_is_broken_stays_broken() -> None:
    packed = gzip.compress(b"hello " * 1000)
    whole, broken = unpacked("gzip", packed[:20], b"\xff" * 20, packed[20:])
    assert broken and b"hello ".startswith(whole[:6])
    assert unpacked("deflate", b"\xff\xff\xff", b"more") == (b"", True)
    assert unpacked("gzip", packed, b"trailing") == (b"hello " * 1000, False)


def test_encodings_that_nobody_reads() -> None:
    assert inflater("x-own") is None
    assert inflater("gzip, br") is None


def test_a_bomb_is_left_alone_and_a_large_answer_is_not() -> None:
    bomb = gzip.compress(b"\0" * (MOST_DECODED + (8 << 20)), 9)
    reader = StreamReader(0.0, content_type="application/json", content_encoding="gzip")
    for start in range(0, len(bomb), 1000):
        reader.feed(bomb[start : start + 1000], 1.0)
    assert (reader.bytes_received, reader.bytes_decoded) == (len(bomb), None)
    large = gzip.compress(b'{"data": [' + b"0.12345, " * 300_000 + b"0]}")
    reader = StreamReader(0.0, content_type="application/json", content_encoding="gzip")
    reader.feed(large, 1.0)
    assert reader.bytes_decoded == 10 + 9 * 300_000 + 3
