"""What the session and the day have spent, read from the log and shown where there is room."""

from __future__ import annotations

from collections.abc import Callable

from promptop.base.errors import PromptopError
from promptop.budget.budget import Day, spent_on
from promptop_tui.context import AppContext
from promptop_tui.services.background import Background


class Spend:
    """Keeps the budget's knowledge of the day up to date, and its sums in view."""

    def __init__(
        self,
        context: AppContext,
        background: Background,
        show: Callable[[str], None],
        failed: Callable[[PromptopError], None],
    ) -> None:
        """``show`` gets the sums, a line each; ``failed`` why the day's is not known."""
        self._context, self._background = context, background
        self._show, self._failed = show, failed

    def show(self) -> None:
        """Show the sums."""
        self._show(str(self._context.purse))

    def read_day(self) -> None:
        """Ask the log what today has cost: other processes spend, too."""
        self._background.run(
            lambda: spent_on(self._context.log_path, self._context.now()),
            self._know,
            self._failed,  # without the log the day's cap cannot be held: that must be seen
            group="day",
            description="ask the log what today has cost",
        )

    def _know(self, day: Day) -> None:
        self._context.purse.know(day)
        self.show()

    def add(self, usd: float | None) -> None:
        """Count what was spent elsewhere with the session."""
        self._context.purse.add(usd)
        self.show()
        self.read_day()
