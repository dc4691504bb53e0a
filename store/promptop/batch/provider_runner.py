"""A batch through the provider's own batch API: uploaded, worked through there within a day, at about half the price.

What was sent is noted in ``OUT.batches`` before and after each step, under a token that the batch carries at the
provider as well: a kill between the creation of a batch and the note of its id is found out by the token, and nothing
is created, or paid for, twice. Answers are kept in the journal of :mod:`.journal` when a batch has ended, whatever its
end was; what has no answer then is sent again by the next run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from promptop import providers
from promptop.base.errors import PromptopError
from promptop.batch.input import Item
from promptop.batch.journal import ItemOutcome, Journal
from promptop.batch.provider_api import AwayError, BatchApi
from promptop.batch.provider_state import BatchAtProvider, ProviderState
from promptop.batch.runner import Tally, bound_of, result_of
from promptop.budget.bound import CostBound
from promptop.budget.gate import Gate, Hold
from promptop.client.spending import OverCapError
from promptop.providers.api import AnswerFacts
from promptop.settings import Profile

if TYPE_CHECKING:
    from promptop.cache import Cache, Policy
    from promptop.log import Writer

MOST_LINES = 50_000
"""Requests of one batch, the provider's limit."""
MOST_BYTES = 150 << 20
"""Bytes of one input file, below the provider's 200 MB."""
ENDED = frozenset(("completed", "failed", "expired", "cancelled"))
FIRST_POLL_S, LONGEST_POLL_S = 2.0, 60.0
"""A batch is looked at this soon first, and this seldom later, seconds."""
HALF = 0.5
"""What is taken of the table's price where it lists none for batches."""
PATIENCE = 20
"""Looks in a row that may fail before the run is given up; the batch goes on, and so does the next run."""

Wait = Callable[[float], bool]
"""Waits for some seconds; returns True if the run is to stop."""


def batch_price(names: Sequence[str], *, given: int, made: int, cached: int = 0) -> tuple[float | None, str]:
    """Return what an answer of a provider's batch costs, USD, and how that is known: table, estimated or unpriced."""
    from promptop import models

    counts: dict[str, Any] = {"input_tokens": given, "output_tokens": made, "cache_read": cached}
    plain = models.price(list(names), **counts)
    listed = models.price(list(names), **counts, context={"processing": "batch"})
    if plain.usd is None:
        return None, "unpriced"
    if listed.usd is not None and listed.usd != plain.usd:
        return listed.usd, "table"
    return plain.usd * HALF, "estimated"


def batch_share(names: Sequence[str], *, given: int, made: int) -> float:
    """Return what share of its usual price a call would cost in a provider's batch; half where no table says."""
    from promptop import models

    plain = models.price(list(names), input_tokens=given, output_tokens=made).usd
    usd, _ = batch_price(names, given=given, made=made)
    return usd / plain if usd is not None and plain else HALF


def batch_bound(items: Sequence[Item], profile: Profile) -> CostBound:
    """Return the most that items can cost through the batch API, together: half of what each costs by itself."""
    bounds = [bound_of(item, profile) for item in items]
    why = tuple(dict.fromkeys(reason for each in bounds for reason in each.open))
    if why:
        return CostBound(None, why)
    return CostBound(
        sum(each.usd or 0.0 for each in bounds) * HALF,
        (),
        sum(each.input_tokens for each in bounds),
        sum(each.output_tokens for each in bounds),
        sum(each.output_usd for each in bounds) * HALF,
    )


