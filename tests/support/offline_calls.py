"""Answers in the place of calls: for tests of what many calls mean, where fifteen milliseconds of HTTP each do not."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.trap_endpoint import Said, Trap, Traps, answer, honest

from promptop import models
from promptop.client.http.endpoints import RefusedFields
from promptop.client.request import RunRequest
from promptop.client.request_body import body_of, find_model
from promptop.client.result import CallUsage, RunError, RunResult, failed

NOWHERE = "http://127.0.0.1:9/v1"


def answering(monkeypatch: pytest.MonkeyPatch, trap: Trap = honest, url: str = NOWHERE) -> Traps:
    """Let every call of this process be answered by a trap; caps are not asked, and ``url`` is asked for all else.

    The headers ``model`` and ``refused`` of what is said are the answering model and the refusal field.
    """
    traps = Traps(trap, url)

    async def answered(request: RunRequest, endpoints: object, *, progress: object = None) -> RunResult:
        await asyncio.sleep(0)
        body, _ = body_of(request, find_model(request), RefusedFields())
        number = len(traps.bodies)
        traps.bodies.append(body)
        said = trap(body, number, Said(answer(body), id=f"r{number}"))
        if said.status != 200:
            return failed(request, RunError(str(said.status), "refused by the trap", status=said.status))
        usage = CallUsage(50, len(said.text) // 4 + 1, source="reported")
        price = models.price(request.model, input_tokens=50, output_tokens=usage.output_tokens or 0)
        return RunResult(
            request.model,
            said.headers.get("model", request.model),
            request.title,
            said.text,
            "done",
            said.finish,
            "refused" in said.headers,
            usage=usage,
            cost_usd=price.usd,
            cost_status=price.status,
            response_id=said.id or None,
        )

    monkeypatch.setattr("promptop.client.call.run", answered)
    return traps
