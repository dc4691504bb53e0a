"""Token pieces of simulated answers, from the real tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenPiece:
    """Text that one stream event carries: one token, or a few that share a character."""

    text: str
    tokens: int


def encode(text: str, encoding: str) -> list[int]:
    """Return the token ids of ``text``; special tokens in it are ordinary text."""
    from promptop.tokens import encoding as load

    return load(encoding).encode(text, disallowed_special=())


def pieces(text: str, encoding: str) -> list[TokenPiece]:
    """Split text as a server streams it: a token each, tokens that end inside a character joined to the next."""
    from promptop.tokens import encoding as load

    return join(load(encoding).decode_tokens_bytes(encode(text, encoding)))


def join(parts: Sequence[bytes]) -> list[TokenPiece]:
    """Join token bytes to pieces that are whole characters; a broken tail is left out of the text but counted."""
    found: list[TokenPiece] = []
    held, count = b"", 0
    for part in parts:
        held += part
        count += 1
        try:
            text = held.decode()
        except UnicodeDecodeError:
            continue
        found.append(TokenPiece(text, count))
        held, count = b"", 0
    if count:
        found.append(TokenPiece("", count))
    return found


def cut(found: Sequence[TokenPiece], limit: int) -> tuple[list[TokenPiece], bool]:
    """Return the pieces within ``limit`` tokens, and whether something was left out."""
    kept: list[TokenPiece] = []
    used = 0
    for piece in found:
        if used + piece.tokens > limit:
            # A character of three tokens does not fit into one: the token is spent, the character is not shown.
            if used < limit:
                kept.append(TokenPiece("", limit - used))
            return kept, True
        kept.append(piece)
        used += piece.tokens
    return kept, False
