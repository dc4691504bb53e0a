"""Trim rules that are switched off: by the settings, or in the app, which keeps it in the state folder.

The app, the commands and the MCP server all take their rules from here, so that they give the same text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.base.files import state_dir, write_private

if TYPE_CHECKING:
    from promptop.settings import EditorSettings
    from promptop.trim.rules.rule import TrimRule


class RuleSwitches:
    """Rules that were switched off in the app; a file that cannot be read or written leaves what this session said."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder`` is the state folder, if it is not the user's."""
        self._path = (folder or state_dir()) / "trim-rules-off.json"
        self._off: frozenset[str] | None = None

    @property
    def off(self) -> frozenset[str]:
        """Ids of the rules that are off; an id that no rule has (any more) is none."""
        if self._off is None:
            from promptop.trim.rules.all_rules import RULES

            try:
                found = json.loads(self._path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                found = []
            known = {rule.id for rule in RULES}
            self._off = frozenset(map(str, found)) & known if isinstance(found, list) else frozenset()
        return self._off

    def switch(self, rule: str) -> bool:
        """Switch a rule off or on again, and tell whether it is on now; raises OSError if that cannot be kept."""
        self._off = self.off ^ {rule}
        self._save(self._off)
        return rule not in self._off

    def _save(self, off: Iterable[str]) -> None:
        write_private(self._path, json.dumps(sorted(off)))


def rules_for(
    settings: EditorSettings, *, safe_only: bool, rounds: int | None = None, switches: RuleSwitches | None = None
) -> tuple[TrimRule, ...]:
    """Return the rules that are on; ``rounds`` of a conversation are kept if not those of the settings.

    Raises :class:`UsageError` if the settings name a rule that does not exist.
    """
    from promptop.trim import chosen

    off = {*settings.trim_off, *(switches or RuleSwitches()).off}
    kept = settings.keep_rounds if rounds is None else rounds
    return chosen(safe_only=safe_only, rounds=max(0, kept), off=off)
