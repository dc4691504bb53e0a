"""What happens below HTTP: the pool, name look-ups, compression both ways, and what is seen of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpcore2
import httpx2
import pytest
from tests.promptop.proxy.test_http2 import H2Server

from promptop.client.call import run
from promptop.client.http.endpoints import Endpoints
from promptop.client.http.timings import Stages, current
from promptop.client.http.transport import Connection, LookUp
from promptop.client.http.waterfall import sizes as size_lines
from promptop.client.http.waterfall import waterfall
from promptop.client.request import RunRequest
from promptop.history.result_json import figures_of, read_result
from promptop.log import StoredRow
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint

Rows = Callable[[], list[StoredRow]]
Ask = Callable[..., RunRequest]


def test_the_hook_that_looks_names_up_is_where_it_is_expected() -> None:
    """httpx2 promises neither name; without them look-ups go unseen."""
    transport = Connection(Profile(keep_alive=3, keep_alive_s=7.0, max_connections=9, http2=False))
    pool: Any = transport._pool
    assert isinstance(pool._network_backend, LookUp)
    assert (pool._max_keepalive_connections, pool._keepalive_expiry, pool._max_connections) == (3, 7.0, 9)
    assert (pool._http1, pool._http2) == (True, False)


async def test_a_fresh_call_shows_each_step_and_the_next_one_that_it_had_none(
    endpoints: Endpoints, ask: Ask, endpoint: SimulatedEndpoint
) -> None:
    named = Profile(name="named", base_url=endpoint.base_url.replace("127.0.0.1", "localhost"))
    first = await run(ask(profile=named, max_tokens=2), endpoints)
    second = await run(ask(profile=named, max_tokens=2), endpoints)
    assert (first.connection_reused, second.connection_reused) == (False, True)
    assert first.stages.dns_s is not None and first.connect_s is not None
    assert 0 < first.stages.dns_s <= first.connect_s  # the look-up is a part of what the log calls connect
    assert first.stages.pool_s is not None and first.stages.sent_s is not None and first.ttfb_s is not None
    assert first.stages.pool_s < first.stages.sent_s < first.ttfb_s
    assert first.stages.http_version == "HTTP/1.1"
    assert second.stages.dns_s is None and second.connect_s is None
    (pool,) = [each._pool for each in endpoints._inner.values()]  # type: ignore[attr-defined]  # httpx2's own
    assert len(pool.connections) == 1
    await endpoints.aclose()
    assert pool.connections == []
    digits = await run(ask(max_tokens=2), endpoints)
    assert digits.stages.dns_s is None
    assert digits.connect_s is not None


async def test_the_wait_for_a_connection_is_told_apart(
    endpoints: Endpoints, ask: Ask, endpoint: SimulatedEndpoint
) -> None:
    single = Profile(name="single", base_url=endpoint.base_url, max_connections=1)
    slow = ask("sim-fault-slow-headers;s=0.1", profile=single, max_tokens=2)
    both = await asyncio.gather(run(slow, endpoints), run(slow, endpoints))
    waits = sorted(each.stages.pool_s or 0.0 for each in both)
    assert waits[0] < 0.05
    assert waits[1] >= 0.1
    assert len({request.connection for request in endpoint.requests[-2:]}) == 1


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("api", ["chat", "anthropic"])
async def test_a_compressed_stream_is_read_with_its_bytes_on_the_wire_and_decoded(
    endpoints: Endpoints, endpoint: SimulatedEndpoint, rows: Rows, coding: str, api: str
) -> None:
    profile = Profile(name=coding, base_url=endpoint.base_url, api=api, headers={"x-simulate": coding})
    model = "gpt-4o-mini" if api == "chat" else "claude-sonnet-5-5"
    talk = [{"role": "user", "content": "什么是提示工程?"}]
    result = await run(RunRequest(profile=profile, model=model, messages=talk, max_tokens=60), endpoints)
    assert result.error is None
    assert result.text
    accepted = endpoint.requests[-1].headers["accept-encoding"]
    assert all(name in accepted for name in ("gzip", "br", "zstd"))
    sizes = result.sizes()
    assert sizes["received"] == len(endpoint.requests[-1].sent)
    assert sizes["received_wire"] and sizes["received"] and sizes["received_wire"] < sizes["received"]
    assert result.stages.content_encoding == coding
    (row,) = rows()
    assert (row.bytes_received, row.bytes_decoded) == (sizes["received_wire"], sizes["received"])
    assert row.ttft_s is not None


async def test_a_request_is_compressed_only_where_its_profile_says_so(
    endpoints: Endpoints, ask: Ask, endpoint: SimulatedEndpoint, rows: Rows
) -> None:
    long = "解释什么是提示工程。" * 200
    plain = await run(ask(text=long, max_tokens=2), endpoints)
    profile = Profile(name="z", base_url=endpoint.base_url, gzip_requests=True)
    packed = await run(ask(text=long, max_tokens=2, profile=profile), endpoints)
    short = await run(ask(text="hi", max_tokens=2, profile=profile), endpoints)
    assert plain.error is packed.error is short.error is None
    said = [request.headers.get("content-encoding") for request in endpoint.requests[-3:]]
    assert said == [None, "gzip", None]
    assert json.loads(endpoint.requests[-2].body)["messages"][0]["content"] == long
    sizes = packed.sizes()
    assert sizes["sent"] == plain.sizes()["sent"] == plain.sizes()["sent_wire"]
    kept = read_result(figures_of(packed))  # as history keeps it
    assert (kept.sizes(), kept.place, kept.stages.pool_s) == (sizes, packed.place, packed.stages.pool_s)
    assert size_lines(kept) == size_lines(packed)
    assert sizes["sent"] and sizes["sent_wire"] and sizes["sent_wire"] < sizes["sent"] / 10
    assert f"{sizes['sent_wire']} on the wire (gzip" in size_lines(packed)[1].replace(",", "")
    assert "on the wire" not in size_lines(plain)[1]
    assert len({row.prompt_hash for row in rows()[:2]}) == 1  # the log sees what was written, not what was packed


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_tls_and_http2_are_negotiated_timed_and_shared(
    tmp_path: Path, endpoints: Endpoints, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    address = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", *names.split(), *files, *address], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    context.set_alpn_protocols(["h2"])
    server, accepted = H2Server(), 0

    def serve(listening: socket.socket) -> None:
        nonlocal accepted
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                accepted += 1
                with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                    server(secured, accepted)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        url = f"https://localhost:{listening.getsockname()[1]}/v1"
        profile = Profile(name="h2", base_url=url)
        first, second = [await run(ask(profile=profile), endpoints) for _ in range(2)]
        await endpoints.aclose()
        listening.shutdown(socket.SHUT_RDWR)
    assert (first.error, first.text, first.usage.output_tokens) == (None, "hihihi", 1)
    assert {first.stages.http_version, second.stages.http_version} == {"HTTP/2"}
    assert (first.connection_reused, second.connection_reused, accepted) == (False, True, 1)
    assert first.tls_s is not None and first.tls_s > 0 and second.tls_s is None
    lines = waterfall(first)
    assert lines[0] == "Time (new connection, HTTP/2)"
    assert [line.split()[0] for line in lines[1:6]] == ["pool", "DNS", "connect", "TLS", "sent"]
    assert waterfall(second)[0] == "Time (connection reused, HTTP/2)"


class Opened:
    """Stands for a connection."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


