"""Factors learned from the log: what a model's server reported, against what we would have said.

Each logged call carries its characters by script, our o200k count where its process had a tokenizer, and the server's
``prompt_tokens``. For every model that reported enough of them a factor per script and the tokens that a message adds
are fitted: reported ≈ Σ factor · o200k tokens of the script + messages · overhead. The fit is relative (a long prompt
weighs no more than a short one), robust (Huber weights: one odd call does not move it) and held to the family's
factors where the rows say nothing, as for a script that never occurred. Simulated calls never train.

If the residuals of the later calls stand apart from those of the earlier ones, the tokenizer changed under the same
name: the factors are fitted from the later calls alone, and a :class:`Notice` tells of it.

The log lies above this room: whoever reads it (the app, ``promptop models --learn``) hands over :class:`CountedCall`.
"""

from __future__ import annotations

import json
import math
from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from promptop import models
from promptop.base.files import data_dir, write_private
from promptop.tokens import estimate
from promptop.tokens.overhead import overhead
from promptop.tokens.scripts import Chars

ENOUGH = 8
"""Calls of a model below which nothing is learned."""
KEPT = 500
"""Latest calls of a model that are used."""
JUMP = 0.03
"""Smallest relative step that is called a change of tokenizer."""
_NOISE = 0.02  # spread of a good fit; measured 1 to 4 % where the tokenizer is known
_NOISE_CHARS = 0.15  # where o200k tokens are guessed from characters
_PRIOR = 0.3  # how far factors of one family are expected to stray from the table, relative
_PRIOR_OVERHEAD = 4.0  # tokens a message


@dataclass(frozen=True, slots=True)
class CountedCall:
    """One logged call. Calls with tools or images are left out by the caller: their tokens have no characters."""

    model: str
    chars: Chars
    reported: int
    """prompt_tokens of the server, cached ones included."""
    o200k: int | None = None
    messages: int = 1
    simulated: bool = False
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class ModelFactors:
    """Fitted factors of one model."""

    model: str
    factors: estimate.Factors
    overhead: float
    """Tokens that each message adds."""
    error: float
    """Relative error that 90 of 100 of the calls kept within."""
    n: int
    since_ms: int
    """Start of the oldest call that was used."""
    until_ms: int
    """Start of the newest one."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A model's tokenizer changed under the same name."""

    model: str
    at_ms: int
    """Start of the first call after the change."""
    ratio: float
    """Tokens for the same text, after ÷ before."""

    def __str__(self) -> str:
        return f"{self.model}: the same text counts {self.ratio - 1:+.1%} tokens since a change; factors start anew."


def key(model: str) -> str:
    """Return the name under which a model's factors are kept: lower case, dated version included."""
    return model.lower().strip()


# Kept factors


def path() -> Path:
    """Return the file of the learned factors."""
    return data_dir() / "factors.json"


_seen: dict[Path, tuple[tuple[int, int] | None, dict[str, ModelFactors]]] = {}


def current() -> Mapping[str, ModelFactors]:
    """Return the learned factors by :func:`key`; the file is read again when it changed. A damaged file is none."""
    file = path()
    try:
        info = file.stat()
        mark = (info.st_mtime_ns, info.st_size)
    except OSError:
        mark = None
    known = _seen.get(file)
    if known is None or known[0] != mark:
        known = _seen[file] = (mark, _read(file) if mark else {})
    return known[1]


def _read(file: Path) -> dict[str, ModelFactors]:
    out = {}
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
        for name, entry in table["models"].items():
            factors = tuple(float(value) for value in entry["factors"])
            if len(factors) == 4 and all(0.1 < value < 10 for value in factors):
                out[name] = ModelFactors(**{**entry, "factors": factors})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # they are learned again from the log
    return out


def save(learned: Iterable[ModelFactors]) -> None:
    """Write learned factors beside those of other models, atomically, mode 0600."""
    table = {**current(), **{key(entry.model): entry for entry in learned}}
    text = json.dumps(
        {"version": 1, "models": {name: asdict(entry) for name, entry in sorted(table.items())}}, indent=1
    )
    write_private(path(), text + "\n")


def update(rows: Iterable[object]) -> tuple[Notice, ...]:
    """Learn from rows of the log (objects with its columns as attributes), keep the factors, return the changes.

    Calls from before a change that was noticed are left out from then on, so it is told once.
    """
    known = current()
    samples = []
    for row in rows:
        sample = sample_from_row({name: getattr(row, name) for name in COLUMNS})
        entry = known.get(key(sample.model)) if sample is not None else None
        if sample is not None and (entry is None or sample.at_ms >= entry.since_ms):
            samples.append(sample)
    learned, notices = learn(samples)
    if learned:
        save(learned)
    return notices


# Fitting


def learn(samples: Iterable[CountedCall]) -> tuple[tuple[ModelFactors, ...], tuple[Notice, ...]]:
    """Fit the factors of each model that has :data:`ENOUGH` calls; return them and the changes that were noticed."""
    by_model: dict[str, list[CountedCall]] = {}
    for sample in samples:
        if not sample.simulated and sample.reported > 0 and sum(sample.chars) > 0:
            by_model.setdefault(key(sample.model), []).append(sample)
    fitted, notices = [], []
    for name, calls in sorted(by_model.items()):
        calls.sort(key=lambda call: call.at_ms)
        used = calls[-KEPT:]
        if len(used) < ENOUGH:
            continue
        entry = _fit(name, used)
        place = _change(entry, used)
        if place is not None:
            from statistics import median  # and fractions, for a rare step

            before = _fit(name, used[:place])
            ratio = math.exp(median(_residuals(before, used[place:])))
            notices.append(Notice(name, used[place].at_ms, ratio))
            entry = _fit(name, used[place:])
        fitted.append(entry)
    return tuple(fitted), tuple(notices)


