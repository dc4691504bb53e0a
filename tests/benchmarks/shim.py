"""What the shim adds to a call: the same calls through a bare and through a watched client, by turns, in one run.

``python tests/benchmarks/shim.py [seconds per case]`` prints medians over loopback (a raw server in another process,
so that its work is not counted) and in memory: wall time, and the CPU time of the calling thread, which a busy machine
does not disturb. Read the ratios: absolute times are this machine's. What the log's
writer does with a call is timed apart ("a row"): it is done on another thread, when the call is over.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EVENTS = 50
CHUNK = (
    b'data: {"id":"chatcmpl-9aBcDeFgHiJkLmNoPqRsTuVwXyZ01","object":"chat.completion.chunk","created":1795000000,'
    b'"model":"gpt-5.2","service_tier":"default","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,'
    b'"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"chatcmpl-9","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"id":"chatcmpl-9","choices":[],"usage":{"prompt_tokens":1200,"completion_tokens":50}}\n\n',
    b"data: [DONE]\n\n",
)
BODY = json.dumps(
    {
        "id": "chatcmpl-9",
        "model": "gpt-5.2",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello " * 60}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1200, "completion_tokens": 50, "total_tokens": 1250},
    }
).encode()
ASK: dict[str, Any] = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "hello world " * 100}]}


async def serve() -> None:
    """Answer as fast as possible: ``"stream": true`` in the request with events, anything else with JSON."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                asked = await reader.readexactly(size)
                if b'"stream":true' not in asked.replace(b" ", b""):
                    writer.write(
                        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                        % (len(BODY), BODY)
                    )
                    continue
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for event in [*[CHUNK] * EVENTS, *LAST]:
                    writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                    await asyncio.sleep(0)  # an event a read, as a model sends them
                writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Later:
    """Keeps the calls that end, and makes their rows when nobody is timing the caller."""

    bodies = "off"

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.row_s: list[float] = []

    def put(self, item: Any) -> None:
        """Take a call, as the log's writer does."""
        self.calls.append(item)

    def drain(self) -> None:
        """Make the rows."""
        for call in self.calls:
            started = time.thread_time()
            call.finish()
            self.row_s.append(time.thread_time() - started)
        self.calls.clear()


LATER = Later()


Medians = dict[str, tuple[float, float]]


def alternate(cases: dict[str, Callable[[], None]], seconds: float) -> Medians:
    """Run the cases by turns, each first every other time; return the medians of wall and of the thread's CPU time."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for run in cases.values():
        run()
    until = time.perf_counter() + seconds
    order = list(cases.items())
    while time.perf_counter() < until:
        for name, run in order:
            wall, cpu = time.perf_counter(), time.thread_time()
            run()
            taken[name].append((time.perf_counter() - wall, time.thread_time() - cpu))
        order.reverse()
        LATER.drain()
    return {
        name: (statistics.median(wall for wall, _ in found), statistics.median(cpu for _, cpu in found))
        for name, found in taken.items()
    }


def report(title: str, medians: Medians, events: int) -> None:
    """Print one line: wall and CPU time of both, what is added in CPU time for each call and event, and the ratios."""
    (bare, bare_cpu), (watched, watched_cpu) = medians.values()
    added = (watched_cpu - bare_cpu) * 1e6
    each = f" {added / events:5.2f} µs an event" if events else ""
    print(
        f"{title:30s} wall {bare * 1e6:6.0f} → {watched * 1e6:6.0f} µs ({watched / bare:.3f})"
        f"  CPU {bare_cpu * 1e6:6.0f} → {watched_cpu * 1e6:6.0f} µs ({watched_cpu / bare_cpu:.3f})"
        f"  added {added:6.1f} µs{each}",
        flush=True,
    )


def sync_cases(httpx: Any, observe: Any, url: str, stream: bool) -> dict[str, Callable[[], None]]:
    """Return the two cases for a sync client of one family."""
    body = {**ASK, "stream": stream, **({"stream_options": {"include_usage": True}} if stream else {})}
    bare = httpx.Client()
    clients = {"bare": bare, "watched": observe(httpx.Client(), log=LATER)}

    def case(client: Any) -> Callable[[], None]:
        def run() -> None:
            with client.stream("POST", url, json=body) as response:
                for _ in response.iter_raw():
                    pass

        return run

    return {name: case(client) for name, client in clients.items()}


def async_cases(httpx: Any, observe: Any, url: str, stream: bool, loop: Any) -> dict[str, Callable[[], None]]:
    """Return the two cases for an async client of one family."""
    body = {**ASK, "stream": stream, **({"stream_options": {"include_usage": True}} if stream else {})}
    clients = {"bare": httpx.AsyncClient(), "watched": observe(httpx.AsyncClient(), log=LATER)}

    def case(client: Any) -> Callable[[], None]:
        async def call() -> None:
            async with client.stream("POST", url, json=body) as response:
                async for _ in response.aiter_raw():
                    pass

        return lambda: loop.run_until_complete(call())

    return {name: case(client) for name, client in clients.items()}


def hot_path() -> None:
    """Time the caller's own path alone: a response whose events are at hand, bare and watched."""
    import httpx2

    import promptop

    class Events(httpx2.SyncByteStream):
        def __iter__(self) -> Any:
            return iter([*[CHUNK] * 1000, *LAST])

    class Inner(httpx2.BaseTransport):
        def handle_request(self, request: Any) -> Any:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Events())

    watched = promptop.transport(Inner(), log=LATER)
    for title, asked in (
        ("1,000 events in memory", {"stream_options": {"include_usage": True}}),
        ("… usage hidden", {}),
    ):
        request = httpx2.Request("POST", "http://h/v1/chat/completions", json={**ASK, "stream": True, **asked})

        def run(transport: Any, request: Any = request) -> None:
            response = transport.handle_request(request)
            for _ in response.stream:
                pass
            response.stream.close()

        report(title, alternate({"bare": lambda: run(Inner()), "watched": lambda: run(watched)}, 1.0), 1000)


