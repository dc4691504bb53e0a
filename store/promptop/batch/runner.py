"""Many requests, orderly: bounded, limited, cached, resumable, under a cap.

A few workers take items one after another, so that ten thousand waiting items are a list and not ten thousand tasks.
The cache is asked first and folds duplicates that are under way at the same time; each attempt is a row of the log.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from promptop import providers
from promptop.base.errors import PromptopError
from promptop.batch.input import Item
from promptop.batch.journal import ItemOutcome, Journal
from promptop.budget.bound import CostBound, bound, count_bytes
from promptop.budget.estimate import CostEstimate
from promptop.client.apis import api_of
from promptop.client.http.endpoints import RefusedFields, base_url_of, headers_of
from promptop.client.http.load_balancer import Balancer, Endpoint
from promptop.client.request import RunRequest
from promptop.client.request_body import whole_body
from promptop.client.result import RunError
from promptop.client.spending import Gate, OverCapError, open_gate
from promptop.limits.limiter import Limiter, RateLimits, Shared
from promptop.providers.api import AnswerFacts
from promptop.providers.costs import cost_of
from promptop.settings import Profile

if TYPE_CHECKING:
    import httpx2

    from promptop.cache import Cache, Policy

RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which another attempt may help."""
LONGEST_BACKOFF_S = 30.0


@dataclass(slots=True)
class Tally:
    """How far a batch is; ``seconds`` and rates are of this run."""

    total: int
    done: int = 0
    failed: int = 0
    cached: int = 0
    resumed: int = 0
    """Answered by an earlier run."""
    spent_usd: float = 0.0
    saved_usd: float = 0.0
    unpriced: int = 0
    waited_s: float = 0.0
    """Seconds that requests waited for the limiter, together."""
    capped: bool = False
    over_cap: str = ""
    """What the cap said."""
    remote: int = 0
    """Answered at the provider, in batches that have not been collected so far."""
    state: str = ""
    """What the provider says of its batches; empty where requests are sent one by one."""
    estimated: bool = False
    """Whether a cost is an estimate: half the table's price, where it lists none for batches."""
    started_s: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> int:
        """Items that have not come to an end."""
        return self.total - self.done - self.failed - self.resumed

    @property
    def eta_s(self) -> float | None:
        """Seconds until the end at the present rate; None before the first."""
        ended = self.done + self.failed + self.remote - self.cached
        left = max(0, self.left - self.remote)
        return (time.monotonic() - self.started_s) / ended * left if ended > 0 else None


