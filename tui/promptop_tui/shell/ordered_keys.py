"""Keys one after the other: what is typed behind a key that moves the focus is for the widget that then has it.

Textual hands a key to the focused widget's queue and goes on to the next one at once; the first key moves the focus
only when it has been through the queues of that widget and all around it. What comes faster than that (a paste, a
script, a hand on a busy machine) lands in the field that is being left: behind F3 even in another tab's text. Here a
key that may move the focus is followed through those queues, and later ones wait for it.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.widgets import Input, TextArea

LONGEST_S = 1.5
"""Seconds that keys wait for one before them at most: what takes longer does not only move the focus. On a busy machine
a plain Tab has taken 0.4 s, and 0.3 s here let the letters behind it go into the field that was being left."""


class OrderedKeys(App[object]):
    """An app that holds keys back while the focus is on its way."""

    def __init__(self) -> None:
        super().__init__()
        self._held: deque[events.Key | events.Paste] = deque()
        self._tickets = 0
        self._in_flight = 0
        """Ticket of the key that is being followed; 0 while none is."""
        self._holding = False

    async def on_event(self, event: events.Event) -> None:
        """Hand keys and pastes on, or hold them back."""
        if isinstance(event, events.Key) and event.key.startswith("alt+"):
            event.character = None  # a command, never a letter: fields would write it
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self._in_flight or self._holding:
            self._held.append(event)
        else:
            await self._hand_on(event)

    @property
    def is_holding(self) -> bool:
        """Whether a widget is still to come, to which the app gives the focus then."""
        return self._holding

    def hold_keys(self) -> None:
        """Hold keys back until :meth:`release_keys`: the widget that they are meant for is still to come."""
        self._holding = True

    async def release_keys(self) -> None:
        """Hand on what was held."""
        self._holding = False
        # One of them may move the focus again: those behind it wait for that.
        while self._held and not self._in_flight and not self._holding:
            await self._hand_on(self._held.popleft())

    async def _hand_on(self, event: events.Key | events.Paste) -> None:
        target = self.focused or self.screen
        await super().on_event(event)
        if isinstance(event, events.Key) and not (event.is_printable and isinstance(target, Input | TextArea)):
            self._tickets += 1
            self._in_flight = ticket = self._tickets
            self._follow(target, ticket)
            self.set_timer(LONGEST_S, partial(self._settled, ticket))

    def _follow(self, node: MessagePump | None, ticket: int) -> None:
        """Walk behind a key from queue to queue: what a widget does not take, it hands to the one around it."""
        while node is not None and node is not self:
            if node.call_later(self._follow, node._parent, ticket):
                return
            node = node._parent  # it was closed meanwhile
        self.call_later(self._settled, ticket)

    async def _settled(self, ticket: int) -> None:
        if ticket == self._in_flight:
            self._in_flight = 0
            if not self._holding:
                await self.release_keys()