class ProviderBatch:
    """One run over the items of a batch: submits, waits, collects; each part of it can be taken up again."""

    def __init__(
        self,
        items: Sequence[Item],
        api: BatchApi,
        journal: Journal,
        state: ProviderState,
        *,
        gate: Gate | None = None,
        cache: Cache | None = None,
        policy: Policy | None = None,
        log: Writer | None = None,
        app: str = "promptop batch",
        simulated: bool = False,
        poll_s: float = FIRST_POLL_S,
        on_progress: Callable[[Tally], None] | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """``log`` gets a row for each answer; ``notice`` is told what a person may want to know."""
        self.items = items
        self.tally = Tally(len(items))
        self._api = api
        self._journal = journal
        self._state = state
        self._gate = gate or Gate()
        self._cache = cache
        self._policy = policy
        self._log = log
        self._app = app
        self._simulated = simulated
        self._poll_s = poll_s
        self._on_progress = on_progress
        self._notice = notice or (lambda text: None)
        self._by_digest = {item.digest: item for item in items}

    def run(self, wait: Wait, *, submit_only: bool = False) -> Tally:
        """Submit what has no answer, wait for the ends, collect. Stops, resumable, when ``wait`` says so.

        Raises :class:`PromptopError` for an endpoint that refuses or cannot be reached.
        """
        self.tally.resumed = sum(self._journal.finished(item) for item in self.items)
        self._tell()
        for part in list(self._state.parts):
            self._adopt(part)
        under_way = {digest for part in self._state.parts for digest in part.items.values()}
        todo = [i for i in self.items if not self._journal.finished(i) and i.digest not in under_way]
        todo = [item for item in todo if not self._from_cache(item)]
        for chunk in chunks(todo):
            try:
                hold = self._gate.reserve(batch_bound(chunk, self._api.profile))
            except OverCapError as over:
                self.tally.capped, self.tally.over_cap = True, str(over)
                break
            self._submit(chunk, hold)
        if not submit_only:
            self._wait(wait)
        return self.tally

    def cancel(self) -> int:
        """Ask the provider to stop every batch of this run; what it has answered is collected. Returns how many."""
        count = 0
        for part in self._state.parts:
            self._adopt(part)
            if part.status not in ENDED:
                part.status = str(self._api.cancel(part.batch_id).get("status", part.status))
                count += 1
        self._state.save()
        return count

    # Submitting

    def _submit(self, items: Sequence[Item], hold: Hold) -> None:
        part = self._state.begin(items[0].url, {item.custom_id: item.digest for item in items}, hold.number)
        try:
            part.file_id = self._api.upload(f"{part.token}.jsonl", lines_of(items))
        except PromptopError:
            self._state.drop(part)
            hold.settle(0.0)
            raise
        self._state.save()
        self._create(part)

    def _create(self, part: BatchAtProvider) -> None:
        found = self._api.create(part.file_id, part.url, part.token)
        part.batch_id, part.status = str(found["id"]), str(found.get("status", "validating"))
        self._state.save()

    def _adopt(self, part: BatchAtProvider) -> None:
        """Find the batch of a part whose id was not noted, or create it; a part without a file is dropped."""
        if part.batch_id:
            return
        if not part.file_id:
            self._state.drop(part)
            return
        found = self._api.find(part.token)
        if found is None:
            self._create(part)
        else:
            part.batch_id, part.status = str(found["id"]), str(found.get("status", "validating"))
            self._state.save()

    # Waiting and collecting

    def _wait(self, wait: Wait) -> None:
        pause, failures = self._poll_s, 0
        while self._state.parts:
            before = [(part.status, part.counts) for part in self._state.parts]
            try:
                for part in list(self._state.parts):
                    self._look(part)
                failures = 0
            except AwayError as error:
                failures += 1
                if failures >= PATIENCE:
                    raise
                self._notice(f"{error.cause} It is asked again.")
            self._tell()
            if not self._state.parts:
                return
            moved = before != [(part.status, part.counts) for part in self._state.parts]
            pause = self._poll_s if moved else min(pause * 1.5, max(LONGEST_POLL_S, self._poll_s))
            if wait(pause):
                return

    def _look(self, part: BatchAtProvider) -> None:
        found = self._api.batch(part.batch_id)
        part.status = str(found.get("status", part.status))
        counts = found.get("request_counts") or {}
        part.counts = tuple(int(counts.get(name) or 0) for name in ("total", "completed", "failed"))
        self._count()
        if part.status not in ENDED:
            return
        spent, unpriced = self.tally.spent_usd, self.tally.unpriced
        answered = self._collect(part, found)
        known = self.tally.unpriced == unpriced
        self._gate.settle_number(part.hold, self.tally.spent_usd - spent if known else None)
        if part.status == "failed" and not answered:
            self._state.drop(part)
            raise PromptopError(
                f"The provider refused the batch: {_mistake(found)}", "Mend the input and run it again."
            )
        missing = [custom_id for custom_id in part.items if custom_id not in answered]
        if part.status == "expired":
            for custom_id in missing:
                self._take(part, {"custom_id": custom_id, "error": {"code": "batch_expired", "message": _EXPIRED}})
        elif missing:
            self._notice(
                f"{len(missing):,} requests of the {part.status} batch have no answer; they can be sent again."
            )
        self._state.drop(part)
        self._count()

    def _count(self) -> None:
        self.tally.remote = sum(each.counts[1] + each.counts[2] for each in self._state.parts)
        self.tally.state = ", ".join(sorted({each.status for each in self._state.parts}))

    def _collect(self, part: BatchAtProvider, found: Mapping[str, Any]) -> set[str]:
        """Keep every answer and error of an ended batch; returns the custom ids that it had a line for."""
        answered: set[str] = set()
        for name in ("output_file_id", "error_file_id"):
            if not found.get(name):
                continue
            for line in self._api.lines(str(found[name])):
                if str(line.get("custom_id", "")) in part.items:
                    answered.add(str(line["custom_id"]))
                    self._take(part, line)
        return answered

    def _take(self, part: BatchAtProvider, line: Mapping[str, Any]) -> None:
        item = self._by_digest.get(part.items[str(line["custom_id"])])
        if item is None or self._journal.finished(item):
            return  # the input has changed since, or an earlier try to collect got this far
        response = line.get("response") or {}
        status, body = response.get("status_code"), response.get("body")
        problem = line.get("error") or None
        if problem is None and status != 200:
            problem = {"code": str(status), "message": _message(body)}
        ok = problem is None
        given, made, cached = _usage(body) if ok else (None, 0, 0)
        names = [str((body or {}).get("model") or ""), str(item.body["model"])]
        usd, known = (
            batch_price(names, given=given, made=made, cached=cached) if given is not None else (None, "unpriced")
        )
        result = {
            "id": line.get("id") or part.batch_id,
            "custom_id": item.custom_id,
            "response": line.get("response"),
            "error": problem,
        }
        self._journal.add(item, ItemOutcome(result, ok=ok, usd=usd if ok else 0.0))
        tally = self.tally
        tally.done += ok
        tally.failed += not ok
        tally.spent_usd += (usd or 0.0) if ok else 0.0
        tally.unpriced += ok and usd is None
        tally.estimated |= known == "estimated"
        if self._log is not None:
            self._log.put(self._row(part, item, body, usd if ok else 0.0, known, problem))
        if ok and self._cache is not None:
            self._keep(item, body, usd)

    # Cache and log

    def _key(self, item: Item) -> Any:
        from promptop.cache import key_of

        key = key_of(self._api.host, self._api.path(item.url), item.body, self._policy)
        return key if key is not None and key.cacheable else None

    def _from_cache(self, item: Item) -> bool:
        key = self._key(item) if self._cache is not None else None
        hit = self._cache.look(key) if self._cache is not None and key is not None else None
        if hit is None:
            return False
        try:
            body = json.loads(hit.entry.body)
        except ValueError:
            return False  # a stream's events: the exact request was never answered as a whole
        self._journal.add(item, ItemOutcome(result_of(item, 200, body), ok=True, usd=0.0, cached=True))
        self.tally.done += 1
        self.tally.cached += 1
        self.tally.saved_usd += hit.entry.cost_usd or 0.0
        return True

    def _keep(self, item: Item, body: Any, usd: float | None) -> None:
        from promptop.cache import CacheEntry

        key = self._key(item)
        if key is None or self._cache is None:
            return
        given, made, _ = _usage(body)
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        headers = (("content-type", "application/json"),)
        entry = CacheEntry(200, headers, data, model=key.model, input_tokens=given, output_tokens=made, cost_usd=usd)
        self._cache.store(key, entry)

    def _row(self, part: BatchAtProvider, item: Item, body: Any, usd: float | None, known: str, problem: Any) -> Any:
        from promptop.log import Row, caller

        given, made, cached = _usage(body)
        table = body if isinstance(body, Mapping) else {}
        row = Row(
            started_ms=int(part.created_s * 1000),
            app=self._app,
            tags=json.dumps({"batch": part.batch_id, "custom_id": item.custom_id}, ensure_ascii=False),
            simulated=1 if self._simulated else None,
            operation_name="embeddings" if item.url.endswith("/embeddings") else "chat",
            server_address=self._api.host.partition(":")[0],
            url_path=self._api.path("/v1/batches"),
            request_model=str(item.body["model"]),
            response_model=str(table["model"]) if table.get("model") else None,
            response_id=str(table["id"]) if table.get("id") else None,
            error_type=None if problem is None else str(problem.get("code") or "batch"),
            error_message=None if problem is None else str(problem.get("message") or "")[:500],
            attempt=1,
            usage_input_tokens=given,
            usage_output_tokens=made if given is not None else None,
            usage_cache_read_input_tokens=cached or None,
            usage_source="reported" if given is not None else None,
            cost_usd=usd,
            cost_status=known if problem is None else None,
        )
        caller.this_process().sign(row)
        return row

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.tally)


