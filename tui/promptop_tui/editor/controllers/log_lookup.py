"""What the request log knows of the draft: its calls a day, and the length of its answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.timer import Timer
from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.prompts import parse
from promptop_tui.context import AppContext
from promptop_tui.editor.views.models_panel import ModelsPanel
from promptop_tui.editor.views.prompt_facts import LONGEST, LogState

if TYPE_CHECKING:
    from promptop.trim.log_insights import Known

_AFTER_S = 0.3  # behind the first paint: the reader's modules take 30 ms


class LogLookup:
    """Asks the log about a text, on a thread, and puts what it knows into the models' panel."""

    def __init__(self, pane: Widget, panel: ModelsPanel, context: AppContext, done: Callable[[], object]) -> None:
        """``done`` is called when the log has answered."""
        self._pane = pane
        self._panel = panel
        self._context = context
        self._done = done
        self._timer: Timer | None = None
        self._text = ""
        self._has_volume = False
        self.known: Known | None = None
        """What the log knows of the text."""
        self.says = LogState.UNREAD
        """Why that may be None."""

    def text_replaced(self, text: str, name: str, calls_per_day: float | None) -> None:
        """Ask about another text in a moment; ``name`` is the prompt's in the library, the volume stands if given."""
        self.known, self.says = None, LogState.UNREAD
        self._text = text
        self._has_volume = calls_per_day is not None
        self._panel.forget_typed()
        self._panel.take_known(calls_per_day=calls_per_day)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._pane.set_timer(_AFTER_S, partial(self.ask, name))

    def ask(self, name: str) -> None:
        """Find the prompt's calls: what is trimmed is paid by them, and their answers tell which limit would do."""
        self._timer = None
        look = partial(self._look, self._text, name)
        self._pane.run_worker(
            look, thread=True, exclusive=True, group="log", description="ask the log about the prompt"
        )

    def _look(self, text: str, name: str) -> None:
        from promptop.log import LogReader
        from promptop.trim.log_insights import look

        if not text.strip() or len(text) > LONGEST:
            return
        known, says = None, LogState.UNKNOWN
        try:
            with LogReader([self._context.log_path, *self._context.more_logs]) as log:
                known = look(log, text, parse(text), name, now_ms=round(self._context.now() * 1000))
        except PromptopError:  # the monitor says what is wrong with the log; front matter may be half typed
            says = LogState.UNREADABLE
        self._pane.call_later(self._answered, text, known, LogState.KNOWN if known is not None else says)

    def _answered(self, text: str, known: Known | None, says: LogState) -> None:
        if text != self._text:
            return
        self.known, self.says = known, says
        if known is None and not self._has_volume:
            self._panel.take_own()
        elif known is not None:
            self._panel.take_known(
                # What the monitor said of the group that the request was picked from stands.
                calls_per_day=known.calls_per_day if known.calls and not self._has_volume else None,
                output_tokens=known.mean_output,
            )
        self._done()
