from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx2
import psutil
import pytest

from promptop.base.descriptors import raise_limit
from promptop.base.errors import UsageError
from promptop.cli import main as cli
from promptop.cli.traffic.proxy import listen_address
from promptop.log import LogReader, StoredRow
from promptop.simulator import SimulatedEndpoint

MAIN = "import sys; from promptop.cli.main import main; sys.exit(main())"
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts ``promptop proxy`` and gives the process and its address."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **environ: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "proxy", "--listen", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path), **environ},
        )
        started.append(process)
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found, process.communicate(timeout=10)
        return process, found[0]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


def rows_of(log: Path, wanted: int) -> list[StoredRow]:
    until = monotonic() + 10
    while True:
        with LogReader(log) as reader:
            found = reader.latest(1000)[::-1]
        if len(found) >= wanted or monotonic() > until:
            return found
        sleep(0.02)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8787", ("127.0.0.1", 8787)),
        (":1", ("127.0.0.1", 1)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:8787", ("::1", 8787)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses_to_listen_on(text: str, address: tuple[str, int]) -> None:
    assert listen_address(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "1:2:3", "::1", "127.0.0.1:99999", "a b"])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(UsageError):
        listen_address(text)


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (["--listen", "0.0.0.0:0"], {}, "no access token"),
        (["--listen", "[::]:0"], {}, "no access token"),
        (["--listen", "127.0.0.1:0"], {"PROMPTOP_PROXY_TOKEN": "short"}, "shorter than 16"),
        (["--upstream", "nonsense"], {}, "must look like"),
        (["--upstream", "a=https://x.example", "--http2", "b"], {}, "names no upstream"),
        (["--max-body", "lots"], {}, "not a size"),
        (["--workers", "0"], {}, "1 or more"),
        (["--allow", "a b"], {}, "not a host"),
        (["--token-file", "/nowhere/token"], {}, "cannot be read"),
        (["--token-file", __file__], {}, "chmod 600"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_listens(
    arguments: Sequence[str],
    environ: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["proxy", *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error and "→" in error and "Traceback" not in error


def test_a_low_soft_limit_of_open_files_is_raised() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        raise_limit()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert hard == before[1] and soft == (65_536 if hard < 0 else min(hard, 65_536))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_taken_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["proxy", "--listen", f"127.0.0.1:{port}"]) == 1
    assert f"port {port}" in capsys.readouterr().err


def test_a_stream_survives_the_first_signal(start: Start, endpoint: SimulatedEndpoint, tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    process, url = start("--upstream", endpoint.base_url, "--log", str(log), "--app", "mine", "--loop", "asyncio")
    with httpx2.Client(timeout=20) as client:
        assert client.get(f"{url}/healthz").json() == {"status": "ok"}
        with client.stream(
            "POST",
            f"{url}/v1/chat/completions",
            json={**ASK, "stream": True},
            headers={"x-simulate": "stall;s=0.3", "x-promptop-prompt": "greeting", "x-promptop-tags": '{"a": 1}'},
        ) as response:
            seen = b""
            for data in response.iter_raw():
                if not seen:
                    process.send_signal(signal.SIGTERM)
                seen += data
    assert b"[DONE]" in seen
    assert process.wait(10) == 0
    (row,) = rows_of(log, 1)
    assert (row.error_type, row.app, row.prompt_name, row.tags) == (None, "mine", "greeting", '{"a": 1}')
    assert row.usage_source == "reported"


def test_a_second_signal_ends_it_at_once(start: Start, endpoint: SimulatedEndpoint, tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    process, url = start("--upstream", endpoint.base_url, "--log", str(log), "--grace", "60")
    with (
        httpx2.Client(timeout=20) as client,
        client.stream(
            "POST", f"{url}/v1/chat/completions", json={**ASK, "stream": True}, headers={"x-simulate": "endless"}
        ) as response,
    ):
        next(response.iter_raw())
        process.send_signal(signal.SIGINT)
        port = int(url.rpartition(":")[2])
        until = monotonic() + 10
        while monotonic() < until and accepts(port):
            sleep(0.01)
        assert process.poll() is None, "it waits for the stream"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    (row,) = rows_of(log, 1)
    assert row.error_type == "cancelled"


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_workers_share_a_port_a_log_and_their_figures(
    start: Start, endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "log.db"
    process, url = start("--upstream", endpoint.base_url, "--log", str(log), "--workers", "2")
    parent = psutil.Process(process.pid)
    workers = parent.children()
    assert len(workers) == 2

    def figure(name: str) -> float:
        with httpx2.Client() as client:
            text = client.get(f"{url}/metrics").text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    def call(number: int) -> None:
        for _ in range(number):
            with httpx2.Client() as client:
                assert client.post(f"{url}/v1/chat/completions", json=ASK).status_code == 200

    call(24)
    assert len(rows_of(log, 24)) == 24
    until = monotonic() + 10
    while figure("gen_ai_client_operation_duration_seconds_count") < 24 and monotonic() < until:
        sleep(0.02)
    assert figure("gen_ai_client_operation_duration_seconds_count") == 24
    assert figure("promptop_log_written_total") == 24
    workers[0].kill()
    until = monotonic() + 10
    while monotonic() < until and not fresh(parent, workers):
        sleep(0.02)
    assert fresh(parent, workers), "a worker that dies is started again"
    call(4)
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert len(rows_of(log, 28)) == 28
    assert not list(tmp_path.glob("promptop-*"))


def fresh(parent: psutil.Process, before: list[Any]) -> bool:
    now = [child for child in parent.children() if child.status() != psutil.STATUS_ZOMBIE]
    return len(now) == 2 and {child.pid for child in now} != {worker.pid for worker in before}
