"""What the next run may cost, kept up to date while prompt, models and parameters change.

The prompt is counted by the worker process that all tabs share, 0.3 s after the last change; nothing is loaded here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import on
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from promptop import figures
from promptop.runs.ceiling import Ceiling, ceiling, text_of
from promptop.runs.request import RunRequest
from promptop.tokens.counting import encodings_for, for_model
from promptop_tui.counting import Counting, SnippetsReady

SETTLED_S = 0.3

Plan = tuple[Sequence[RunRequest], int]
"""Requests, and how often each is sent."""


class PriceLine(Static):
    """One line: what the next run may cost at most; ``ceiling`` is None while that is not known."""

    class Changed(Message):
        """The ceiling is another one."""

    def __init__(self, counting: Counting | None, plan: Callable[[], Plan | None]) -> None:
        """Show nothing yet; ``plan`` returns what would be sent now, or None if that cannot be meant."""
        super().__init__(id="price", markup=False)
        self._counting = counting
        self._plan = plan
        self._planned: Plan | None = None
        self._request: int | None = None
        self._settling: Timer | None = None
        self.ceiling: Ceiling | None = None

    def settle(self) -> None:
        """Price the run when the changes have come to rest."""
        self.ceiling = None
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLED_S, self._ask)

    def most(self, requests: Sequence[RunRequest], times: int) -> Ceiling:
        """Return the ceiling of what is about to be sent; before it is counted, a token for each byte is assumed."""
        if self.ceiling is not None:
            return self.ceiling
        size = len(text_of(requests[0].messages).encode("utf-8", "replace"))
        return ceiling(requests, lambda _: size, times)

    def _ask(self) -> None:
        self._planned = self._plan()
        if self._planned is None or self._counting is None:
            self.update("")
            return
        requests, _ = self._planned
        names = encodings_for(request.model for request in requests)
        self._request = self._counting.request_counts(self, [text_of(requests[0].messages)], names)

    @on(SnippetsReady)
    def _counted(self, event: SnippetsReady) -> None:
        event.stop()
        if event.reply.id != self._request or self._planned is None:
            return
        counts = {name: tokens[0] for name, tokens in event.reply.counts.items()}
        chars = event.reply.chars[0]
        requests, times = self._planned
        self.ceiling = ceiling(requests, lambda model: for_model(model, counts, chars).tokens, times)
        tokens = self.ceiling.input_tokens // self.ceiling.calls
        self.update(f"next: {self.ceiling}\n≈{figures.count(tokens)} tokens in")
        self.post_message(self.Changed())
