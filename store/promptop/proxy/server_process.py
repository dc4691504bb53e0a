"""The proxy as a process: one loop or several workers on one port, and an end that lets streams finish.

A first SIGTERM or SIGINT stops taking connections and waits for the calls in flight; a second one ends them. Workers
are forked before any loop or thread exists; each binds the port itself (``SO_REUSEPORT``), writes the log itself, and
tells its figures to the others over a private socket, so that ``/metrics`` of any of them is the sum of all.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ipaddress
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from promptop.base.descriptors import raise_limit
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.capture.call import load_row_builder
from promptop.proxy import metrics as exposition
from promptop.proxy.http.limits import ProxyLimits
from promptop.proxy.upstreams import Routes, Upstream

if TYPE_CHECKING:
    from promptop.limits.limiter import RateLimits as Rates
    from promptop.limits.limiter import Shared
    from promptop.log.write.pending import Bodies
    from promptop.proxy.relay import Shorten
    from promptop.proxy.server import Proxy
    from promptop.routing.policy import Policy
    from promptop.settings import CacheSettings, FleetSettings

SHORTEST_TOKEN = 16
SWITCH_S = 0.0005
"""How long the log's thread may keep the interpreter from the loop; Python's 5 ms would show in every p99."""
_PEER_S = 1.0
_YOUNG_S = 2.0
_MOST_YOUNG = 3
"""Workers in a row that die younger than two seconds: they cannot start, and the proxy gives up."""


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that a proxy process is told."""

    upstreams: Sequence[Upstream]
    host: str = "127.0.0.1"
    port: int = 8787
    allow: Sequence[str] = ()
    host_names: Sequence[str] = ()
    """Names besides loopback's that requests may give as their host, and whose pages may send them."""
    token: str | None = field(default=None, repr=False)
    log_path: Path | None = None
    bodies: Bodies | None = None
    app: str | None = None
    metric_tags: Sequence[str] = ()
    """Keys of callers' tags that become labels of ``/metrics``."""
    simulated: bool = False
    include_usage: bool = True
    cache: CacheSettings | None = None
    """The response cache, if calls are to be answered from one."""
    routing: Policy | None = None
    shorten: Shorten | None = None
    """Takes the messages of a conversation and returns those that are sent."""
    """Which model a request goes to; None: the one that it names."""
    limits: ProxyLimits = field(default_factory=ProxyLimits)
    fleet: FleetSettings | None = None
    """Where the log is shipped to, if the proxy does that, too."""
    rates: Rates | None = None
    """Calls, requests and tokens a minute for each upstream and model; None holds nothing back."""
    rates_redis: str = field(default="", repr=False)
    """Address of the Redis server through which several processes keep ``rates`` together."""
    rates_prefix: str = "promptop:"
    workers: int = 1
    loop: str = "auto"
    """``uvloop``, ``asyncio``, or ``auto``: uvloop where it is installed."""


def check(options: Options) -> None:
    """Raise :class:`UsageError` for options that would open the proxy to others, or are not valid."""
    if options.token is not None and len(options.token) < SHORTEST_TOKEN:
        raise UsageError(
            f"The access token is shorter than {SHORTEST_TOKEN} characters.",
            'Make one with: python -c "import secrets; print(secrets.token_urlsafe())"',
        )
    if options.token is None and not _only_this_machine(options.host):
        raise UsageError(
            f"{options.host} can be reached from other machines, and no access token is set.",
            "Set PROMPTOP_PROXY_TOKEN or --token-file, or listen on 127.0.0.1.",
        )
    Routes(options.upstreams, options.allow)
    loop_factory(options.loop)


def _only_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop, None for asyncio's own; raise :class:`UsageError` if uvloop is missing."""
    if name == "asyncio":
        return None
    try:
        made: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        if name == "uvloop":
            raise UsageError("uvloop is not installed.", "pip install uvloop, or --loop auto.") from None
        return None
    return made


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a bound socket that does not listen yet; raise :class:`PromptopError` if the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PromptopError(f"Cannot listen on {host}: {error.strerror}.", "Give --listen HOST:PORT.") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise PromptopError(
            f"Cannot listen on {host} port {port}: {error.strerror}.", "Choose another with --listen HOST:PORT."
        ) from None
    return bound


