"""A day of simulated traffic in a log: rows that were never calls, each marked ``simulated = 1``.

The rows go through the log's own writer, so that prices, rollups and file modes are those of real ones. What a row
says of its request (hashes, characters) is computed from the request that the live traffic would send.
"""

from __future__ import annotations

import json
import math
import os
import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.log import Finished, Row, Writer, files
from promptop.log.rollups.rollups import Rollups
from promptop.models import price
from promptop.simulator.answers import profiles, text
from promptop.simulator.answers.profiles import ModelProfile
from promptop.simulator.traffic.scenarios import SCENES, Scene, pick

HOUR_MS = 3_600_000
ROWS_PER_HOUR = 420
_VARIANTS = 12
"""Different requests of one program and version: repeats are what caches live from."""
_INCIDENT = (0.88, 0.90)
"""Where in the window one provider slows down and refuses: 29 minutes of a day, not quite three hours ago."""
_BAD_MODEL = "gpt-4o-mini"
_BAD_MS = 14 * 60_000
"""How long before the end this model slows down and refuses, where an incident is wanted there."""
_FOLD_S = 5.0
_PORTION = 500
"""Rows that wait for the writer at most."""
_TRIM_AT = 0.6
"""Where in the window the prompts that have a trimmed version switch to it."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What was written."""

    rows: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class _Variant:
    """What is the same in each call of one request."""

    columns: Mapping[str, Any]
    body: bytes
    """Body of the request."""
    answers: tuple[bytes, ...]
    """Bodies of some answers to it."""
    tokens: int
    stable_tokens: int
    """Tokens of the part that a provider can cache; 0 below its floor."""


def fill(
    log_path: str | os.PathLike[str],
    *,
    hours: float = 24.0,
    rows: int | None = None,
    seed: int = 0,
    now_ms: int | None = None,
    bodies: bool = False,
    stretch_ms: tuple[int, int] | None = None,
    ends_badly: bool = False,
) -> Filled:
    """Write simulated traffic of the last ``hours`` before ``now_ms`` (now if None) into the log, oldest first.

    About 10,000 rows a day if ``rows`` does not say; the same arguments give the same rows. ``bodies`` keeps a prompt
    and an answer for each of them. ``stretch_ms`` is the longer stretch that this is a part of, where parts of it go
    into several logs. ``ends_badly`` puts an incident at the end, which is there to be found.
    Raises :class:`PromptopError` if the log cannot be written.
    """
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    count = max(1, round(hours * ROWS_PER_HOUR)) if rows is None else rows
    start_ms = now_ms - round(hours * HOUR_MS)
    try:
        files.open_log(Path(log_path)).close()
    except (OSError, sqlite3.Error) as error:
        raise files.explain(Path(log_path), error) from None
    # In portions: a writer whose rows waiting are too many, or too heavy, drops what comes, for it holds up no call.
    with Writer(Path(log_path), max_queue=_PORTION + 1) as writer:
        last_ms = start_ms
        for number, finished in enumerate(_rows(count, start_ms, now_ms, seed, stretch_ms, ends_badly), 1):
            finished.bodies = "full" if bodies else "off"
            writer.put(finished)
            last_ms = finished.row.started_ms or last_ms
            if number % _PORTION == 0:
                writer.flush(timeout=60.0)
        writer.flush(timeout=60.0)
    stats = writer.stats
    if stats.written < count:
        raise PromptopError(
            f"Only {stats.written} of {count} simulated rows were written ({stats.last_error or 'the log is closed'}).",
            "Check that the folder of the log can be written and has space.",
        )
    with Rollups(Path(log_path)) as rollups:
        rollups.catch_up(_FOLD_S)  # the first look at the day is then as fast as any later one
    return Filled(count, start_ms, last_ms)


def rows_of_last_hour(hours: float, now_ms: int) -> int:
    """Return how many rows of a filled stretch lie in its last hour: by the load of the time of day."""
    start = now_ms - round(hours * HOUR_MS)
    minutes = range(start, now_ms, 60_000)
    loads = [_load(at, (at - start) / (now_ms - start)) for at in minutes]
    return max(1, round(hours * ROWS_PER_HOUR * sum(loads[-60:]) / sum(loads))) if loads else 0