_EXPIRED = "The batch's 24 hours were over before this request was answered."


def chunks(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items as batches: one path and one model each, within the provider's limits, in order."""
    made: dict[tuple[str, str], list[list[Item]]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for item in items:
        kind = item.url, str(item.body["model"])
        size = len(lines_of([item]))
        rows = made.setdefault(kind, [[]])
        if rows[-1] and (len(rows[-1]) >= MOST_LINES or sizes[kind] + size > MOST_BYTES):
            rows.append([])
            sizes[kind] = 0
        rows[-1].append(item)
        sizes[kind] = sizes.get(kind, 0) + size
    return [chunk for rows in made.values() for chunk in rows if chunk]


def lines_of(items: Iterable[Item]) -> bytes:
    """Return the input file of items."""
    rows = ({"custom_id": item.custom_id, "method": "POST", "url": item.url, "body": dict(item.body)} for item in items)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "replace")


def _usage(body: Any) -> tuple[int | None, int, int]:
    facts = AnswerFacts()
    providers.take(body, facts)
    usage = facts.read_usage()
    return (usage.input_tokens, usage.output_tokens or 0, usage.cache_read or 0) if usage else (None, 0, 0)


def _message(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("message") if isinstance(error, dict) else error or "without a reason")[:500]


def _mistake(found: Mapping[str, Any]) -> str:
    data = (found.get("errors") or {}).get("data") or [{}]
    first = data[0] if isinstance(data[0], Mapping) else {}
    line = f" (line {first['line']})" if first.get("line") else ""
    more = f" and {len(data) - 1} more" if len(data) > 1 else ""
    return f"{first.get('message') or first.get('code') or 'without a reason'}{line}{more}"
