"""Ways to a server: TLS, Sentinel with a master that dies, and peers that answer garbage or never."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from tests.support.servers import Server, free_port
from tests.support.waits import until

from promptop.cache import CacheEntry, RedisLevel
from promptop.cache.circuit_breaker import Breaker

Serve = Callable[[socket.socket], None]


@contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """Serve connections on loopback, each on a thread of its own; yields the port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=handled, args=(connection,), daemon=True).start()

        def handled(connection: socket.socket) -> None:
            with suppress(OSError, ssl.SSLError), closing(connection):
                serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side closes."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=carry, args=(other, one), daemon=True)
    back.start()
    carry(one, other)
    back.join(5)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls_is_spoken_and_its_certificate_checked(server: Server, tmp_path: Path, entry: CacheEntry) -> None:
    """The server in the wheel has no TLS: one in front of it ends it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(connection: socket.socket) -> None:
        with (
            context.wrap_socket(connection, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", server.port)) as inner,
        ):
            pump(outer, inner)

    with listening(serve) as port:
        level = RedisLevel(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}", timeout_s=5)
        level.put("d", entry)
        assert level.get("d") == entry
        level.close()
        stranger = RedisLevel(f"rediss://127.0.0.1:{port}/0", timeout_s=5, breaker=Breaker(threshold=1))
        assert stranger.get("d") is None
        assert "certificate" in stranger.stats().state.lower()
        stranger.close()


def test_sentinel_names_the_master_and_its_successor(tmp_path: Path, entry: CacheEntry) -> None:
    folders = [tmp_path / name for name in ("a", "b", "s")]
    for folder in folders:
        folder.mkdir()
    master = Server(folders[0])
    replica = Server(folders[1], "--replicaof", "127.0.0.1", str(master.port))
    configuration = folders[2] / "sentinel.conf"
    configuration.write_text(
        f"sentinel monitor mine 127.0.0.1 {master.port} 1\nsentinel down-after-milliseconds mine 200\n"
        "sentinel failover-timeout mine 1000\n"
    )
    port = free_port()
    command = [*master.binary, str(configuration), "--sentinel", "--bind", "127.0.0.1", "--port", str(port)]
    sentinel: subprocess.Popen[bytes] | None = None
    try:
        master.start()
        replica.start()
        sentinel = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with redis.Redis(port=port) as client:
            until(lambda: replicas(client) == 1)
        level = RedisLevel(f"redis+sentinel://127.0.0.1:{port}/mine", timeout_s=0.5, breaker=Breaker(threshold=10_000))
        level.put("before", entry)
        assert level.get("before") == entry
        master.kill()

        def kept() -> bool:
            level.put("after", entry)
            return level.get("after") == entry

        until(kept)
        with redis.Redis(port=replica.port) as client:
            assert client.exists("promptop:e:after") == 1, "in the one that was a replica"
        level.close()
    finally:
        if sentinel is not None:
            sentinel.kill()
            sentinel.wait()
        master.kill()
        replica.kill()


def replicas(client: redis.Redis) -> int:
    with suppress(redis.RedisError):
        state = client.execute_command("SENTINEL", "MASTER", "mine")
        found = state if isinstance(state, dict) else dict(zip(state[::2], state[1::2], strict=True))
        known = {name.decode() if isinstance(name, bytes) else str(name): value for name, value in found.items()}
        return int(known.get("num-slaves", 0))
    return 0


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff" * 500, b"$-7\r\n", b"*99999999\r\n", b""],
    ids=["http", "bytes", "length", "endless", "silence"],
)
def test_a_peer_that_is_no_server_is_given_up_and_delays_nobody_long(answer: bytes, entry: CacheEntry) -> None:
    notices: list[str] = []

    def serve(connection: socket.socket) -> None:
        while connection.recv(4096):
            connection.sendall(answer)

    with listening(serve) as port:
        breaker = Breaker(threshold=2, rest_s=1000)
        level = RedisLevel(f"redis://127.0.0.1:{port}/0", timeout_s=0.05, breaker=breaker, notice=notices.append)
        for _ in range(5):
            level.put("d", entry)
            assert level.get("d") is None
        assert breaker.is_open
        assert len(notices) == 1
        assert level.stats().total == 0
        level.close()
