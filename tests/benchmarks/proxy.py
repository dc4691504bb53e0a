"""What the proxy adds to a call: ``python tests/benchmarks/proxy.py [--litellm BIN/litellm] [--streams 1000]``.

Upstream, proxy and client are processes of their own on loopback. Direct and proxied calls alternate in one run, so
that the noise of the machine meets all of them; read the differences and the ratios, not the absolute times. ``bytes``
is a relay that copies bytes and reads none: the least that one more process in between costs here. LiteLLM's
proxy is measured beside it when its command is given (an environment of its own: ``pip install 'litellm[proxy]'``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, sleep, time
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from proxy_peers import Client, connect, request, run

HERE = Path(__file__).parent
ONE = "n=20&wait=5&gap=1"
_UNGUARDED = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
"""LiteLLM asks for a key of its own; checking one would only make it slower."""


def quantile(values: Sequence[float], q: float) -> float:
    """Return a quantile by linear interpolation."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def started(stack: ExitStack, command: Sequence[str], environ: Mapping[str, str], pattern: str) -> tuple[int, int]:
    """Start a process that prints its port; return port and process id. It ends with the stack."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(environ), text=True)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(pattern, line):
            return int(found[1]), process.pid
    raise SystemExit(f"{command[0]} did not start")


def litellm(stack: ExitStack, command: str, upstream: int, folder: Path) -> tuple[int, int]:
    """Start LiteLLM's proxy in front of the upstream, with its own telemetry and log off."""
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: gpt-4o-mini\n    litellm_params:\n      model: openai/gpt-4o-mini\n"
        f"      api_base: http://127.0.0.1:{upstream}/v1\n      api_key: sk-benchmark\n"
        "litellm_settings:\n  telemetry: false\n  set_verbose: false\n"
    )
    with connect_free() as free:
        port = free
    process = subprocess.Popen(
        [command, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", **_UNGUARDED},
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    until = time() + 90
    while time() < until:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=2):
                return port, process.pid
        except (URLError, OSError):
            process.poll()
            if process.returncode is not None:
                break
    raise SystemExit("litellm did not start")


class connect_free:  # noqa: N801 - used as a context manager only
    """A port that was free a moment ago."""

    def __enter__(self) -> int:
        import socket

        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            return int(held.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        pass


async def one_stream(ports: Mapping[str, int], rounds: int) -> dict[str, list[float]]:
    """Return times to the first body byte, seconds, calls alternating between the targets."""
    clients = {name: await connect(port) for name, port in ports.items()}
    times: dict[str, list[float]] = {name: [] for name in ports}
    sent = request(ONE)
    for number in range(rounds + 20):
        for name in ports:
            first, _ = await clients[name].ask(sent)
            if number >= 20:
                times[name].append(first)
    for client in clients.values():
        client.transport.close()
    return times


async def throughput(
    ports: Mapping[str, int], pids: Mapping[str, int], seconds: float, clients: int, rounds: int = 4
) -> dict[str, tuple[float, float]]:
    """Return requests per second of a closed loop of JSON calls, and processor seconds per call of each target.

    Slices alternate between the targets. The processor time is the figure that a busy machine does not change.
    """
    done = dict.fromkeys(ports, 0)
    spent = dict.fromkeys(ports, 0.0)
    worked = dict.fromkeys(ports, 0.0)
    sent = request("n=0")

    async def loop(client: Client, until: float) -> int:
        count = 0
        while perf_counter() < until:
            await client.ask(sent)
            count += 1
        return count

    for _ in range(rounds):
        for name, port in ports.items():
            connected = [await connect(port) for _ in range(clients)]
            begun, before = perf_counter(), processor(pids[name])
            counts = await asyncio.gather(*(loop(client, begun + seconds / rounds) for client in connected))
            spent[name] += perf_counter() - begun
            worked[name] += processor(pids[name]) - before
            done[name] += sum(counts)
            for client in connected:
                client.transport.close()
    return {name: (done[name] / spent[name], worked[name] / done[name]) for name in ports}


def processor(pid: int) -> float:
    """Return the processor seconds of a process and its children."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)


async def crowd(port: int, pid: int, streams: int, query: str) -> tuple[int, float, float, float]:
    """Hold many streams at once; return errors, MiB at rest and at the peak, and the median time to the first byte."""
    process = psutil.Process(pid)
    before = process.memory_info().rss
    peak = before
    clients = [await connect(port) for _ in range(streams)]
    sent = request(query)
    asked = asyncio.gather(*(client.ask(sent) for client in clients), return_exceptions=True)
    while not asked.done():
        await asyncio.wait((asked,), timeout=0.25)
        peak = max(peak, process.memory_info().rss)
    results = await asked
    errors = sum(isinstance(result, BaseException) for result in results)
    firsts = [result[0] for result in results if not isinstance(result, BaseException)]
    for client in clients:
        client.transport.close()
    return errors, before / 2**20, peak / 2**20, quantile(firsts, 0.5) if firsts else float("nan")


def rows(log: Path) -> tuple[int, int]:
    """Return rows in the log, and those with an error."""
    if not log.exists():
        return 0, 0
    with sqlite3.connect(log) as database:
        n, failed = database.execute("SELECT count(*), count(error_type) FROM requests").fetchone()
    database.close()
    return int(n), int(failed)


def settled(log: Path, wanted: int = 0) -> tuple[int, int]:
    """Return :func:`rows` once there are as many as wanted (at most 30 s), or no more have come for three seconds."""
    seen, since = rows(log), time()
    while time() - since < (30 if wanted else 3) and not 0 < wanted <= seen[0]:
        sleep(0.05)
        if (now := rows(log)) != seen:
            seen, since = now, time()
    return seen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", metavar="PATH", help="LiteLLM's command, in an environment of its own")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=500, help="calls a target, one stream at a time")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds a target, requests per second")
    parser.add_argument("--loop", default="auto", help="event loop of the proxy")
    parser.add_argument("--workers", default="1")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = folder / "log.db"
        upstream, upstream_pid = started(
            stack, [sys.executable, str(HERE / "proxy_peers.py"), "0"], os.environ, r"(\d+)"
        )
        code = "import sys; from promptop.cli.main import main; sys.exit(main())"
        proxy, pid = started(
            stack,
            [
                *(sys.executable, "-c", code, "proxy", "--upstream", f"http://127.0.0.1:{upstream}"),
                *("--listen", "127.0.0.1:0", "--log", str(log), "--loop", args.loop, "--workers", args.workers),
            ],
            {**os.environ, "PROMPTOP_DATA_DIR": str(folder), "PROMPTOP_CONFIG_DIR": str(folder)},
            r"http://127\.0\.0\.1:(\d+)",
        )
        hop, hop_pid = started(
            stack, [sys.executable, str(HERE / "proxy_peers.py"), "0", str(upstream)], os.environ, r"(\d+)"
        )
        ports = {"direct": upstream, "bytes": hop, "promptop": proxy}
        pids = {"direct": upstream_pid, "bytes": hop_pid, "promptop": pid}
        if args.litellm:
            ports["litellm"], pids["litellm"] = litellm(stack, args.litellm, upstream, folder)
        print(f"one stream at a time ({ONE}), time to the first byte of the body")
        fast = {name: port for name, port in ports.items() if name != "litellm"}
        times = run(one_stream(fast, args.rounds))
        if args.litellm:
            few = run(one_stream({"direct": upstream, "litellm": ports["litellm"]}, max(50, args.rounds // 4)))
            times["litellm"] = few["litellm"]
        base = times["direct"]
        for name, values in times.items():
            print(
                f"  {name:9s} n={len(values):<5d} p50 {quantile(values, 0.5) * 1e3:7.2f} ms"
                f" (+{(quantile(values, 0.5) - quantile(base, 0.5)) * 1e3:6.2f})"
                f"  p99 {quantile(values, 0.99) * 1e3:7.2f} ms"
                f" (+{(quantile(values, 0.99) - quantile(base, 0.99)) * 1e3:6.2f})"
            )
        print(f"requests per second, JSON, 8 connections, {args.seconds:g} s each")
        rates = run(throughput(ports, pids, args.seconds, 8))
        for name, (rate, work) in rates.items():
            share = rate / rates["direct"][0]
            print(f"  {name:9s} {rate:8.0f}/s  {share:.3f} of direct  {work * 1e6:8.0f} µs of processor a call")
        query = "n=40&wait=1000&gap=250"
        print(f"{args.streams} streams at once ({query})")
        for name, number in list(pids.items())[1:]:
            before_n, before_failed = settled(log)
            errors, before, peak, first = run(crowd(ports[name], number, args.streams, query))
            line = f"  {name:9s} errors {errors}, {before:.0f} → {peak:.0f} MiB, "
            line += f"{(peak - before) * 1024 / args.streams:.0f} KiB a stream, first byte p50 {first * 1e3:.0f} ms"
            if name == "promptop":
                seen, failed = settled(log, before_n + args.streams)
                line += f"; {seen - before_n} rows of {args.streams}, {failed - before_failed} with an error"
            print(line)


if __name__ == "__main__":
    main()
