"""A provider's batch API, simulated: files go up, a batch works through one, its output and errors come down.

The shapes are OpenAI's. Files and batches lie in memory and end with the endpoint. A batch takes its time scaled by the
endpoint's speed: it is validated, runs line by line, and can be cancelled; a line that names a failing model
(``sim-fault-500``) ends in the error file.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from aiohttp import web

from promptop.simulator.server.errors import from_faults, refused
from promptop.simulator.server.events import BadRequestError
from promptop.simulator.server.exchange import Exchange
from promptop.simulator.server.faults import parse as parse_faults

VALIDATE_S, LINE_S = 0.5, 0.05
"""Seconds at speed 1 until a batch is validated, and for each line."""
URLS = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings")
ENDED = frozenset(("completed", "failed", "expired", "cancelled"))

Answer = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""Returns the response body for a path and a request body; raises :class:`BadRequestError`."""


@dataclass(slots=True)
class _File:
    """An uploaded or produced file."""

    id: str
    name: str
    purpose: str
    data: bytes
    created: int = field(default_factory=lambda: int(time.time()))

    def shape(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.data),
            "created_at": self.created,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


class Batches:
    """The files and batches of one endpoint."""

    def __init__(self, answer: Answer, speed: float) -> None:
        self._answer = answer
        self._speed = speed
        self._files: dict[str, _File] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def add_routes(
        self, app: web.Application, prefix: str, wrap: Callable[..., Callable[[web.Request], Awaitable[Any]]]
    ) -> None:
        """Register the paths; ``wrap`` is what the endpoint does with every request."""
        app.router.add_post(f"{prefix}/files", wrap(self._upload, plain=True))
        app.router.add_get(f"{prefix}/files/{{id}}", wrap(self._file))
        app.router.add_get(f"{prefix}/files/{{id}}/content", wrap(self._content))
        app.router.add_delete(f"{prefix}/files/{{id}}", wrap(self._delete))
        app.router.add_post(f"{prefix}/batches", wrap(self._create))
        app.router.add_get(f"{prefix}/batches", wrap(self._list))
        app.router.add_get(f"{prefix}/batches/{{id}}", wrap(self._batch))
        app.router.add_post(f"{prefix}/batches/{{id}}/cancel", wrap(self._cancel, plain=True))

    async def close(self) -> None:
        """Stop what runs."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    # Files

    async def _upload(self, exchange: Exchange, body: Mapping[str, Any]) -> web.StreamResponse:
        head = f"Content-Type: {exchange.request.headers.get('content-type', '')}\r\n\r\n".encode()
        # The body was read whole for the record; aiohttp's reader would wait for it to come again.
        form = BytesParser(policy=HTTP).parsebytes(head + exchange.record.body)
        if not form.is_multipart():
            raise BadRequestError("We could not read the upload: it must be multipart/form-data.", "file")
        parts: dict[str, tuple[str, bytes]] = {}
        for part in form.iter_parts():
            data = part.get_payload(decode=True)
            name = str(part.get_param("name", "", "content-disposition"))
            parts[name] = part.get_filename() or "", data if isinstance(data, bytes) else b""
        if "file" not in parts or "purpose" not in parts:
            raise BadRequestError("'file' and 'purpose' are required.", "file", "missing_required_parameter")
        found = self._keep(parts["file"][0] or "upload.jsonl", parts["purpose"][1].decode(), parts["file"][1])
        return await _say(exchange, found.shape())

    def _keep(self, name: str, purpose: str, data: bytes) -> _File:
        found = _File(f"file-{secrets.token_hex(12)}", name, purpose, data)
        self._files[found.id] = found
        return found

    def _known(self, exchange: Exchange) -> _File:
        wanted = exchange.request.match_info["id"]
        if wanted not in self._files:
            raise BadRequestError(f"No such File object: {wanted}", "id", "model_not_found")
        return self._files[wanted]

    async def _file(self, exchange: Exchange, body: Mapping[str, Any]) -> web.StreamResponse:
        return await _say(exchange, self._known(exchange).shape())

    async def _content(self, exchange: Exchange, body: Mapping[str, Any]) -> web.StreamResponse:
        return await exchange.respond(200, self._known(exchange).data, "application/octet-stream")

    async def _delete(self, exchange: Exchange, body: Mapping[str, Any]) -> web.StreamResponse:
        found = self._known(exchange)
        del self._files[found.id]
        return await _say(exchange, {"id": found.id, "object": "file", "deleted": True})

    # Batches

    async def _create(self, exchange: Exchange, body: Mapping[str, Any]) -> web.StreamResponse:
        given = str(body.get("input_file_id", ""))
        if given not in self._files:
            raise BadRequestError(f"No such File object: {given}", "input_file_id")
        if body.get("endpoint") not in URLS:
            raise BadRequestError("Invalid 'endpoint'.", "endpoint", "invalid_value")
        if body.get("completion_window") != "24h":
            raise BadRequestError("Invalid 'completion_window': '24h' is the only one.", "completion_window")
        now = int(time.time())
        batch: dict[str, Any] = {
            "id": f"batch_{secrets.token_hex(12)}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "errors": None,
            "input_file_id": given,
            "completion_window": "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "expires_at": now + 86_400,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": body.get("metadata"),
            "simulated": True,
        }
        self._batches[batch["id"]] = batch
        self._tasks[batch["id"]] = asyncio.get_running_loop().create_task(self._run(batch))
        return await _say(exchange, batch)

    async def _list(self, exchange: Exchange, body: Mapping[str, Any]) -> web.StreamResponse:
        data = list(reversed(self._batches.values()))[:100]
        return await _say(exchange, {"object": "list", "data": data, "has_more": False})

    def _wanted(self, exchange: Exchange) -> dict[str, Any]:
        wanted = exchange.request.match_info["id"]
        if wanted not in self._batches:
            raise BadRequestError(f"No batch found with id '{wanted}'.", "id", "model_not_found")
        return self._batches[wanted]

    async def _batch(self, exchange: Exchange, body: Mapping[str, Any]) -> web.StreamResponse:
        return await _say(exchange, self._wanted(exchange))

    async def _cancel(self, exchange: Exchange, body: Mapping[str, Any]) -> web.StreamResponse:
        batch = self._wanted(exchange)
        if batch["status"] not in ENDED:
            batch["status"] = "cancelling"
        return await _say(exchange, batch)

    async def _run(self, batch: dict[str, Any]) -> None:
        await asyncio.sleep(VALIDATE_S * self._speed)
        lines, mistakes = _read(self._files[batch["input_file_id"]].data, batch["endpoint"])
        if mistakes:
            batch["status"] = "failed"
            batch["errors"] = {"object": "list", "data": mistakes}
            return
        counts = batch["request_counts"]
        counts["total"] = len(lines)
        if batch["status"] == "validating":
            batch["status"] = "in_progress"
        output: list[str] = []
        errors: list[str] = []
        for line in lines:
            if batch["status"] == "cancelling":
                break
            await asyncio.sleep(LINE_S * self._speed)
            status, answer = await asyncio.to_thread(self._one, line)
            counts["completed" if status == 200 else "failed"] += 1
            result = {
                "id": f"batch_req_{secrets.token_hex(12)}",
                "custom_id": line["custom_id"],
                "response": {"status_code": status, "request_id": f"req_{secrets.token_hex(8)}", "body": answer},
                "error": None,
            }
            (output if status == 200 else errors).append(json.dumps(result, ensure_ascii=False))
        for name, found in (("output", output), ("error", errors)):
            if found:
                data = ("\n".join(found) + "\n").encode()
                batch[f"{name}_file_id"] = self._keep(f"{batch['id']}_{name}.jsonl", "batch_output", data).id
        batch["status"] = "cancelled" if batch["status"] == "cancelling" else "completed"

    def _one(self, line: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and body of one line's answer."""
        body = line["body"]
        faults = parse_faults("", str(body.get("model", "")))
        if refusal := from_faults(line["url"], faults, body):
            return refusal[1].status, _table(refusal[1].body)
        try:
            return 200, self._answer(line["url"], body)
        except BadRequestError as error:
            return 400, _table(refused(line["url"], error).body)


