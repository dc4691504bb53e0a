"""What goes wrong in invented logs, and what is ordinary although it looks odd: a kind each, with drawn targets."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.world.traffic import DAY_MS, HOUR_MS, MINUTE_MS, Effect, Row, answered, call, fail, slower

from promptop.alerts.changes import Change

_FIELDS = {
    "app": "app",
    "model": "request_model",
    "prompt": "prompt_name",
    "provider": "provider_name",
    "server": "server_address",
}
Place = tuple[str, str]


def places_of(row: Row) -> list[Place]:
    """Return the values that a call is counted under."""
    found = [(dimension, str(row[name])) for dimension, name in _FIELDS.items() if row.get(name)]
    found.append(("version", f"{row.get('prompt_name') or ''} {row.get('prompt_version') or ''}".strip()))
    names = (row["app"], row["request_model"], row.get("prompt_name"))
    found.append(("app.model.prompt", " · ".join(name or "(none)" for name in names)))
    return [("all", ""), *found, *((f"tag.{key}", value) for key, value in row["tags"].items())]


@dataclass
class Incident:
    """An incident with its targets drawn: whom it hits, since when, and by which figures it may be told."""

    kind: str
    figures: tuple[str, ...]
    minutes: float
    hits: Callable[[Row], bool]
    """Whether a call is one of those that it is about."""
    change: Callable[[Row, float, random.Random], list[Row]]
    hit: Counter[Place] = field(default_factory=Counter)
    of: Counter[Place] = field(default_factory=Counter)

    def effect(self, row: Row, age: float, rng: random.Random) -> list[Row]:
        """Change a call, and count by value what was hit."""
        if not 0 <= age <= self.minutes:
            return [row]
        before = places_of(row)
        hits = self.hits(row)
        rows = self.change(row, age, rng) if hits else [row]
        # A value that the incident brings (a release, a user) counts too.
        for place in {*before, *(place for each in rows for place in places_of(each))}:
            self.of[place] += 1
            self.hit[place] += hits
        return rows

    @property
    def subjects(self) -> set[Place]:
        """The values of which most calls were hit, and which hold most of the calls that were."""
        most = self.hit["all", ""]
        return {place for place, count in self.hit.items() if count >= 0.5 * most and count >= 0.4 * self.of[place]}

    def told_by(self, changes: Iterable[Change], now_ms: int) -> int:
        """Return the rank at which it is told, 0 if it is not among the first three."""
        start, spare = now_ms - self.minutes * MINUTE_MS, max(3.0, 0.2 * self.minutes) * MINUTE_MS
        for rank, each in enumerate(list(changes)[:3], 1):
            known = (each.dimension, each.value) in self.subjects and each.figure in self.figures
            if known and abs(each.since_ms - start) <= spare:
                return rank
        return 0


def _at(dimension: str, value: str) -> Callable[[Row], bool]:
    if dimension.startswith("tag."):
        return lambda row: row["tags"].get(dimension[4:]) == value
    return lambda row: row.get(_FIELDS[dimension]) == value


def _failing(kind: str, status: int | None, share: float, took_s: float) -> Effect:
    def change(row: Row, age: float, rng: random.Random) -> list[Row]:
        return [fail(row, kind, status, took_s) if answered(row) and rng.random() < share else row]

    return change


def _times(names: str, factor: float) -> Effect:
    def change(row: Row, age: float, rng: random.Random) -> list[Row]:
        if answered(row):
            for name in names.split():
                row[name] = int(row[name] * factor)
        return [row]

    return change


def drawn(kind: str, rows: list[Row], rng: random.Random) -> Incident | None:
    """Draw targets of a kind among calls of the last hour; None where nobody is busy enough for it.

    ``rows`` are ordinary calls of that hour: what an incident hits must have had enough of them to be seen.
    """
    make = KINDS[kind]
    minutes = float(rng.randint(8, 40))
    counted: Counter[Place] = Counter(place for row in rows if answered(row) for place in places_of(row))
    # Forty calls in the time of the incident; of shares that need a few cases only, fewer would do.
    busy = {place: count for place, count in counted.items() if count * minutes / 60 >= 40}

    def pick(*dimensions: str) -> Place | None:
        found = sorted(place for place in busy if place[0] in dimensions)
        return rng.choice(found) if found else None

    return make(kind, minutes, pick, rng, rows)


Pick = Callable[..., Place | None]


def _rated(figures: str, dimensions: tuple[str, ...], effect: Callable[[random.Random], Effect]) -> Any:
    def make(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
        place = pick(*dimensions)
        if place is None:
            return None
        return Incident(kind, tuple(figures.split()), minutes, _at(*place), effect(rng))

    return make


_HOSTS = ("tag.host", "tag.node", "tag.pod", "tag.instance")
_USERS = ("tag.user", "tag.team", "tag.tenant", "tag.customer")


def _slow(rng: random.Random) -> Effect:
    factor = rng.uniform(2.5, 6.0)
    return lambda row, age, _: [slower(row, factor)]


def _ramp(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
    place, factor = pick("model", "provider"), rng.uniform(3.0, 6.0)
    if place is None:
        return None
    made = Incident(kind, ("ttft", "latency"), minutes, _at(*place), lambda row, age, _: [row])
    made.change = lambda row, age, _: [slower(row, 1.5 + (factor - 1.5) * (1 - age / minutes))]
    return made


def _silence(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
    place = ("all", "") if kind == "silence of all" else pick("app")
    if place is None:
        return None
    hits = (lambda row: True) if place[0] == "all" else _at(*place)
    return Incident(kind, ("silence", "n"), minutes, hits, lambda row, age, _: [])


def _new_version(figures: str, effect: Callable[[random.Random], Effect]) -> Any:
    def make(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
        place = pick("prompt")
        if place is None:
            return None
        changed = effect(rng)

        def change(row: Row, age: float, source: random.Random) -> list[Row]:
            row["prompt_version"] = f"{row['prompt_version']}-next"
            return changed(row, age, source)

        return Incident(kind, tuple(figures.split()), minutes, _at(*place), change)

    return make


def _cached_no_more(rng: random.Random) -> Effect:
    return lambda row, age, _: [row | ({"usage_cache_read_input_tokens": 0} if answered(row) else {})]


def _provider_cache(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
    cached = Counter(row["prompt_name"] for row in rows if row.get("usage_cache_read_input_tokens"))
    found = [name for name, count in cached.items() if count * minutes / 60 >= 40]
    if not found:
        return None
    figures = ("cached_share", "cost_a_call", "cost")
    return Incident(kind, figures, minutes, _at("prompt", rng.choice(sorted(found))), _cached_no_more(rng))


def _own_cache(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
    hits = Counter(row["app"] for row in rows if row.get("cache_level") == "memory")
    found = [app for app, count in hits.items() if count * minutes / 60 >= 40]
    if not found:
        return None

    def change(row: Row, age: float, source: random.Random) -> list[Row]:
        if row.get("cache_level") == "memory" and source.random() < 0.9:
            row |= {"cache_level": "miss", "duration_s": 0.6, "total_s": 0.6, "cost_usd": 1e-4}
        return [row]

    return Incident(kind, ("hit_share", "cost", "cost_a_call"), minutes, _at("app", rng.choice(sorted(found))), change)


def _spender(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
    place = pick("app")
    if place is None:
        return None
    tag = next((key for row in rows if row["app"] == place[1] for key in row["tags"] if f"tag.{key}" in _USERS), "user")
    known = rng.choice(sorted({row["tags"][tag] for row in rows if row["app"] == place[1] and tag in row["tags"]}))
    who = known if kind == "a known user's spend" else "x77"
    total, own = (sum(map(answered, some)) for some in (rows, [row for row in rows if row["app"] == place[1]]))
    if own < 0.3 * total:
        return None  # even all of it would be no large part
    picked = random.Random(rng.random())

    def change(row: Row, age: float, source: random.Random) -> list[Row]:
        row["tags"][tag] = who
        if answered(row):
            row["usage_input_tokens"] *= 10
            row["usage_output_tokens"] *= 5
            row["usage_cache_read_input_tokens"] = 0
        return [row]

    # Of his calls: the counts are of those that he makes.
    figures = ("cost", "n", "cost_a_call", "input_a_call", "output_a_call")
    return Incident(kind, figures, minutes, lambda row: row["app"] == place[1] and picked.random() < 0.4, change)


def _cut(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
    place = pick("prompt")
    if place is None:
        return None
    sizes = sorted(
        row["usage_output_tokens"] - (row.get("usage_reasoning_output_tokens") or 0)
        for row in rows
        if answered(row) and row["prompt_name"] == place[1]
    )
    limit = sizes[int(len(sizes) * 0.4)]

    def change(row: Row, age: float, source: random.Random) -> list[Row]:
        if answered(row) and row["usage_output_tokens"] - row["usage_reasoning_output_tokens"] >= limit:
            row["usage_output_tokens"] = limit + row["usage_reasoning_output_tokens"]
            row["response_finish_reasons"] = ["length"]
        return [row]

    return Incident(kind, ("truncated_share",), minutes, _at(*place), change)


def _thinking(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
    thought = Counter(row["request_model"] for row in rows if row.get("usage_reasoning_output_tokens"))
    found = [name for name, count in thought.items() if count * minutes / 60 >= 40]
    if not found:
        return None
    factor = rng.uniform(2.5, 4.0)

    def change(row: Row, age: float, source: random.Random) -> list[Row]:
        if answered(row):
            more = int(row["usage_reasoning_output_tokens"] * (factor - 1))
            row["usage_reasoning_output_tokens"] += more
            row["usage_output_tokens"] += more
        return [row]

    figures = ("reasoning_a_call", "output_a_call", "cost_a_call")
    return Incident(kind, figures, minutes, _at("model", rng.choice(sorted(found))), change)


def _late_clock(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
    place = pick(*_HOSTS)
    if place is None:
        return None
    late = rng.randint(20, 120) * MINUTE_MS

    def change(row: Row, age: float, source: random.Random) -> list[Row]:
        row["written_ms"] = row["started_ms"] + round(1000 * (row.get("total_s") or 0))
        row["started_ms"] -= late
        return [row]

    return Incident(kind, ("late_share",), minutes, _at(*place), change)


def _many(kind: str, minutes: float, pick: Pick, rng: random.Random, rows: list[Row]) -> Incident | None:
    place = pick("app")
    own = sum(1 for row in rows if place is not None and row["app"] == place[1])
    if place is None or own < 0.15 * len(rows):
        return None
    times = rng.randint(6, 10)

    def change(row: Row, age: float, source: random.Random) -> list[Row]:
        return [row | {"tags": dict(row["tags"])} for _ in range(times)]

    return Incident(kind, ("n", "cost"), minutes, _at(*place), change)


def _retrying(rng: random.Random) -> Effect:
    return lambda row, age, source: [row | ({"attempt": 2} if source.random() < 0.5 else {})]


def _dearer(rng: random.Random) -> Effect:
    factor = rng.uniform(2.5, 5.0)
    return lambda row, age, _: [row | {"dearer": factor}]


KINDS: dict[str, Any] = {
    "a model is slow": _rated("ttft latency", ("model", "provider"), _slow),
    "a host is slow": _rated("ttft latency", _HOSTS, _slow),
    "a model slows down": _ramp,
    "a program is rejected": _rated("limited_share", ("app",), lambda rng: _failing("429", 429, 0.6, 0.1)),
    "a model is rejected": _rated("limited_share", ("model", "provider"), lambda rng: _failing("429", 429, 0.4, 0.1)),
    "a host cannot connect": _rated("error_share", _HOSTS, lambda rng: _failing("connect", None, 0.8, 0.05)),
    "a region fails": _rated("error_share", ("tag.region",), lambda rng: _failing("503", 503, 0.5, 0.3)),
    "a provider fails now and then": _rated("error_share", ("provider",), lambda rng: _failing("500", 500, 0.25, 0.4)),
    "a key is refused": _rated("error_share", ("app",), lambda rng: _failing("401", 401, 1.0, 0.1)),
    "a model hangs": _rated("timeout_share error_share", ("model",), lambda rng: _failing("timeout", None, 0.6, 30.0)),
    "silence of all": _silence,
    "silence of a program": _silence,
    "a version asks for more": _new_version("input_a_call cost_a_call", lambda rng: _times("usage_input_tokens", 2.5)),
    "a version answers at length": _new_version(
        "output_a_call cost_a_call latency", lambda rng: _times("usage_output_tokens", 3.0)
    ),
    "a version fails": _new_version("error_share", lambda rng: _failing("400", 400, 0.4, 0.1)),
    "a prompt grows": _rated(
        "input_a_call cost_a_call", ("prompt", "app"), lambda rng: _times("usage_input_tokens", 2.2)
    ),
    "thinking grows": _thinking,
    "the provider's cache finds nothing": _provider_cache,
    "our cache finds nothing": _own_cache,
    "a new user's spend": _spender,
    "a known user's spend": _spender,
    "answers are cut": _cut,
    "retries": _rated("retry_share", ("app",), _retrying),
    "a model is dearer": _rated("cost_a_call cost", ("model",), _dearer),
    "many calls of a program": _many,
    "a clock is late": _late_clock,
}
"""Kind → (kind, minutes, pick, random, ordinary calls of the hour) → incident, or None."""


# What is ordinary


def _plain(rng: random.Random, now_ms: int) -> Effect:
    return lambda row, age, _: [row]


def _more(row: Row, count: int, over_ms: int, rng: random.Random) -> list[Row]:
    """Return more calls of a call's program, of its host and user, soon after it."""
    made = [call(row["program"], row["started_ms"] + int(over_ms * rng.random()), rng) for _ in range(count)]
    return [each | {"tags": dict(row["tags"])} for each in made]


