from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from promptop.cli.main import main
from promptop.client.http.probe import Probed, Try, ranked
from promptop.simulator import SimulatedEndpoint

NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


def test_the_nearest_stands_first_and_the_unreachable_last(
    endpoint: SimulatedEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(endpoint.requests)
    assert main(["probe", NOBODY, endpoint.base_url, "-n", "3"]) == 0
    out, err = capsys.readouterr()
    head, first, last = out.splitlines()
    assert head.split() == ["endpoint", "n", "connect", "first", "byte", "kept", "open", "answer"]
    assert first.startswith("1.") and endpoint.base_url in first and "3/3" in first and "200 HTTP/1.1" in first
    assert NOBODY in last and "0/2" in last  # given up after two, not tried three times
    assert err.startswith(f"{NOBODY}: ConnectError")
    asked = endpoint.requests[before:]
    assert [each.path for each in asked] == ["/v1/models"] * 6
    assert len({each.connection for each in asked}) == 3  # each try its own connection, asked twice over it
    assert not any("authorization" in each.headers for each in asked)


def test_profiles_are_probed_and_json_has_seconds(
    endpoint: SimulatedEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[profiles.near]\nbase_url = "{endpoint.base_url}"\napi_key_env = "NOT_SET"\n'
        f'[profiles.far]\nbase_url = "{NOBODY}"\n',
        encoding="utf-8",
    )
    assert main(["probe", "--config", str(config), "-n", "2", "--json"]) == 0
    near, far = json.loads(capsys.readouterr().out)
    assert (near["name"], near["n"], near["failed"], near["status"], near["error"]) == ("near", 2, 0, 200, None)
    assert 0 < near["connect_s"] < near["first_byte_s"]
    assert near["kept_s"] > 0
    assert near["tls_s"] is None
    assert (far["name"], far["n"], far["first_byte_s"]) == ("far", 0, None)
    assert main(["probe", "--config", str(config), "far", "-n", "1"]) == 1


def test_secrets_in_a_url_are_not_shown(endpoint: SimulatedEndpoint, capsys: pytest.CaptureFixture[str]) -> None:
    url = endpoint.base_url.replace("http://", "http://user:hunter2@") + "?key=hunter2"
    assert main(["probe", url, "-n", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "hunter2" not in out + err


def test_a_server_that_stays_silent_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        assert main(["probe", url, "--timeout", "0.2", "-n", "5"]) == 1
    assert "no answer within 0.2 s" in capsys.readouterr().err


@contextmanager
def tls_server(folder: Path) -> Iterator[int]:
    """Answer HTTPS with a certificate of its own."""
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    address = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", *options.split(), *files, *address], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (line := await reader.readline()) not in (b"", b"\n"):
            if line == b"\r\n":
                writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        port.append(server.sockets[0].getsockname()[1])
        stop.append((asyncio.get_running_loop(), asyncio.Event()))
        ready.set()
        async with server:
            await stop[0][1].wait()

    port: list[int] = []
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    ready = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield port[0]
    finally:
        stop[0][0].call_soon_threadsafe(stop[0][1].set)
        thread.join(10)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls_is_timed_and_certificates_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tls_server(tmp_path) as port:
        url = f"https://127.0.0.1:{port}/v1"
        assert main(["probe", url, "-n", "1"]) == 1
        assert "certificate verify failed" in capsys.readouterr().err
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert main(["probe", url, "-n", "2", "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
    assert found["status"] == 401  # a refusal is an answer
    assert 0 < found["connect_s"] + found["tls_s"] < found["first_byte_s"]


def test_what_cannot_be_meant(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["nope"], [], ["http://127.0.0.1:port/v1"], [NOBODY, "-n", "0"], [NOBODY, "--timeout", "0"]):
        assert main(["probe", *wrong]) == 2
        assert "→" in capsys.readouterr().err


def test_the_median_decides() -> None:
    def probed(name: str, *first_byte_s: float) -> Probed:
        return Probed(name, "", [Try(first_byte_s=value, connect_s=0.001) for value in first_byte_s])

    steady, mostly_fast, dead = probed("steady", 0.2, 0.2, 0.2), probed("fast", 0.1, 9.0, 0.1), Probed("dead", "")
    assert [each.name for each in ranked([dead, steady, mostly_fast])] == ["fast", "steady", "dead"]
