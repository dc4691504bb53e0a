"""A test set drawn from the log: real requests of one prompt, near-duplicates folded, secrets kept out.

Only where bodies are kept. Variables are read back by laying the template's fixed texts over each message; a request
that does not fit is counted, not bent. What was answered goes into ``seen``: it is what was said, not what is right.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptop.base.redact import GONE
from promptop.experiments.test_sets.case import Case, digest_id

ALIKE = 0.8
"""Jaccard similarity of pieces from which two requests are one."""
PIECE = 5
"""Characters of a piece."""
FEW = 2_000
"""Up to so many requests are compared each with each; above, by signatures."""
NEAR = 60
"""Characters before a variable that may say what it is: "password: "."""
HASHES = 64
_BANDS = 16
_VARIABLE = re.compile(r"\{\{\s*([^\W\d][\w.]*)\s*\}\}")
_LEADING = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class Logged:
    """One logged request: what was asked, what was answered, when."""

    started_ms: int
    messages: tuple[Mapping[str, Any], ...]
    answer: str


@dataclass(slots=True)
class Fold:
    """Requests that are near-duplicates; the newest stands for all."""

    variables: Mapping[str, str]
    messages: tuple[Mapping[str, Any], ...]
    seen: str
    size: int = 1


@dataclass(frozen=True, slots=True)
class Drawn:
    """Cases, and what became of the requests that are none."""

    cases: tuple[Case, ...]
    requests: int
    unfit: int
    """Requests that do not fit the template."""
    folds: int


def pattern_of(template: str) -> re.Pattern[str] | None:
    """Return what reads a template's variables out of a text; None if two of them stand side by side."""
    parts: list[str] = []
    names: set[str] = set()
    last, at = "", 0
    for found in _VARIABLE.finditer(template):
        fixed = template[at : found.start()]
        if names and not fixed:
            return None
        name = f"v{hashlib.blake2b(found[1].encode(), digest_size=8).hexdigest()}"
        parts.append(re.escape(fixed))
        parts.append(f"(?P={name})" if found[1] in names else f"(?P<{name}>.*?)")
        names.add(found[1])
        at, last = found.end(), found[1]
    parts.append(re.escape(template[at:]))
    return re.compile("".join(parts), re.DOTALL) if last else re.compile(re.escape(template))


