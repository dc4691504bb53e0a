"""``prices.toml``: what the user knows better than the table. It lies beside the settings file.

::

    [aliases]                     # another name → the model that it means
    "prod-chat" = "gpt-4o-mini"

    [azure]                       # deployment → model, for calls to Azure OpenAI only
    "chat-east" = "gpt-4o"

    [models."my-model"]           # USD per million tokens; whatever is left out stays as the table has it
    input = 0.5
    output = 1.5
    cache_read = 0.05
    cache_write = 0.6
    context_window = 32768
    max_output = 4096
    encoding = "o200k_base"       # and count_kind = "exact" if its tokenizer is that one

A mistake is reported (``promptop models`` shows it) and that entry left out; the rest holds.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

from promptop.base.files import config_dir
from promptop.models import families

_PRICES = ("input", "output", "cache_read", "cache_write")
_NUMBERS = ("context_window", "max_output")
_ENCODINGS = (
    "o200k_base",
    "o200k_harmony",
    "cl100k_base",
    "p50k_base",
    "r50k_base",
    "qwen",
    "tekken",
    "deepseek",
    *sorted(families.NEEDS_EXTRA),
)


@dataclass(frozen=True, slots=True)
class Override:
    """What ``prices.toml`` says of a model; None is not said."""

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    context_window: int | None = None
    max_output: int | None = None
    encoding: str | None = None
    count_kind: families.Kind | None = None

    @property
    def priced(self) -> bool:
        """Whether it names a price."""
        return any(getattr(self, key) is not None for key in _PRICES)


@dataclass(frozen=True)
class Overrides:
    """The file as it was read."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    azure: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, Override] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    """Each mistake: what is wrong and what to do, in one line."""


_seen: dict[Path, tuple[tuple[int, int] | None, Overrides, float]] = {}
"""What was read, by the file's time and size, and when they were last looked at."""
_folders: dict[str | None, Path] = {}


def prices_path() -> Path:
    """Return where ``prices.toml`` is looked for."""
    key = os.environ.get("PROMPTOP_CONFIG_DIR")
    if key not in _folders:  # asking the system's folder costs more than pricing a row, joining a path a tenth of it
        _folders[key] = config_dir() / "prices.toml"
    return _folders[key]


def current(at_most_s: float = 0.0) -> Overrides:
    """Return the overrides; the file is read again when it changed (or ``at_most_s`` seconds later)."""
    path = prices_path()
    known = _seen.get(path)
    now = monotonic()
    if known is not None and now - known[2] < at_most_s:
        return known[1]  # a look costs 5 µs, a twentieth of a row
    try:
        info = path.stat()
        mark = (info.st_mtime_ns, info.st_size)
    except OSError:
        mark = None
    if known is None or known[0] != mark:
        known = (mark, Overrides() if mark is None else read(path), now)
    _seen[path] = (known[0], known[1], now)
    return known[1]


def read(path: Path) -> Overrides:
    """Read a file; mistakes are in ``problems`` of the result."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Overrides(problems=(f"{path}: cannot be read ({error}); the shipped table is used.",))
    problems = [
        f"{path}: unknown table [{key}]; known: aliases, azure, models."
        for key in table
        if key not in ("aliases", "azure", "models")
    ]
    names: dict[str, dict[str, str]] = {"aliases": {}, "azure": {}}
    for key, targets in names.items():
        for name, target in _table(table, key, path, problems).items():
            if isinstance(target, str) and target:
                targets[name.lower()] = target
            else:
                problems.append(f"{path}: [{key}] {name!r} must be the name of a model; it is left out.")
    models = {}
    for name, entry in _table(table, "models", path, problems).items():
        if isinstance(entry, dict):
            models[name.lower()] = _override(name, entry, path, problems)
        else:
            problems.append(f"{path}: [models] {name!r} must be a table; it is left out.")
    return Overrides(names["aliases"], names["azure"], models, tuple(problems))


def _table(table: dict[str, Any], key: str, path: Path, problems: list[str]) -> dict[str, Any]:
    found = table.get(key, {})
    if isinstance(found, dict):
        return found
    problems.append(f"{path}: [{key}] must be a table; it is left out.")
    return {}


def _override(name: str, entry: dict[str, Any], path: Path, problems: list[str]) -> Override:
    values: dict[str, Any] = {}
    for key, value in entry.items():
        number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        if key in _PRICES and number and Decimal(value).is_finite() and value >= 0:
            values[key] = Decimal(value)
        elif (
            (key in _NUMBERS and isinstance(value, int) and number and value > 0)
            or (key == "encoding" and value in _ENCODINGS)
            or (key == "count_kind" and value in ("exact", "estimated"))
        ):
            values[key] = value
        elif key in (*_PRICES, *_NUMBERS, "encoding", "count_kind"):
            problems.append(f"{path}: [models.{name!r}] {key} cannot be {value!r}; it is left out.")
        else:
            known = ", ".join((*_PRICES, *_NUMBERS, "encoding", "count_kind"))
            problems.append(f"{path}: [models.{name!r}] unknown key {key!r}; known: {known}.")
    return Override(**values)
