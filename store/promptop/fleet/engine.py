"""A client of ClickHouse's HTTP interface: one kept connection, values as parameters, errors told apart by what helps.

The password travels in a header and never in a URL, for URLs end up in logs. Off loopback only TLS is spoken.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError, UsageError

PASSWORD_VARIABLE = "PROMPTOP_FLEET_PASSWORD"
SCHEMES = ("clickhouse", "clickhouse+http")
_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PASSING = frozenset((3, 159, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 285, 319, 439, 999, 1001, 1002))
"""Codes of ClickHouse that another try may not meet: time-outs, too many queries or parts, memory, network, keeper."""
_LONGEST_TEXT = 300


TOO_MANY_PARTS = 252
"""Code of ClickHouse: inserts come faster than it merges them."""


class EngineDownError(PromptopError):
    """No answer, or one that asks to come again. Whether the statement was carried out is not known."""

    def __init__(self, cause: str, remedy: str = "", code: int = 0) -> None:
        super().__init__(cause, remedy)
        self.code = code


class EngineRefusedError(PromptopError):
    """An answer that stays the same: rights, a wrong password, a table that is missing, a bad value."""

    def __init__(self, code: int, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.code = code


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine is, and as whom it is asked."""

    host: str
    port: int
    secure: bool
    database: str = "promptop"
    user: str = "default"
    password: str = field(default="", repr=False)
    ca_file: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"clickhouse{'' if self.secure else '+http'}://{host}:{self.port}/{self.database}"


def is_address(text: str) -> bool:
    """Tell whether ``--log`` names a fleet's log and not a file."""
    return text.partition("://")[0] in SCHEMES


def parse_address(text: str, *, user: str = "", password: str = "", ca_file: str = "") -> Address:
    """Read ``clickhouse://[USER@]HOST[:PORT]/DATABASE``; ``clickhouse+http://`` is for loopback alone.

    Raises :class:`UsageError`; a password in the address is refused and not repeated.
    """
    parts = urllib.parse.urlsplit(text)
    if parts.password is not None:
        raise UsageError("A password does not belong in the address.", f"Set ${PASSWORD_VARIABLE} or password_file.")
    try:
        port = parts.port
    except ValueError:
        port = 0
    database = parts.path.strip("/") or "promptop"
    if parts.scheme not in SCHEMES or not parts.hostname or port == 0 or not _NAME.fullmatch(database) or parts.query:
        raise UsageError(f"{text!r} is not an address of ClickHouse.", "Write clickhouse://HOST:8443/promptop.")
    secure = parts.scheme == "clickhouse"
    if not secure and parts.hostname not in _LOOPBACK:
        raise UsageError(
            f"{parts.hostname} is another machine, and clickhouse+http:// does not encrypt.",
            "Write clickhouse://, which speaks TLS.",
        )
    name = parts.username or user or "default"
    return Address(parts.hostname, port or (8443 if secure else 8123), secure, database, name, password, ca_file)


def password_of(file: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the password from a file that only its owner may read, else from the variable; empty if there is none."""
    environ = os.environ if environ is None else environ
    if not file:
        return environ.get(PASSWORD_VARIABLE, "")
    path = Path(file).expanduser()
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise UsageError(f"Others may read the password file {path}.", f"Close it to them: chmod 600 {path}")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is not UTF-8"
        raise PromptopError(f"The password file {path} cannot be read ({said}).", "Check its path.") from None


class Engine:
    """One connection to an engine, kept alive; for one thread at a time."""

    def __init__(self, address: Address, *, timeout_s: float = 30.0) -> None:
        self.address, self.timeout_s = address, timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def at(self, database: str) -> Engine:
        """Return another client of the same engine that begins in another database."""
        return Engine(replace(self.address, database=database), timeout_s=self.timeout_s)

    def run(
        self,
        sql: str,
        *,
        data: bytes | None = None,
        values: Mapping[str, object] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> bytes:
        """Run a statement and return its whole answer; raises :class:`EngineDownError`, :class:`EngineRefusedError`."""
        query = {"database": self.address.database, "wait_end_of_query": "1"}
        query |= {name: str(value) for name, value in (settings or {}).items()}
        query |= {f"param_{name}": _parameter(value) for name, value in (values or {}).items()}
        headers = {"X-ClickHouse-User": self.address.user, "X-ClickHouse-Key": self.address.password}
        body = sql.encode()
        if data is not None:
            query["query"], body = sql, gzip.compress(data, 1)
            headers["Content-Encoding"] = "gzip"
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.request("POST", "/?" + urllib.parse.urlencode(query), body=body, headers=headers)
            answer = self._connection.getresponse()
            found = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            why = getattr(error, "strerror", None) or type(error).__name__
            raise EngineDownError(f"ClickHouse at {self.address} does not answer ({why}).", "Is it running?") from None
        if answer.status == 200:
            return found
        code = int(answer.headers.get("X-ClickHouse-Exception-Code") or 0)
        text = " ".join(found.decode("utf-8", "replace").split())[:_LONGEST_TEXT] or f"HTTP {answer.status}"
        if code in _PASSING or (not code and answer.status >= 500):
            raise EngineDownError(f"ClickHouse at {self.address} is not ready: {text}", "It is asked again.", code)
        raise EngineRefusedError(code, f"ClickHouse at {self.address} refuses: {text}", _remedy(code))

    def rows(self, sql: str, values: Mapping[str, object] | None = None) -> list[list[Any]]:
        """Run a SELECT and return its rows."""
        found = self.run(
            f"{sql}\nFORMAT JSONCompactEachRow", values=values, settings={"output_format_json_quote_64bit_integers": 0}
        )
        return [json.loads(line) for line in found.splitlines() if line]

    def _connect(self) -> http.client.HTTPConnection:
        where = (self.address.host, self.address.port)
        if not self.address.secure:
            return http.client.HTTPConnection(*where, timeout=self.timeout_s)
        context = ssl.create_default_context(cafile=self.address.ca_file or None)
        return http.client.HTTPSConnection(*where, timeout=self.timeout_s, context=context)


def _remedy(code: int) -> str:
    if code in (60, 81):
        return "Create the tables: promptop fleet init --apply, or --print-sql for an administrator."
    if code in (192, 193, 194, 516):
        return f"Check [fleet] user, and ${PASSWORD_VARIABLE} or password_file."
    return "Ask the engine's administrator for the rights." if code in (497, 469) else ""


def _parameter(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
