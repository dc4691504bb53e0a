"""Limits as the agents' vendors tell them: percent used and reset time of a window. Never computed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SPANS = {300: "5 h", 10_080: "week"}
_NAMES = {"five_hour": "5 h", "seven_day": "week"}


@dataclass(frozen=True, slots=True)
class Limit:
    """One window of one agent's plan."""

    app: str
    span: str
    """``5 h``, ``week``, or the vendor's name of it."""
    used: float
    """Percent."""
    resets_ms: int | None
    """Unix milliseconds; None where it was not told."""


def limits_in(app: str, told: Mapping[str, Any], now_ms: int) -> list[Limit]:
    """Return the windows that an agent told of; those that are over since are left out: nothing is known of the next.

    Codex names a window by its minutes, for some plans have the week in first place; Claude Code by a word.
    """
    found = []
    for name, window in told.items():
        if not isinstance(window, dict):
            continue
        used = window.get("used_percent", window.get("used_percentage"))
        if isinstance(used, bool) or not isinstance(used, int | float):
            continue
        resets = window.get("resets_at")
        resets_ms = round(resets * 1000) if isinstance(resets, int | float) else None
        if resets_ms is not None and resets_ms <= now_ms:
            continue
        minutes = window.get("window_minutes")
        span = _SPANS.get(minutes if isinstance(minutes, int) else 0) or _NAMES.get(name, name.replace("_", " "))
        found.append(Limit(app, span, float(used), resets_ms))
    return found