class Network(httpcore2.AsyncNetworkBackend):
    """Connects to nothing: notes whom it was asked for, fails for some, and for some never comes to an end."""

    def __init__(self, *broken: str, silent: str = "") -> None:
        self.asked: list[str] = []
        self._broken = broken
        self._silent = silent
        self.given_up = False

    async def connect_tcp(self, host: str, *_: Any, **__: Any) -> Any:
        self.asked.append(host)
        if host in self._broken:
            raise httpcore2.ConnectError("unreachable")
        if host == self._silent:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up = True
        return Opened(host)


async def test_a_host_whose_first_address_does_not_answer_is_reached_at_its_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = ["2001:db8::1", "192.0.2.1"]

    async def found(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
    network = Network(addresses[0])
    token = current.set(stages := Stages())
    try:
        opened: Any = await LookUp(network).connect_tcp("api.example", 443, 5.0)
        assert (opened.host, network.asked) == (addresses[1], addresses)
        assert stages.dns_s is not None
        with pytest.raises(httpcore2.ConnectError):
            await LookUp(Network(*addresses)).connect_tcp("api.example", 443, None)
        opened = await LookUp(network).connect_tcp("::1", 443)
        assert opened.host == "::1"  # digits are not looked up
        monkeypatch.setattr("promptop.client.http.transport.NEXT_ADDRESS_S", 0.001)
        silent = Network(silent=addresses[0])
        opened = await LookUp(silent).connect_tcp("api.example", 443, 5.0)
        assert (opened.host, opened.closed, silent.given_up) == (addresses[1], False, True)
    finally:
        current.reset(token)


async def test_a_name_that_nobody_knows_is_said_to_be_unknown(endpoints: Endpoints, ask: Ask) -> None:
    profile = Profile(name="typo", base_url="http://no-such-host.invalid/v1")
    result = await run(ask(profile=profile, retries=0), endpoints)
    assert result.error is not None
    assert (result.error.type, "was not found" in result.error.cause) == ("connect", True)


def test_what_was_not_read_is_not_compressed() -> None:
    from promptop.client.http.transport import _compressed

    async def parts() -> Any:
        yield b"x" * 4096

    request = httpx2.Request("POST", "http://h/", content=parts())
    assert _compressed(request) is request
    done = httpx2.Request("POST", "http://h/", content=b"x" * 4096, headers={"content-encoding": "br"})
    assert _compressed(done) is done
