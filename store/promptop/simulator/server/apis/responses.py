"""The Responses API: one object, or typed events whose last carries the usage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from promptop.providers.responses import write_usage
from promptop.simulator.answers.answer import Question, SimulatedAnswer
from promptop.simulator.server.events import StreamEvent
from promptop.simulator.server.faults import Faults


def complete(answer: SimulatedAnswer, question: Question, faults: Faults) -> dict[str, Any]:
    """Return the finished response object."""
    choice = answer.choices[0]
    short = choice.finish in ("length", "content_filter")
    reason = {"reason": "max_output_tokens" if choice.finish == "length" else "content_filter"}
    body = _head(answer, question, "incomplete" if short else "completed")
    body["incomplete_details"] = reason if short else None
    body["output"] = _output(answer)
    if "usage-missing" not in faults:
        found = answer.usage
        body["usage"] = write_usage(
            found.input, found.output, cached=found.cached, written=found.written, reasoning=found.reasoning
        )
    return body


class Events:
    """The events of one streamed response, numbered."""

    def __init__(self, answer: SimulatedAnswer, question: Question, faults: Faults) -> None:
        self._answer = answer
        self._question = question
        self._faults = faults
        self._number = 0

    def events(self) -> Iterator[StreamEvent]:
        """Yield the events in order; the stream ends with its last event, there is no [DONE]."""
        answer, question = self._answer, self._question
        head = _head(answer, question, "in_progress")
        yield self._event("response.created", {"response": head}, "start")
        yield self._event("response.in_progress", {"response": head}, "start")
        delays = [answer.first_s]
        output = _output(answer)
        for at, item in enumerate(output):
            blank: dict[str, Any] = {**item, "status": "in_progress"}
            blank |= {"reasoning": {"summary": []}, "message": {"content": []}}.get(item["type"], {"arguments": ""})
            yield self._event("response.output_item.added", {"output_index": at, "item": blank}, "start")
            yield from self._item(at, item, delays)
            yield self._event("response.output_item.done", {"output_index": at, "item": item}, "other")
        last = complete(answer, question, self._faults)
        yield self._event(f"response.{last['status']}", {"response": last}, "usage")

    def _item(self, at: int, item: Mapping[str, Any], delays: list[float]) -> Iterator[StreamEvent]:
        answer = self._answer
        place = {"item_id": item["id"], "output_index": at}
        if item["type"] == "reasoning":
            kind, pieces, place = "reasoning", answer.thoughts, {**place, "summary_index": 0}
            name, field = "response.reasoning_summary_text", "text"
        elif item["type"] == "function_call":
            assert answer.choices[0].call is not None
            kind, pieces = "content", answer.choices[0].call.pieces
            name, field = "response.function_call_arguments", "arguments"
        else:
            kind, pieces, place = "content", answer.choices[0].pieces, {**place, "content_index": 0}
            name, field = "response.output_text", "text"
            part = {"type": "output_text", "annotations": [], "text": ""}
            yield self._event("response.content_part.added", {**place, "part": part}, "start")
        for piece in pieces:
            delay = delays.pop() if delays else max(1, piece.tokens) / answer.tps
            if piece.text:
                yield self._event(f"{name}.delta", {**place, "delta": piece.text}, kind, delay)
        whole = "".join(piece.text for piece in pieces)
        yield self._event(f"{name}.done", {**place, field: whole}, "other")
        if item["type"] == "message":
            yield self._event("response.content_part.done", {**place, "part": item["content"][0]}, "other")

    def _event(self, name: str, fields: Mapping[str, Any], kind: str, delay_s: float = 0.0) -> StreamEvent:
        number, self._number = self._number, self._number + 1
        return StreamEvent({"type": name, "sequence_number": number, **fields}, kind, name, delay_s)


def _head(answer: SimulatedAnswer, question: Question, status: str) -> dict[str, Any]:
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": question.system or None,
        "max_output_tokens": question.max_tokens,
        "model": answer.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0 if question.temperature is None else question.temperature,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
    }


def _output(answer: SimulatedAnswer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.thoughts:
        summary = [{"type": "summary_text", "text": "".join(piece.text for piece in answer.thoughts)}]
        items.append({"id": f"rs_{answer.id}", "type": "reasoning", "summary": summary})
    choice = answer.choices[0]
    if call := choice.call:
        items.append(
            {
                "id": f"fc_{answer.id}",
                "type": "function_call",
                "status": "completed",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
        )
    else:
        text = {"type": "output_text", "annotations": [], "logprobs": [], "text": choice.text}
        status = "incomplete" if choice.finish in ("length", "content_filter") else "completed"
        items.append(
            {"id": f"msg_{answer.id}", "type": "message", "status": status, "role": "assistant", "content": [text]}
        )
    return items
