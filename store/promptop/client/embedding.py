"""Embeddings in as few requests as the endpoint allows: packed by count and by tokens, order kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from promptop.base.errors import PromptopError, UsageError
from promptop.client.spending import Gate, open_gate
from promptop.providers.costs import cost_of
from promptop.providers.media import EMBEDDINGS
from promptop.settings import Profile

MAX_INPUTS = 2048
"""Inputs of a request."""
MAX_INPUT_TOKENS = 8192
"""Tokens of an input."""
MAX_REQUEST_TOKENS = 300_000
"""Tokens of a request."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors, in the order of the texts, and what they cost."""

    vectors: list[list[float]]
    requests: int
    input_tokens: int | None
    usd: float | None


def pack(tokens: Sequence[int], *, max_inputs: int = MAX_INPUTS) -> list[range]:
    """Return the requests as ranges of consecutive inputs; ``tokens`` are the inputs' lengths.

    Raises :class:`UsageError` naming the first input that is empty or too long.
    """
    for index, count in enumerate(tokens):
        if count > MAX_INPUT_TOKENS:
            raise UsageError(
                f"Input {index + 1} has {count:,} tokens; an endpoint takes at most {MAX_INPUT_TOKENS:,}.",
                "Split it, or cut it with --truncate.",
            )
        if count == 0:
            raise UsageError(f"Input {index + 1} is empty; endpoints refuse empty inputs.", "Leave the line out.")
    packed: list[range] = []
    start = held = 0
    for index, count in enumerate(tokens):
        if index - start >= max_inputs or held + count > MAX_REQUEST_TOKENS:
            packed.append(range(start, index))
            start, held = index, 0
        held += count
    if tokens:
        packed.append(range(start, len(tokens)))
    return packed


def truncated(text: str, most: int = MAX_INPUT_TOKENS) -> str:
    """Return the longest beginning of ``text`` that has at most ``most`` cl100k tokens and cuts no character."""
    from promptop.tokens import encoding

    codec = encoding("cl100k_base")
    ids = codec.encode_ordinary(text)
    while len(ids) > most:
        head = codec.decode_bytes(ids[:most]).decode("utf-8", "ignore")
        ids, text = codec.encode_ordinary(head), head
        most -= 1  # the cut may merge differently: try one token less until it fits
    return text


async def embed(
    texts: Sequence[str],
    model: str,
    profile: Profile,
    *,
    dimensions: int | None = None,
    concurrency: int = 4,
    transport: dict[str, Any] | None = None,
    cache: Any = None,
    on_progress: Callable[[int, int], None] | None = None,
    gate: Gate | None = None,
) -> Embedded:
    """Embed ``texts``; ``on_progress`` gets the finished and all requests.

    Raises :class:`UsageError` for inputs that no endpoint takes and :class:`PromptopError` for a request that failed or
    that ``gate`` refuses.
    """
    import httpx2

    import promptop
    from promptop.client.http.transport import Connection, proxy_for
    from promptop.tokens import encoding

    codec = encoding("cl100k_base")
    requests = pack([len(codec.encode_ordinary(text)) for text in texts])
    key = profile.api_key()
    inner = Connection(profile, proxy_for(profile.base_url))
    watched = promptop.transport(inner, asynchronous=True, family="httpx2", cache=cache, **(transport or {}))
    headers = {**profile.headers, **({"authorization": f"Bearer {key}"} if key else {})}
    vectors: list[list[float] | None] = [None] * len(texts)
    tally = {"tokens": 0, "usd": 0.0, "done": 0}
    known = {"tokens": True, "usd": True}
    slots, passes = asyncio.Semaphore(concurrency), gate or open_gate

    async def one(client: httpx2.AsyncClient, part: range) -> None:
        body: dict[str, Any] = {"model": model, "input": [texts[index] for index in part], "encoding_format": "float"}
        if dimensions is not None:
            body["dimensions"] = dimensions
        async with slots:
            hold = passes(body, "/embeddings", provider=profile.provider or None)
            answer = await _post(client, f"{profile.base_url.rstrip('/')}/embeddings", body)
        for place, vector in _vectors(answer, len(part)):
            vectors[part.start + place] = vector
        usage = EMBEDDINGS.usage(answer.get("usage"))
        usd = cost_of(usage, (model,)).usd
        hold.settle(usd)
        tally["tokens"] += usage.input_tokens or 0
        known["tokens"] &= usage.input_tokens is not None
        known["usd"] &= usd is not None
        tally["usd"] += usd or 0.0
        tally["done"] += 1
        if on_progress is not None:
            on_progress(int(tally["done"]), len(requests))

    timeout = httpx2.Timeout(profile.timeout_s, connect=profile.connect_timeout_s)
    try:
        async with (
            httpx2.AsyncClient(transport=watched, headers=headers, timeout=timeout) as client,
            asyncio.TaskGroup() as group,
        ):
            for part in requests:
                group.create_task(one(client, part))
    except* PromptopError as failures:
        raise failures.exceptions[0] from None
    missing = next((index for index, vector in enumerate(vectors) if vector is None), None)
    if missing is not None:
        raise PromptopError(f"The endpoint sent no vector for input {missing + 1}.", "Ask again; report it to them.")
    return Embedded(
        [vector for vector in vectors if vector is not None],
        len(requests),
        int(tally["tokens"]) if known["tokens"] else None,
        tally["usd"] if known["usd"] else None,
    )


async def _post(client: Any, url: str, body: dict[str, Any]) -> dict[str, Any]:
    import httpx2

    from promptop.base.redact import credentials

    try:
        response = await client.post(url, json=body)
        answer = response.json()
    except httpx2.HTTPError as error:
        raise PromptopError(
            f"{url} did not answer ({type(error).__name__}).", "Is the server running, and is base_url right?"
        ) from None
    except ValueError:
        answer = None
    if response.status_code != 200 or not isinstance(answer, dict) or "data" not in answer:
        raise PromptopError(
            f"The endpoint refused ({response.status_code}): {credentials(response.text[:300])}",
            "Check the model's name and the key.",
        )
    return answer


def _vectors(answer: dict[str, Any], count: int) -> Iterator[tuple[int, list[float]]]:
    """Yield (place, vector): by ``index``, because replies may come in another order than the inputs."""
    for order, item in enumerate(answer["data"]):
        place = item.get("index", order) if isinstance(item, dict) else order
        if not isinstance(place, int) or not 0 <= place < count:
            raise PromptopError(
                f"The endpoint sent a vector for input {place}, which was not asked.", "Report it to them."
            )
        yield place, item["embedding"]
