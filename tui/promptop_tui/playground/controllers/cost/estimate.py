"""What the next run may cost, kept up to date while prompt, models and parameters change.

The prompt is counted by the worker process that all tabs share, 0.3 s after the last change; nothing is loaded here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import on
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from promptop.base import units
from promptop.base.texts import tr
from promptop.budget.estimate import CostEstimate, ceiling, said_of, together
from promptop.client.conversation import Context
from promptop.client.request import Message as ChatMessage
from promptop.client.request import RunRequest, text_of
from promptop.tokens.counting import encodings_for, for_model
from promptop_tui.services.token_counts import Counting, SnippetsReady

SETTLED_S = 0.3


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be sent now."""

    requests: Sequence[RunRequest]
    times: int
    """How often each request is sent."""
    context: Context | None = None
    """What is sent of the conversation in the prompt's field, if not all of it is."""
    whole: Sequence[ChatMessage] = ()
    """That conversation in full."""


class PriceLine(Static):
    """What the next run may cost at most; ``ceiling`` is None while that is not known."""

    class Changed(Message):
        """The ceiling is another one."""

    def __init__(self, counting: Counting | None, plan: Callable[[], Plan | None]) -> None:
        """Show nothing yet; ``plan`` returns what would be sent now, or None if that is not valid."""
        super().__init__(id="price", markup=False)
        self._counting = counting
        self._plan = plan
        self._planned: Plan | None = None
        self._texts: list[str] = []
        self._request: int | None = None
        self._settling: Timer | None = None
        self.ceiling: CostEstimate | None = None
        self.display = False  # until there is something to price

    def settle(self) -> None:
        """Price the run when the changes have come to rest."""
        self.ceiling = None
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLED_S, self._ask)

    def most(self, requests: Sequence[RunRequest], times: int) -> CostEstimate:
        """Return the ceiling of what is about to be sent; before it is counted, a token for each byte is assumed."""
        if self.ceiling is not None:
            return self.ceiling
        return together([ceiling([each], _bytes_of(said_of(each)), times) for each in requests])

    def _ask(self) -> None:
        self._planned = plan = self._plan()
        if plan is None or self._counting is None:
            self.update("")
            self.display = False
            return
        self._texts = list(dict.fromkeys(said_of(request) for request in plan.requests))
        if plan.context is not None:
            self._texts += [text_of(plan.whole), text_of(plan.context.messages)]
        names = encodings_for(request.model for request in plan.requests)
        self._request = self._counting.request_counts(self, self._texts, names)

    @on(SnippetsReady)
    def _counted(self, event: SnippetsReady) -> None:
        event.stop()
        plan = self._planned
        if event.reply.id != self._request or plan is None:
            return
        counts, chars = event.reply.counts, event.reply.chars

        def tokens_of(at: int) -> Callable[[str], int]:
            mine = {name: tokens[at] for name, tokens in counts.items()}
            return lambda model: for_model(model, mine, chars[at]).tokens

        parts = [ceiling([each], tokens_of(self._texts.index(said_of(each))), plan.times) for each in plan.requests]
        self.ceiling = together(parts)
        tokens = self.ceiling.input_tokens // self.ceiling.calls
        lines = [tr("next: {ceiling}", ceiling=self.ceiling), tr("≈{tokens} tokens in", tokens=units.count(tokens))]
        if plan.context is not None:
            first = plan.requests[0].model
            whole, sent = (tokens_of(len(self._texts) - 2 + at)(first) for at in (0, 1))
            lines.append(context_line(plan.context, whole, sent))
        self.display = True
        self.update("\n".join(lines))
        self.post_message(self.Changed())


def context_line(context: Context, whole: int, sent: int) -> str:
    """Say what is sent of a conversation, and how many tokens that saves a call."""
    saved = whole - sent
    change = f"−{units.count(saved)}" if saved >= 0 else f"+{units.count(-saved)}"
    part = f" ({units.share(abs(saved) / whole)})" if whole else ""
    return tr(
        "{kept} of {rounds} rounds: ≈{change} tok{part}",
        kept=context.kept,
        rounds=context.rounds,
        change=change,
        part=part,
    )


def _bytes_of(text: str) -> Callable[[str], int]:
    size = len(text.encode("utf-8", "replace"))
    return lambda _: size
