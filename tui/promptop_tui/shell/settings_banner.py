"""A line that stays below the tabs while the settings cannot be obeyed as they are written."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.settings import Settings


class SettingsBanner(Static):
    """Says what is wrong with the settings file and that nothing is sent; hidden while nothing is wrong."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(self._text(settings), id="settings-banner", markup=False)
        self.display = bool(settings.problems)

    @staticmethod
    def _text(settings: Settings) -> Content:
        if not settings.problems:
            return Content("")
        first, more = settings.problems[0], len(settings.problems) - 1
        others = " " + tr("{n} more: promptop doctor.", n=more) if more else ""
        place = f"{first.path.name}:{first.line}" if first.line else first.path.name
        return Content.assemble(
            (clean_line(f"✗ {place}: {first.cause}. {first.remedy}{others}"), "bold"),
            "\n" + tr("Nothing is sent until this is right; correct the file and start again."),
        )