def sdk(url: str, seconds: float) -> None:
    """Time the same through the openai SDK, as its users see it."""
    import openai

    import promptop

    base = url.removesuffix("/chat/completions")
    bare = openai.OpenAI(api_key="x", base_url=base, max_retries=0)
    watched = promptop.observe(openai.OpenAI(api_key="x", base_url=base, max_retries=0), log=LATER)

    def case(client: Any) -> Callable[[], None]:
        def run() -> None:
            for _ in client.chat.completions.create(**ASK, stream=True):
                pass

        return run

    report("openai SDK, 50 events", alternate({"bare": case(bare), "watched": case(watched)}, seconds), EVENTS)


def imports() -> None:
    """Print what the shim adds to a service that has httpx2 already: modules and milliseconds."""
    code = (
        "import httpx2, httpcore2, sys, time; before = set(sys.modules); t = time.perf_counter(); import promptop; "
        "c = promptop.observe(httpx2.Client(), log={log!r}); "
        "print(time.perf_counter() - t, len(set(sys.modules) - before))"
    )
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for _ in range(5):
            script = code.format(log=str(Path(folder) / "log.db"))
            out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
            runs.append([float(part) for part in out.split()])
    print(f"import and observe: {min(run[0] for run in runs) * 1e3:.0f} ms, {runs[0][1]:.0f} modules beyond httpx2")


def main() -> None:
    """Run everything."""
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
        return
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    import httpx
    import httpx2

    from promptop import observe

    server = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    loop = asyncio.new_event_loop()
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1/chat/completions"
        for stream, events, what in ((True, EVENTS, f"SSE {EVENTS} events"), (False, 0, "JSON")):
            for httpx_family in (httpx2, httpx):
                name = httpx_family.__name__
                report(
                    f"{name} sync, {what}", alternate(sync_cases(httpx_family, observe, url, stream), seconds), events
                )
            cases = async_cases(httpx2, observe, url, stream, loop)
            report(f"httpx2 async, {what}", alternate(cases, seconds), events)
            row_us = statistics.median(LATER.row_s) * 1e6
            print(f"    a row of these: {row_us:.0f} µs of CPU, after the call and elsewhere")
            LATER.row_s.clear()
        hot_path()
        sdk(url, seconds)
        imports()
    finally:
        server.terminate()
        server.wait()
        loop.close()


if __name__ == "__main__":
    main()
