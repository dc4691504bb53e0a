"""Invented services that call models, and what their calls look like in a log: another world for each seed."""

from __future__ import annotations

import heapq
import json
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptop.log import files

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
Row = dict[str, Any]
Effect = Callable[[Row, float, random.Random], list[Row]]
"""(row, minutes before the end of the log, random) → rows."""

_PROVIDERS = ("openai", "anthropic", "mistral", "deepseek", "dashscope", "gcp.gemini", "vllm", "groq", "azure.openai")
_FAMILIES = ("orca", "lynx", "heron", "ibis", "tapir", "gecko", "marten", "stoat", "raven", "otter")
_APPS = (
    "checkout",
    "kb",
    "mailer",
    "helpdesk",
    "coder",
    "pricing",
    "moderation",
    "etl",
    "notes",
    "translate",
    "triage",
)
_PROMPTS = ("answer", "classify", "extract", "draft", "plan", "review", "rank", "label", "reply", "outline", "judge")


@dataclass(frozen=True)
class Model:
    """A model: medians of its times in seconds, and its prices in USD a token."""

    name: str
    provider: str
    server: str
    ttft_s: float
    token_s: float
    input_usd: float
    reasoning: int


@dataclass(frozen=True)
class Prompt:
    """A prompt: medians of its tokens, its limit, and the share of its input that the provider has cached."""

    name: str
    version: str
    input: int
    output: int
    limit: int
    cached: float


@dataclass(frozen=True)
class Program:
    """A program: its calls a minute over a day, and what they look like."""

    app: str
    rate: float
    rhythm: str
    models: tuple[Model, ...]
    prompts: tuple[Prompt, ...]
    hosts: int
    users: int
    user_tag: str
    host_tag: str
    streamed: bool
    hits: float
    release: str


MOST_CALLS = 9.0
"""Calls a minute of a whole world on average: a day of more would take minutes to write."""


def world(seed: int) -> tuple[Program, ...]:
    """Return one to six programs on one to five models."""
    rng = random.Random(f"world {seed}")
    models = []
    for number in range(rng.randint(1, 5)):
        provider = rng.choice(_PROVIDERS)
        models.append(
            Model(
                f"{rng.choice(_FAMILIES)}-{rng.randint(1, 9)}{rng.choice(('', '-mini', '-large', '.5'))}-{number}",
                provider,
                f"api.{provider}.example",
                rng.lognormvariate(math.log(0.5), 0.5),
                rng.lognormvariate(math.log(0.01), 0.4),
                rng.lognormvariate(math.log(1e-6), 1.0),
                rng.choice((0, 0, 0, 300, 800)),
            )
        )
    host_tag, programs = rng.choice(("host", "node", "pod", "instance")), []
    for app in rng.sample(_APPS, rng.randint(1, 6)):
        prompts = []
        for name in rng.sample(_PROMPTS, rng.randint(1, 3)):
            size, answer = rng.lognormvariate(math.log(1000), 0.9), rng.lognormvariate(math.log(120), 0.8)
            cached = rng.choice((0.0, 0.0, 0.5, 0.7)) if size > 1400 else 0.0
            prompts.append(Prompt(name, f"v{rng.randint(1, 30)}", int(size), int(answer), int(answer * 5) + 60, cached))
        programs.append(
            Program(
                app,
                rng.lognormvariate(math.log(6), 0.8),
                rng.choice(("day", "day", "flat", "night", "office")),
                tuple(rng.sample(models, rng.randint(1, min(3, len(models))))),
                tuple(prompts),
                rng.randint(1, 8),
                rng.choice((1, 5, 30, 150)),
                rng.choice(("user", "team", "tenant", "customer")),
                host_tag,
                rng.random() < 0.6,
                rng.choice((0.0, 0.0, 0.4, 0.6)),
                f"r{rng.randint(10, 90)}",
            )
        )
    most = min(1.0, MOST_CALLS / sum(program.rate for program in programs))
    return tuple(replace(program, rate=program.rate * most) for program in programs)


