"""Moments and lengths of time as people write them on a command line."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from promptop.base.errors import UsageError

_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(µs|us|ms|s|m|min|h|d|w)?")
_UNITS = {
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}


def seconds(text: str) -> float:
    """Read a duration, ``500ms``, ``1.5s``, ``2h`` or a bare number of seconds; raise ValueError if it is none."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(text)
    return float(found[1]) * _UNITS[found[2] or "s"]


def moment_ms(text: str, now_ms: int) -> int:
    """Return Unix milliseconds of ``24h`` (so long ago), ``2026-11-21``, ``2026-11-21T09:30``, ``today`` or ``now``.

    A date without an offset is local time. Raises :class:`UsageError` for anything else.
    """
    text = text.strip()
    now = datetime.fromtimestamp(now_ms / 1000).astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    words = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if text.lower() in words:
        return round(words[text.lower()].timestamp() * 1000)
    if re.fullmatch(r"[\d.]+ ?(?:ms|s|m|min|h|d|w)", text):
        return now_ms - round(seconds(text.replace(" ", "")) * 1000)
    try:
        return round(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{text!r} is not a moment.", "Write 24h, 7d, today, 2026-11-21 or 2026-11-21T09:30."
        ) from None


_MAX_DAYS = 3_700


def local_days(since_ms: int, until_ms: int) -> list[tuple[str, int, int]]:
    """Return the local days of a window as (date, start, end), the first and the last cut to the window.

    Raises :class:`UsageError` for more than ten years.
    """
    day = datetime.fromtimestamp(since_ms / 1000).replace(hour=0, minute=0, second=0, microsecond=0)
    out: list[tuple[str, int, int]] = []
    while (start := round(day.timestamp() * 1000)) < until_ms:
        if len(out) >= _MAX_DAYS:
            raise UsageError("The window has more than ten years of days.", "Choose a later --since, or another --by.")
        # By the calendar: days with a change of the clocks have 23 or 25 hours.
        following = day + timedelta(days=1)
        end = round(following.timestamp() * 1000)
        out.append((f"{day:%Y-%m-%d}", max(start, since_ms), min(end, until_ms)))
        day = following
    return out


def lifetime(text: str, option: str) -> float | None:
    """Return the seconds that an entry of a cache lives, None for one that stays (``none``); raises UsageError.

    ``option`` is what the user wrote it behind, for the message.
    """
    if text == "none":
        return None
    try:
        value = seconds(text)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise UsageError(
            f"{option} {text!r} is not a length of time.", "Write 5m, 1h, 7d, or none for entries that stay."
        )
    return value
