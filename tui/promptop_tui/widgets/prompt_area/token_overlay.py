"""What can be painted over the draft: where tokens begin, and which lines take most of them.

Only visible lines are known; after an edit they keep what they had until the worker has answered, so nothing flickers.
Tokens alternate between two backgrounds and the second is underlined, for eyes and terminals without colours; heat has
the share of the tokens as a number in the gutter for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.style import Style

from promptop_tui.widgets.prompt_area.document import EditSpan, ExactDocument

if TYPE_CHECKING:
    from promptop.workers.token_client import Edges

TOKEN_CLASSES = ("prompt-area--token-a", "prompt-area--token-b")
MERGED_CLASS = "prompt-area--token-merged"
WEIGHT_CLASSES = {
    "load-bearing": "prompt-area--weight-carries",
    "no measurable effect": "prompt-area--weight-free",
    "undecided": "prompt-area--weight-open",
}
"""State of a unit after an ablation → how it is painted."""
HEAT_CLASSES = tuple(f"prompt-area--heat-{level}" for level in range(1, 6))
_HEAT_STEPS = (0.5, 1.0, 2.0, 4.0, 8.0)

Place = tuple[int, int, str]
"""Start column, end column, component class."""


class TokenOverlay:
    """Spans by line, from the worker's answers."""

    def __init__(self, style: Callable[[str], Style]) -> None:
        self._style = style
        self.shows_tokens = False
        self.shows_heat = False
        self.total_tokens = 0
        self.line_count = 1
        self._tokens: dict[int, list[Place]] = {}
        self._weights: dict[int, list[Place]] = {}

    @property
    def is_shown(self) -> bool:
        """Whether anything is painted."""
        return self.shows_tokens or self.shows_heat or bool(self._weights)

    def weigh(self, found: Iterable[tuple[int, int, str]], document: ExactDocument) -> None:
        """Paint units, each as offsets [start, end) and its state, until the text is edited; none clears them."""
        self._weights = {}
        for start, end, state in found:
            (first, column), (last, behind) = document.location_at(start), document.location_at(end)
            for line in range(first, last + 1):
                stop = behind if line == last else len(document.get_line(line))
                place = (column if line == first else 0, stop, WEIGHT_CLASSES[state])
                self._weights.setdefault(line, []).append(place)

    def take(self, reply: Edges, document: ExactDocument) -> None:
        """Take over the token edges of a range of the document."""
        self._tokens = places(reply, document)

    def move(self, span: EditSpan) -> None:
        """Follow an edit: lines below it move, the changed ones wait for the next answer."""
        self._weights = {}  # they were measured on another text
        moved = span.new_end[0] - span.old_end[0]
        if moved:
            self._tokens = {
                line + moved if line > span.old_end[0] else line: found
                for line, found in self._tokens.items()
                if line <= span.start[0] or line > span.old_end[0]
            }

    def clear(self) -> None:
        """Forget the tokens' edges."""
        self._tokens.clear()

    def heat(self, tokens: int) -> int:
        """Return the level of a line, 0 … 5: how many times the mean line's tokens it has."""
        mean = self.total_tokens / max(1, self.line_count)
        return sum(tokens >= step * mean for step in _HEAT_STEPS) if mean > 0 else 0

    def share(self, tokens: int) -> str:
        """Write a line's share of all tokens in at most five cells."""
        percent = 100 * tokens / self.total_tokens if self.total_tokens else 0.0
        return f"{percent:.1f}%" if percent < 99.95 else "100%"

    def spans(self, line: int, length: int, line_tokens: Mapping[int, int]) -> list[tuple[int, int, Style]]:
        """Return what is painted over a line of ``length`` characters."""
        found: list[Place] = []
        found.extend(self._weights.get(line, ()))
        if self.shows_heat and (level := self.heat(line_tokens.get(line, 0))):
            found.append((0, length, HEAT_CLASSES[level - 1]))
        if self.shows_tokens:
            found.extend(self._tokens.get(line, ()))
        return [(first, behind, self._style(name)) for first, behind, name in found]


def places(reply: Edges, document: ExactDocument) -> dict[int, list[Place]]:
    """Turn token edges into spans by line; each line begins with the first colour, so that scrolling keeps them."""
    found: dict[int, list[Place]] = {}
    edges = [*reply.edges, (reply.end, False)]
    if not edges or edges[0][0] > reply.start:
        edges.insert(0, (reply.start, False))  # the rest of a token that began before
    line, column = document.location_at(edges[0][0])
    line_start = edges[0][0] - column
    parity = 0
    for (start, merged), (end, _) in pairwise(edges):
        while start > line_start + len(document.get_line(line)) and line + 1 < document.line_count:
            line_start += len(document.get_line(line)) + 1
            line, parity = line + 1, 0
        # A token may run over line breaks; each line gets its part.
        part_line, part_start, part_from = line, line_start, start
        while part_from < end:
            length = len(document.get_line(part_line))
            behind = min(end, part_start + length)
            if behind > part_from:
                name = MERGED_CLASS if merged else TOKEN_CLASSES[parity if part_line == line else 0]
                found.setdefault(part_line, []).append((part_from - part_start, behind - part_start, name))
            if part_start + length + 1 > document.length or end <= part_start + length:
                break
            part_start += length + 1
            part_from, part_line = part_start, part_line + 1
        parity = 1 - parity
    return found
