"""The sheet of one prompt: where it began, where it stands, and what each step came to; a private file of the state
folder.

The texts of the prompt are in it, because a step begins where the last one ended; ``promptop guide --reset`` removes
them.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.base.files import state_dir, write_private
from promptop.experiments.guide.steps import NAMES, Step, Variant

VERSION = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure before and after a change; medians, USD, seconds, tokens."""

    key: str
    name: str
    before: float | None
    after: float | None
    interval: tuple[float, float] | None = None
    """95 % interval of the difference; None where it was not judged."""
    verdict: str = ""
    """``better``, ``worse``, ``same`` (no measurable effect), ``few`` (too few calls to tell), or empty."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one change came to."""

    label: str
    figures: tuple[Figure, ...]
    n: tuple[int, int] = (0, 0)
    """Calls before and after."""
    errors: int = 0

    def figure(self, key: str) -> Figure | None:
        """Return a figure by its key."""
        return next((each for each in self.figures if each.key == key), None)


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was taken."""

    step: str
    at_ms: int
    effects: tuple[Effect, ...] = ()
    note: str = ""
    adopted: bool = False
    """Whether the steps after it begin with its change."""
    spent_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """One prompt's way."""

    name: str
    """The file, or the name in the library."""
    original: Variant
    current: Variant
    taken: tuple[Taken, ...] = field(default=())
    """The last result of each step, in the order of the steps."""

    def of(self, step: str) -> Taken | None:
        """Return what a step came to; None if it was not taken yet."""
        return next((each for each in self.taken if each.step == step), None)

    @property
    def next_step(self) -> str:
        """Name of the first step that was not taken; empty when all were."""
        return next((name for name in NAMES if self.of(name) is None), "")

    def with_step(self, step: Step, taken: Taken, after: Variant | None) -> Sheet:
        """Return the sheet with a step's result; ``after`` is where it leads, where that is adopted."""
        kept = {each.step: each for each in self.taken} | {step.name: taken}
        ordered = tuple(kept[name] for name in NAMES if name in kept)
        return replace(self, taken=ordered, current=after if after is not None else self.current)


def edited(sheet: Sheet, text: str) -> str:
    """Return the prompt's present ``text`` if it was edited since the sheet saw it, else an empty string."""
    return "" if text in (sheet.original.text, sheet.current.text) else text


def sheet_path(name: str) -> Path:
    """Return the file of a prompt's sheet; a path counts as the file that it leads to."""
    whole = name if name.startswith("lib:") else str(Path(name).absolute())
    digest = hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return state_dir() / "guide" / f"{digest}.json"


def save(sheet: Sheet) -> Path:
    """Keep a sheet (0600); raise :class:`PromptopError` if it cannot be written."""
    path = sheet_path(sheet.name)
    try:
        write_private(path, json.dumps({"version": VERSION, **asdict(sheet)}, ensure_ascii=False, indent=1))
    except OSError as error:
        raise PromptopError(f"The sheet {path} cannot be written ({error.strerror}).", "Check the folder.") from None
    return path


def load(name: str) -> Sheet | None:
    """Return the sheet of a prompt; None where there is none, or one that cannot be read."""
    try:
        table = json.loads(sheet_path(name).read_text(encoding="utf-8"))
        if table.pop("version") != VERSION:
            return None
        return _sheet(table)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def reset(name: str) -> bool:
    """Remove a prompt's sheet; return whether there was one."""
    path = sheet_path(name)
    found = path.exists()
    path.unlink(missing_ok=True)
    return found


def now_ms() -> int:
    """Return the time, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def _sheet(table: dict[str, Any]) -> Sheet:
    return Sheet(
        table["name"], _variant(table["original"]), _variant(table["current"]), tuple(map(_taken, table["taken"]))
    )


def _variant(table: dict[str, Any]) -> Variant:
    known = {each.name for each in fields(Variant)}
    return Variant(**{name: value for name, value in table.items() if name in known} | {"stop": tuple(table["stop"])})


def _taken(table: dict[str, Any]) -> Taken:
    effects = tuple(
        Effect(
            each["label"],
            tuple(
                Figure(**{**one, "interval": tuple(one["interval"]) if one["interval"] else None})
                for one in each["figures"]
            ),
            (int(each["n"][0]), int(each["n"][1])),
            each["errors"],
        )
        for each in table["effects"]
    )
    return Taken(**{**table, "effects": effects})
