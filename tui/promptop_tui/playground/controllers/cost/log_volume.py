"""How many calls a day the log saw: what the answers' costs come to in a month."""

from __future__ import annotations

from collections.abc import Callable

from promptop.base.texts import tr
from promptop.budget.traffic_volume import Volume, read_volume
from promptop_tui.context import AppContext
from promptop_tui.services.background import Background


class LogVolume:
    """Asks the log, and has it shown."""

    def __init__(
        self,
        context: AppContext,
        background: Background,
        show: Callable[[Volume, float | None], None],
        log_warning: Callable[[str], object],
    ) -> None:
        """``show`` gets the volume, and the calls a day of this prompt where they are known."""
        self._context, self._background, self._show, self._log_warning = context, background, show, log_warning
        self.calls_per_day: float | None = None
        """Calls a day of the prompt in the field, where the log that it came from knows them."""

    def read(self) -> None:
        """Ask the log; one that cannot be read is told of by the monitor."""
        self._background.run(
            lambda: read_volume([self._context.log_path, *self._context.more_logs], self._context.now()),
            lambda volume: self._show(volume, self.calls_per_day),
            lambda error: self._log_warning(tr("the log's volume was not read: {cause}", cause=error.cause)),
            group="volume",
            description="ask the log for its volume",
        )
