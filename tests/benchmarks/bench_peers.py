"""What ``promptop bench`` measures beside public benchmark clients, on the same simulated server in one run.

    python tests/benchmarks/bench_peers.py [--guidellm PATH] [--aiperf PATH] [-n 60] [--concurrency 4] [--rounds 2]

guidellm and aiperf are no dependencies (one brings torch): install each into an environment of its own and name its
program; what is not there is left out and said. Nothing leaves loopback. Each client gets a fresh server process whose
n-th request is as fast for one client as for another, so that they see the same delays and differences are theirs.

Printed: p50 of TTFT, time per output token, request latency; output tokens a second of all calls together; each beside
what that client's own server recorded when it sent. Then, in one process, how long after the server's send promptop
stamped each first and last token.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptop.client.call import run
from promptop.client.http.endpoints import Endpoints
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, RunResult
from promptop.experiments.bench.load_generator import Bench, Load
from promptop.settings import Profile

SERVER = """
import json, sys
from promptop.simulator import SimulatedEndpoint
with SimulatedEndpoint.in_thread(speed=float(sys.argv[1])) as endpoint:
    print(endpoint.base_url, flush=True)
    sys.stdin.readline()
    told = []
    for r in endpoint.requests:
        sent = [e.at_s for e in r.events if e.kind in ("content", "reasoning")]
        if r.body and sent:
            told.append({"id": r.json.get("user"), "sent": bytes(r.sent).decode()[:120], "received": r.received_s,
                         "first": sent[0], "last": sent[-1], "events": len(sent), "end": r.finished_s})
    print(json.dumps(told), flush=True)
