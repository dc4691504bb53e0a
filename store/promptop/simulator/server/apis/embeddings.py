"""Simulated embeddings: hashed character n-grams, so that texts that share words lie close to each other."""

from __future__ import annotations

import base64
import math
import random
import zlib
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from promptop.simulator.answers.profiles import ModelProfile
from promptop.simulator.answers.tokenizer import encode
from promptop.simulator.server.events import BadRequestError
from promptop.simulator.server.faults import Faults

MOST_INPUTS = 2048
MOST_TOKENS = 8192
MOST_TOKENS_TOTAL = 300_000


def vector(text: str, dimensions: int) -> array[float]:
    """Return a unit vector of ``dimensions`` 32-bit floats."""
    values = array("f", bytes(4 * dimensions))
    low = f" {text.lower()} "
    for size in (2, 3):
        for at in range(len(low) - size + 1):
            code = zlib.crc32(low[at : at + size].encode("utf-8", "surrogatepass"))
            values[code % dimensions] += 1.0 if code & 0x8000_0000 else -1.0
    norm = math.sqrt(sum(value * value for value in values)) or 1.0
    return array("f", (value / norm for value in values))


def answer(body: Mapping[str, Any], profile: ModelProfile, faults: Faults) -> tuple[dict[str, Any], int]:
    """Return the response object and its input tokens. Raises :class:`BadRequestError` beyond the provider's limits."""
    given = body.get("input")
    inputs = _inputs(given)
    if len(inputs) > MOST_INPUTS:
        raise BadRequestError(
            f"Invalid 'input': array too long. Expected at most {MOST_INPUTS}.", "input", "array_above_max"
        )
    counts = [len(item) if isinstance(item, list) else len(encode(item, profile.encoding)) for item in inputs]
    if max(counts) > MOST_TOKENS:
        raise BadRequestError(
            f"This model's maximum context length is {MOST_TOKENS} tokens.", "input", "context_length"
        )
    if sum(counts) > MOST_TOKENS_TOTAL:
        raise BadRequestError(f"At most {MOST_TOKENS_TOTAL} tokens a request.", "input", "max_tokens_per_request")
    dimensions = int(body.get("dimensions") or profile.dimensions)
    packed = body.get("encoding_format") == "base64"
    data = []
    for index, item in enumerate(inputs):
        found = vector(" ".join(map(str, item)) if isinstance(item, list) else item, dimensions)
        shown: Any = base64.b64encode(found.tobytes()).decode() if packed else [round(value, 7) for value in found]
        data.append({"object": "embedding", "index": index, "embedding": shown})
    if "shuffled" in faults:
        random.Random(len(data)).shuffle(data)
    total = sum(counts)
    response: dict[str, Any] = {"object": "list", "data": data, "model": profile.snapshot or profile.name}
    if "usage-missing" not in faults:
        response["usage"] = {"prompt_tokens": total, "total_tokens": total}
    return response, total


def _inputs(given: Any) -> Sequence[str | list[int]]:
    if isinstance(given, str) and given:
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(item, int) for item in given):
            return [given]
        if all(isinstance(item, str | list) and item for item in given):
            return given
    raise BadRequestError(
        "'input' must be a string, an array of strings, or an array of tokens.", "input", "invalid_type"
    )