def _bell(hour: float, at: float, width: float) -> float:
    away = (hour - at + 12) % 24 - 12
    return math.exp(-((away / width) ** 2))


def _rhythm(kind: str, hour: float, weekday: int) -> float:
    """Return the factor on a program's mean rate at an hour (UTC) of a day."""
    if kind == "flat":
        return 1.0
    if kind == "night":
        return 0.15 + 4.5 * _bell(hour, 2.5, 2.4)
    week = 0.7 if weekday > 4 else 1.0
    if kind == "office":
        return week * (0.05 + 2.2 * _bell(hour, 10.2, 2.0) + 2.2 * _bell(hour, 14.8, 2.2))
    return week * (0.2 + 1.6 * _bell(hour, 12, 4.0) + 1.0 * _bell(hour, 19.5, 2.5))


def _poisson(rng: random.Random, mean: float) -> int:
    if mean > 40:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count, product = count + 1, product * rng.random()
    return count


def call(program: Program, at_ms: int, rng: random.Random, slow: float = 1.0) -> Row:
    """Return an ordinary call of a program, of any of its models and prompts."""
    model = program.models[int(len(program.models) * rng.random() ** 1.5)]
    prompt = program.prompts[int(len(program.prompts) * rng.random() ** 1.3)]
    host = f"{program.app}-{int(program.hosts * rng.random()) + 1}"
    row: Row = {
        "program": program,
        "started_ms": at_ms,
        "app": program.app,
        "request_model": model.name,
        "provider_name": model.provider,
        "server_address": model.server,
        "prompt_name": prompt.name,
        "prompt_version": prompt.version,
        "attempt": 1,
        "http_response_status_code": 200,
        "tags": {
            program.host_tag: host,
            program.user_tag: f"{program.user_tag[0]}{int(program.users * rng.random() ** 1.7) + 1}",
            "release": program.release,
            "region": ("eu", "us", "ap")[sum(map(ord, host)) % 3],
        },
    }
    if program.hits:
        row["cache_level"] = "miss"
        if rng.random() < program.hits:
            row |= {"cache_level": "memory", "duration_s": 0.0005, "total_s": 0.001, "cost_usd": 0.0}
            row |= {"usage_input_tokens": prompt.input, "usage_output_tokens": prompt.output}
            return row
    tokens = max(8, int(prompt.input * rng.lognormvariate(0, 0.3)))
    answer = max(1, int(prompt.output * rng.lognormvariate(0, 0.5)))
    thought = int(model.reasoning * rng.lognormvariate(0, 0.5)) if model.reasoning else 0
    answer, finish = (answer, "stop") if answer < prompt.limit else (prompt.limit, "length")
    cached = int(tokens * prompt.cached) if prompt.cached and rng.random() < 0.92 else 0
    ttft = (model.ttft_s * rng.lognormvariate(0, 0.35) + thought * model.token_s) * slow
    ttft *= 4 if rng.random() < 0.008 else 1
    duration = ttft + answer * model.token_s * slow * rng.lognormvariate(0, 0.15)
    row |= {
        "usage_input_tokens": tokens,
        "usage_output_tokens": answer + thought,
        "usage_reasoning_output_tokens": thought,
        "usage_cache_read_input_tokens": cached,
        "response_finish_reasons": [finish],
        "ttft_s": ttft if program.streamed else None,
        "duration_s": duration,
        "total_s": duration + 0.004,
        "usd_a_token": model.input_usd,
    }
    return row


def fail(row: Row, kind: str, status: int | None, took_s: float) -> Row:
    """Make of a row one that failed: no usage, no cost."""
    for name in [each for each in row if each.startswith("usage_")]:
        del row[name]
    row |= {"error_type": kind, "http_response_status_code": status, "total_s": took_s, "cost_usd": None}
    row |= {"ttft_s": None, "duration_s": None, "response_finish_reasons": None}
    if row.get("cache_level"):
        row["cache_level"] = "miss"
    return row


