"""A proxy on a loop of its own in a thread: what ``promptop watch`` runs beside its command."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from promptop.proxy.server_process import Options, bind, build, check, finish, loop_factory

if TYPE_CHECKING:
    from promptop.proxy.server import Proxy


class ProxyThread:
    """A proxy on a loop of its own in a thread, for programs that do something else meanwhile."""

    def __init__(self, options: Options, bound: socket.socket | None = None) -> None:
        """Check the options and bind the port, so that its number is known before anything runs."""
        check(options)
        self._options = options
        self._bound = bound or bind(options.host, options.port)
        self.port: int = self._bound.getsockname()[1]
        self.proxy: Proxy | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._hurrying: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="promptop-proxy", daemon=True)

    def start(self) -> ProxyThread:
        """Return when connections are accepted; raise what kept it from starting."""
        self._bound.listen(1024)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self, *, hurry: bool = False) -> None:
        """Let calls finish (or end them, in a hurry), write the log, and join the thread."""
        if self._loop is not None and self._thread.is_alive():
            assert self._stopping is not None and self._hurrying is not None
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._stopping.set)
                if hurry:
                    self._loop.call_soon_threadsafe(self._hurrying.set)
        self._thread.join()

    def __enter__(self) -> ProxyThread:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory(self._options.loop)) as runner:
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in start()
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping, self._hurrying = asyncio.Event(), asyncio.Event()
        self.proxy = build(self._options)
        await self.proxy.start(self._bound)
        self._ready.set()
        await self._stopping.wait()
        await finish(self.proxy, self._hurrying)
