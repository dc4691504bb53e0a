"""The vector of a prompt from the endpoint that the prompt is for: what is asked, and what is read of the answer.

A prompt goes nowhere else for the sake of the cache: the request for its vector carries the credentials of the request
that it belongs to, to the same server, and leaves a row with its own cost.
"""

from __future__ import annotations

import json
from typing import Any

from promptop.cache.key import endpoint_of
from promptop.providers.api import loads

TIMEOUT_S = 5.0
"""Seconds that a vector is waited for: the call itself waits meanwhile."""
NOT_OURS = ("content-length", "content-type", "content-encoding", "transfer-encoding", "idempotency-key", "expect")
"""Headers of the request that its embedding request does not take over."""
TAGS = {"purpose": "semantic cache"}
"""Tags of the rows."""


def path(asked: str) -> str:
    """Return the path of the embeddings beside the path of a request."""
    bare = asked.rstrip("/")
    endings = ("/chat/completions", "/responses", "/messages", "/completions")
    ending = next((ending for ending in endings if bare.endswith(ending)), "")
    assert ending and endpoint_of(asked), "only requests of a known endpoint are compared"
    return f"{bare.removesuffix(ending)}/embeddings"


def body(model: str, text: str) -> bytes:
    """Return the request body."""
    return json.dumps({"model": model, "input": text, "encoding_format": "float"}, ensure_ascii=False).encode(
        "utf-8", "replace"
    )


def vector(status: int, answer: bytes) -> list[float]:
    """Return the vector in an answer; raise :class:`ValueError` that says why there is none."""
    if status != 200:
        raise ValueError(f"the endpoint's /embeddings answered {status}")
    found: Any = loads(answer)
    try:
        values = found["data"][0]["embedding"]
        return [float(value) for value in values]
    except (TypeError, KeyError, IndexError, ValueError):
        raise ValueError("the endpoint's /embeddings gave no vector") from None
