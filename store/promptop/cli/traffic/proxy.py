"""Log the calls of any program: a reverse proxy in front of an endpoint. Keys pass through and are never stored."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from promptop import settings as room
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.cache import redis_url
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, group, option
from promptop.cli.shared.conversation import check_rounds, context_options, shortened
from promptop.cli.shared.options import settings_of, settings_options
from promptop.routing.policy import policy_of

if TYPE_CHECKING:
    from promptop.limits.limiter import RateLimits as Rates
    from promptop.log.write.pending import Bodies
    from promptop.proxy.server_process import Options
    from promptop.proxy.upstreams import Upstream
    from promptop.settings import CacheSettings

TOKEN_VARIABLE = "PROMPTOP_PROXY_TOKEN"
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


EXAMPLES = (
    "promptop proxy",
    "promptop proxy --upstream https://api.openai.com/v1 --cache",
    "promptop proxy --upstream local=http://127.0.0.1:8080/v1 --listen 127.0.0.1:9000",
)


def parameters() -> Parameters:
    """Declare the options of the proxy."""
    return [
        option(
            "--upstream",
            many=True,
            metavar="[NAME=]URL",
            help="where requests go; with a name, those under /NAME/ (repeatable; default: the active "
            "profile's endpoint)",
        ),
        option("--listen", default="127.0.0.1:8787", metavar="HOST:PORT", help="address to serve (127.0.0.1:8787)"),
        option(
            "--allow",
            many=True,
            metavar="HOST",
            help="host that a request may name itself as /to/HOST/…; *.HOST for all below it (repeatable)",
        ),
        option(
            "--host-name",
            many=True,
            metavar="NAME",
            help="name besides localhost under which requests may reach the proxy, and whose pages may (repeatable)",
        ),
        option(
            "--http2",
            many=True,
            metavar="NAME",
            help="offer HTTP/2 to this upstream ('default' for the one without a name; repeatable)",
        ),
        flag("--cache", help="answer repeated calls from the response cache ([cache] of the settings)"),
        flag(
            "--route",
            help="send requests to the models that [routing] of the settings names (also where it is on there)",
        ),
        *context_options(),
        option("--concurrency", type=int, metavar="N", help="calls at a time for each upstream and model"),
        option("--rpm", type=int, metavar="N", help="requests a minute for each upstream and model"),
        option("--tpm", type=int, metavar="N", help="tokens a minute for each upstream and model"),
        option("--token-file", type=Path, metavar="FILE", help=f"access token (else ${TOKEN_VARIABLE})"),
        option("--max-body", default="1g", metavar="SIZE", help="largest request body (1g)"),
        option("--grace", type=float, default=30.0, metavar="S", help="seconds for calls to finish at the end"),
        option("--workers", type=int, default=1, metavar="N", help="processes on the one port (1)"),
        option(
            "--metric-tag",
            many=True,
            metavar="KEY",
            help="make this key of the callers' tags a label of /metrics (repeatable; 20 values each, then 'other')",
        ),
        option(
            "--loop", default="auto", choices=("auto", "uvloop", "asyncio"), help="event loop (uvloop where installed)"
        ),
        *log_options(),
    ]


def log_options() -> Parameters:
    """Declare what ``proxy`` and ``watch`` share."""
    return group(
        "Log",
        *settings_options(),
        option("--bodies", choices=("off", "hash", "redacted", "full"), help="what is kept of prompts (settings)"),
        option("--app", metavar="NAME", help="name of the calling program in the log"),
        flag(
            "--no-include-usage",
            "include_usage",
            default=True,
            help="do not ask streams for their usage on the program's behalf",
        ),
    )


def run(args: ParsedArguments) -> int:
    """Serve until a signal."""
    try:
        from promptop.proxy.server_process import serve
    except ImportError as error:
        raise PromptopError(f"The proxy needs {error.name}.", "pip install promptop") from None
    options = options_of(args)

    def ready(port: int) -> None:
        host = f"[{options.host}]" if ":" in options.host else options.host
        here = f"http://{host}:{port}"
        for upstream in options.upstreams:
            prefix = f"/{upstream.name}" if upstream.name else ""
            print(f"promptop proxy: {here}{prefix} → {clean_line(upstream.url)}")
        first = options.upstreams[0]
        base = here + (f"/{first.name}" if first.name else "") + first.base_path
        print(
            f"  export OPENAI_BASE_URL={clean_line(base)}    log: {clean_line(str(options.log_path))}    Ctrl-C ends it"
        )
        if options.rates is not None:
            rates = options.rates
            said = [f"{rates.concurrency} at a time"] * (rates.concurrency is not None)
            said += [f"{rates.requests_per_minute} requests a minute"] * (rates.requests_per_minute is not None)
            said += [f"{rates.tokens_per_minute} tokens a minute"] * (rates.tokens_per_minute is not None)
            print(f"  each model of an upstream may be sent {', '.join(said)}; more wait, in turns")
        if options.cache is not None:
            print(f"  repeated calls are answered from the cache: {_levels(options.cache)}")
        if options.shorten is not None:
            print(
                tr(
                    "  of conversations the last {rounds} rounds and the pending turn are sent; those before: {older}",
                    rounds=args.rounds,
                    older=tr(args.context),
                )
            )
        if options.routing is not None:
            print("  requests are routed; their rows say from which model and by which rule:")
            for rule in options.routing.rules:
                print(f"    {clean_line(str(rule))}")
        sys.stdout.flush()

    return serve(options, ready)


def options_of(args: ParsedArguments) -> Options:
    """Return what the command line and the settings say; raise :class:`UsageError` for what is not valid."""
    from promptop.proxy.http.limits import ProxyLimits
    from promptop.proxy.server_process import Options

    settings = settings_of(args, sends=True)
    check_rounds(args)
    if args.cache:
        redis_url(settings.cache)  # a variable that is not set is said before anything listens
    host, port = listen_address(args.listen)
    if args.workers < 1:
        raise UsageError("--workers must be 1 or more.", "Leave it out for one process.")
    rates = _rates(args)
    if rates is not None and args.workers > 1 and not redis_url(settings.cache):
        raise UsageError(
            "Several workers keep limits together through Redis, and none is named.",
            "Set redis in [cache], or leave --workers out.",
        )
    if args.grace < 0:
        raise UsageError("--grace must not be negative.", "Give seconds.")
    return Options(
        upstreams=_upstreams(args.upstream, args.http2, settings),
        host=host,
        port=port,
        allow=tuple(args.allow),
        host_names=tuple(args.host_name),
        token=access_token(args.token_file),
        log_path=settings.log_path(),
        bodies=bodies_of(args, settings),
        fleet=settings.fleet,
        app=args.app,
        metric_tags=tuple(args.metric_tag),
        include_usage=args.include_usage,
        cache=settings.cache if args.cache else None,
        routing=policy_of(settings) if args.route or settings.routing.on else None,
        shorten=partial(shortened, keep=args.rounds, older=args.context) if args.rounds is not None else None,
        rates=rates,
        rates_redis=redis_url(settings.cache) if rates is not None else "",
        rates_prefix=settings.cache.redis_prefix,
        limits=replace(ProxyLimits(), body_bytes=_size(args.max_body), grace_s=args.grace),
        workers=args.workers,
        loop=args.loop,
    )


def _rates(args: ParsedArguments) -> Rates | None:
    """Return the limits that were asked for; None if there are none."""
    for name in ("concurrency", "rpm", "tpm"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value} is not valid.", "Write a number above 0.")
    if args.concurrency is args.rpm is args.tpm is None:
        return None
    from promptop.limits.limiter import RateLimits as Rates

    return Rates(args.concurrency, args.rpm, args.tpm)


def _levels(cache: CacheSettings) -> str:
    """Say where answers are kept, without the server's address, which may hold a password."""
    kept = {"memory": cache.memory_mb, "Redis": cache.redis or cache.redis_env, "disk": cache.disk}
    return ", ".join(name for name, used in kept.items() if used) or "no level is configured"


