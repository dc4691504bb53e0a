"""What calls may cost at most, known before anything is sent: all input uncached, all output up to its limit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptop import models
from promptop.base import units
from promptop.client.request import RunRequest, text_of
from promptop.client.request_body import find_model
from promptop.providers.anthropic import DEFAULT_MAX_TOKENS

PER_MESSAGE = 4
"""Tokens that OpenAI's chat format adds to each message, and as many for the answer's head; others are near it."""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """The most that a run can cost."""

    calls: int
    input_tokens: int
    """Of all calls, by our own count."""
    usd: float | None
    """Sum over the models that have a price and a limit; None if there is none of them."""
    open: tuple[str, ...]
    """Models for which nothing can be said: no price, or no limit of output tokens."""

    def __str__(self) -> str:
        most = f"at most {units.usd(self.usd)}" if self.usd is not None else "no known price"
        calls = "1 call" if self.calls == 1 else f"{self.calls} calls"
        without = f" + {len(self.open)} unknown" if self.open and self.usd is not None else ""
        return f"{calls}, {most}{without}"


def ceiling(requests: Sequence[RunRequest], count: Callable[[str], int], calls_each: int = 1) -> CostEstimate:
    """Price ``calls_each`` calls of every request; ``count`` gives the tokens of the prompt for a model's name."""
    total, tokens = 0.0, 0
    priced = False
    unknown: list[str] = []
    for request in requests:
        given = count(request.model) + PER_MESSAGE * (len(request.messages) + 1)
        tokens += given * calls_each
        model = find_model(request)
        limit = request.max_tokens or (model.max_output if model is not None else None)
        if limit is None and request.profile.api == "anthropic":
            limit = DEFAULT_MAX_TOKENS  # this API wants one, and it is what is sent
        price = models.price(
            request.model, input_tokens=given, output_tokens=limit, provider=request.profile.provider or None
        )
        if price.usd is None or limit is None:
            unknown.append(request.model)
            continue
        priced = True
        total += price.usd * calls_each
    return CostEstimate(len(requests) * calls_each, tokens, total if priced else None, tuple(dict.fromkeys(unknown)))


def together(parts: Sequence[CostEstimate]) -> CostEstimate:
    """Return the ceiling of several runs that are made as one."""
    known = [part.usd for part in parts if part.usd is not None]
    return CostEstimate(
        sum(part.calls for part in parts),
        sum(part.input_tokens for part in parts),
        sum(known) if known else None,
        tuple(dict.fromkeys(name for part in parts for name in part.open)),
    )


def said_of(request: RunRequest) -> str:
    """Return the text of everything that is read as input: messages, tools and the response format."""
    extra = {name: request.extra[name] for name in ("tools", "response_format") if request.extra.get(name)}
    text = text_of(request.messages)
    return f"{text}\n{json.dumps(extra, ensure_ascii=False, default=str)}" if extra else text
