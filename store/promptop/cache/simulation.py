"""What a cache would have saved: the requests of a log, replayed in order against caches of several TTLs and sizes.

No call is made. A request's key is the cache's own where its row carries one, else what the log knows of it: endpoint,
model, hash of the prompt and the logged parameters. A parameter that is not logged (``response_format``, a penalty) is
not told apart there, so that those figures are an upper bound. Failed and cut answers fill nothing, as in the cache
itself, and requests that it would refuse are not replayed.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from promptop.cache.key import Policy
from promptop.log.row import Row

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
class Asked:
    """One request of the log."""

    at_ms: int
    key: int
    """Number of the key in order of its first appearance."""
    cost_usd: float | None
    """What it cost, or for a hit of a real cache what that saved; None if unknown."""
    kept: bool = True
    """Whether its answer could have been kept."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A cache to try."""

    ttl_s: float | None
    """None never expires."""
    max_entries: int | None = None


@dataclass(slots=True)
class Outcome:
    """What a variant would have done."""

    variant: Variant
    asked: int = 0
    hits: int = 0
    saved_usd: float = 0.0
    unpriced: int = 0
    """Hits whose saving is not known."""
    most_entries: int = 0

    @property
    def ratio(self) -> float | None:
        """Hits among requests; None without requests."""
        return self.hits / self.asked if self.asked else None


@dataclass(slots=True)
class History:
    """The requests of a log as far as a cache could have answered them."""

    asked: list[Asked] = field(default_factory=list)
    """In order of time."""
    refused: Counter[str] = field(default_factory=Counter)
    """Requests that are not replayed, by reason."""
    spent_usd: float = 0.0
    """Cost of the requests in ``asked``, saved ones included."""
    exact: int = 0
    """Requests whose key is the cache's own."""
    simulated: bool = False
    """Whether traffic of the simulated endpoint is among them."""


def history(rows: Iterable[Row], policy: Policy | None = None) -> History:
    """Return what of ``rows``, in any order, a cache of this policy would have been asked."""
    policy = policy or Policy()
    found = History()
    numbers: dict[object, int] = {}
    named: set[object] = set()
    for row in rows:
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
        found.asked.append(Asked(row.started_ms or 0, key, cost, kept))
    found.asked.sort(key=lambda request: request.at_ms)
    return found


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


def simulate(requests: Iterable[Asked], variants: Sequence[Variant]) -> list[Outcome]:
    """Replay ``requests``, which must be in the order of time, once against every variant."""
    outcomes = [Outcome(variant) for variant in variants]
    held: list[OrderedDict[int, int]] = [OrderedDict() for _ in variants]
    for request in requests:
        for outcome, entries in zip(outcomes, held, strict=True):
            variant = outcome.variant
            outcome.asked += 1
            filled = entries.get(request.key)
            if filled is not None and variant.ttl_s is not None and request.at_ms - filled >= variant.ttl_s * 1000:
                del entries[request.key]
                filled = None
            if filled is not None:
                outcome.hits += 1
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
                outcome.most_entries = max(outcome.most_entries, len(entries))
    return outcomes