def bodies_of(args: ParsedArguments, settings: room.Settings) -> Bodies:
    """Return what is kept of prompts: the command line's word, else the settings'."""
    mode: Bodies = args.bodies or cast("Bodies", settings.log.bodies)
    return mode


def listen_address(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` or ``PORT``; no host means loopback."""
    found = re.match(r"(?:\[([0-9a-fA-F:.%]+)\]:|([^:\[\]]*):)?(\d{1,5})\Z", text.strip())
    if not found or int(found[3]) > 65535:
        raise UsageError(f"{text!r} is not an address to listen on.", "Write 127.0.0.1:8787, [::1]:8787 or 8787.")
    return found[1] or found[2] or "127.0.0.1", int(found[3])


def _upstreams(given: list[str], http2: list[str], settings: room.Settings) -> list[Upstream]:
    from promptop.proxy.upstreams import parse

    upstreams = [parse(text) for text in given] or [parse(settings.active_profile().base_url)]
    names = {upstream.name or "default" for upstream in upstreams}
    for name in http2:
        if name not in names:
            raise UsageError(f"--http2 names no upstream: {name!r}.", f"Upstreams here: {', '.join(sorted(names))}.")
    return [replace(upstream, http2=(upstream.name or "default") in http2) for upstream in upstreams]


def access_token(file: Path | None) -> str | None:
    """Return the token that clients must send, from a private file or the variable; None if there is none."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        open_to = file.stat().st_mode & 0o077
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PromptopError(f"The token file cannot be read: {file}.", str(getattr(error, "strerror", error))) from None
    if open_to and os.name == "posix":
        raise UsageError(f"Others may read the token file {file}.", f"Close it to them: chmod 600 {file}")
    if not token:
        raise UsageError(f"The token file is empty: {file}.", "Put one line with the token into it.")
    return token


def _size(text: str) -> int:
    found = re.match(r"(\d+)\s*([kmg]?)i?b?\Z", text.strip().lower())
    if not found:
        raise UsageError(f"{text!r} is not a size.", "Write bytes, or 100m, or 2g.")
    return int(found[1]) * _UNITS[found[2]]
