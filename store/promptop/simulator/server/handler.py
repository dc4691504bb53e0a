"""What the simulated endpoint says to each path: answers, limits, errors, and the record of all of it."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

from promptop.simulator.answers import profiles
from promptop.simulator.answers.answer import Composer, Question, SimulatedAnswer, prompt_tokens
from promptop.simulator.answers.profiles import ModelProfile
from promptop.simulator.server import errors, framing
from promptop.simulator.server.apis import chat, embeddings, messages, request_parser, responses
from promptop.simulator.server.apis.batches import Batches
from promptop.simulator.server.events import BadRequestError
from promptop.simulator.server.exchange import Exchange
from promptop.simulator.server.faults import FAULT_MODEL, FAULTS, Faults
from promptop.simulator.server.faults import parse as parse_faults
from promptop.simulator.server.records import Recorded

_BIG = 16 * 1024
"""Bodies above this are tokenized in a thread: 1 MB takes 150 ms, in which no other stream would move."""
_LIMITS = (10_000, 2_000_000)
"""Requests and tokens a minute that the x-ratelimit headers speak of where no limit is set."""

_Body = Mapping[str, Any]
_Reply = Callable[[Exchange, _Body], Awaitable[web.StreamResponse]]


class Handler:
    """Answers every request of one endpoint."""

    def __init__(
        self,
        *,
        seed: int,
        speed: float,
        record: list[Recorded] | None,
        api_key: str | None,
        requests_per_minute: int | None,
        compress: bool,
    ) -> None:
        self._speed = speed
        self._record = record
        self._api_key = api_key
        self._limit = requests_per_minute
        self._compress = compress
        self._composer = Composer(seed)
        self._connections: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._served: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._count = 0
        self._connection_count = 0
        self._times: dict[str, int] = {}
        self._minutes: dict[str, deque[tuple[float, int]]] = {}
        self._loaded: set[str] = set()
        self._batches = Batches(self._batched, speed)

    def add_routes(self, app: web.Application) -> None:
        """Register the paths, with and without ``/v1``."""
        for prefix in ("/v1", ""):
            app.router.add_post(f"{prefix}/chat/completions", self._wrap(self._chat))
            app.router.add_post(f"{prefix}/responses", self._wrap(self._responses))
            app.router.add_post(f"{prefix}/messages", self._wrap(self._messages))
            app.router.add_post(f"{prefix}/embeddings", self._wrap(self._embeddings))
            self._batches.add_routes(app, prefix, self._wrap)
            app.router.add_get(f"{prefix}/models", self._wrap(self._models))
            app.router.add_get(f"{prefix}/models/{{model:.+}}", self._wrap(self._models))
        app.on_cleanup.append(self._close)
        app.router.add_get("/healthz", _health)
        app.router.add_get("/sim/requests", self._recorded)
        app.router.add_get("/sim/faults", _faults)
        app.router.add_route("*", "/{path:.*}", self._wrap(_unknown, plain=True))

    async def _close(self, app: web.Application) -> None:
        await self._batches.close()

    def _wrap(self, reply: _Reply, *, plain: bool = False) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return a handler that records and answers; ``plain``: a body is not JSON."""

        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await request.read()
            record = self._new_record(request, raw)
            try:
                return await self._handle(request, b"{}" if plain else raw, record, reply)
            except ConnectionError:
                # Nobody is left to answer; aiohttp finds the closed transport and gives the request up.
                return web.Response()
            finally:
                record.how = record.how or "client gone"
                record.finished_s = record.finished_s or time.perf_counter()

        return handle

    def _new_record(self, request: web.Request, raw: bytes) -> Recorded:
        self._count += 1
        # aiohttp's protocol object takes no weak references; its transport does. None: the client has left already.
        connection = request.transport or request
        if connection not in self._connections:
            self._connection_count += 1
            self._connections[connection] = self._connection_count
        self._served[connection] = self._served.get(connection, 0) + 1
        record = Recorded(
            method=request.method,
            path=request.path_qs,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=raw,
            connection=self._connections[connection],
            received_s=time.perf_counter(),
        )
        if self._record is not None:
            self._record.append(record)
        return record

    async def _handle(self, request: web.Request, raw: bytes, record: Recorded, reply: _Reply) -> web.StreamResponse:
        exchange = Exchange(
            request, record, Faults(), self._speed, compress=self._compress, keep=self._record is not None
        )
        exchange.headers["x-request-id"] = f"req_{self._count:032x}"
        body: dict[str, Any] = {}
        try:
            body = _table(raw) if request.method == "POST" else {}
            exchange.faults = parse_faults(request.headers.get("x-simulate", ""), str(body.get("model", "")))
            record.fault = str(exchange.faults)
            self._check_key(request)
            if early := await self._before(exchange, body):
                return early
            return await reply(exchange, body)
        except ValueError as error:
            return await self._refuse(exchange, errors.refused(request.path, BadRequestError(str(error), "x-simulate")))
        except LimitedError as error:
            refusal = errors.from_faults(request.path, parse_faults(f"429;retry_after={error.wait_s:.3f}", ""), body)
            assert refusal is not None
            return await self._refuse(exchange, refusal[1])
        except BadRequestError as error:
            status = {"invalid_api_key": 401, "model_not_found": 404}.get(error.code or "", 400)
            return await self._refuse(exchange, errors.refused(request.path, error, status))

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("x-api-key", "")
        if self._api_key is not None and given != self._api_key:
            raise BadRequestError("Incorrect API key provided.", None, "invalid_api_key")

    async def _before(self, exchange: Exchange, body: _Body) -> web.StreamResponse | None:
        """Do what faults ask for before there is an answer; None where an answer follows."""
        faults = exchange.faults
        reused = self._served.get(exchange.request.transport, 0) > 1
        if "drop" in faults or ("drop-reused" in faults and reused):
            return await exchange.close("dropped")
        if "hang" in faults:
            await asyncio.Event().wait()
        if fault := faults.get("slow-headers"):
            await exchange.pause(0.0, fault.number("s", 5))
        if "endless-headers" in faults:
            return await exchange.endless_headers()
        if fault := faults.get("bomb"):
            return await exchange.bomb(fault.number("mb", 64))
        refusal = errors.from_faults(exchange.request.path, faults, body)
        if refusal and self._still(faults, refusal[0]):
            return await self._refuse(exchange, refusal[1])
        return None

    def _still(self, faults: Faults, name: str) -> bool:
        """Tell whether a fault with ``times=N`` has requests left to fail."""
        fault = faults.get(name)
        if fault is None or "times" not in fault.options:
            return True
        key = str(fault)
        self._times[key] = self._times.get(key, 0) + 1
        return self._times[key] <= fault.number("times", 1)

    async def _refuse(self, exchange: Exchange, refusal: errors.Refusal) -> web.StreamResponse:
        return await exchange.respond(refusal.status, refusal.body, refusal.content_type, refusal.headers)

    async def _chat(self, exchange: Exchange, body: _Body) -> web.StreamResponse:
        profile = _profile(body)
        question = request_parser.chat(body, profile)
        answer = await self._compose(exchange, question, profile)
        if question.stream:
            return await self._stream(exchange, chat.Chunks(answer, question, exchange.faults).events())
        return await self._whole(exchange, answer, chat.complete(answer, question, exchange.faults))

    async def _responses(self, exchange: Exchange, body: _Body) -> web.StreamResponse:
        profile = _profile(body)
        question = request_parser.responses(body, profile)
        answer = await self._compose(exchange, question, profile)
        if question.stream:
            return await self._stream(exchange, responses.Events(answer, question, exchange.faults).events())
        return await self._whole(exchange, answer, responses.complete(answer, question, exchange.faults))

    async def _messages(self, exchange: Exchange, body: _Body) -> web.StreamResponse:
        profile = _profile(body)
        question = request_parser.anthropic(body)
        exchange.headers["request-id"] = exchange.headers["x-request-id"]
        answer = await self._compose(exchange, question, profile)
        if question.stream:
            return await self._stream(exchange, messages.events(answer, question, exchange.faults))
        return await self._whole(exchange, answer, messages.complete(answer, question, exchange.faults))

    async def _stream(self, exchange: Exchange, events: Any) -> web.StreamResponse:
        path = exchange.request.path
        return await exchange.stream(framing.spoil(events, exchange.faults, lambda: errors.event(path)))

    async def _whole(self, exchange: Exchange, answer: SimulatedAnswer, shape: Mapping[str, Any]) -> web.StreamResponse:
        slow = exchange.faults.get("slow")
        await exchange.pause(answer.first_s + answer.usage.output / answer.tps, slow.number("s", 5) if slow else 0.0)
        data = json.dumps(shape, ensure_ascii="unicode" not in exchange.faults, separators=(",", ":")).encode()
        if "malformed" in exchange.faults:
            data = data[: len(data) // 2]
        if exchange.faults.first("cut", "reset"):
            return await self._half(exchange, data)
        return await exchange.respond(200, data)

    async def _half(self, exchange: Exchange, data: bytes) -> web.StreamResponse:
        """Promise a whole body and send half of it."""
        cut = exchange.faults.first("cut", "reset")
        assert cut is not None
        headers = {**exchange.headers, "content-type": "application/json", "content-length": str(len(data))}
        response = web.StreamResponse(headers=headers)
        exchange.record.status = 200
        await response.prepare(exchange.request)
        await response.write(data[: len(data) // 2])
        return await exchange.close(cut.name, response)

    async def _embeddings(self, exchange: Exchange, body: _Body) -> web.StreamResponse:
        profile = _profile(body, "embedding")
        work = (body, profile, exchange.faults)
        if len(exchange.record.body) > _BIG or profile.encoding not in self._loaded:
            shape, tokens = await asyncio.to_thread(embeddings.answer, *work)
            self._loaded.add(profile.encoding)
        else:
            shape, tokens = embeddings.answer(*work)
        self._meter(exchange, profile.name, tokens)
        await exchange.pause(profile.first_token_delay(self._composer.pace(), tokens))
        return await exchange.respond(200, json.dumps(shape, separators=(",", ":")).encode())

    def _batched(self, path: str, body: _Body) -> dict[str, Any]:
        """Return the answer to one line of a batch."""
        if path.endswith("/embeddings"):
            return embeddings.answer(body, _profile(body, "embedding"), Faults())[0]
        profile = _profile(body)
        chats = path.endswith("/chat/completions")
        question = request_parser.chat(body, profile) if chats else request_parser.responses(body, profile)
        prompt = prompt_tokens(question, profile.encoding)
        answer = self._composer.compose(question, profile, Faults(), prompt)
        return chat.complete(answer, question, Faults()) if chats else responses.complete(answer, question, Faults())

    async def _models(self, exchange: Exchange, body: _Body) -> web.StreamResponse:
        wanted = exchange.request.match_info.get("model")
        if wanted is not None:
            found = profiles.find(wanted)
            if found is None:
                raise _no_model(wanted)
            return await exchange.respond(200, json.dumps(_model(found)).encode())
        listed = [_model(profile) for profile in profiles.MODELS.values()]
        listed += [_model(ModelProfile(FAULT_MODEL + name)) for name in FAULTS]
        return await exchange.respond(200, json.dumps({"object": "list", "data": listed}).encode())

    async def _compose(self, exchange: Exchange, question: Question, profile: ModelProfile) -> SimulatedAnswer:
        if len(exchange.record.body) > _BIG or profile.encoding not in self._loaded:
            prompt = await asyncio.to_thread(prompt_tokens, question, profile.encoding)
            self._loaded.add(profile.encoding)
        else:
            prompt = prompt_tokens(question, profile.encoding)
        answer = self._composer.compose(question, profile, exchange.faults, prompt)
        self._meter(exchange, profile.name, answer.usage.input + answer.usage.output)
        exchange.headers["openai-processing-ms"] = str(round(answer.first_s * self._speed * 1e3))
        exchange.headers["openai-version"] = "2020-10-01"
        return answer

    def _meter(self, exchange: Exchange, model: str, tokens: int) -> None:
        """Set the x-ratelimit headers from the last minute's use. Raises :class:`LimitedError` above a set limit."""
        now = time.monotonic()
        minute = self._minutes.setdefault(model, deque())
        while minute and now - minute[0][0] >= 60.0:
            minute.popleft()
        limit = self._limit or _LIMITS[0]
        wait = 60.0 - (now - minute[0][0]) if minute else 0.0
        if self._limit is not None and len(minute) >= self._limit:
            raise LimitedError(wait)
        minute.append((now, tokens))
        used = sum(count for _, count in minute)
        exchange.headers |= {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(max(0, limit - len(minute))),
            "x-ratelimit-reset-requests": f"{wait:.3f}s",
            "x-ratelimit-limit-tokens": str(_LIMITS[1]),
            "x-ratelimit-remaining-tokens": str(max(0, _LIMITS[1] - used)),
            "x-ratelimit-reset-tokens": f"{math.ceil(used / _LIMITS[1] * 60_000)}ms",
        }

    async def _recorded(self, request: web.Request) -> web.Response:
        return web.json_response([record.summary() for record in self._record or ()])


class LimitedError(Exception):
    """The limit of requests a minute is reached; ``wait_s`` until one falls out of the window."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "simulated": True})


async def _faults(request: web.Request) -> web.Response:
    return web.json_response(dict(FAULTS))


async def _unknown(exchange: Exchange, body: _Body) -> web.StreamResponse:
    message = f"Unknown request URL: {exchange.request.method} {exchange.request.path}."
    shape = errors.body(errors.dialect(exchange.request.path), 404, message, "invalid_request_error", "unknown_url")
    return await exchange.respond(404, json.dumps(shape).encode())


def _table(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise BadRequestError("We could not parse the JSON body of your request.", None, "invalid_json")
    return body


def _profile(body: _Body, kind: str = "chat") -> ModelProfile:
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise BadRequestError("you must provide a model parameter", "model", "missing_required_parameter")
    found = profiles.find(name)
    if found is None:
        raise _no_model(name)
    if found.kind != kind and not name.startswith(FAULT_MODEL):
        raise BadRequestError(f"The model `{name}` cannot do this operation.", "model", "unsupported_operation")
    return found


def _no_model(name: str) -> BadRequestError:
    return BadRequestError(
        f"The model `{name}` does not exist or you do not have access to it.", "model", "model_not_found"
    )


def _model(profile: ModelProfile) -> dict[str, Any]:
    return {
        "id": profile.name,
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": f"simulated-{profile.provider}",
    }
