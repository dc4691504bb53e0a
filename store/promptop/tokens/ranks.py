"""Skeleton: signatures only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken


def encoding(name: str) -> tiktoken.Encoding:
    """Return the tiktoken Encoding called ``name``, built offline from packed ranks whose sha256 is verified."""
    raise NotImplementedError
