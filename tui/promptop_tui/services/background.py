"""Blocking work of plain objects, on named threads; what comes of it is handled on the screen's own thread.

A controller is not a widget and has no workers. It is given this, bound to the widget that it works for: when that
widget is gone, its threads are cancelled and nothing is handled any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from textual.widget import Widget
from textual.worker import get_current_worker

from promptop.base.errors import PromptopError

T = TypeVar("T")


class Background:
    """Runs work for the controllers of one widget."""

    def __init__(self, host: Widget) -> None:
        """``host`` owns the threads."""
        self._host = host

    def run(
        self,
        work: Callable[[], T],
        done: Callable[[T], object],
        failed: Callable[[PromptopError], object],
        *,
        group: str,
        description: str,
        exclusive: bool = True,
    ) -> None:
        """Do ``work`` on a thread, then ``done`` with its result, or ``failed`` with its error, on the screen's.

        Of a group that is ``exclusive``, later work drops what earlier work would still have handled.
        """

        def on_thread() -> None:
            worker = get_current_worker()
            try:
                result = work()
            except PromptopError as error:
                if not worker.is_cancelled:
                    self.hand_over(failed, error)
                return
            if not worker.is_cancelled:
                self.hand_over(done, result)

        self._host.run_worker(on_thread, thread=True, group=group, description=description, exclusive=exclusive)

    def hand_over(self, handle: Callable[..., object], *values: object) -> bool:
        """Call ``handle`` on the screen's thread, from any thread; False if the widget is gone."""
        return self._host.call_later(handle, *values)
