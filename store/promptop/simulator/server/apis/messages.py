"""Anthropic's native Messages API: usage at the start, running output tokens at the end, input without cached parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from promptop.providers.anthropic import write_usage
from promptop.simulator.answers.answer import Question, SimulatedAnswer, SimulatedChoice
from promptop.simulator.server.events import StreamEvent
from promptop.simulator.server.faults import Faults

_FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def complete(answer: SimulatedAnswer, question: Question, faults: Faults) -> dict[str, Any]:
    """Return the message object."""
    choice = answer.choices[0]
    body = _head(answer)
    if answer.thoughts:
        thinking = "".join(piece.text for piece in answer.thoughts)
        body["content"].append({"type": "thinking", "thinking": thinking, "signature": ""})
    body["content"].append(_block(choice, whole=True))
    body["stop_reason"] = _FINISH[choice.finish]
    if "usage-missing" not in faults:
        body["usage"] = usage(answer, answer.usage.output)
    return body


def usage(answer: SimulatedAnswer, output: int) -> dict[str, Any]:
    """Return the usage: ``input_tokens`` leaves out what was read from or written to the cache."""
    found = answer.usage
    return write_usage(found.input, output, cached=found.cached, written=found.written)


def events(answer: SimulatedAnswer, question: Question, faults: Faults) -> Iterator[StreamEvent]:
    """Yield the events of a streamed message."""
    start = _head(answer)
    if "usage-missing" not in faults:
        start["usage"] = usage(answer, 1)
    yield _event("message_start", "start", message=start)
    choice = answer.choices[0]
    delays = [answer.first_s]
    index = 0
    if answer.thoughts:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        yield _event("content_block_start", "start", index=index, content_block=block)
        for piece in answer.thoughts:
            delay = delays.pop() if delays else max(1, piece.tokens) / answer.tps
            delta = {"type": "thinking_delta", "thinking": piece.text}
            yield _event("content_block_delta", "reasoning", delay, index=index, delta=delta)
        yield _event("content_block_stop", "other", index=index)
        index += 1
    yield _event("content_block_start", "start", index=index, content_block=_block(choice, whole=False))
    yield _event("ping", "other")
    for piece in choice.call.pieces if choice.call else choice.pieces:
        delay = delays.pop() if delays else max(1, piece.tokens) / answer.tps
        if choice.call:
            delta = {"type": "input_json_delta", "partial_json": piece.text}
        else:
            delta = {"type": "text_delta", "text": piece.text}
        if piece.text:
            yield _event("content_block_delta", "content", delay, index=index, delta=delta)
    yield _event("content_block_stop", "other", index=index)
    ended = {"stop_reason": _FINISH[choice.finish], "stop_sequence": None}
    if "usage-missing" in faults:
        yield _event("message_delta", "finish", delta=ended)
    else:
        yield _event("message_delta", "usage", delta=ended, usage=usage(answer, answer.usage.output))
    yield _event("message_stop", "done")


def _event(name: str, kind: str, delay_s: float = 0.0, **fields: Any) -> StreamEvent:
    return StreamEvent({"type": name, **fields}, kind, name, delay_s)


def _head(answer: SimulatedAnswer) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _block(choice: SimulatedChoice, *, whole: bool) -> dict[str, Any]:
    if call := choice.call:
        arguments = json.loads(call.arguments) if whole and choice.finish != "length" else {}
        return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}
    return {"type": "text", "text": choice.text if whole else ""}
