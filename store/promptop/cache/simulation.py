"""What a cache would have saved: the requests of a log, replayed in order against caches of several TTLs and sizes.

No call is made. A request's key is the cache's own where its row carries one, else what the log knows of it: endpoint,
model, hash of the prompt and the logged parameters. A parameter that is not logged (``response_format``, a penalty) is
not told apart there, so that those figures are an upper bound. Failed and cut answers fill nothing, as in the cache
itself, and requests that it would refuse are not replayed.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeVar

from promptop.cache.key import Policy, key_of
from promptop.cache.semantic.embedding import Embed
from promptop.cache.semantic.guards import difference
from promptop.cache.semantic.level import ProcessMemory, Remembered, packed
from promptop.log.row import Row

R = TypeVar("R", bound=Row)

_PARAMETERS = (
    "operation_name",
    "openai_api_type",
    "server_address",
    "server_port",
    "request_model",
    "request_stream",
    "request_max_tokens",
    "request_temperature",
    "request_top_p",
    "request_stop_sequences",
    "request_seed",
    "request_reasoning_effort",
    "request_tools",
    "prompt_hash",
)


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request of the log."""

    at_ms: int
    key: int
    """Number of the key in order of its first appearance."""
    cost_usd: float | None
    """What it cost, or for a hit of a real cache what that saved; None if unknown."""
    kept: bool = True
    """Whether its answer could have been kept."""
    frame: str = ""
    """What a semantic level compares within (:attr:`Key.frame`); empty where the log has not kept the prompt."""
    text: str = ""
    """The last message's text, where the log has kept it."""
    number: int = 0
    """Place of its row among those that the history was made of."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A cache to try."""

    ttl_s: float | None
    """None never expires."""
    max_entries: int | None = None
    threshold: float | None = None
    """Similarity from which another wording's answer is given; None compares nothing by meaning."""


@dataclass(slots=True)
class VariantOutcome:
    """What a variant would have done."""

    variant: Variant
    asked: int = 0
    hits: int = 0
    similar: int = 0
    """Hits by meaning, among ``hits``."""
    saved_usd: float = 0.0
    unpriced: int = 0
    """Hits whose saving is not known."""
    most_entries: int = 0

    @property
    def ratio(self) -> float | None:
        """Hits among requests; None without requests."""
        return self.hits / self.asked if self.asked else None


@dataclass(slots=True)
class RequestHistory:
    """The requests of a log as far as a cache could have answered them."""

    asked: list[LoggedRequest] = field(default_factory=list)
    """In order of time."""
    refused: Counter[str] = field(default_factory=Counter)
    """Requests that are not replayed, by reason."""
    spent_usd: float = 0.0
    """Cost of the requests in ``asked``, saved ones included."""
    exact: int = 0
    """Requests whose key is the cache's own."""
    simulated: bool = False
    """Whether traffic of the simulated endpoint is among them."""

    @property
    def worded(self) -> int:
        """Requests whose prompt the log has kept, so that it can be compared by meaning."""
        return sum(bool(request.text) for request in self.asked)


def history(
    rows: Iterable[R], policy: Policy | None = None, body_of: Callable[[R], str | None] | None = None
) -> RequestHistory:
    """Return what of ``rows``, in any order, a cache of this policy would have been asked.

    ``body_of`` returns the request's body where the log has kept it: only with it can variants have thresholds.
    """
    policy = policy or Policy()
    found = RequestHistory()
    numbers: dict[object, int] = {}
    named: set[object] = set()
    for number, row in enumerate(rows):
        found.simulated |= bool(row.simulated)
        reason = _refusal(row, policy)
        if reason:
            found.refused[reason] += 1
            continue
        described = tuple(getattr(row, name) for name in _PARAMETERS)
        if row.cache_key is None:
            key = numbers.setdefault(described, len(numbers))
        elif row.cache_key in numbers:
            key = numbers[row.cache_key]
        elif described in named:
            # The same by what is logged, yet not the same: a parameter that is not logged differs.
            key = numbers[row.cache_key] = len(numbers)
        else:
            # Requests from before the cache was switched on meet those after it.
            named.add(described)
            key = numbers[row.cache_key] = numbers.setdefault(described, len(numbers))
        found.exact += row.cache_key is not None
        answered_by_cache = row.cache_level not in (None, "miss")
        cost = row.saved_usd if answered_by_cache else row.cost_usd
        found.spent_usd += cost or 0.0
        kept = row.error_type is None and row.http_response_status_code in (None, 200)
        frame, text = _worded(row, policy, body_of(row)) if body_of is not None else ("", "")
        found.asked.append(LoggedRequest(row.started_ms or 0, key, cost, kept, frame, text, number))
    found.asked.sort(key=lambda request: request.at_ms)
    return found


