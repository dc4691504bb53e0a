"""The monitor in time: hold, scrub, replay forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable

from promptop_tui.monitor.controllers.view_state import ViewState
from promptop_tui.monitor.data.snapshot import SPANS, LogSnapshot

SPEEDS = (0, 1, 10, 60, 600, 3600)
"""Seconds of the log in a second of a replay, in the order of the key."""


class TimeControls:
    """Moves the end of the window; knows whether the log is followed live or a period is replayed."""

    def __init__(
        self,
        view: ViewState,
        *,
        now_ms: Callable[[], int],
        shown: Callable[[], LogSnapshot],
        speed_changed: Callable[[int], object],
    ) -> None:
        self._view = view
        self.now_ms = now_ms
        self._shown = shown
        self._speed_changed = speed_changed
        self._speed = 0
        self.period: tuple[int, int] | None = None
        """First and last time of what is replayed instead of the log, Unix milliseconds; None: the log, live."""
        self.commands: dict[str, Callable[..., object]] = {
            "pause": self.pause,
            "scrub": self.scrub,
            "replay": self.replay,
        }

    @property
    def speed(self) -> int:
        """Seconds of the log that a replay shows in a second, below 0 back in time; 0: none runs."""
        return self._speed

    @speed.setter
    def speed(self, speed: int) -> None:
        if speed != self._speed:
            self._speed = speed
            self._speed_changed(speed)

    @property
    def latest_ms(self) -> int:
        """The time past which there is nothing to go to: the present, or the end of what is replayed."""
        return self.now_ms() if self.period is None else self.period[1] + 1

    def show_until(self, until_ms: int) -> None:
        """Let the window end at a time; at the last one it is live, or held at the end of what is replayed."""
        latest = self.latest_ms
        if self.period is not None:
            until: int | None = min(max(until_ms, self.period[0]), latest)
        else:
            until = None if until_ms >= latest else until_ms
        self._view.ask(until_ms=until, moment_ms=None)

    def go(self, until_ms: int) -> None:
        """Stop a replay, and let the window end at a time."""
        self.speed = 0
        self.show_until(until_ms)

    def pause(self) -> None:
        """Hold the window where it is; again: live, or on with the replay."""
        if self.speed:
            self.speed = 0
        elif self.period is not None:
            self.replay()
        else:
            live = self._view.asked.until_ms is None
            self._view.ask(until_ms=self.now_ms() if live else None)

    def scrub(self, by: int) -> None:
        """Move the end of the window by quarters of its length; past the present is live again."""
        asked = self._view.asked
        self.show_until((asked.until_ms or self.latest_ms) + by * asked.span.seconds * 250)

    def replay(self, way: int = 1) -> None:
        """Let the window run from where it is held, faster each time; from its start if it was live or at the end."""
        asked = self._view.asked
        at_end = self.period is not None and not self.speed and (asked.until_ms or 0) >= self.latest_ms
        if way > 0 and at_end and self.period is not None:
            self._view.ask(until_ms=self.period[0], moment_ms=None)
        elif asked.until_ms is None:
            back = asked.span.seconds * 1000 if way > 0 else 0
            self._view.ask(until_ms=self.now_ms() - back, moment_ms=None)
        known = self.speed * way in SPEEDS
        self.speed = way * SPEEDS[(SPEEDS.index(self.speed * way) + 1) % len(SPEEDS) if known else 1]

    def advance(self, seconds: float) -> None:
        """Move a replay on by so many seconds of the wall clock; it ends in the present, or where the log does."""
        asked, shown = self._view.asked, self._shown()
        if not self.speed or asked.until_ms is None:
            self.speed = 0
            return
        until = asked.until_ms + round(seconds * self.speed * 1000)
        first = self.period[0] if self.period is not None else shown.reach[0] if shown.reach else 0
        if self.speed < 0 and until < first:
            self.speed, until = 0, first
        elif until >= self.latest_ms:
            self.speed = 0
        self.show_until(until)

    def cover(self, first_ms: int, last_ms: int) -> None:
        """Show a period whole: the shortest window that holds it, at its end."""
        self.period = (first_ms, last_ms)
        lengths = [span for span in SPANS.values() if span.seconds * 1000 >= last_ms - first_ms]
        span = lengths[0] if lengths else list(SPANS.values())[-1]
        self._view.ask(span=span, until_ms=last_ms + 1, moment_ms=None, view="", view_terms="")

    def follow_log(self) -> None:
        """Be live again: nothing is replayed any more."""
        self.period, self.speed = None, 0
