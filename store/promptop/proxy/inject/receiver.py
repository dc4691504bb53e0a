"""Takes from a named pipe what the Node children of ``promptop watch`` tell of their calls, and logs it.

A line is ``CALL LAST BASE64``: a piece of a message of JSON, of which LAST ends it. Lines are below the size that the
kernel writes whole, so that those of several programs do not mix. Bodies pass through memory only.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from promptop.capture.call import Call, Labels
from promptop.capture.faults import count_fault
from promptop.providers import all_apis

SCRIPT = Path(__file__).parent / "watch.cjs"
_MOST_BYTES = 64 << 20
"""Bytes of a message's pieces that are kept: of a longer one there is no row."""
_ENDS = ("eof", "closed", "cancelled", "error", "abandoned")
_STOP = b"stop\n"


class Receiver:
    """The reading end, on a thread of its own; a context manager that logs what was told until its end."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._calls: dict[str, Call] = {}
        self._told: dict[str, dict[str, Any]] = {}
        """Beginnings of calls whose bodies are to come."""
        self._pieces: dict[str, list[bytes]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="promptop-watch-")
        self.path = Path(self._folder.name) / "calls"
        os.mkfifo(self.path, 0o600)
        self._pipe = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)  # open for both: it never comes to its end
        self._thread = threading.Thread(target=self._run, name="promptop-node", daemon=True)
        self._thread.start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            os.write(self._pipe, _STOP)
        self._thread.join(5.0)
        for call in list(self._calls.values()):
            call.end("abandoned")
        os.close(self._pipe)
        self._folder.cleanup()
        flush = getattr(self._labels.sink, "flush", None)
        if flush is not None:
            flush()

    def _run(self) -> None:
        rest = b""
        while True:
            *lines, rest = (rest + os.read(self._pipe, 1 << 16)).split(b"\n")
            for line in lines:
                if line + b"\n" == _STOP:
                    return
                try:
                    self._line(line)
                except Exception as error:  # noqa: BLE001 - the boundary: what one program tells stops no other
                    count_fault("node", error)

    def _line(self, line: bytes) -> None:
        name, last, data = line.split(b" ")
        key = name.decode("ascii")
        pieces = self._pieces.setdefault(key, [])
        if sum(map(len, pieces)) < _MOST_BYTES:
            pieces.append(base64.b64decode(data))
        if last == b"1":
            message = json.loads(b"".join(self._pieces.pop(key)))
            self._take(key, message)

    def _take(self, key: str, message: dict[str, Any]) -> None:
        kind = message["is"]
        if kind == "begin":
            self._told[key] = message
            return
        body = base64.b64decode(message["body"]) if kind == "body" and message["body"] is not None else None
        told = self._told.pop(key, None)
        if told is not None:
            self._calls[key] = self._begin(told, body, message.get("size"))
        call = self._calls[key]
        now_s = call.started_s + float(message["t"])
        if kind == "head":
            pairs = [(str(name).lower(), str(value)) for name, value in message["headers"]]
            fields = dict(pairs)
            # fetch gives what came after decompression, under the headers of what came before.
            encoding = "" if message["decoded"] else fields.get("content-encoding", "")
            call.responded(int(message["status"]), pairs, now_s, content=(fields.get("content-type", ""), encoding))
        elif kind == "read":
            call.feed(base64.b64decode(message["data"]), now_s)
        elif kind == "end":
            del self._calls[key]
            error = message["error"]
            how: Any = message["how"] if message["how"] in _ENDS else "error"
            call.end(how, NodeError.of(*error) if error else None, now_s)

    def _begin(self, told: dict[str, Any], body: bytes | None, size: int | None) -> Call:
        parts = urlsplit(told["url"])
        call = Call(
            self._labels,
            method=str(told["method"]),
            host=parts.hostname or "",
            port=parts.port or (443 if parts.scheme == "https" else 80),
            path=parts.path,
            query=parts.query,
            userinfo=parts.netloc.rpartition("@")[0],
            headers=[(str(name).lower(), str(value)) for name, value in told["headers"]],
            body=body,
            bytes_sent=size,
        )
        call.started_ms = int(told["at_ms"])
        return call


class NodeError(Exception):
    """An error of a Node program; its row has the name that it has there."""

    @classmethod
    def of(cls, code: str, message: str) -> BaseException:
        """Return what Python calls an error of that code."""
        text = f"{code}: {message}" if message else code
        if code in ("ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"):
            return ConnectionRefusedError(text)
        if "TIMEOUT" in code or code == "ETIMEDOUT":
            return TimeoutError(text)
        if code.startswith(("ECONN", "EPIPE", "UND_ERR_SOCKET")):
            return OSError(text)
        kind: type[NodeError] = type(code if code.isidentifier() else cls.__name__, (cls,), {})
        return kind(message or code)


def variables(environ: dict[str, str], pipe: Path) -> dict[str, str]:
    """Return the variables that let Node programs tell of their calls; options that ``environ`` has stay."""
    script = str(SCRIPT).replace("\\", "\\\\").replace('"', '\\"')
    option = f'--require "{script}"'
    return {
        "NODE_OPTIONS": " ".join(filter(None, (option, environ.get("NODE_OPTIONS")))),
        "PROMPTOP_WATCH_PIPE": str(pipe),
        "PROMPTOP_WATCH_PATHS": ",".join(known.ending for api in all_apis() for known in api.paths),
    }
