"""The field that takes the name of one more model."""

from __future__ import annotations

from textual.widgets import Input


class ModelField(Input):
    """Takes the name of one more model, and is empty for the next one before any key behind enter is handled."""

    async def action_submit(self) -> None:
        """Submit what was typed, and empty the field."""
        await super().action_submit()
        self.value = ""
