"""Mutated requests given to the proxy's parser and to aiohttp's: run as a program for many of them.

``python tests/promptop/proxy/http/parser_fuzz.py 1000000 [SEED]`` prints each difference that makes the proxy's parser
the more lenient one, and fails if there is any. Both are told the same limits and get the same bytes.
"""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import dataclass
from typing import Any
from unittest.mock import Mock

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD

from promptop.proxy.http.client_connection import ClientConnection, ClientConnections, Request
from promptop.proxy.http.limits import ProxyLimits

LIMITS = ProxyLimits(header_bytes=256, headers=12)
SEEDS = (
    b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;e=1\r\nabc\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n\r\n",
    b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
    b"GET /c HTTP/1.1\r\nHost: y\r\n\r\n",
    b"DELETE /v1/files/1?x=a%20b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer abc\r\nX-Retry: 0\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
)
PIECES = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"\x0b", b"\x7f", b"\xff", b"0", b"\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"Content-Length: +5\r\n", b"Content-Length: 5, 5\r\n"),
    *(b"Content-Length: -1\r\n", b"Content-Length: 0x5\r\n", b"Content-Length:\r\n", b"Content-Length: 5 \r\n"),
    *(b"Content-Length : 5\r\n", b"content-length: 00005\r\n", b"Content-Length: 99999999999999999999\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: gzip, chunked\r\n"),
    *(b"Transfer-Encoding: chunked, gzip\r\n", b"Transfer-Encoding:\tchunked\r\n", b"Transfer-Encoding : chunked\r\n"),
    *(b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding: Chunked\r\n", b"transfer-encoding: chunked,\r\n"),
    *(b"Host: y\r\n", b" folded\r\n", b"X\r\n", b": y\r\n", b"X: \xc3\xa4\r\n", b"X Y: z\r\n", b"X: a\x01b\r\n"),
    *(b"X: " + b"y" * 300 + b"\r\n", b"GET " + b"/a" * 200 + b" HTTP/1.1\r\n", b"GET http://h/ HTTP/1.1\r\n"),
    *(
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"5;x\nhello\r\n",
        b"05\r\nhello\r\n",
        b"5 \r\nhello\r\n",
    ),
    *(b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/11.1", b"http/1.1"),
    *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: content-length\r\n"),
    *(b"GET", b"POST", b"get", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"G@T", b"OPTIONS * HTTP/1.1\r\n", b"X-A: b\r\n"),
)


@dataclass(frozen=True, slots=True)
class Read:
    """What a parser made of some bytes."""

    requests: tuple[tuple[Any, ...], ...]
    """Method, target, fields, body and whether the body is complete, of each request."""
    refused: bool


class _Recording(ClientConnection):
    """A connection that answers nothing."""

    def _start(self, request: Request) -> None:
        self._current = request


def ours(reads: list[bytes], front: ClientConnections) -> Read:
    """Return what the proxy's parser makes of reads."""
    connection = _Recording(front)
    connection.pause = lambda: None  # type: ignore[method-assign]
    for data in reads:
        connection.data_received(data)
    current = connection._current
    requests = [] if current is None else [current, *connection._waiting]
    return Read(
        tuple(
            (r.method, r.target, tuple(r.fields.raw), b"".join(r._chunks), r.complete and r._error is None)
            for r in requests
        ),
        connection._refusal is not None,
    )


def theirs(reads: list[bytes], loop: asyncio.AbstractEventLoop) -> Read:
    """Return what aiohttp's parser makes of reads, byte by byte: of one that breaks off it forgets what came before."""
    protocol = BaseProtocol(loop)
    protocol.transport = Mock()
    parser = HttpRequestParser(
        protocol,
        loop,
        2**16,
        max_line_size=LIMITS.header_bytes,
        max_field_size=LIMITS.header_bytes,
        max_headers=LIMITS.headers,
        auto_decompress=False,
    )
    seen: list[Any] = []
    refused = False
    whole = b"".join(reads)
    for place in range(len(whole)):
        try:
            messages, _, _ = parser.feed_data(whole[place : place + 1])
        except Exception:  # noqa: BLE001 - whatever it raises, it refuses
            refused = True
            break
        seen += messages
    out = []
    for message, payload in seen:
        if payload is EMPTY_PAYLOAD:
            body, complete = b"", True
        else:
            body, complete = b"".join(payload._buffer), payload.is_eof() and payload.exception() is None
            refused = refused or payload.exception() is not None
        target = message.path
        out.append((message.method, target, tuple(message.raw_headers), body, complete))
    return Read(tuple(out), refused)


def mutated(random_: random.Random) -> list[bytes]:
    """Return a mutated request, or several, cut into reads."""
    data = random_.choice(SEEDS)
    if random_.random() < 0.2:
        data += random_.choice(SEEDS)
    for _ in range(random_.randint(1, 4)):
        at = random_.randint(0, len(data))
        kind = random_.random()
        if kind < 0.35:
            data = data[:at] + random_.choice(PIECES) + data[at:]
        elif kind < 0.6:  # behind a line, where a field may stand
            ends = [i + 2 for i in range(len(data) - 1) if data[i : i + 2] == b"\r\n"]
            at = random_.choice(ends) if ends else at
            data = data[:at] + random_.choice(PIECES) + data[at:]
        elif kind < 0.75:
            data = data[:at] + data[at + random_.randint(1, 3) :]
        elif kind < 0.9:
            data = data[:at] + bytes((random_.randrange(256),)) + data[at + 1 :]
        else:
            end = at + random_.randint(1, 20)
            data = data[:at] + data[at:end] * 2 + data[end:]
    cuts = sorted(random_.randint(0, len(data)) for _ in range(random_.choice((0, 0, 1, 3))))
    return [data[a:b] for a, b in zip((0, *cuts), (*cuts, len(data)), strict=True) if a < b]


def more_lenient(mine: Read, other: Read) -> str:
    """Say in what the proxy's parser let more pass than the other one, or nothing."""
    for number, request in enumerate(mine.requests):
        if number >= len(other.requests):
            # A request that is not whole yet has not been let through by the proxy either if it is then refused.
            return "" if mine.refused and not request[4] else f"request {number} that the other refuses"
        there = other.requests[number]
        # aiohttp takes the trailer of a body for fields of the request behind it: those may be more.
        trailer = len(there[2]) - len(request[2]) if number else 0
        if request[:2] != there[:2] or trailer < 0 or request[2] != there[2][trailer:]:
            return f"another request {number}"
        if request[4] and not there[4]:
            return f"a body of request {number} that is whole here only"
        if request[4] and request[3] != there[3]:
            return f"another body of request {number}"
        if not request[4] and not mine.refused and not there[4] and not there[3].startswith(request[3]):
            return f"another beginning of the body of request {number}"
    if other.refused and not mine.refused and mine.requests and not mine.requests[-1][4]:
        return "a body that the other refuses"
    return ""  # of a head that is not whole nothing has been let through


async def compare(count: int, seed: int) -> list[tuple[str, list[bytes]]]:
    """Return the differences among ``count`` mutated requests that make the proxy's parser the more lenient one."""
    random_ = random.Random(seed)
    front = ClientConnections(LIMITS, Mock(), lambda *_: b"{}")
    loop = asyncio.get_running_loop()
    found = []
    for _ in range(count):
        reads = mutated(random_)
        difference = more_lenient(ours(reads, front), theirs(reads, loop))
        if difference:
            found.append((difference, reads))
    return found


def main() -> int:
    """Compare and print."""
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    found = asyncio.run(compare(count, seed))
    for difference, reads in found[:20]:
        sys.stdout.write(f"{difference} {reads}\n")
    sys.stdout.write(f"{count} mutated requests, {len(found)} let through by the proxy alone\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
