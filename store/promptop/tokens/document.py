"""Skeleton: signatures only."""

from __future__ import annotations


class TokenDocument:
    """A text whose token count is exact after every edit and costs what the edit costs."""

    def __init__(self, encoding_name: str, text: str = "") -> None:
        raise NotImplementedError

    def replace(self, start: int, end: int, new: str) -> int:
        """Replace the characters [start, end) by ``new`` and return the exact new total."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """Tokens of the whole text."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The whole text."""
        raise NotImplementedError

    def count_range(self, start: int, end: int) -> int:
        """Return how many tokens begin in the characters [start, end)."""
        raise NotImplementedError

    def boundaries(self, start: int, end: int) -> list[tuple[int, bool]]:
        """Return (character, merged) for each token start in [start, end)."""
        raise NotImplementedError