class Batch:
    """One run over the items of a batch."""

    def __init__(
        self,
        items: Sequence[Item],
        profile: Profile,
        journal: Journal,
        *,
        limits: RateLimits | None = None,
        gate: Gate | None = None,
        retries: int = 2,
        transport: dict[str, Any] | None = None,
        cache: Cache | None = None,
        policy: Policy | None = None,
        shared: Callable[[str], Shared] | None = None,
        on_progress: Callable[[Tally], None] | None = None,
    ) -> None:
        """Keep what a run needs.

        ``limits`` hold for each model; at most ``limits.concurrency`` requests run at a time in all. ``transport`` are
        the options of :func:`promptop.transport`: log, app, bodies, simulated. ``shared`` yields the limits of a model
        that several processes keep together.
        """
        self.items = items
        self.tally = Tally(len(items), spent_usd=0.0)
        self._profile = profile
        self._journal = journal
        self._limits = limits or RateLimits(concurrency=10, requests_per_minute=None)
        self._limiters: dict[str, Limiter] = {}
        self._shared = shared
        self._gate: Gate = gate or open_gate
        self._retries = retries
        self._transport = transport or {}
        self._cache = cache
        self._paused_s = 0.0
        """Seconds of pauses before further attempts, of all items together."""
        self._policy = policy
        self._on_progress = on_progress
        self.balancer = Balancer(profile)
        self._headers: dict[str, dict[str, str]] = {}

    async def run(self) -> Tally:
        """Run what has no answer yet. A cancelled run leaves the journal whole."""
        todo = [item for item in self.items if not self._journal.finished(item)]
        self.tally.resumed = len(self.items) - len(todo)
        self._tell()
        if not todo:
            return self.tally
        waiting = iter(todo)
        count = min(len(todo), self._limits.concurrency or 100)
        try:
            async with self._client() as client, asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(self._work(client, waiting))
        except* PromptopError as failures:
            raise failures.exceptions[0] from None
        return self.tally

    def _client(self) -> httpx2.AsyncClient:
        import httpx2

        import promptop
        from promptop.client.http.transport import Connection, proxy_for

        # A key that cannot be had is a mistake of the settings: better said before the first request than by each.
        self._headers = {each.label: headers_of(each.profile, each.profile.api_key()) for each in self.balancer.places}
        watched = promptop.transport(
            Connection(self._profile, proxy_for(self._profile.base_url)),
            asynchronous=True,
            family="httpx2",
            cache=self._cache,
            cache_policy=self._policy,
            **self._transport,
        )
        timeout = httpx2.Timeout(self._profile.timeout_s, connect=self._profile.connect_timeout_s)
        return httpx2.AsyncClient(transport=watched, timeout=timeout)

    async def _work(self, client: httpx2.AsyncClient, waiting: Any) -> None:
        for item in waiting:
            if self.tally.capped:
                return
            try:
                outcome = await self._one(client, item)
            except OverCapError as over:
                self.tally.capped, self.tally.over_cap = True, str(over)
                return
            self._journal.add(item, outcome)
            tally = self.tally
            if outcome.ok:
                tally.done += 1
            else:
                tally.failed += 1
            tally.cached += outcome.cached
            tally.unpriced += outcome.usd is None and outcome.ok
            tally.spent_usd += outcome.usd or 0.0
            tally.waited_s = self._paused_s + sum(limiter.waited_s for limiter in self._limiters.values())
            self._tell()

    def _limiter(self, item: Item) -> Limiter:
        model = str(item.body["model"])
        if model not in self._limiters:
            shared = self._shared(model) if self._shared is not None else None
            self._limiters[model] = Limiter(self._limits, shared=shared)
        return self._limiters[model]

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.tally)

    async def _one(self, client: httpx2.AsyncClient, item: Item) -> ItemOutcome:
        """Make one item's request, with retries; never raises for what the endpoint does."""
        import httpx2

        from promptop.capture.annotations import annotate

        path, body = _written(item, self._profile)
        problem = ("", "")
        avoid: list[Endpoint] = []
        for attempt in range(1, self._retries + 2):
            place = self.balancer.choose(avoid)
            url = base_url_of(place.profile) + path.removeprefix("/v1")  # some versions are called otherwise
            tags = {"place": place.label} if self.balancer.several else None
            async with self._limiter(item).slot(_tokens(item), lane="batch") as slot:
                hold = self._gate(body, path, provider=self._profile.provider or None)
                with annotate(attempt=attempt, queue_s=slot.waited_s, tags=tags) as note:
                    note.decision = item.decision
                    response = None
                    failure: RunError | None = RunError("cancelled", "")  # unless it comes to its end
                    try:
                        response = await client.post(url, json=body, headers=self._headers[place.label])
                        failure = _failure(response)
                    except httpx2.HTTPError as error:
                        problem = (type(error).__name__, str(error) or type(error).__name__)
                        failure = RunError("connect", problem[1])
                    finally:
                        self.balancer.ended(place, failure)
                        if response is None:
                            hold.settle(None)  # it may have arrived, and be billed
                if response is not None:
                    slot.heard(response.status_code, response.headers)
            if response is not None and response.status_code not in RETRIED:
                outcome = self._answered(item, response, slot)
                hold.settle(outcome.usd)
                return outcome
            if response is not None:
                hold.settle(0.0)
            if response is not None:
                problem = (str(response.status_code), _message(response))
            avoid = [place] if self.balancer.left([place]) else []
            if attempt <= self._retries and not avoid:
                since = time.monotonic()
                await asyncio.sleep(min(LONGEST_BACKOFF_S, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0))
                self._paused_s += time.monotonic() - since
        return ItemOutcome(_result(item, None, problem), ok=False, usd=0.0)

    def _answered(self, item: Item, response: httpx2.Response, slot: Any) -> ItemOutcome:
        from promptop.capture.caching.outcome import EXTENSION

        fact = response.extensions.get(EXTENSION)
        hit = fact if fact is not None and fact.level != "miss" else None
        try:
            body = response.json()
        except ValueError:
            problem = ("invalid_json", f"HTTP {response.status_code}: the answer is not JSON: {response.text[:200]}")
            billed = None if response.status_code == 200 else 0.0
            return ItemOutcome(_result(item, None, problem), ok=False, usd=billed)
        ok = response.status_code == 200 and not (isinstance(body, dict) and body.get("error"))
        usd, tokens = _cost(item, body) if ok else (0.0, 0)
        if tokens:
            slot.used(tokens)
        if hit is not None:
            self.tally.saved_usd += hit.saved_usd or 0.0
            usd = 0.0
        failure = None if ok else (str(response.status_code), _message(response))
        return ItemOutcome(_result(item, response, failure, body), ok=ok, usd=usd, cached=hit is not None)


