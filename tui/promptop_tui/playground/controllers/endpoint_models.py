"""Which models can be chosen: those that the endpoint itself lists, once it was asked; the catalogue's until then."""

from __future__ import annotations

from promptop.settings import Settings
from promptop.workers.call_client import Runner
from promptop_tui.playground.views.parameters import ParameterColumn
from promptop_tui.services.background import Background


class EndpointModels:
    """Asks the endpoint of the profile in use when the tab is first shown."""

    def __init__(self, settings: Settings, runner: Runner, background: Background, column: ParameterColumn) -> None:
        """``column`` shows the list."""
        self._settings, self._runner, self._background, self._column = settings, runner, background, column
        self._asked = False

    def ask(self) -> None:
        """Ask once, unless the settings cannot be obeyed: then nothing is sent anywhere."""
        if self._asked or self._settings.problems:
            return
        self._asked = True
        profile = self._settings.active_profile()
        self._runner.list_models(profile, lambda names: self._background.hand_over(self._column.offer, names))
