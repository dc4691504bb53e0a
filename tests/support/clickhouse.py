"""ClickHouse for tests: chdb (its code in a wheel) behind what promptop speaks of its HTTP interface, with faults.

One engine a process; each test takes a database of its own. ``fault`` says what happens to the inserts that follow:
``lose`` carries one out and drops the connection, ``drop`` drops it before that, ``refuse`` answers with a code,
``hang`` answers nothing until the client gives up or the fault ends, ``slow`` waits a second and carries it out.
"""

from __future__ import annotations

import gzip
import random
import re
import threading
import urllib.parse
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NO_SETTINGS = frozenset(("query", "database", "wait_end_of_query"))
_CODE = re.compile(r"Code: (\d+)")


class _EngineError(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = _CODE.search(text)
        self.code = int(found[1]) if found else 1002


class ClickHouse:
    """The engine and its port on loopback."""

    def __init__(self, folder: str) -> None:
        from chdb import session

        self._session = session.Session(folder)
        self._lock = threading.Lock()
        self._database, self._settings = "", dict[str, str]()
        self._random = random.Random(1)
        self._server: ThreadingHTTPServer | None = None
        self._released = threading.Event()
        self.port = 0
        self.fault, self.rate, self.left = "", 1.0, 0
        self.outcomes: list[str] = []
        self.open()

    @property
    def url(self) -> str:
        return f"clickhouse+http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Open the port, the same as before."""
        handler = type("Handler", (_Handler,), {"engine": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def shut(self) -> None:
        """Close the port; the engine keeps what it has."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        self._released.set()
        self.shut()
        with self._lock:
            self._session.close()

    def break_inserts(self, fault: str, *, rate: float = 1.0, times: int = 1 << 30) -> None:
        """Let this happen to a share of the inserts from now on; an empty fault ends it."""
        self.fault, self.rate, self.left = fault, rate, times
        self._released.set()
        self._released = threading.Event()

    def fault_for(self, sql: str) -> str:
        if not sql.startswith("INSERT") or not self.fault or self.left <= 0 or self._random.random() >= self.rate:
            return ""
        self.left -= 1
        return self.fault

    def wait_for_release(self, seconds: float = 30.0) -> None:
        self._released.wait(seconds)

    def query(self, sql: bytes, database: str, settings: Mapping[str, str], values: dict[str, str]) -> bytes:
        with self._lock:
            try:
                self._switch(database, settings)
                more: dict[str, Any] = {"params": values} if values else {}
                # As bytes: chdb's own streaming insert reports success for rows that a constraint refused.
                found: bytes = self._session.query(sql, "TSV", **more).bytes()
                return found
            except Exception as error:  # noqa: BLE001 - chdb raises RuntimeError and errors of its own
                raise _EngineError(str(error)) from None

    def _switch(self, database: str, settings: Mapping[str, str]) -> None:
        """Set what differs from the query before: each statement costs chdb a millisecond."""
        if database != self._database:
            self._database = ""
            self._session.query(f"USE `{database}`")
            self._database = database
        wanted = dict(settings)
        if wanted != self._settings:
            changed = [f"{name} = DEFAULT" for name in self._settings if name not in wanted]
            changed += [f"{name} = '{value}'" for name, value in wanted.items()]
            self._settings = {}
            self._session.query(f"SET {', '.join(changed)}")
            self._settings = wanted


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, *ignored: object) -> None:
        """Say nothing of a client that was killed."""


class _Handler(BaseHTTPRequestHandler):
    engine: ClickHouse
    protocol_version = "HTTP/1.1"

    def log_message(self, *ignored: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        query = urllib.parse.urlsplit(self.path).query
        given = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        sql = f"{given['query']}\n".encode() + body if "query" in given else body
        fault = self.engine.fault_for(given.get("query", ""))
        if fault in ("drop", "hang"):
            if fault == "hang":
                self.engine.wait_for_release()
            self._cut(fault)
            return
        if fault == "refuse":
            self._send(503, b"Code: 202. DB::Exception: Too many simultaneous queries.", 202)
            self.engine.outcomes.append(fault)
            return
        if fault == "slow":
            self.engine.wait_for_release(1.0)
            self.engine.outcomes.append(fault)
        settings = {k: v for k, v in given.items() if k not in _NO_SETTINGS and not k.startswith("param_")}
        values = {k.removeprefix("param_"): v for k, v in given.items() if k.startswith("param_")}
        try:
            found = self.engine.query(sql, given["database"], settings, values)
        except _EngineError as error:
            self._send(500, str(error).encode(), error.code)
            return
        if fault == "lose":
            self._cut(fault)
            return
        self._send(200, found)

    def _cut(self, outcome: str) -> None:
        self.engine.outcomes.append(outcome)
        self.close_connection = True
        with suppress(OSError):
            self.connection.close()

    def _send(self, status: int, body: bytes, code: int = 0) -> None:
        with suppress(OSError):  # whoever asked may have given up
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if code:
                self.send_header("X-ClickHouse-Exception-Code", str(code))
            self.end_headers()
            self.wfile.write(body)
