"""Find and replace in a text, without a widget.

Plain words and regular expressions both run on the ``regex`` package, which can be told to stop: an expression that
backtracks without end would hold up the keys otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptop.base.errors import PromptopError

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 20_000
"""Matches that are looked for at most."""
_TIME_S = 0.5


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is looked for."""

    text: str
    is_regex: bool = False
    match_case: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """One place: offsets in characters, ``start < end``."""

    start: int
    end: int
    replacement: str = ""


@dataclass(frozen=True, slots=True)
class Matches:
    """All matches in their order."""

    matches: tuple[Match, ...] = ()
    has_more: bool = False
    """Whether there are more than :data:`MOST`."""

    def at_or_after(self, offset: int) -> int | None:
        """Return the index of the first match from ``offset`` on, else of the first of all; None if there is none."""
        if not self.matches:
            return None
        return next((at for at, match in enumerate(self.matches) if match.start >= offset), 0)

    def before(self, offset: int) -> int | None:
        """Return the index of the last match that begins before ``offset``, else of the last of all."""
        if not self.matches:
            return None
        last = len(self.matches) - 1
        return next((at for at in range(last, -1, -1) if self.matches[at].start < offset), last)


def find(
    query: SearchQuery, text: str, within: tuple[int, int] | None = None, replacement: str | None = None
) -> Matches:
    """Find all matches, in the characters ``within`` if given, and what each would be replaced by.

    In a replacement for a regular expression ``\\1`` and ``\\g<name>`` are groups, ``\\n`` a line break; any other is
    taken as it stands. Raises :class:`PromptopError` for an expression or replacement that cannot be read, or that
    takes too long.
    """
    if not query.text:
        return Matches()
    import regex

    pattern = _compiled(query)
    start, end = within if within is not None else (0, len(text))
    matches: list[Match] = []
    try:
        for match in pattern.finditer(text, start, end, timeout=_TIME_S):
            if match.end() == match.start():
                continue
            if len(matches) == MOST:
                return Matches(tuple(matches), has_more=True)
            new = replacement or ""
            if replacement and query.is_regex:
                new = match.expand(replacement)
            matches.append(Match(match.start(), match.end(), new))
    except TimeoutError:
        raise PromptopError("The expression takes too long.", "Make it simpler.") from None
    except (regex.error, IndexError) as error:
        raise PromptopError(f"The replacement cannot be read: {error}.", r"Groups are \1 or \g<name>.") from None
    return Matches(tuple(matches))


def replaced(text: str, matches: Sequence[Match]) -> tuple[int, int, str]:
    """Return one edit that makes all replacements: start, end, and the text for between."""
    start, end = matches[0].start, matches[-1].end
    parts: list[str] = []
    at = start
    for match in matches:
        parts += text[at : match.start], match.replacement
        at = match.end
    return start, end, "".join(parts)


def _compiled(query: SearchQuery) -> Any:
    import regex

    flags = regex.MULTILINE | (0 if query.match_case else regex.IGNORECASE)
    try:
        return regex.compile(query.text if query.is_regex else regex.escape(query.text), flags)
    except regex.error as error:
        raise PromptopError(
            f"Not a regular expression: {error}.", "Correct it, or switch regular expressions off."
        ) from None
