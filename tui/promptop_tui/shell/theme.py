"""Themes are files: ``themes/*.toml`` of the distribution, then those beside the settings file.

A file is checked before it is registered, because a colour that does not parse would kill the app when the theme is
chosen. A bad file yields one message and the app goes on with what it has. No colour is written in Python: the
fallbacks of our own variables come from the brand theme's file.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

BRAND = "promptop-dark"

MEANINGS: tuple[str, ...] = (
    *("line", "select", "dim", "faint", "good", "warn", "bad", "good-bg", "bad-bg", "money", "area", "area-bad"),
    *("role", "variable", "heading", "code", "tag"),
)
"""Colours by meaning: frames, chosen rows, weights of text, verdicts, the one amount, areas, parts of a prompt."""

EXTRAS: tuple[str, ...] = (
    *MEANINGS,
    *(f"series-{n}" for n in range(1, 7)),
    "latency-good",
    "latency-warn",
    "latency-bad",
    "cache-hit",
    "cost",
    *(f"heat-{n}" for n in range(1, 6)),
    "token-a",
    "token-b",
)
"""Variables that charts and style sheets share beside Textual's own; a theme file sets each of them."""

_FIELDS = {f.name.replace("_", "-"): f for f in fields(Theme)}


class ThemeError(ValueError):
    """A theme file says something that cannot be a theme."""


@dataclass(frozen=True, slots=True)
class ThemeSet:
    """What was found: themes by name, and one message for each file that is none."""

    themes: dict[str, Theme]
    problems: tuple[str, ...]
    stamp: tuple[tuple[str, int], ...]
    """Names and modification times (ns) of the files: a change means reading again."""


def shipped_dir() -> Path:
    """Return the folder of the shipped themes: inside the wheel, or ``themes/`` of a checkout."""
    inside = Path(__file__).parents[1] / "themes"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "themes"


def parse(text: str) -> Theme:
    """Return the theme that a TOML text describes; raise :class:`ThemeError` naming the first mistake."""
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ThemeError(f"not valid TOML: {error}") from None
    variables = table.pop("variables", {})
    if not isinstance(variables, dict):
        raise ThemeError("[variables] is not a table")
    values: dict[str, Any] = {}
    for key, value in table.items():
        field = _FIELDS.get(key)
        if field is None:
            raise ThemeError(f"unknown key {key!r}")
        if key in ("dark", "ansi"):
            ok = isinstance(value, bool)
        elif key in ("luminosity-spread", "text-alpha"):
            ok = isinstance(value, int | float) and not isinstance(value, bool)
        else:
            ok = isinstance(value, str) and (key == "name" or _is_color(value))
        if not ok:
            raise ThemeError(f"{key} cannot be {value!r}")
        values[field.name] = value
    for required in ("name", "primary"):
        if required not in values:
            raise ThemeError(f"{required} is missing")
    for name, value in variables.items():
        if not isinstance(value, str):
            raise ThemeError(f"variable {name} cannot be {value!r}")
        if name in EXTRAS and not _is_color(value):
            raise ThemeError(f"variable {name} is not a colour: {value!r}")
    missing = [name for name in EXTRAS if name not in variables]
    if missing:
        raise ThemeError(f"[variables] lacks {', '.join(missing)}")
    theme = Theme(**values, variables=variables)
    try:
        theme.to_color_system().generate()
    except (ColorParseError, ValueError, KeyError) as error:
        raise ThemeError(str(error)) from None
    return theme


def _is_color(value: str) -> bool:
    try:
        Color.parse(value)
    except ColorParseError:
        return False
    return True


def stamp(*folders: Path) -> tuple[tuple[str, int], ...]:
    """Return names and modification times of the theme files in ``folders``."""
    out = []
    for folder in folders:
        for file in sorted(folder.glob("*.toml")):
            try:
                out.append((str(file), file.stat().st_mtime_ns))
            except OSError:
                continue  # removed between listing and stat: gone is gone
    return tuple(out)


def load(*folders: Path) -> ThemeSet:
    """Read the themes of ``folders``; a later folder's theme replaces an earlier one of the same name."""
    themes: dict[str, Theme] = {}
    problems: list[str] = []
    seen = stamp(*folders)
    for name, _ in seen:
        try:
            theme = parse(Path(name).read_text(encoding="utf-8"))
        except (ThemeError, OSError, UnicodeDecodeError) as error:
            problems.append(f"Theme file {name} is left out: {error}")
            continue
        themes[theme.name] = theme
    return ThemeSet(themes, tuple(problems), seen)


def defaults() -> dict[str, str]:
    """Return the brand theme's values of :data:`EXTRAS`, for themes that do not set them."""
    variables = parse((shipped_dir() / f"{BRAND}.toml").read_text(encoding="utf-8")).variables
    return {name: variables[name] for name in EXTRAS}