"""
MODEL, PROMPT, TOKENS = "sim-fast", "Explain caching in 300 words.", 60
Figures = dict[str, float]
TIMEOUT_S = 300


class Server:
    """A fresh endpoint in its own process."""

    def __init__(self, speed: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(speed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def records(self) -> list[dict[str, Any]]:
        """End it, and return what it recorded."""
        out, _ = self.process.communicate("\n", timeout=30)
        found: list[dict[str, Any]] = json.loads(out)
        return found


def of_server(records: list[dict[str, Any]], warm_ups: int) -> Figures:
    """The same figures as the server sees them: its own reading and sending, without the way there and back."""
    kept = records[warm_ups:]
    span = max(r["end"] for r in kept) - min(r["received"] for r in kept)
    return {
        "ttft": statistics.median(r["first"] - r["received"] for r in kept),
        "tpot": statistics.median((r["last"] - r["first"]) / (TOKENS - 1) for r in kept),
        "e2e": statistics.median(r["end"] - r["received"] for r in kept),
        "tokens/s": TOKENS * len(kept) / span,
        "n": len(kept),
    }


def promptop(url: str, folder: Path, n: int, at_once: int) -> Figures:
    command = [sys.executable, "-c", "import sys; from promptop.cli.main import main; sys.exit(main(sys.argv[1:]))"]
    asked = ["bench", "--base-url", url, "--log", str(folder / "log.db"), "-m", MODEL, "--text", PROMPT, "--json"]
    more = ["--max-tokens", str(TOKENS), "--temperature", "0", "-n", str(n), "--concurrency", str(at_once)]
    done = subprocess.run([*command, *asked, *more], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    (phase,) = json.loads(done.stdout)["phases"]
    return {
        "ttft": phase["ttft"]["p50"],
        "tpot": phase["tpot"]["p50"],
        "e2e": phase["total"]["p50"],
        "tokens/s": phase["tokens"],
        "n": phase["answered"],
    }


def guidellm(program: str, url: str, folder: Path, n: int, at_once: int) -> Figures:
    data, out = folder / "prompts.jsonl", folder / "guidellm.json"
    data.write_text((json.dumps({"prompt": PROMPT}) + "\n") * (n + at_once + 8))
    backend = f"kind=openai_http,target={url.removesuffix('/v1')},model={MODEL},validate_backend=false"
    body = f"extras.body.temperature=0,extras.body.max_tokens={TOKENS}"
    call(
        [program, "run", "--backend", f"{backend},{body}", "--profile", f"kind=concurrent,streams={at_once}"],
        ["--constraint", f"kind=max_requests,count={n}", "--data", f"kind=json_file,path={data}"],
        ["--output", f"kind=json,path={out}", "--disable-console"],
        cwd=folder,
    )
    metrics = json.loads(out.read_text())["benchmarks"][0]["metrics"]
    found = {
        name: value["successful"]
        for name, value in metrics.items()
        if isinstance(value, dict) and "successful" in value
    }
    return {
        "ttft": found["time_to_first_token_ms"]["median"] / 1000,
        "tpot": found["inter_token_latency_ms"]["median"] / 1000,
        "e2e": found["request_latency"]["median"],
        "tokens/s": found["output_tokens_per_second"]["mean"],
        "n": found["request_latency"]["count"],
    }


def aiperf(program: str, url: str, folder: Path, n: int, at_once: int) -> Figures:
    data, out = folder / "turns.jsonl", folder / "aiperf"
    data.write_text((json.dumps({"text": PROMPT}) + "\n") * n)
    call(
        [program, "profile", "--model", MODEL, "--url", url.removesuffix("/v1"), "--endpoint-type", "chat"],
        ["--streaming", "--concurrency", str(at_once), "--request-count", str(n), "--warmup-request-count"],
        [str(at_once), "--tokenizer", "builtin", "--use-server-token-count", "--input-file", str(data)],
        ["--custom-dataset-type", "single_turn", "--extra-inputs", "temperature:0", "--extra-inputs"],
        [f"max_tokens:{TOKENS}", "--artifact-dir", str(out), "--ui", "none"],
        cwd=folder,
    )
    found = json.loads((out / "profile_export_aiperf.json").read_text())
    return {
        "ttft": found["time_to_first_token"]["p50"] / 1000,
        "tpot": found["inter_token_latency"]["p50"] / 1000,
        "e2e": found["request_latency"]["p50"] / 1000,
        "tokens/s": found["output_token_throughput"]["avg"],
        "n": found["request_count"]["avg"],
    }


def call(*parts: list[str], cwd: Path) -> None:
    """Run a peer offline; its tokenizer file comes from our own ranks, which are the same bytes."""
    ranks = cwd / "tiktoken"
    if not ranks.exists():
        from promptop.tokens import encoding

        ranks.mkdir()
        name = hashlib.sha1(b"https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken").hexdigest()
        table = sorted(encoding("o200k_base")._mergeable_ranks.items(), key=lambda item: item[1])
        (ranks / name).write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in table))
    environment = {**os.environ, "TIKTOKEN_CACHE_DIR": str(ranks), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    command = [word for part in parts for word in part]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-2000:]}")


async def stamps(url: str, log: Path, n: int, at_once: int) -> dict[str, tuple[float, float]]:
    """Answer's id → when its first and last token were stamped, on the clock of the machine."""
    endpoints = Endpoints(log=log)
    asked = RunRequest(
        profile=Profile(name="demo", base_url=url),
        model=MODEL,
        messages=[{"role": "user", "content": PROMPT}],
        max_tokens=TOKENS,
        temperature=0.0,
        retries=0,
    )
    found: dict[str, tuple[float, float]] = {}

    async def make(_: int, progress: CallProgress) -> RunResult:
        result = await run(asked, endpoints, progress=progress)
        if result.response_id and progress.sent_at and result.ttft_s and result.duration_s:
            found[result.response_id] = progress.sent_at + result.ttft_s, progress.sent_at + result.duration_s
        return result

    await Bench(make).measure(0, MODEL, Load(n, at_once, warm_ups=at_once))
    await endpoints.aclose()
    return found


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("guidellm", "aiperf"):
        parser.add_argument(f"--{name}", default=shutil.which(name), metavar="PATH")
    parser.add_argument("-n", type=int, default=60)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--speed", type=float, default=0.5, help="of the endpoint's pauses")
    args = parser.parse_args()
    clients: dict[str, tuple[int, Callable[[str, Path], Figures]]] = {
        "promptop": (args.concurrency, lambda url, folder: promptop(url, folder, args.n, args.concurrency))
    }
    for name, measure, warm_ups in (("guidellm", guidellm, 0), ("aiperf", aiperf, args.concurrency)):
        program = getattr(args, name)
        if program is None:
            print(f"{name} is not installed: left out (--{name} PATH)")
            continue
        path = str(Path(program).absolute())
        clients[name] = (
            warm_ups,
            lambda url, folder, measure=measure, path=path: measure(path, url, folder, args.n, args.concurrency),  # type: ignore[misc]
        )
    print(f"{args.n} calls, {args.concurrency} at once, {TOKENS} tokens each; own figure / its server's, ms")
    print(f"{'':10}{'TTFT p50':>18}{'per token p50':>18}{'latency p50':>18}{'tokens/s':>18}{'n':>6}")
    for number in range(args.rounds):
        order = list(clients)
        for name in order[number % len(order) :] + order[: number % len(order)]:
            warm_ups, measure_client = clients[name]
            with tempfile.TemporaryDirectory() as folder:
                server = Server(args.speed)
                own = measure_client(server.url, Path(folder))
                seen = of_server(server.records(), warm_ups)
            cells = [f"{own[key] * 1000:.2f} / {seen[key] * 1000:.2f}" for key in ("ttft", "tpot", "e2e")]
            rate = f"{own['tokens/s']:.0f} / {seen['tokens/s']:.0f}"
            print(f"{name:10}{''.join(f'{cell:>18}' for cell in cells)}{rate:>18}{own['n']:>6.0f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args.speed)
        found = asyncio.run(stamps(server.url, Path(folder) / "log.db", args.n, args.concurrency))
        records = server.records()
    for place, key in ((0, "first"), (1, "last")):
        late = sorted(
            (stamped[place] - record[key]) * 1000
            for identity, stamped in found.items()
            for record in records
            if identity in record["sent"]
        )
        middle, high = statistics.median(late), late[int(len(late) * 0.95)]
        print(
            f"{key:5} token stamped after the server sent it, ms: min {late[0]:.2f}  p50 {middle:.2f}"
            f"  p95 {high:.2f}  max {late[-1]:.2f}  n={len(late)}"
        )


if __name__ == "__main__":
    main()