def variables_in(template: Sequence[Mapping[str, Any]], messages: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """Return the values that make a template's messages equal to logged ones; None where they do not fit."""
    if len(template) != len(messages):
        return None
    values: dict[str, str] = {}
    for wanted, found in zip(template, messages, strict=True):
        text, said = wanted.get("content"), found.get("content")
        if wanted.get("role") != found.get("role") or not isinstance(text, str) or not isinstance(said, str):
            return None
        pattern = pattern_of(text)
        fits = pattern.fullmatch(said.strip("\r\n")) if pattern is not None else None
        if fits is None:
            return None
        for name in dict.fromkeys(_VARIABLE.findall(text)):
            value = fits[f"v{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"]
            if values.setdefault(name, value) != value:
                return None
    return values


def plain(text: str) -> str:
    """Return a text in the form in which requests are compared: lower case, digits as 0, one blank for white space."""
    return re.sub(r"\s+", " ", re.sub(r"\d", "0", text.lower())).strip()


def pieces_of(text: str) -> frozenset[str]:
    """Return the pieces of a text."""
    known = plain(text)
    return frozenset(known[at : at + PIECE] for at in range(max(1, len(known) - PIECE + 1)))


def is_alike(left: frozenset[str], right: frozenset[str]) -> bool:
    """Whether two requests are near-duplicates."""
    return len(left & right) >= ALIKE * len(left | right)


def _signature(pieces: frozenset[str]) -> tuple[int, ...]:
    hashes = [int.from_bytes(hashlib.blake2b(piece.encode(), digest_size=8).digest(), "big") for piece in pieces]
    return tuple(min(value ^ mask for value in hashes) for mask in _MASKS)


_rng = random.Random(7)
_MASKS = tuple(_rng.getrandbits(64) for _ in range(HASHES))


def folded(items: Sequence[tuple[str, Fold]]) -> list[Fold]:
    """Fold near-duplicates, the newest first in ``items``; each comes with the text that it is compared by."""
    folds: list[tuple[frozenset[str], Fold]] = []
    buckets: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    many = len(items) > FEW
    for text, item in items:
        pieces = pieces_of(text)
        keys = list(_bands(_signature(pieces))) if many else []
        near = {at for key in keys for at in buckets.get(key, ())} if many else range(len(folds))
        match = next((at for at in near if is_alike(folds[at][0], pieces)), None)
        if match is not None:
            folds[match][1].size += 1
            continue
        folds.append((pieces, item))
        for key in keys:
            buckets.setdefault(key, []).append(len(folds) - 1)
    return [fold for _, fold in folds]


def _bands(signature: Sequence[int]) -> Iterator[tuple[int, tuple[int, ...]]]:
    rows = HASHES // _BANDS
    for band in range(_BANDS):
        yield band, tuple(signature[band * rows : (band + 1) * rows])


def drawn(
    logged: Sequence[Logged],
    template: Sequence[Mapping[str, Any]] | None,
    count: int,
    hide: Callable[[Any], Any],
    *,
    seed: int = 1,
) -> Drawn:
    """Draw ``count`` cases at random over the lengths of the requests; ``hide`` takes secrets out of a JSON value.

    Without a template a case holds the conversation, without its system part.
    """
    items: list[tuple[str, Fold]] = []
    unfit = 0
    for each in sorted(logged, key=lambda one: -one.started_ms):
        values: dict[str, str] | None = {}
        if template is not None:
            values = variables_in(template, each.messages)
            if values is None:
                unfit += 1
                continue
        said = tuple(message for message in each.messages if message.get("role") not in _LEADING)
        text = "\n".join(values.values()) if template is not None and values else json.dumps(said, ensure_ascii=False)
        items.append((text, Fold(values or {}, () if template is not None else said, each.answer)))
    folds = folded(items)
    chosen = _spread(folds, count, random.Random(seed))
    cases = []
    for number, fold in enumerate(chosen, 1):
        values = _hidden(fold.variables, template or (), hide)
        messages = tuple(hide(dict(each)) for each in fold.messages)
        name = f"log-{number:03}-{digest_id([values, list(messages)])}"
        cases.append(Case(name, values, messages, weight=float(fold.size), seen=hide(fold.seen) or None))
    return Drawn(tuple(cases), len(logged), unfit, len(folds))


def _hidden(
    values: Mapping[str, str], template: Sequence[Mapping[str, Any]], hide: Callable[[Any], Any]
) -> dict[str, str]:
    """Take secrets out of values: by their form, their variable's name, and the text before them in the template."""
    found = dict(values)
    for message in template:
        text = str(message.get("content") or "")
        for place in _VARIABLE.finditer(text):
            name = place[1]
            before = text[max(0, place.start() - NEAR) : place.start()]
            after = _VARIABLE.split(text[place.end() : place.end() + NEAR])[0]
            alone, whole = hide(before), hide(before + found[name] + after)
            # Where the text around it went too, the value was part of what had to go.
            is_apart = whole.startswith(alone) and whole.endswith(after) and len(whole) >= len(alone) + len(after)
            found[name] = whole[len(alone) : len(whole) - len(after)] if is_apart else GONE
    return {name: str(value) for name, value in hide(found).items()}


def _spread(folds: Sequence[Fold], count: int, rng: random.Random) -> list[Fold]:
    """Draw at random within quartiles of length, so that short and long requests both come."""
    ordered = sorted(folds, key=lambda fold: len(json.dumps([dict(fold.variables), list(fold.messages)], default=str)))
    quarter = -(-len(ordered) // 4) or 1
    strata = [ordered[at : at + quarter] for at in range(0, len(ordered), quarter)]
    for stratum in strata:
        rng.shuffle(stratum)
    chosen: list[Fold] = []
    while len(chosen) < count and any(strata):
        for stratum in strata:
            if stratum and len(chosen) < count:
                chosen.append(stratum.pop())
    return chosen