def _worded(row: Row, policy: Policy, body: str | None) -> tuple[str, str]:
    """Return the frame and the text of a request; both empty where its prompt is not known or is not compared."""
    try:
        parsed = json.loads(body or "")
    except ValueError:
        return "", ""
    if not isinstance(parsed, dict):
        return "", ""
    # What was asked of is in the row; that a cache may be asked was judged already.
    allowing = replace(policy, semantic=True, any_temperature=True, tools=True)
    key = key_of(f"{row.server_address}:{row.server_port}", row.url_path or "", parsed, allowing)
    return (key.frame, key.text) if key is not None else ("", "")


def vectors(
    requests: Iterable[LoggedRequest], embed: Embed, on_progress: Callable[[int, int], None] | None = None
) -> dict[str, bytes]:
    """Return the vector of each text; ``on_progress`` gets the finished and all texts."""
    texts = list(dict.fromkeys(request.text for request in requests if request.text))
    found: dict[str, bytes] = {}
    for number, text in enumerate(texts, 1):
        if (vector := packed(embed(text))) is not None:
            found[text] = vector
        if on_progress is not None:
            on_progress(number, len(texts))
    return found


_difference = lru_cache(1 << 16)(difference)
"""The guards take 0.1 ms a pair, and variants ask of the same pairs again."""


class _Meaning:
    """What a semantic level of one variant would remember."""

    def __init__(self, variant: Variant, vectors: Mapping[str, bytes]) -> None:
        self._now_ms = 0
        most = 10**9 if variant.max_entries is None else variant.max_entries
        self._memory = ProcessMemory(max_entries=most, clock=lambda: self._now_ms / 1000)
        self._threshold = variant.threshold or 0.0
        self._ttl_s = variant.ttl_s
        self._vectors = vectors

    def answers(self, request: LoggedRequest, entries: Mapping[int, int]) -> bool:
        """Whether an answer to another wording, still kept among ``entries``, would have been given."""
        self._now_ms = request.at_ms
        vector = self._vectors.get(request.text)
        if vector is None:
            return False
        for _, item in self._memory.near(request.frame, vector, self._threshold):
            if int(item.digest) in entries and not _difference(item.text, request.text):
                return True
        return False

    def keep(self, request: LoggedRequest) -> None:
        """Remember a prompt whose answer is kept."""
        vector = self._vectors.get(request.text)
        if vector is not None:
            expires_s = None if self._ttl_s is None else request.at_ms / 1000 + self._ttl_s
            self._memory.add(Remembered(str(request.key), request.frame, request.text, vector, expires_s))


def _refusal(row: Row, policy: Policy) -> str:
    """Say why the cache would not be asked for a request, with what the log knows; empty if it would."""
    if row.cache_key is not None:
        return ""
    if row.prompt_hash is None:
        return "without a hash of the prompt"
    if row.operation_name == "embeddings":
        return ""
    if row.request_choice_count is not None and row.request_choice_count > 1:
        return "n above 1"
    if row.request_tools and not policy.tools:
        return "with tools"
    if not policy.any_temperature and row.request_temperature != 0:
        return "sampled: temperature above 0 or not given"
    return ""


def simulate(
    requests: Iterable[LoggedRequest],
    variants: Sequence[Variant],
    vectors: Mapping[str, bytes] | None = None,
    on_hit: Callable[[LoggedRequest], object] | None = None,
) -> list[VariantOutcome]:
    """Replay ``requests``, which must be in the order of time, once against every variant.

    ``vectors`` of the texts are needed by variants with a threshold. ``on_hit`` gets each request that one answers.
    """
    meanings = [_Meaning(variant, vectors or {}) if variant.threshold is not None else None for variant in variants]
    outcomes = [VariantOutcome(variant) for variant in variants]
    held: list[OrderedDict[int, int]] = [OrderedDict() for _ in variants]
    for request in requests:
        for outcome, entries, meaning in zip(outcomes, held, meanings, strict=True):
            variant = outcome.variant
            outcome.asked += 1
            filled = entries.get(request.key)
            if filled is not None and variant.ttl_s is not None and request.at_ms - filled >= variant.ttl_s * 1000:
                del entries[request.key]
                filled = None
            similar = filled is None and meaning is not None and meaning.answers(request, entries)
            if filled is not None or similar:
                outcome.hits += 1
                outcome.similar += similar
                if on_hit is not None:
                    on_hit(request)
                if filled is not None:
                    entries.move_to_end(request.key)
                if request.cost_usd is None:
                    outcome.unpriced += 1
                else:
                    outcome.saved_usd += request.cost_usd
                continue
            if request.kept:
                entries[request.key] = request.at_ms
                if variant.max_entries is not None and len(entries) > variant.max_entries:
                    entries.popitem(last=False)
                if meaning is not None:
                    meaning.keep(request)
                outcome.most_entries = max(outcome.most_entries, len(entries))
    return outcomes