def _written(item: Item, profile: Profile) -> tuple[str, dict[str, Any]]:
    """Return path and body of a request: chat completions are rewritten for a profile that speaks another API."""
    body = dict(item.body)
    api = api_of(profile)
    if api.name == "chat" or not item.url.endswith("/chat/completions"):
        return item.url, body
    model, messages = str(body.pop("model")), body.pop("messages", ())
    request = RunRequest(profile=profile, model=model, messages=messages, extra=body)
    return f"/v1{api.path}", whole_body(request, RefusedFields())


def _failure(response: httpx2.Response) -> RunError | None:
    """Return what an answer says of the place that gave it."""
    status = response.status_code
    return RunError(str(status), f"HTTP {status}", status=status) if status >= 400 else None


def result_of(item: Item, status: int, body: Any) -> dict[str, Any]:
    """Return a line of output for an answer that is at hand."""
    answered = {"status_code": status, "request_id": "", "body": body}
    return {
        "id": f"batch_req_{secrets.token_hex(12)}",
        "custom_id": item.custom_id,
        "response": answered,
        "error": None,
    }


def _result(item: Item, response: Any, problem: tuple[str, str] | None, body: Any = None) -> dict[str, Any]:
    answered = None
    if response is not None:
        request_id = response.headers.get("x-request-id", "")
        answered = {"status_code": response.status_code, "request_id": request_id, "body": body}
    return {
        "id": f"batch_req_{secrets.token_hex(12)}",
        "custom_id": item.custom_id,
        "response": answered,
        "error": None if problem is None else {"code": problem[0], "message": problem[1]},
    }


def _message(response: Any) -> str:
    from promptop.base.redact import credentials

    try:
        error = response.json()["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        text = response.text
    return credentials(text[:500])


def _cost(item: Item, body: Any) -> tuple[float | None, int]:
    """Return what an answer cost in USD (None if unpriced) and its tokens."""
    facts = AnswerFacts()
    providers.take(body, facts)
    usage = facts.read_usage()
    if usage.input_tokens is None:
        return None, 0
    found = cost_of(usage, (facts.model, str(item.body["model"])))
    return found.usd, usage.input_tokens + (usage.output_tokens or 0)


def _tokens(item: Item) -> int:
    """Return about how many input tokens an item has, without a tokenizer."""
    from promptop.providers.estimate import tokens
    from promptop.tokens.scripts import chars_by_script

    return tokens(str(item.body["model"]), chars_by_script(_text(item.body)), len(item.body.get("messages") or ()))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\n".join(_text(each) for name, each in value.items() if name not in ("model", "role", "type"))
    return "\n".join(map(_text, value)) if isinstance(value, list) else ""


def bound_of(item: Item, profile: Profile) -> CostBound:
    """Return the most that an item can cost, from the body that is sent."""
    path, body = _written(item, profile)
    return bound(body, path, provider=profile.provider or None, count=count_bytes)


def kept_apart(items: Sequence[Item], profile: Profile, policy: Policy) -> list[tuple[str, int]]:
    """Return why answers of items are not kept by the cache, so that they are paid for again, and of how many."""
    from promptop.cache import key_of

    counts: Counter[str] = Counter()
    for item in items:
        path, body = _written(item, profile)
        key = key_of("", path, body, policy)
        if key is not None and key.refusal:
            counts[key.refusal] += 1
    return counts.most_common()


def estimate(items: Sequence[Item], profile: Profile) -> CostEstimate:
    """Return the most that the items can cost together, at a token for each byte of input."""
    bounds = [bound_of(item, profile) for item in items]
    known = [each.usd for each in bounds if each.usd is not None]
    return CostEstimate(
        len(items),
        sum(each.input_tokens for each in bounds),
        sum(known) if known else None,
        tuple(str(item.body["model"]) for item, each in zip(items, bounds, strict=True) if each.usd is None),
        why=tuple(dict.fromkeys(why for each in bounds for why in each.open)),
        dearest=max((each for each in bounds if each.usd is not None), key=lambda each: each.usd or 0.0, default=None),
    )
