"""Opens the page of coding agents, and goes to the requests that it points to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.widget import Widget

from promptop_tui.monitor.controllers.view_state import ViewState

if TYPE_CHECKING:
    from promptop_tui.context import AppContext


class Agents:
    """Shows what coding agents used."""

    def __init__(self, host: Widget, view: ViewState, context: AppContext) -> None:
        self._host = host
        self._view = view
        self._context = context
        self.commands: dict[str, Callable[..., object]] = {"agents": self.show}

    def show(self) -> None:
        """Open the page; a simulated log has no room for the session files of this machine."""
        from promptop_tui.monitor.dialogs.agents_dialog import AgentsDialog

        context = self._context
        dialog = AgentsDialog(context.log_path, context.now, simulated=context.simulated)
        self._host.app.push_screen(dialog, self._after)

    def _after(self, terms: str | None) -> None:
        if terms is not None:
            self._view.ask(filter=terms, view="", view_terms="", moment_ms=None)
