"""Which model is to shorten a text, and what that may cost at most: nothing is sent before it is priced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, Label, Static

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop_tui.services.token_counts import CountingFailed, SnippetsReady

if TYPE_CHECKING:
    from promptop.budget.budget import Day
    from promptop.budget.estimate import CostEstimate
    from promptop.client.request import RunRequest
    from promptop_tui.context import AppContext

_SETTLED_S = 0.3
_LONGEST = 60_000
"""Characters above which a part is refused: no model gives so much back in one piece."""


class AskLine(Vertical):
    """A model's name and the ceiling of one rewrite by it, beside what the session and the day have spent."""

    @dataclass
    class DayRead(Message):
        """The log was asked what today has cost."""

        day: Day

    def __init__(self, context: AppContext, text: str, model: str) -> None:
        super().__init__(id="rewrite-ask")
        self._shared = context
        self._text = text
        self._model = model
        self._settling: Timer | None = None
        self._pricing: int | None = None
        self._request: RunRequest | None = None
        self._ceiling: CostEstimate | None = None

    def compose(self) -> ComposeResult:
        """Lay out name and price."""
        with Horizontal():
            yield Label("model")
            yield Input(self._model, placeholder=tr("model, or model@profile"), id="rewrite-model", compact=True)
        yield Static(id="rewrite-price", markup=False)

    def on_mount(self) -> None:
        """Price the first choice."""
        self._read_day()
        self._price()

    def ready(self) -> RunRequest | None:
        """Return the request if it may be sent, None while it is being priced.

        Raises :class:`PromptopError` for a model that is not valid, and for what the caps do not allow.
        """
        self._shared.settings.require_valid()
        if self._request is None or self._ceiling is None:
            self._built(0)
            return None
        self._shared.purse.check(self._ceiling)
        return self._request

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        message.stop()
        self._request = self._ceiling = None
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(_SETTLED_S, self._price)

    @work(thread=True, exclusive=True, group="day", description="ask the log what today has cost")
    def _read_day(self) -> None:
        from promptop.budget.budget import spent_on

        try:
            day = spent_on(self._shared.log_path, self._shared.now())
        except PromptopError as error:  # without the log the day's cap cannot be held: that must be seen
            self.app.call_from_thread(self.notify, clean(str(error)), severity="warning", markup=False)
            return
        self.post_message(self.DayRead(day))

    @on(DayRead)
    def _day_read(self, message: DayRead) -> None:
        message.stop()
        self._shared.purse.know(message.day)
        self.show_price()

    def _price(self) -> None:
        """Have the request counted; the ceiling follows."""
        from promptop.client.request import text_of
        from promptop.tokens.counting import encodings_for

        try:
            request = self._built(0)
        except PromptopError as error:
            self._say(error.cause)
            return
        texts = [self._text, text_of(request.messages)]
        self._pricing = self._shared.counting.request_counts(self, texts, encodings_for([request.model]))

    def _built(self, tokens: int) -> RunRequest:
        from promptop.client.targets import parse_target
        from promptop.trim.rewrite import request

        if len(self._text) > _LONGEST:
            raise PromptopError(f"More than {_LONGEST:,} characters at once are too many.", "Select a part.")
        target = parse_target(self.query_one(Input).value, self._shared.settings)
        return request(target, self._text, tokens)

    @on(SnippetsReady)
    def _counted(self, message: SnippetsReady) -> None:
        from promptop.budget.estimate import ceiling
        from promptop.tokens.counting import for_model

        message.stop()
        reply = message.reply
        if reply.id != self._pricing:
            return

        def tokens(model: str, at: int) -> int:
            counts = {name: each[at] for name, each in reply.counts.items()}
            return for_model(model, counts, reply.chars[at]).tokens

        try:
            self._request = self._built(tokens(self._built(0).model, 0))
        except PromptopError as error:
            self._say(error.cause)
            return
        self._ceiling = ceiling([self._request], lambda model: tokens(model, 1))
        self.show_price()

    @on(CountingFailed)
    def _not_counted(self, message: CountingFailed) -> None:
        message.stop()
        self._say(tr("it cannot be priced now: the counter failed"))

    def show_price(self) -> None:
        """Say what the call may cost, and what was spent."""
        if self._ceiling is not None:
            spent = str(self._shared.purse).replace("\n", ", ")
            self._say(f"{self._ceiling} · {spent}")

    def _say(self, text: str) -> None:
        self.query_one("#rewrite-price", Static).update(clean_line(text))
