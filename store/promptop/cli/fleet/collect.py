"""Log the calls of programs that OpenTelemetry already instruments (OTLP over HTTP, port 4318)."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import sys
from pathlib import Path
from typing import cast

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.declare import Parameters, ParsedArguments, option
from promptop.cli.shared.options import settings_of, settings_options
from promptop.cli.traffic.proxy import TOKEN_VARIABLE, access_token, listen_address
from promptop.log.write.pending import Bodies

EXAMPLES = (
    "promptop collect",
    "promptop collect --listen 127.0.0.1:4320",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        *settings_options(),
        option("--listen", default="127.0.0.1:4318", metavar="HOST:PORT", help="address to serve (127.0.0.1:4318)"),
        option(
            "--host-name",
            many=True,
            metavar="NAME",
            help="name besides localhost under which requests may reach this (repeatable)",
        ),
        option(
            "--token-file",
            type=Path,
            metavar="FILE",
            help=f"bearer token (else ${TOKEN_VARIABLE}); needed off loopback",
        ),
        option(
            "--bodies",
            default="off",
            choices=("off", "redacted", "full"),
            help="what is kept of prompts and answers that programs send (off)",
        ),
    ]


def run(args: ParsedArguments) -> int:
    """Serve until a signal."""
    from promptop.fleet.otlp import messages
    from promptop.fleet.otlp.receiver import Receiver, serve
    from promptop.proxy.http.hosts import Hosts
    from promptop.proxy.upstreams import RefusedError

    settings = settings_of(args)
    host, port = listen_address(args.listen)
    token = access_token(args.token_file)
    if token is None and not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, and no token is set.",
            f"Name a --token-file, or set ${TOKEN_VARIABLE}.",
        )
    messages.require_protobuf()
    hosts = Hosts((host, *args.host_name), checked=token is None)

    def admit(named: str | None, origin: str | None) -> str:
        try:
            hosts.admit(named, origin)
        except RefusedError as error:
            return f"{error.cause} {error.remedy}".replace("start the proxy", "start promptop collect")
        return ""

    def ready(bound: int) -> None:
        where = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
        print(f"promptop collect: {where} → {clean_line(str(settings.log_path()))}    Ctrl-C ends it")
        print(f"  export OTEL_EXPORTER_OTLP_ENDPOINT={where} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", flush=True)

    async def main() -> Receiver:
        receiver = Receiver(settings.log_path(), admit=admit, token=token, bodies=cast("Bodies", args.bodies))
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            await serve(receiver, host, port, ready, stop)
        finally:
            receiver.close()
        return receiver

    received = asyncio.run(main()).received
    print(
        f"promptop collect: {received.rows:,} calls from {received.spans:,} spans and {received.events:,} events"
        f" ({received.known:,} had come before); {received.metrics:,} metrics make no rows"
    )
    if received.last_error:
        print(f"promptop collect: {clean_line(received.last_error)}", file=sys.stderr)
        raise PromptopError("The latest request was not written.", "Its sender tries again while it runs.")
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
