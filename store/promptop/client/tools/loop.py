"""A tool loop as requests: what the model called and what the tools gave become the next request's messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from promptop.client.conversation import continued
from promptop.client.request import Message, RunRequest
from promptop.client.result import CallUsage, RunResult
from promptop.client.tools.mocks import ToolResult

MOST_STEPS = 8
"""Calls of one loop: a model that always calls a tool would go on for ever."""


def with_results(messages: Sequence[Message], result: RunResult, results: Sequence[ToolResult]) -> list[Message]:
    """Return a conversation with the model's tool calls and what the tools gave, ready for the model's next turn."""
    spoken = continued(messages, result.text, result.tool_calls)
    first = len(spoken) - len(results)
    answered = [{**message, "content": given.text} for message, given in zip(spoken[first:], results, strict=True)]
    return [*spoken[:first], *answered]


def next_request(request: RunRequest, result: RunResult, results: Sequence[ToolResult]) -> RunRequest:
    """Return the request that tells the model what its tools gave."""
    return replace(request, messages=with_results(request.messages, result, results))


def together(steps: Sequence[RunResult]) -> RunResult:
    """Return the last step with what all of them took and cost: the loop is one answer to whoever asked.

    The first token is that of the first step; a sum with an unknown part is unknown, and there is no rate.
    """
    last = steps[-1]
    if len(steps) == 1:
        return last

    def total(values: Sequence[float | None]) -> float | None:
        return None if any(value is None for value in values) else sum(value for value in values if value is not None)

    def tokens(name: str) -> int | None:
        found = total([getattr(step.usage, name) for step in steps])
        return None if found is None else int(found)

    usage = CallUsage(
        tokens("input_tokens"),
        tokens("output_tokens"),
        tokens("cache_read_input_tokens"),
        tokens("reasoning_output_tokens"),
        "estimated" if any(step.usage.source == "estimated" for step in steps) else last.usage.source,
    )
    return replace(
        last,
        ttft_s=steps[0].ttft_s,
        total_s=total([step.total_s for step in steps]),
        duration_s=None,
        usage=usage,
        cost_usd=total([step.cost_usd for step in steps]),
        changes=tuple(dict.fromkeys(change for step in steps for change in step.changes)),
    )
