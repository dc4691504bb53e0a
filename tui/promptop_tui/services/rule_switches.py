"""Trim rules that were switched off in the app, kept in the state folder from one session to the next."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from promptop.base.files import write_private


class RuleSwitches:
    """Which rules are off; a file that cannot be read or written leaves what this session said."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trim-rules-off.json"
        self._off: frozenset[str] | None = None

    @property
    def off(self) -> frozenset[str]:
        """Ids of the rules that are off."""
        if self._off is None:
            try:
                found = json.loads(self._path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                found = []
            self._off = frozenset(map(str, found)) if isinstance(found, list) else frozenset()
        return self._off

    def switch(self, rule: str) -> bool:
        """Switch a rule off or on again, and tell whether it is on now; raises OSError if that cannot be kept."""
        self._off = self.off ^ {rule}
        self._save(self._off)
        return rule not in self._off

    def _save(self, off: Iterable[str]) -> None:
        write_private(self._path, json.dumps(sorted(off)))