def build(options: Options) -> Proxy:
    """Return a proxy for these options with this process's writer of the log."""
    from promptop.log import writer_for
    from promptop.proxy.http.hosts import Hosts
    from promptop.proxy.server import Proxy

    writer = writer_for(options.log_path, bodies=options.bodies)
    if options.fleet is not None and options.fleet.in_process and not options.simulated:
        from promptop.fleet import background

        background.start(writer.path, options.fleet)
    cache: dict[str, Any] = {}
    if options.cache is not None:
        from promptop.cache import open_cache, policy_of

        opened = open_cache(options.cache, writer.path, notice=_tell)
        cache = {"cache": opened, "cache_policy": policy_of(options.cache), "cache_pace": options.cache.pace}
        cache["notice"] = _tell
    shared: Callable[[str], Shared] | None = None
    if options.rates is not None and options.rates_redis:
        from promptop.limits.redis_limiter import SharedLimits

        rates, redis, prefix = options.rates, options.rates_redis, options.rates_prefix
        shared = lambda name: SharedLimits(redis, name, rates, prefix=prefix, notice=_tell)  # noqa: E731 - the limits of one name
    return Proxy(
        Routes(options.upstreams, options.allow),
        writer,
        rates=options.rates,
        shared_rates=shared,
        limits=options.limits,
        token=options.token,
        hosts=Hosts((*options.host_names, options.host), checked=options.token is None),
        app=options.app,
        metric_tags=options.metric_tags,
        simulated=options.simulated,
        include_usage=options.include_usage,
        routing=options.routing,
        shorten=options.shorten,
        **cache,
    )


def _tell(text: str) -> None:
    """Say on stderr what whoever runs the proxy should know."""
    sys.stderr.write(f"promptop proxy: {clean_line(text)}\n")


def serve(options: Options, ready: Callable[[int], None] = lambda port: None) -> int:
    """Run until a signal and return the exit code; ``ready`` is told the port once connections are accepted."""
    check(options)
    sys.setswitchinterval(SWITCH_S)
    raise_limit()
    load_row_builder()  # before workers are forked, who then share it
    if options.workers > 1:
        return _Workers(options, ready).run()
    bound = bind(options.host, options.port)
    with asyncio.Runner(loop_factory=loop_factory(options.loop)) as runner:
        runner.run(_until_signal(build(options), bound, ready))
    return 0


async def _until_signal(
    proxy: Proxy,
    bound: socket.socket,
    ready: Callable[[int], None],
    signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
    orphaned: int | None = None,
) -> None:
    loop = asyncio.get_running_loop()
    stopping, hurrying = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        hurrying.set() if stopping.is_set() else stopping.set()

    for number in signals:
        loop.add_signal_handler(number, stop)
    if orphaned is not None:

        def alone() -> None:
            loop.remove_reader(orphaned)
            stop()

        loop.add_reader(orphaned, alone)
    await proxy.start(bound)
    ready(proxy.port)
    await stopping.wait()
    await finish(proxy, hurrying)


async def finish(proxy: Proxy, hurrying: asyncio.Event) -> None:
    """Stop a proxy in its own time, or at once when ``hurrying`` is set; then write what the log has queued."""
    ending = asyncio.create_task(proxy.stop())
    hurry = asyncio.create_task(hurrying.wait())
    await asyncio.wait((ending, hurry), return_when=asyncio.FIRST_COMPLETED)
    if not ending.done():
        proxy.end_calls()
    hurry.cancel()
    await ending
    await asyncio.get_running_loop().run_in_executor(None, proxy.flush)