def _features(call: CountedCall) -> tuple[float, ...]:
    base = estimate.o200k_from_chars(call.chars) if call.o200k is None else call.o200k
    return (*estimate.shares(base, call.chars), float(call.messages))


def _fit(name: str, calls: Sequence[CountedCall]) -> ModelFactors:
    known = models.find(name)
    family = known.family if known is not None else ""
    start = (*estimate.family(family).factors, overhead(name).per_message)
    stiff = [1 / (_PRIOR * value) ** 2 for value in start[:4]] + [1 / _PRIOR_OVERHEAD**2]
    rows = [(_features(call), call.reported) for call in calls]
    noise = [_NOISE if call.o200k is not None else _NOISE_CHARS for call in calls]
    weights = [1 / (spread * reported) ** 2 for spread, (_, reported) in zip(noise, rows, strict=True)]
    values = list(start)
    for _ in range(8):
        robust = []
        for (row, reported), weight in zip(rows, weights, strict=True):
            off = abs(_dot(values, row) - reported) * math.sqrt(weight)
            robust.append(weight * min(1.0, 1.345 / off) if off else weight)
        values = _solve(rows, robust, start, stiff)
    misses = sorted(abs(_dot(values, row) / reported - 1) for row, reported in rows)
    rank = min(math.ceil(0.9 * (len(misses) + 1)), len(misses)) - 1
    error = max(misses[rank] * (1 + 2 / len(misses)), 0.001)
    low, high = calls[0].at_ms, calls[-1].at_ms
    factors = tuple(round(min(max(value, 0.2), 5.0), 4) for value in values[:4])
    return ModelFactors(
        name,
        (factors[0], factors[1], factors[2], factors[3]),
        round(values[4], 2),
        round(error, 4),
        len(calls),
        low,
        high,
    )


def _dot(values: Sequence[float], row: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(values, row, strict=True))


def _solve(
    rows: Sequence[tuple[tuple[float, ...], int]],
    weights: Sequence[float],
    start: Sequence[float],
    stiff: Sequence[float],
) -> list[float]:
    """Minimise Σ weight · (row · x − reported)² + Σ stiff · (x − start)²: normal equations, Gaussian elimination."""
    size = len(start)
    table = [[0.0] * (size + 1) for _ in range(size)]
    for i in range(size):
        table[i][i] = stiff[i]
        table[i][size] = stiff[i] * start[i]
    for (row, reported), weight in zip(rows, weights, strict=True):
        for i in range(size):
            scaled = weight * row[i]
            for j in range(size):
                table[i][j] += scaled * row[j]
            table[i][size] += scaled * reported
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(table[k][i]))
        table[i], table[pivot] = table[pivot], table[i]
        for k in range(size):
            if k != i:
                part = table[k][i] / table[i][i]
                for j in range(i, size + 1):
                    table[k][j] -= part * table[i][j]
    return [table[i][size] / table[i][i] for i in range(size)]


def _residuals(entry: ModelFactors, calls: Sequence[CountedCall]) -> list[float]:
    """Return the logarithm of reported ÷ fitted tokens of each call."""
    values = (*entry.factors, entry.overhead)
    return [math.log(call.reported / max(_dot(values, _features(call)), 1.0)) for call in calls]


def _change(entry: ModelFactors, calls: Sequence[CountedCall]) -> int | None:
    """Return the index of the first call after a step in the residuals, or None if they do not step."""
    logs = _residuals(entry, calls)
    half = ENOUGH
    if len(logs) < 2 * half:
        return None
    before = _running_medians(logs)
    after = _running_medians(logs[::-1])[::-1]

    def apart(place: int) -> float:
        """Sum of distances from the medians on both sides: least where the step is."""
        left, right = before[place - 1], after[place]
        return sum(abs(value - left) for value in logs[:place]) + sum(abs(value - right) for value in logs[place:])

    place = min(range(half, len(logs) - half + 1), key=apart)
    step = after[place] - before[place - 1]
    rest = [abs(value - before[place - 1]) for value in logs[:place]]
    rest += [abs(value - after[place]) for value in logs[place:]]
    spread = 1.4826 * sorted(rest)[len(rest) // 2]
    return place if abs(step) > max(3 * spread, JUMP) else None


def _running_medians(values: Sequence[float]) -> list[float]:
    ordered: list[float] = []
    out = []
    for value in values:
        insort(ordered, value)
        middle = len(ordered) // 2
        out.append(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)
    return out


COLUMNS = (
    "started_ms",
    "simulated",
    "request_model",
    "response_model",
    "request_messages",
    "request_tools",
    "input_chars",
    "input_o200k_tokens",
    "usage_input_tokens",
    "usage_source",
    "cache_level",
)
"""Columns of the log that :func:`sample_from_row` reads."""


def sample_from_row(row: Mapping[str, Any]) -> CountedCall | None:
    """Make a sample of a log row's columns; None if it cannot train (no usage reported, tools, not text, failed)."""
    try:
        chars = json.loads(row.get("input_chars") or "")
        latin, cjk, code, other = (int(value) for value in chars)
    except (ValueError, TypeError):
        return None
    reported = row.get("usage_input_tokens")
    model = row.get("response_model") or row.get("request_model")
    usable = (
        row.get("usage_source") == "reported"
        and not row.get("request_tools")
        and row.get("cache_level") in (None, "miss")
    )
    if not reported or not model or not usable:
        return None
    return CountedCall(
        model,
        (latin, cjk, code, other),
        reported,
        o200k=row.get("input_o200k_tokens"),
        messages=row.get("request_messages") or 1,
        simulated=bool(row.get("simulated")),
        at_ms=row.get("started_ms") or 0,
    )