def answered(row: Row) -> bool:
    """Say whether a provider answered this call."""
    return row.get("error_type") is None and row.get("cache_level") in (None, "miss")


def slower(row: Row, factor: float) -> Row:
    """Multiply the time to the first token, or the whole where nothing is streamed."""
    if answered(row):
        more = (factor - 1) * (row["ttft_s"] or row["duration_s"])
        row["duration_s"] += more
        row["total_s"] += more
        if row["ttft_s"]:
            row["ttft_s"] += more
    return row


def calls(
    programs: tuple[Program, ...], seed: object, since_ms: int, until_ms: int, scale: float = 1.0
) -> Iterator[Row]:
    """Yield ordinary calls by minute: daily rhythm, slower and busier hours, now and then a clump of failures."""
    rng = random.Random(f"calls {seed}")
    drift: dict[tuple[str, str, int], float] = {}

    def drifting(program: Program, what: str, slot: int, sigma: float) -> float:
        key = (program.app, what, slot)
        if key not in drift:
            drift[key] = rng.lognormvariate(0, sigma)
        return drift[key]

    for minute in range(since_ms // MINUTE_MS, until_ms // MINUTE_MS + 1):
        moment = time.gmtime(minute * 60)
        hour = moment.tm_hour + moment.tm_min / 60
        for program in programs:
            mean = program.rate * scale * _rhythm(program.rhythm, hour, moment.tm_wday)
            slow = drifting(program, "slow", minute // 10, 0.07)
            clump = rng.random()
            failing = 0.0015 + (0.08 if clump < 0.0006 else 0.0)
            rejected = 0.0015 + (0.15 if 0.0006 <= clump < 0.0012 else 0.0)
            for _ in range(_poisson(rng, mean * drifting(program, "busy", minute // 60, 0.1))):
                row = call(program, minute * MINUTE_MS + int(60_000 * rng.random()), rng, slow)
                if answered(row):
                    luck = rng.random()
                    if luck < rejected:
                        fail(row, "429", 429, rng.uniform(0.05, 0.2))
                    elif luck < rejected + failing:
                        fail(row, *rng.choice((("503", 503, 0.4), ("timeout", None, 30.0))))
                yield row


def finished(rows: Iterable[Row]) -> Iterator[tuple[int, Row]]:
    """Yield when each call ended (Unix milliseconds) and its row, priced, in order of their ends."""
    waiting: list[tuple[int, int, Row]] = []
    for number, row in enumerate(rows):
        row.pop("program", None)
        if (rate := row.pop("usd_a_token", None)) and row.get("error_type") is None and row.get("cost_usd") is None:
            fresh = row["usage_input_tokens"] - 0.9 * row["usage_cache_read_input_tokens"]
            row["cost_usd"] = rate * (fresh + 4 * row["usage_output_tokens"]) * row.get("dearer", 1.0)
        row.pop("dearer", None)
        end = row.pop("written_ms", None) or row["started_ms"] + round(1000 * (row.get("total_s") or 0))
        heapq.heappush(waiting, (end, number, row))
        # Calls come by minute and take less than ten: what ended eleven minutes ago has nobody before it.
        while waiting and waiting[0][0] < row["started_ms"] - 11 * MINUTE_MS:
            end, _, done = heapq.heappop(waiting)
            yield end, done
    while waiting:
        end, _, done = heapq.heappop(waiting)
        yield end, done


def write(path: Path, rows: Iterable[Row]) -> int:
    """Add rows to a log; return their number."""
    count = 0
    with closing(files.open_log(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for row in rows:
            values = [json.dumps(value) if isinstance(value, dict | list) else value for value in row.values()]
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO requests ({', '.join(row)}) VALUES ({marks})", values)
            count += 1
        connection.execute("COMMIT")
    return count
