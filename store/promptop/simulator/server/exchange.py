"""One request and the wire that its answer goes out on: pauses, streams, compression, the connection's own faults."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from promptop.simulator.server import framing
from promptop.simulator.server.events import StreamEvent
from promptop.simulator.server.faults import Faults
from promptop.simulator.server.records import Recorded, SentEvent

_COMPRESS_FROM = 1024
"""Smaller JSON bodies are not worth compressing, bytes."""


class Exchange:
    """A request that has been read, and how to answer it."""

    def __init__(
        self, request: web.Request, record: Recorded, faults: Faults, speed: float, *, compress: bool, keep: bool
    ) -> None:
        self.request = request
        self.record = record
        self.faults = faults
        self.headers: dict[str, str] = {}
        """Headers that each response of this exchange carries."""
        self._speed = speed
        self._compress = compress
        self._keep = keep
        self._due_s = time.perf_counter()

    async def pause(self, delay_s: float, real_s: float = 0.0) -> None:
        """Wait ``delay_s`` scaled by the speed and ``real_s`` as it is, on a schedule that does not drift."""
        now = time.perf_counter()
        # Late by more than a tenth of a second: catching up would turn the pauses into a burst.
        self._due_s = max(self._due_s, now - 0.1) + delay_s * self._speed
        if real_s > 0:
            self._due_s = max(self._due_s, now) + real_s
        if self._due_s > now and delay_s * self._speed + real_s > 0:
            await asyncio.sleep(self._due_s - now)

    async def respond(
        self, status: int, body: bytes, content_type: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        """Send a whole body."""
        sent = {**self.headers, **(headers or {}), "content-type": content_type}
        wire = body
        if coding := self._coding(len(body)):
            wire = _Compressor(coding).compress(body, last=True)
            sent["content-encoding"] = coding
        response = web.Response(status=status, body=wire, headers=sent)
        self.record.status = status
        self.record.headers_s = time.perf_counter()
        await response.prepare(self.request)
        if self._keep:
            self.record.sent += body
        self.record.events.append(SentEvent("body", time.perf_counter(), len(wire)))
        return await self._finish(response)

    async def stream(self, events: Iterable[StreamEvent]) -> web.StreamResponse:
        """Send events as they fall due."""
        response = web.StreamResponse(headers={**self.headers, "content-type": "text/event-stream; charset=utf-8"})
        response.headers["cache-control"] = "no-cache"
        coding = self._coding(0)
        pack = _Compressor(coding) if coding else None
        if coding:
            response.headers["content-encoding"] = coding
        self.record.status = 200
        self.record.headers_s = time.perf_counter()
        await response.prepare(self.request)
        for write in framing.frame(events, self.faults):
            await self.pause(write.delay_s, write.pause_s)
            data = pack.compress(write.data, last=False) if pack else write.data
            if write.data:
                now = time.perf_counter()
                self.record.events += [SentEvent(event.kind, now, len(data)) for event in write.events]
                if self._keep:
                    self.record.sent += write.data
                await response.write(data)
            if write.action:
                return await self.close(write.action, response)
        if pack and (rest := pack.compress(b"", last=True)):
            await response.write(rest)
        return await self._finish(response)

    async def close(self, how: str, response: web.StreamResponse | None = None) -> web.StreamResponse:
        """End the connection: ``cut`` and ``dropped`` by FIN, ``reset`` by RST."""
        self.record.how = how
        self.record.finished_s = time.perf_counter()
        transport = self.request.transport
        if transport is not None:
            if how == "reset":
                # Bytes before a reset are lost if they are still in the reader's socket; let them be read first.
                await asyncio.sleep(0.02)
                found = transport.get_extra_info("socket")
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
            else:
                transport.close()
        return response if response is not None else web.Response()

    async def endless_headers(self) -> web.StreamResponse:
        """Send header lines until the client leaves."""
        transport = self.request.transport
        line = b"x-filler: " + b"y" * 1000 + b"\r\n"
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
        while not transport.is_closing():
            if transport.get_write_buffer_size() < 256 * 1024:
                transport.write(line * 16)
            await asyncio.sleep(0.001)
        return await self.close("client gone")

    async def bomb(self, megabytes: float) -> web.StreamResponse:
        """Send zeros that compress a thousandfold."""
        self.headers["content-encoding"] = "gzip"
        response = web.StreamResponse(headers={**self.headers, "content-type": "application/json"})
        await response.prepare(self.request)
        pack = _Compressor("gzip")
        for _ in range(max(1, round(megabytes))):
            await response.write(pack.compress(bytes(1 << 20), last=False))
        await response.write(pack.compress(b"", last=True))
        return await self._finish(response)

    def _coding(self, size: int) -> str:
        """Return the content coding to use; empty for none."""
        for name in ("gzip", "deflate", "br", "zstd"):
            if name in self.faults:
                return name
        accepted = self.request.headers.get("accept-encoding", "")
        return "gzip" if self._compress and size >= _COMPRESS_FROM and "gzip" in accepted else ""

    async def _finish(self, response: web.StreamResponse) -> web.StreamResponse:
        # Noted before the last bytes leave: whoever has read the answer to its end finds the record complete.
        self.record.how = "complete"
        self.record.finished_s = time.perf_counter()
        await response.write_eof()
        if (fault := self.faults.get("close-idle")) and (transport := self.request.transport) is not None:
            asyncio.get_running_loop().call_later(fault.number("s", 0), transport.close)
        return response


class _Compressor:
    """A compressed stream whose every part can be read when it arrives."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._pack: Any
        if coding == "br":
            import brotli

            self._pack = brotli.Compressor(quality=5)
        elif coding == "zstd":
            if sys.version_info >= (3, 14):
                from compression.zstd import ZstdCompressor
            else:
                from backports.zstd import ZstdCompressor

            self._pack = ZstdCompressor()
        else:
            self._pack = zlib.compressobj(6, zlib.DEFLATED, 31 if coding == "gzip" else 15)

    def compress(self, data: bytes, *, last: bool) -> bytes:
        """Compress a part and flush it; ``last`` ends the stream."""
        pack = self._pack
        packed: bytes
        if self._coding == "br":
            packed = pack.process(data) + (pack.finish() if last else pack.flush())
        elif self._coding == "zstd":
            packed = pack.compress(data, pack.FLUSH_FRAME if last else pack.FLUSH_BLOCK)
        else:
            packed = pack.compress(data) + pack.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        return packed
