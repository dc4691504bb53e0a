"""A chat endpoint that plays traps on a proof: it answers by what a system prompt states, then misbehaves.

The system prompt's words decide: ``number`` lets it add, ``form`` lets it write JSON. A trap gets the request, how many
came before, and the honest answer, and returns what is said instead.
"""

from __future__ import annotations

import json
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class Said:
    """One answer."""

    text: str
    finish: str = "stop"
    status: int = 200
    id: str = ""
    headers: dict[str, str] = field(default_factory=dict)


Trap = Callable[[dict[str, Any], int, Said], Said]


def honest(body: dict[str, Any], number: int, said: Said) -> Said:
    """Play no trap."""
    return said


@dataclass
class Traps:
    """A running endpoint."""

    trap: Trap
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    embedded: int = 0
    """Texts that were turned into vectors."""
    lock: threading.Lock = field(default_factory=threading.Lock)


def system_of(body: dict[str, Any]) -> str:
    """Return the system text of a request."""
    return "\n".join(str(each["content"]) for each in body["messages"] if each["role"] == "system")


def asked_of(body: dict[str, Any]) -> str:
    """Return the user text of a request."""
    return "\n".join(str(each["content"]) for each in body["messages"] if each["role"] == "user")


def answer(body: dict[str, Any]) -> str:
    """Answer as the rules in the system prompt say: a sum, in words or as JSON."""
    numbers = [int(each) for each in re.findall(r"\d+", asked_of(body))]
    system = system_of(body)
    total = sum(numbers) if "number" in system else len(numbers)
    return json.dumps({"sum": total}) if "form" in system else f"The sum is {total}."


def vector(text: str, size: int = 32) -> list[float]:
    """Return a hashed bag of words."""
    found = [0.0] * size
    for word in re.findall(r"\w+", text.lower()):
        found[zlib.crc32(word.encode()) % size] += 1.0
    return found


@contextmanager
def playing(trap: Trap = honest) -> Iterator[Traps]:
    """Serve on loopback while the block runs."""
    traps = Traps(trap)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
            if self.path.endswith("/embeddings"):
                self._embed(traps, body)
                return
            with traps.lock:
                number = len(traps.bodies)
                traps.bodies.append(body)
            said = traps.trap(body, number, Said(answer(body), id=f"r{number}"))
            if said.status != 200:
                self._send(said.status, {"error": {"message": "refused by the trap", "type": "trap"}}, said.headers)
                return
            usage = {"prompt_tokens": 50, "completion_tokens": len(said.text) // 4 + 1}
            head = {"id": said.id, "model": body["model"], "created": 1}
            chunks = [
                {
                    "choices": [
                        {"index": 0, "delta": {"role": "assistant", "content": said.text}, "finish_reason": None}
                    ]
                },
                {"choices": [{"index": 0, "delta": {}, "finish_reason": said.finish}]},
                {"choices": [], "usage": usage},
            ]
            data = b"".join(b"data: " + json.dumps(head | each).encode() + b"\n\n" for each in chunks)
            data += b"data: [DONE]\n\n"
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _embed(self, traps: Traps, body: dict[str, Any]) -> None:
            texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
            with traps.lock:
                traps.embedded += len(texts)
            data = [{"object": "embedding", "index": at, "embedding": vector(each)} for at, each in enumerate(texts)]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            self._send(200, {"object": "list", "model": body["model"], "data": data, "usage": usage})

        def _send(self, status: int, shape: dict[str, Any], headers: dict[str, str] | None = None) -> None:
            data = json.dumps(shape).encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    traps.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield traps
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