class _Workers:
    """The parent of several workers: starts them, restarts one that dies, passes signals on."""

    def __init__(self, options: Options, ready: Callable[[int], None]) -> None:
        self._options = options
        self._ready = ready
        # Bound but not listening: it keeps the port while no worker has it yet, and takes no connection itself.
        self._bound = bind(options.host, options.port, shared=True)
        self._port: int = self._bound.getsockname()[1]
        self._folder = Path(tempfile.mkdtemp(prefix="promptop-"))
        self._alive, self._alive_write = os.pipe()
        self._started: dict[int, tuple[int, float]] = {}
        self._signals = self._died_young = 0

    def run(self) -> int:
        """Run until a signal has ended every worker."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        ready_read, ready_write = os.pipe()
        code = 0
        try:
            for index in range(self._options.workers):
                self._fork(index, ready_write)
            os.close(ready_write)
            self._await_workers(ready_read)
            while self._started:
                code = max(code, self._reap())
        finally:
            os.close(ready_read)
            os.close(self._alive_write)
            shutil.rmtree(self._folder, ignore_errors=True)
        return code

    def _await_workers(self, ready_read: int) -> None:
        seen = 0
        while seen < self._options.workers and not self._signals:
            told = os.read(ready_read, 64)
            if not told:
                break
            seen += len(told)
        if seen >= self._options.workers:
            self._ready(self._port)

    def _on_signal(self, *_: object) -> None:
        self._signals += 1
        for pid in list(self._started):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _fork(self, index: int, ready_write: int | None = None) -> None:
        pid = os.fork()
        if pid:
            self._started[pid] = index, monotonic()
            return
        code = 1
        try:
            code = self._worker(index, ready_write)
        except BaseException as error:  # noqa: BLE001 - a forked child must not return into the parent's stack
            sys.stderr.write(f"promptop proxy: worker {index} failed: {type(error).__name__}\n")
        finally:
            os._exit(code)

    def _worker(self, index: int, ready_write: int | None) -> int:
        os.close(self._alive_write)
        self._bound.close()
        # A terminal's Ctrl-C reaches the whole group; the parent passes it on once, as SIGTERM.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        options = self._options
        bound = bind(options.host, self._port, shared=True)

        def ready(_: int) -> None:
            if ready_write is not None:
                os.write(ready_write, b".")
                os.close(ready_write)

        async def main() -> None:
            proxy = build(options)
            peers = Peers(proxy, self._folder, index)
            proxy.exposition = peers.exposition  # type: ignore[method-assign]
            async with peers:
                await _until_signal(proxy, bound, ready, (signal.SIGTERM,), self._alive)

        with asyncio.Runner(loop_factory=loop_factory(options.loop)) as runner:
            runner.run(main())
        return 0

    def _reap(self) -> int:
        try:
            pid, status = os.wait()
        except InterruptedError:
            return 0
        index, started = self._started.pop(pid, (-1, 0.0))
        if self._signals or index < 0:
            return 0
        self._died_young = self._died_young + 1 if monotonic() - started < _YOUNG_S else 0
        if self._died_young >= _MOST_YOUNG:
            self._on_signal()
            return 1
        code = os.waitstatus_to_exitcode(status)
        sys.stderr.write(f"promptop proxy: worker {index} ended with {code} and is started again\n")
        self._fork(index)
        return 0


class Peers:
    """The other workers: each tells its figures to whoever connects to its socket in a private folder."""

    def __init__(self, proxy: Proxy, folder: Path, index: int) -> None:
        self._proxy = proxy
        self._folder = folder
        self._path = folder / f"{index}.sock"
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Peers:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._tell, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(self._proxy.snapshot()).encode())
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def exposition(self) -> str:
        """Return the sum of all workers' figures; one that does not answer within a second is left out."""
        others = [path for path in sorted(self._folder.glob("*.sock")) if path != self._path]
        told = await asyncio.gather(*(self._ask(path) for path in others))
        snapshots = [self._proxy.snapshot(), *(figures for figures in told if figures is not None)]
        return exposition.render(exposition.merge(snapshots))

    async def _ask(self, path: Path) -> Any:
        try:
            async with asyncio.timeout(_PEER_S):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    return json.loads(await reader.read())
                finally:
                    writer.close()
        except (OSError, ValueError, TimeoutError):
            return None
