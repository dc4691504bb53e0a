"""The simulated endpoint: an OpenAI-compatible server on loopback, with Anthropic's native API beside it.

Everything on the wire is real; only the answers are invented (:mod:`promptop.simulator.answers.text`). Faults are
asked for by header or by model (:mod:`promptop.simulator.server.faults`).
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aiohttp import web

from promptop.base.errors import PromptopError
from promptop.simulator.server.handler import Handler
from promptop.simulator.server.records import Recorded

if TYPE_CHECKING:
    from promptop.simulator.server.http2 import Http2Front

MOST_BODY = 256 * 1024 * 1024
"""Largest request body that is read, bytes."""


class SimulatedEndpoint:
    """A server to send requests to, without an account and without a network.

    Use it with ``async with``, or with ``with SimulatedEndpoint.in_thread() as endpoint`` from code that is not async.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        speed: float = 1.0,
        record: bool = True,
        api_key: str | None = None,
        requests_per_minute: int | None = None,
        compress: bool = True,
        http2: bool = False,
    ) -> None:
        """Prepare a server; nothing listens yet.

        ``speed`` multiplies each pause: 1 is believable, 0.1 is ten times faster, 0 has no pauses (options of faults
        are real seconds at any speed). ``record`` keeps each request and the time of each event sent. ``api_key`` is
        the only key that is let in (any, or none, if not given). ``requests_per_minute`` is a limit per model that
        is answered with 429. ``compress`` lets JSON answers above 1,024 bytes be gzipped for clients that accept it.
        ``http2`` listens with TLS and offers HTTP/2 (extra ``http2``); clients trust :attr:`ca_file`.
        """
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._http2 = http2
        self._front: tuple[Http2Front, int] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.ca_file: Path | None = None
        """PEM of the authority that signed its certificate, while it runs with HTTP/2."""
        self.requests: list[Recorded] = []
        """Every request since the start, the oldest first; appended when the request has been read."""
        self._handler = Handler(
            seed=seed,
            speed=speed,
            record=self.requests if record else None,
            api_key=api_key,
            requests_per_minute=requests_per_minute,
            compress=compress,
        )

    @property
    def port(self) -> int:
        """The port that it listens on; while it does not run, the one that was asked for."""
        return self._front[1] if self._front is not None else self._plain_port

    @property
    def _plain_port(self) -> int:
        if self._runner is not None and self._runner.addresses:
            return int(self._runner.addresses[0][1])
        return self._port

    @property
    def plain_url(self) -> str:
        """Its address up to and with ``/v1`` without TLS: with HTTP/2 that of the server behind."""
        return f"http://{self._host}:{self._plain_port}/v1"

    @property
    def root_url(self) -> str:
        """Its address without ``/v1``, as Anthropic's SDK wants it."""
        return f"{'https' if self._http2 else 'http'}://{self._host}:{self.port}"

    @property
    def base_url(self) -> str:
        """Its address up to and with ``/v1``, as OpenAI's SDK wants it."""
        return f"{self.root_url}/v1"

    async def start(self) -> None:
        """Listen. Raises :class:`PromptopError` if the port is taken."""
        app = web.Application(client_max_size=MOST_BODY)
        self._handler.add_routes(app)
        # A handler whose client has left is cancelled: a stalled stream must not outlive its reader.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        self._runner = runner
        try:
            await web.TCPSite(runner, self._host, 0 if self._http2 else self._port).start()
            if self._http2:
                await self._start_front()
        except (OSError, PromptopError) as error:
            await self.stop()
            if isinstance(error, PromptopError):
                raise
            raise PromptopError(
                f"The simulated endpoint cannot listen on {self._host}:{self._port} ({error.strerror or error}).",
                "Choose another port with --port, or 0 for a free one.",
            ) from None

    async def _start_front(self) -> None:
        from promptop.simulator.server.http2 import Http2Front, make_certificate

        self._folder = tempfile.TemporaryDirectory(prefix="promptop-http2-")
        self.ca_file, server_file = make_certificate(Path(self._folder.name), self._host)
        front = Http2Front(server_file, (self._host, self._plain_port))
        self._front = front, await front.start(self._host, self._port)

    async def stop(self) -> None:
        """Stop listening and end what is running."""
        front, self._front = self._front, None
        if front is not None:
            await front[0].stop()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder, self.ca_file = None, None
        runner, self._runner = self._runner, None
        if runner is not None:
            self._port = 0 if self._port == 0 else self._port
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @classmethod
    @contextmanager
    def in_thread(
        cls,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        speed: float = 1.0,
        record: bool = True,
        api_key: str | None = None,
        requests_per_minute: int | None = None,
        compress: bool = True,
        http2: bool = False,
    ) -> Iterator[Self]:
        """Run a server on an event loop in a thread of its own while the block runs."""
        endpoint = cls(
            host=host,
            port=port,
            seed=seed,
            speed=speed,
            record=record,
            api_key=api_key,
            requests_per_minute=requests_per_minute,
            compress=compress,
            http2=http2,
        )
        ready = threading.Event()
        stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        failed: list[BaseException] = []

        async def serve() -> None:
            over = asyncio.Event()
            stop.append((asyncio.get_running_loop(), over))
            async with endpoint:
                ready.set()
                await over.wait()

        def main() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:  # noqa: BLE001  re-raised below, in the thread that waits
                failed.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=main, name="simulated-endpoint", daemon=True)
        thread.start()
        ready.wait()
        try:
            if failed:
                raise failed[0]
            yield endpoint
        finally:
            if not failed and stop:
                loop, over = stop[0]
                loop.call_soon_threadsafe(over.set)
            thread.join()
