"""Chat Completions: the answer as one object and as a stream of chunks, with the oddities of its imitators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promptop.providers.chat import write_usage
from promptop.simulator.answers.answer import Question, SimulatedAnswer, SimulatedChoice, SimulatedUsage, ToolCall
from promptop.simulator.answers.tokenizer import TokenPiece
from promptop.simulator.server.events import StreamEvent
from promptop.simulator.server.faults import Faults


def usage(found: SimulatedUsage, faults: Faults) -> dict[str, Any]:
    """Return a usage object."""
    cost = round((found.input + 4 * found.output) * 1e-6, 9) if "cost" in faults else None
    return write_usage(found.input, found.output, cached=found.cached, reasoning=found.reasoning, cost=cost)


def complete(answer: SimulatedAnswer, question: Question, faults: Faults) -> dict[str, Any]:
    """Return the answer to a request that is not streamed."""
    thoughts = "".join(piece.text for piece in answer.thoughts)
    choices = []
    for index, choice in enumerate(answer.choices):
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if choice.call or "refusal" in faults else choice.text,
            "refusal": choice.text if "refusal" in faults else None,
            "annotations": [],
        }
        if thoughts:
            message["reasoning" if "reasoning-field" in faults else "reasoning_content"] = thoughts
        if choice.call:
            message["tool_calls"] = [_call(choice.call, choice.call.arguments)]
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": choice.finish})
    body = {**_head(answer, "chat.completion"), "choices": choices}
    if "usage-missing" not in faults:
        body["usage"] = usage(answer.usage, faults)
    if "timings" in faults:
        body["timings"] = timings(answer)
    return body


def timings(answer: SimulatedAnswer) -> dict[str, Any]:
    """Return llama.cpp's ``timings`` object."""
    return {
        "prompt_n": answer.usage.input,
        "prompt_ms": round(answer.first_s * 1e3, 3),
        "predicted_n": answer.usage.output,
        "predicted_ms": round(answer.usage.output / answer.tps * 1e3, 3),
        "predicted_per_second": round(answer.tps, 3),
    }


class Chunks:
    """The chunks of one streamed answer."""

    def __init__(self, answer: SimulatedAnswer, question: Question, faults: Faults) -> None:
        self._answer = answer
        self._question = question
        self._faults = faults
        self._sent = 0

    def events(self) -> Iterator[StreamEvent]:
        """Yield the events in order, each with its pause."""
        answer, faults = self._answer, self._faults
        if "azure" in faults:
            yield StreamEvent({**self._chunk([]), "prompt_filter_results": [{"prompt_index": 0}]}, "start")
        delays = [answer.first_s]
        for index in range(len(answer.choices)):
            delta: dict[str, Any] = {"role": "assistant", "content": None if "null-content" in faults else ""}
            yield StreamEvent(self._delta(index, delta), "start")
        field = "reasoning" if "reasoning-field" in faults else "reasoning_content"
        for piece in answer.thoughts:
            yield from self._piece(0, {field: piece.text}, "reasoning", piece, delays)
        for index, choice in enumerate(answer.choices):
            yield from self._content(index, choice, delays)
        for index, choice in enumerate(answer.choices):
            chunk = self._delta(index, {}, choice.finish)
            if index == len(answer.choices) - 1 and "usage-on-last" in faults:
                chunk["usage"] = usage(answer.usage, faults)
            yield StreamEvent(chunk, "finish", delay_s=delays.pop() if delays else 0.0)
        yield from self._tail()
        if "no-done" not in faults:
            yield StreamEvent("[DONE]", "done")

    def _content(self, index: int, choice: SimulatedChoice, delays: list[float]) -> Iterator[StreamEvent]:
        if call := choice.call:
            yield from self._piece(index, {"tool_calls": [_call(call, "")]}, "content", TokenPiece("", 0), delays)
            for piece in call.pieces:
                part = {"tool_calls": [{"index": 0, "function": {"arguments": piece.text}}]}
                yield from self._piece(index, part, "content", piece, delays)
        field = "refusal" if "refusal" in self._faults else "content"
        for piece in choice.pieces:
            if piece.text:
                yield from self._piece(index, {field: piece.text}, "content", piece, delays)

    def _piece(
        self, index: int, delta: dict[str, Any], kind: str, piece: TokenPiece, delays: list[float]
    ) -> Iterator[StreamEvent]:
        """Yield one delta; the first of a stream waits for the first token, the others for their tokens."""
        self._sent += piece.tokens
        delay = delays.pop() if delays else max(1, piece.tokens) / self._answer.tps
        yield StreamEvent(self._delta(index, delta), kind, delay_s=delay)

    def _tail(self) -> Iterator[StreamEvent]:
        """Yield the usage chunk, with whatever else is asked for in the last chunk."""
        faults = self._faults
        wanted = self._question.include_usage and "usage-missing" not in faults and "usage-on-last" not in faults
        extra: dict[str, Any] = {}
        if "timings" in faults:
            extra["timings"] = timings(self._answer)
            extra["x_groq"] = {"id": "req_" + self._answer.id[:20], "usage": {"queue_time": 0.01, "prompt_time": 0.02}}
        if wanted or "usage-unasked" in faults:
            yield StreamEvent({**self._chunk([]), "usage": usage(self._answer.usage, faults), **extra}, "usage")
        elif extra:
            yield StreamEvent({**self._chunk([]), **extra}, "other")

    def _delta(self, index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        chunk = self._chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}])
        if "usage-every" in self._faults:
            running = SimulatedUsage(self._answer.usage.input, self._sent, self._answer.usage.cached)
            chunk["usage"] = usage(running, self._faults)
        elif "usage-null" in self._faults:
            chunk["usage"] = None
        return chunk

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**_head(self._answer, "chat.completion.chunk"), "choices": choices}


def _head(answer: SimulatedAnswer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def _call(call: ToolCall, arguments: str) -> dict[str, Any]:
    return {"index": 0, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