def _table(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"error": {"message": data.decode("utf-8", "replace")}}


def _read(data: bytes, endpoint: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the lines of an input file and its mistakes, as the provider words them."""
    lines: list[dict[str, Any]] = []
    mistakes: list[dict[str, Any]] = []
    seen: set[str] = set()
    models: set[str] = set()
    for number, text in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        if not text.strip():
            continue
        code, line = "", _table(text.encode())
        if not {"custom_id", "method", "url", "body"} <= line.keys() or not isinstance(line["body"], dict):
            code = "invalid_json_line"
        elif line["url"] != endpoint:
            code = "mismatched_endpoint"
        elif line["custom_id"] in seen:
            code = "duplicate_custom_id"
        elif line["body"].get("stream"):
            code = "stream_not_supported"
        else:
            seen.add(line["custom_id"])
            models.add(str(line["body"].get("model")))
            lines.append(line)
        if not code and len(models) > 1:
            code = "mismatched_model"
        if code:
            mistakes.append({"code": code, "line": number, "message": f"Line {number}: {code}.", "param": None})
    if not lines and not mistakes:
        mistakes.append({"code": "empty_file", "line": None, "message": "The batch file is empty.", "param": None})
    return lines, mistakes


async def _say(exchange: Exchange, shape: Mapping[str, Any]) -> web.StreamResponse:
    return await exchange.respond(200, json.dumps(shape, ensure_ascii=False).encode())