def _jobs(rng: random.Random, now_ms: int) -> Effect:
    """Some jobs a day, each of many calls within minutes, by whichever program."""
    slots = {rng.randrange(14 * 288) for _ in range(14 * 5)}
    done: set[int] = set()

    def effect(row: Row, age: float, source: random.Random) -> list[Row]:
        slot = int(age // 5)
        if slot in slots and slot not in done:
            done.add(slot)
            return [row, *_more(row, source.randrange(80, 250), 3 * MINUTE_MS, source)]
        return [row]

    return effect


def _hourly(rng: random.Random, now_ms: int) -> Effect:
    """A job at the same minutes of each hour."""
    minute, length, times = rng.randrange(60), rng.randint(3, 8), rng.randint(5, 12)
    app: list[str] = []

    def effect(row: Row, age: float, source: random.Random) -> list[Row]:
        app.append(row["app"]) if not app else None
        if row["app"] == app[0] and (row["started_ms"] // MINUTE_MS - minute) % 60 < length:
            return [row, *_more(row, times, MINUTE_MS, source)]
        return [row]

    return effect


def _nightly(rng: random.Random, now_ms: int) -> Effect:
    """One program that runs from one hour to another, at full rate, and not at other times."""
    first, length, app = rng.randrange(24), rng.randint(1, 3), list[str]()

    def effect(row: Row, age: float, source: random.Random) -> list[Row]:
        app.append(row["app"]) if not app else None
        if row["app"] != app[0]:
            return [row]
        on = (row["started_ms"] // HOUR_MS - first) % 24 < length
        return [row, *_more(row, 4, MINUTE_MS, source)] if on else []

    return effect


def _agents(rng: random.Random, now_ms: int) -> Effect:
    """People with coding agents: sessions, no times, input that grows in each."""

    def effect(row: Row, age: float, source: random.Random) -> list[Row]:
        slot = row["started_ms"] // (25 * MINUTE_MS)
        if random.Random(f"{row['app']} {slot}").random() < 0.5:
            return []
        row |= {"ttft_s": None, "duration_s": None, "total_s": None}
        row["tags"] = {"session": f"{row['app']}-{slot}"}
        if answered(row):
            row["usage_input_tokens"] = int(row["usage_input_tokens"] * (1 + row["started_ms"] % 1_500_000 / 300_000))
        return [row]

    return effect


def _deploy(rng: random.Random, now_ms: int) -> Effect:
    """A release each few hours, with new names of versions and hosts, that changes nothing else."""
    every = rng.randint(3, 9) * HOUR_MS

    def effect(row: Row, age: float, source: random.Random) -> list[Row]:
        number = row["started_ms"] // every
        row["tags"]["release"] = f"r{number}"
        row["prompt_version"] = f"{row['prompt_version']}.{number}"
        for key in ("pod", "instance"):
            if key in row["tags"]:
                row["tags"][key] += f"-{number % 1000:x}"
        return [row]

    return effect


def _canary(rng: random.Random, now_ms: int) -> Effect:
    """A release that takes a tenth of the calls for an hour, half for another, then all."""
    start = now_ms - rng.randint(4, 40) * HOUR_MS

    def effect(row: Row, age: float, source: random.Random) -> list[Row]:
        hours = (row["started_ms"] - start) / HOUR_MS
        share = 0.0 if hours < 0 else 0.1 if hours < 1 else 0.5 if hours < 2 else 1.0
        if source.random() < share:
            row["tags"]["release"] = "r-next"
            row["prompt_version"] = f"{row['prompt_version']}-next"
        return [row]

    return effect


def _tries(rng: random.Random, now_ms: int) -> Effect:
    """One developer who tries things: prompts of all lengths, whichever model, with pauses."""

    def effect(row: Row, age: float, source: random.Random) -> list[Row]:
        slot = random.Random(f"{row['started_ms'] // (10 * MINUTE_MS)} {now_ms}")
        if source.random() < 0.7 or slot.random() < 0.4:
            return []
        size = slot.lognormvariate(0, 0.8)
        row |= {"prompt_name": None, "prompt_version": None, "tags": {}, "app": "notebook"}
        if answered(row):
            row["usage_input_tokens"] = int(row["usage_input_tokens"] * size)
            row["usage_output_tokens"] = int(row["usage_output_tokens"] * size)
            row["duration_s"] *= size
            row["total_s"] *= size
        return [row]

    return effect


def _busier_is_slower(rng: random.Random, now_ms: int) -> Effect:
    """Answers that take a third longer in the afternoon, as every day."""

    def effect(row: Row, age: float, source: random.Random) -> list[Row]:
        hour = row["started_ms"] % DAY_MS / HOUR_MS
        return [slower(row, 1.35 if 13 <= hour < 18 else 1.0)]

    return effect


def _sharp_days(rng: random.Random, now_ms: int) -> Effect:
    """An office that opens at nine and closes at five, to the minute, with an hour for lunch."""

    def effect(row: Row, age: float, source: random.Random) -> list[Row]:
        hour = row["started_ms"] % DAY_MS / HOUR_MS
        on = (9 <= hour < 12 or 13 <= hour < 17) and time_of_week(row["started_ms"]) < 5
        return [row] if on or source.random() < 0.02 else []

    return effect


def time_of_week(at_ms: int) -> int:
    """Return the weekday (UTC) of a time, Monday 0."""
    return (at_ms // DAY_MS + 3) % 7


def _heavy_users(rng: random.Random, now_ms: int) -> Effect:
    """Users who send ten times as much as others, now and then for half an hour."""

    def effect(row: Row, age: float, source: random.Random) -> list[Row]:
        tag = next((key for key in row["tags"] if f"tag.{key}" in _USERS), None)
        if tag is None:
            return [row]
        slot = row["started_ms"] // (30 * MINUTE_MS)
        heavy = random.Random(f"{row['tags'][tag]} {slot}").random() < 0.02
        return [row, *_more(row, 6, MINUTE_MS, source)] if heavy else [row]

    return effect


@dataclass(frozen=True)
class Quiet:
    """A kind of ordinary traffic."""

    make: Callable[[random.Random, int], Effect] = _plain
    scale: float = 1.0
    known_days: float = 1.2
    """How much of it the log has before it is first looked at."""


ORDINARY: dict[str, Quiet] = {
    "plain": Quiet(),
    "little traffic": Quiet(scale=0.15),
    "much traffic": Quiet(scale=4.0, known_days=0.5),
    "a log of minutes": Quiet(known_days=0.02),
    "the first day": Quiet(known_days=0.5),
    "jobs at any time": Quiet(_jobs),
    "a job each hour": Quiet(_hourly),
    "a job each night": Quiet(_nightly),
    "agents": Quiet(_agents),
    "releases": Quiet(_deploy),
    "a canary": Quiet(_canary),
    "somebody who tries things": Quiet(_tries),
    "slower when busy": Quiet(_busier_is_slower),
    "an office's hours": Quiet(_sharp_days),
    "heavy users": Quiet(_heavy_users),
}
