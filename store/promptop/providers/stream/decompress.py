"""Compressed responses, read in bounded pieces: a small input must not inflate to an unbounded buffer."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

PIECE = 64 * 1024
"""Largest piece of decompressed bytes (brotli may give twice as much)."""


class Inflater(Protocol):
    """Decompresses a body read by read."""

    broken: bool
    """The body turned out not to be what its header says; nothing more comes of it."""

    def __call__(self, data: bytes) -> Iterator[bytes]:
        """Yield the decompressed bytes of one read, in pieces."""


def inflater(encoding: str) -> Inflater | None:
    """Return what decompresses ``encoding`` (a Content-Encoding), or None where this host cannot.

    brotli and zstd come from whatever library the host has: only a host that has one asks for them.
    """
    name = encoding.strip().lower()
    if name in ("gzip", "x-gzip"):
        return _Zlib(zlib.MAX_WBITS | 16)
    if name == "deflate":
        return _Zlib(zlib.MAX_WBITS)
    if name == "br" and (module := _first("brotli", "brotlicffi")) is not None:
        return _Brotli(module.Decompressor())
    if name == "zstd" and (module := _first("compression.zstd", "backports.zstd")) is not None:
        return _Zstd(module.ZstdDecompressor())
    return None


def _first(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


class _Zlib:
    __slots__ = ("_first", "_object", "broken")

    def __init__(self, window_bits: int) -> None:
        self._object = zlib.decompressobj(window_bits)
        self._first = window_bits == zlib.MAX_WBITS
        self.broken = False

    def __call__(self, data: bytes) -> Iterator[bytes]:
        first, self._first = self._first, False
        while not self.broken and not self._object.eof:
            try:
                piece = self._object.decompress(data, PIECE)
            except zlib.error:
                # Some servers send raw deflate under the name of zlib's format.
                self.broken = not first
                first = False
                self._object = zlib.decompressobj(-zlib.MAX_WBITS)
                continue
            data = self._object.unconsumed_tail
            if piece:
                yield piece
            if not data and len(piece) < PIECE:
                return


class _Brotli:
    __slots__ = ("_process", "broken")

    def __init__(self, decompressor: Any) -> None:
        self._process = getattr(decompressor, "process", None) or decompressor.decompress
        self.broken = False

    def __call__(self, data: bytes) -> Iterator[bytes]:
        while not self.broken:
            try:
                piece = self._process(data, output_buffer_limit=PIECE)
            except Exception:  # noqa: BLE001 - each library has its own error class, old ones refuse the limit
                self.broken = True
                return
            if not piece:
                return
            yield piece
            data = b""


class _Zstd:
    __slots__ = ("_object", "broken")

    def __init__(self, decompressor: Any) -> None:
        self._object = decompressor
        self.broken = False

    def __call__(self, data: bytes) -> Iterator[bytes]:
        while not self.broken and not self._object.eof:
            try:
                piece = self._object.decompress(data, PIECE)
            except Exception:  # noqa: BLE001 - each library has its own error class
                self.broken = True
                return
            if piece:
                yield piece
            if self._object.needs_input:
                return
            data = b""
