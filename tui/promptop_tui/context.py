"""What the app hands to its tabs: settings, the log, the token counter. A tab knows this, and not the app's class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.budget.budget import Budget
    from promptop.log.read.reader import LogPlace
    from promptop.settings import Settings
    from promptop_tui.services.token_counts import Counting


@dataclass(frozen=True)
class AppContext:
    """Shared by all tabs; built once by the app."""

    settings: Settings
    log_path: Path
    """The request log that the playground writes and the monitor reads."""
    draft_path: Path
    """Where the editor's draft is saved while you type."""
    counting: Counting
    """Exact counts from the worker process; replies come as messages to the widget that asked."""
    more_logs: tuple[Path, ...] = ()
    """Logs that the monitor reads beside it."""
    watched: tuple[LogPlace, ...] = ()
    """Logs that the monitor shows instead of them: a fleet's, another program's."""
    replay: tuple[Path, ...] = ()
    """Logs that the monitor replays at start instead of them."""
    simulated: bool = False
    """Whether endpoint and traffic are simulated; each screen says so."""
    open_path: Path | None = None
    """File to open in the editor at start."""
    now: Callable[[], float] = field(default=time)
    """Wall clock, Unix seconds; tests inject their own."""

    @property
    def keeps_texts(self) -> bool:
        """Whether prompts and answers are kept on disk, by the settings and the history's page; blocks."""
        from promptop.history.run_history import RunHistory

        return RunHistory().mode(self.settings.playground.history) == "full"

    @cached_property
    def purse(self) -> Budget:
        """What this session and today have spent: whatever tab makes calls pays from it."""
        from promptop.budget.budget import Budget, is_chosen
        from promptop.budget.gate import ledger_path
        from promptop.budget.ledger import Ledger

        playground = self.settings.playground
        # Simulated calls cost nothing: they are no part of what processes share.
        ledger = None if self.simulated else Ledger(ledger_path())
        strict = not self.simulated and is_chosen(self.settings)
        return Budget(playground.session_cap_usd, playground.daily_cap_usd, ledger=ledger, is_strict=strict)