def _rows(
    count: int, start_ms: int, now_ms: int, seed: int, stretch_ms: tuple[int, int] | None, ends_badly: bool
) -> Iterator[Finished]:
    rng = text.seeded("fill", seed)
    scenes = {scene: scene.weight for scene in SCENES}
    maker = _Maker(rng, seed, now_ms if ends_badly else None)
    span = now_ms - start_ms
    first, last = stretch_ms or (start_ms, now_ms)
    for moment in _moments(count, start_ms, span, rng):
        share = (moment - first) / (last - first) if last > first else 1.0
        hour = (moment // HOUR_MS) % 24
        weights = {
            scene: weight * (8.0 if 1 <= hour < 4 else 0.15) if scene.nightly else weight
            for scene, weight in scenes.items()
        }
        yield maker.row(pick(rng, weights), moment, share)


def _moments(count: int, start_ms: int, span: int, rng: random.Random) -> list[int]:
    """Draw start times by the hour's load: quiet nights, two peaks a day, a slow growth towards now."""
    moments: list[int] = []
    while len(moments) < count:
        at = start_ms + rng.random() * span
        if rng.random() < _load(at, (at - start_ms) / span if span else 1.0):
            moments.append(int(at))
    moments.sort()
    return moments


def _load(at_ms: float, share: float) -> float:
    hour = at_ms / HOUR_MS % 24
    day = 0.25 + 0.5 * math.exp(-(((hour - 10.5) / 3.0) ** 2)) + 0.45 * math.exp(-(((hour - 15.5) / 3.5) ** 2))
    return min(1.0, day * (0.8 + 0.4 * share))


def draw_question(rng: random.Random) -> int:
    """Draw the number of a question: a few are asked again and again, most of them rarely."""
    return min(int(rng.paretovariate(1.1)) - 1, 10_000) % _VARIANTS


class _Maker:
    """Makes rows; keeps the variants of each prompt and the conversations that go on."""

    def __init__(self, rng: random.Random, seed: int, bad_end_ms: int | None = None) -> None:
        """``bad_end_ms``: the time that an incident leads up to."""
        self._rng = rng
        self._bad_end_ms = bad_end_ms
        self._seed = seed
        self._count = 0
        self._variants: dict[tuple[str, str, str, int], _Variant] = {}
        self._conversations: dict[str, str] = {}

    def row(self, scene: Scene, moment: int, share: float) -> Finished:
        """Make the row of one call at ``moment``, ``share`` of the way through the window."""
        rng = self._rng
        self._count += 1
        model = pick(rng, scene.models)
        version = scene.versions[1] if share > _TRIM_AT else scene.versions[0]
        question = draw_question(rng)
        variant = self._variant(scene, model, version, question)
        row = Row(**variant.columns)
        row.started_ms = moment
        if scene.conversation:
            row.conversation_id = self._conversation(scene.app)
        profile = profiles.MODELS[model]
        levels = {level: rate * (0.6 + 0.6 * share) for level, rate in scene.hits.items()}
        if levels:
            row.cache_level = pick(rng, {**levels, "miss": 1.0 - sum(levels.values())})
        if row.cache_level not in (None, "miss"):
            self._hit(row, scene, profile, variant)
        else:
            self._call(row, scene, profile, variant, share)
        answered = row.response_model is not None and variant.answers
        return Finished(row, variant.body, self._rng.choice(variant.answers) if answered else None)

    def _conversation(self, app: str) -> str:
        if app not in self._conversations or self._rng.random() < 0.3:
            self._conversations[app] = f"conv_{self._seed:x}{self._count:07x}"
        return self._conversations[app]

    def _variant(self, scene: Scene, model: str, version: str, question: int) -> _Variant:
        key = (scene.app, model, version, question)
        if key not in self._variants:
            self._variants[key] = _variant(scene, model, version, question)
        return self._variants[key]

    def _output(self, scene: Scene, profile: ModelProfile) -> tuple[int, int]:
        """Draw output tokens, reasoning included, and the reasoning part."""
        if scene.embeddings:
            return 0, 0
        rng = self._rng
        said = max(1, round(scene.output_tokens * math.exp(rng.gauss(0.0, 0.45)) * profile.token_factor))
        thought = round(profile.reasoning_tokens * math.exp(rng.gauss(0.0, 0.4))) if profile.reasoning else 0
        return min(said, scene.max_tokens) + thought, thought

    def _hit(self, row: Row, scene: Scene, profile: ModelProfile, variant: _Variant) -> None:
        """A hit of the program's own cache: no provider, no cost, and what the call would have cost as saved."""
        rng = self._rng
        output, _ = self._output(scene, profile)
        median = {"memory": 0.0003, "redis": 0.002, "disk": 0.004, "semantic": 0.035}[row.cache_level or "memory"]
        row.duration_s = row.total_s = median * math.exp(rng.gauss(0.0, 0.3))
        row.usage_input_tokens, row.usage_output_tokens, row.usage_source = variant.tokens, output, "reported"
        names = [profile.snapshot or profile.name]
        saved = price(names, input_tokens=variant.tokens, output_tokens=output, at_ms=row.started_ms)
        row.cost_usd, row.cost_status, row.price_as_of, row.saved_usd = 0.0, "table", saved.as_of, saved.usd
        row.response_model = names[0]
        row.response_finish_reasons = '["stop"]'

    def _call(self, row: Row, scene: Scene, profile: ModelProfile, variant: _Variant, share: float) -> None:
        rng = self._rng
        incident = _INCIDENT[0] <= share < _INCIDENT[1] and profile.provider == "openai"
        if self._bad_end_ms is not None and profile.name == _BAD_MODEL:
            incident = incident or 0 <= self._bad_end_ms - (row.started_ms or 0) < _BAD_MS
        row.response_id = f"sim-{self._seed:x}-{self._count:x}"
        row.request_id = f"req_{rng.getrandbits(64):016x}"
        row.connection_reused = int(rng.random() < 0.93)
        if not row.connection_reused:
            row.connect_s, row.tls_s = 0.012 * math.exp(rng.gauss(0, 0.4)), 0.03 * math.exp(rng.gauss(0, 0.4))
        failing = scene.error_rate + (0.3 if incident else 0.0)
        if rng.random() < failing:
            self._fail(row, incident)
            return
        row.http_response_status_code = 200
        row.response_model = profile.snapshot or profile.name
        output, thought = self._output(scene, profile)
        slower = 4.0 + rng.random() if incident else 1.0
        cached = 0
        # Long prefixes are found again more often as the day goes on: the load rises, and they stay warm.
        if variant.stable_tokens and rng.random() < 0.15 + 0.75 * share:
            cached = variant.stable_tokens
        ttfb = (0.05 + 0.1 * rng.random()) * slower
        first = ttfb + profile.first_token_delay(rng, variant.tokens - cached) * slower
        if profile.reasoning == "hidden":
            first += thought / profile.tps
        duration = first + output / profile.speed(rng) * slower
        row.ttfb_s = ttfb if row.request_stream else duration - 0.001
        row.duration_s, row.total_s = duration, duration + 0.002
        row.response_finish_reasons = None if scene.embeddings else '["length"]' if rng.random() < 0.01 else '["stop"]'
        if row.request_stream:
            self._streamed(row, first, duration, max(1, output - thought))
        if row.request_stream and rng.random() < scene.cancel_rate * (6 if incident else 1):
            self._cancel(row, first, duration, output)
            return
        row.usage_source = "reported"
        row.usage_input_tokens = variant.tokens
        row.usage_output_tokens = None if scene.embeddings else output
        if not scene.embeddings:
            row.usage_cache_read_input_tokens, row.usage_reasoning_output_tokens = cached, thought
        row.bytes_received = row.bytes_decoded = 300 + (output * 240 if row.request_stream else output * 5)

    def _streamed(self, row: Row, first: float, duration: float, events: int) -> None:
        rng = self._rng
        row.response_time_to_first_chunk = (row.ttfb_s or 0.0) + 0.001
        row.ttft_s = row.ttfo_s = first
        row.chunks = events
        if events > 1:
            gap = (duration - first) / (events - 1)
            row.gap_p50_s, row.gap_p95_s = gap * 0.9, gap * 1.9
            row.gap_max_s = gap * (3.0 + 3.0 * rng.random())
            row.stalls = int(row.gap_max_s > 1.0)

    def _fail(self, row: Row, incident: bool) -> None:
        rng = self._rng
        status = 429 if incident and rng.random() < 0.85 else rng.choice((429, 500, 503, 0))
        row.ttfb_s = 0.08 * math.exp(rng.gauss(0.0, 0.5))
        row.total_s = row.ttfb_s + 0.001
        if not status:
            row.error_type, row.error_message = "timeout", "no byte for 30 s"
            row.ttfb_s, row.total_s = None, 30.0
            return
        row.http_response_status_code = status
        row.error_type = str(status)
        row.error_message = {
            429: "rate_limit_exceeded: Rate limit reached for requests.",
            500: "The server had an error while processing your request.",
            503: "The engine is currently overloaded.",
        }[status]
        if status == 429:
            row.rate_limits = json.dumps(
                {"retry-after": str(rng.randint(1, 20)), "x-ratelimit-remaining-requests": "0"}
            )

    def _cancel(self, row: Row, first: float, duration: float, output: int) -> None:
        """The reader left in the middle: no usage came, what had come is estimated."""
        seen = self._rng.random()
        row.error_type = "cancelled"
        row.duration_s = row.total_s = first + (duration - first) * seen
        row.usage_source = "estimated"
        row.usage_input_tokens = row.estimate_input_tokens
        row.usage_output_tokens = row.estimate_output_tokens = max(1, int(output * seen))
        row.chunks = row.usage_output_tokens
        row.response_finish_reasons = None


def _tokens(chars: tuple[int, int, int, int]) -> int:
    """Return about what o200k counts in the texts of the scenes (within 5 %), without loading a tokenizer."""
    return 8 + round(chars[0] / 4.95 + chars[1] * 0.83 + chars[2] / 2 + chars[3] / 6)


def _variant(scene: Scene, model: str, version: str, question: int) -> _Variant:
    """Work out what a request's row says of the request itself."""
    from promptop import providers
    from promptop.capture.parse import request_parser
    from promptop.tokens.scripts import chars_by_script

    profile = profiles.MODELS[model]
    body = scene.body(model, question, version)
    path = "/v1/embeddings" if scene.embeddings else "/v1/chat/completions"
    asked = providers.read_request(body, path)
    chars = chars_by_script("".join(said for _, said in asked.texts))
    estimated = _tokens(chars)
    tokens = math.ceil(estimated * profile.token_factor)
    stable = 0
    if not scene.embeddings:
        system = _tokens(chars_by_script(body["messages"][0]["content"]))
        stable = system // 128 * 128 if system >= 1024 else 0
    operation, api = providers.operation(path)
    prefixes = request_parser.prefix_hashes(asked.texts)
    columns = {
        "app": scene.app,
        "tags": json.dumps({"env": "prod", "team": scene.team}),
        "simulated": 1,
        "operation_name": operation,
        "openai_api_type": api,
        "provider_name": profile.provider,
        "server_address": "simulated.invalid",
        "server_port": 443,
        "url_path": path,
        "prompt_name": scene.prompt,
        "prompt_version": version,
        "prompt_hash": request_parser.prompt_hash(asked.texts, asked.attached),
        "prefix_hashes": json.dumps(prefixes) if prefixes else None,
        "request_model": model,
        "request_stream": asked.stream if asked.stream is None else int(asked.stream),
        "request_max_tokens": asked.max_tokens,
        "request_temperature": asked.temperature,
        "request_messages": asked.messages,
        "attempt": 1,
        "bytes_sent": len(json.dumps(body, ensure_ascii=False).encode()),
        "input_chars": json.dumps(chars),
        "estimate_input_tokens": estimated,
    }
    return _Variant(
        columns, json.dumps(body, ensure_ascii=False).encode(), _answers(scene, question, version), tokens, stable
    )


@cache
def _answers(scene: Scene, question: int, version: str) -> tuple[bytes, ...]:
    """Return three answers to a question, in the form in which the shim keeps them."""
    if scene.embeddings:
        return ()
    said = scene.messages(question, version)
    ask = text.read(said[-1]["content"], said[0]["content"])
    answers = (text.answer(ask, text.seeded("answer", ask, number)) for number in range(3))
    return tuple(
        json.dumps({"role": "assistant", "content": answer}, ensure_ascii=False).encode() for answer in answers
    )
