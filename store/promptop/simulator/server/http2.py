"""HTTP/2 over TLS in front of the simulated endpoint, with a certificate of its own.

The endpoint's server speaks HTTP/1.1 alone. This listener negotiates by ALPN: what chooses HTTP/2 is translated request
by request, what chooses HTTP/1.1 is handed through byte by byte. So both are answered by the same handlers, with the
same TLS, and can be measured against each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from promptop.base.errors import PromptopError
from promptop.base.files import write_private

_READ = 65_536
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
_DAYS = 30


def make_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Write an authority and a certificate for ``host`` and localhost; return the authority's file and the server's.

    Both are PEM, the server's with its key (mode 0600); valid from yesterday for 30 days. Raises
    :class:`PromptopError` without the extra ``http2``.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError:
        raise PromptopError("A certificate needs the extra http2.", "pip install 'promptop[http2]'") from None
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

    def signed(name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
        public = key.public_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, authority)])
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + datetime.timedelta(days=_DAYS))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        )
        if ca:
            # Python 3.13 and later refuse an authority that does not say that it signs.
            usage = x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            )
            built = built.add_extension(usage, critical=True)
        else:
            addresses = {"127.0.0.1", "::1", host} - {"localhost"}
            names: list[x509.GeneralName] = [x509.DNSName("localhost")]
            for each in sorted(addresses):
                try:
                    names.append(x509.IPAddress(ipaddress.ip_address(each)))
                except ValueError:
                    names.append(x509.DNSName(each))
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return built.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority = "promptop simulated endpoint"
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    key = leaf.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    write_private(ca_file, signed(authority, root, root, ca=True).decode())
    write_private(server_file, (signed("localhost", leaf, root, ca=False) + key).decode())
    return ca_file, server_file


class Http2Front:
    """A TLS listener that hands what it reads to an HTTP/1.1 server on loopback."""

    def __init__(self, server_file: Path, backend: tuple[str, int]) -> None:
        """``server_file`` is a certificate with its key, ``backend`` host and port of the server behind."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(server_file)
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._backend = backend
        self._server: asyncio.Server | None = None
        self._session: aiohttp.ClientSession | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; raises :class:`OSError`."""
        no_limit = aiohttp.ClientTimeout(total=None)
        self._server = await asyncio.start_server(self._serve, host, port, ssl=self._context)
        # Answers are handed on as they are: compressed ones stay compressed.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=no_limit, auto_decompress=False
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and drop the connections."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        assert self._session is not None
        self._open.add(task)
        try:
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
                await _Connection(reader, writer, self._session, self._backend).run()
            else:
                await self._hand_through(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass  # the client left, or the endpoint is ending
        finally:
            self._open.discard(task)
            writer.close()

    async def _hand_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(*self._backend)
        ways = [asyncio.create_task(_pump(reader, back_writer)), asyncio.create_task(_pump(back_reader, writer))]
        try:
            # Either end closes: the other is closed too, as a cut stream is.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_READ):
        writer.write(data)
        await writer.drain()


@dataclass(slots=True)
class _Asked:
    """A request as far as it was read."""

    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)
    answer: asyncio.Task[None] | None = None


class _Connection:
    """One HTTP/2 connection: its requests side by side."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        session: aiohttp.ClientSession,
        backend: tuple[str, int],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._session = session
        self._origin = f"http://{backend[0]}:{backend[1]}"
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._asked: dict[int, _Asked] = {}
        self._room = asyncio.Event()
        """Set when the client takes more."""

    async def run(self) -> None:
        """Answer until the client leaves."""
        self._h2.initiate_connection()
        await self._flush()
        try:
            while data := await self._reader.read(_READ):
                try:
                    events = self._h2.receive_data(data)
                except ProtocolError:
                    await self._flush()  # it says which rule was broken
                    return
                for event in events:
                    if isinstance(event, ConnectionTerminated):
                        return
                    self._take(event)
                await self._flush()
        finally:
            answers = [each.answer for each in self._asked.values() if each.answer is not None]
            for answer in answers:
                answer.cancel()
            await asyncio.gather(*answers, return_exceptions=True)

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            headers = [(_text(name), _text(value)) for name, value in event.headers]
            self._asked[event.stream_id] = _Asked(headers)
        elif isinstance(event, DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if (asked := self._asked.get(event.stream_id)) is not None:
                asked.body += event.data
        elif isinstance(event, StreamEnded):
            if (asked := self._asked.get(event.stream_id)) is not None:
                asked.answer = asyncio.create_task(self._answer(event.stream_id, asked))
        elif isinstance(event, StreamReset):
            asked = self._asked.pop(event.stream_id, None)
            if asked is not None and asked.answer is not None:
                asked.answer.cancel()
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            self._room.set()

    async def _answer(self, stream: int, asked: _Asked) -> None:
        pseudo = {name: value for name, value in asked.headers if name.startswith(":")}
        headers = [(name, value) for name, value in asked.headers if not name.startswith(":") and name != "host"]
        headers.append(("host", pseudo.get(":authority", "")))
        try:
            async with self._session.request(
                pseudo[":method"],
                f"{self._origin}{pseudo[':path']}",
                headers=headers,
                data=bytes(asked.body),
                allow_redirects=False,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            ) as answer:
                told = [(name.lower(), value) for name, value in answer.headers.items()]
                told = [(name, value) for name, value in told if name not in _HOP_BY_HOP]
                self._h2.send_headers(stream, [(":status", str(answer.status)), *told])
                await self._flush()
                async for chunk in answer.content.iter_any():
                    await self._send(stream, chunk)
            self._h2.end_stream(stream)
        except aiohttp.ClientError:  # the endpoint cut its answer: so does this stream
            with contextlib.suppress(ProtocolError):
                self._h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
        except ProtocolError:
            return  # the client reset the stream at this moment
        self._asked.pop(stream, None)
        await self._flush()

    async def _send(self, stream: int, data: bytes) -> None:
        """Send data as fast as the client takes it."""
        while data:
            self._room.clear()
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if room <= 0:
                await self._room.wait()
                continue
            self._h2.send_data(stream, data[:room])
            data = data[room:]
            await self._flush()

    async def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._writer.write(data)
        await self._writer.drain()


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
