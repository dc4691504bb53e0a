"""Rank endpoints by network distance: connect, TLS and first byte, the median of a few tries.

It sends GET /models without a key: this costs nothing, and a refusal counts as an answer. It measures the way to an
endpoint, not its models; promptop bench does that.

Exit codes: 0 at least one answered, 1 none did, 2 usage error, 130 Ctrl-C.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.parse
from collections.abc import Sequence

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.base.text_table import aligned
from promptop.base.toml.records import nearest
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.call_options import INTERRUPTED
from promptop.cli.shared.options import settings_of, settings_options
from promptop.client.http.probe import MOST_TRIES, Probed, probe, ranked
from promptop.settings import Settings

MOST_ENDPOINTS = 100


EXAMPLES = (
    "promptop probe",
    "promptop probe openai -n 10",
)


def parameters() -> Parameters:
    """Return the options of the command."""
    return [
        argument(
            "endpoints",
            many=True,
            required=False,
            metavar="NAME|URL",
            help="profiles or base URLs (default: all profiles)",
        ),
        option("-n", "--tries", type=int, default=5, metavar="N", help="connections to each (default 5)"),
        option("--timeout", type=float, default=5.0, metavar="S", help="seconds for a try (default 5)"),
        flag("--json", help="the figures as JSON"),
        *settings_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Probe and return the exit code."""
    if not 1 <= args.tries <= MOST_TRIES or not 0 < args.timeout <= 60:
        raise UsageError(f"--tries goes from 1 to {MOST_TRIES}, --timeout up to 60.", "Leave them out for 5 and 5.")
    targets = _targets(args.endpoints, settings_of(args, sends=True))
    interrupted = not asyncio.run(_until_interrupted(targets, args))
    found = ranked(targets)
    if args.json:
        print(json.dumps([each.to_json() for each in found], ensure_ascii=False, indent=2))
    else:
        for line in table(found):
            print(line)
        for each in found:
            if error := each.to_json()["error"]:
                print(f"{clean_line(each.name)}: {clean_line(error)}", file=sys.stderr)
    return INTERRUPTED if interrupted else 0 if any(each.answered for each in found) else 1


async def _until_interrupted(targets: Sequence[Probed], args: ParsedArguments) -> bool:
    """Probe; return whether it came to its end before Ctrl-C."""
    shown = not args.json and sys.stderr.isatty()
    size = len(targets) * args.tries

    def on_try() -> None:
        if shown:
            ended = sum(len(target.tries) for target in targets)
            print(f"\r{ended}/{size} tries", end="", file=sys.stderr, flush=True)

    task = asyncio.create_task(probe(targets, tries=args.tries, timeout_s=args.timeout, on_try=on_try))
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return False
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return True


def _targets(named: Sequence[str], settings: Settings) -> list[Probed]:
    """Return what to probe; raise :class:`UsageError` for what is neither a profile nor a URL."""
    found = []
    for name in named or settings.profiles:
        if name in settings.profiles:
            profile = settings.profiles[name]
            urls = list(dict.fromkeys((profile.base_url, *profile.endpoints)))
            for url in urls:
                host = urllib.parse.urlsplit(_address(url)).netloc
                found.append(Probed(f"{name} {host}" if len(urls) > 1 else name, _address(url)))
        elif name.startswith(("http://", "https://")):
            found.append(Probed(_address(name), _address(name)))
        else:
            known = ", ".join(settings.profiles) or "none"
            near = nearest(name, settings.profiles)
            hint = f"Did you mean {near!r}? " if near else ""
            raise UsageError(f"{clean_line(name)!r} is neither a profile nor a URL.", f"{hint}Profiles: {known}.")
    if not found:
        raise UsageError("There is no endpoint to probe.", "Write URLs, or profiles into the settings.")
    if len(found) > MOST_ENDPOINTS:
        raise UsageError(f"{len(found)} endpoints are too many.", f"Probe at most {MOST_ENDPOINTS} at once.")
    return found


def _address(url: str) -> str:
    """Return a URL without what may be secret in it: user, password, query."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise UsageError("A URL names no host or no valid port.", "Write http(s)://HOST[:PORT]/v1.")
    place = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{place}{f':{port}' if port else ''}{parts.path}"


_TIMES = (
    ("DNS", "dns_s"),
    ("connect", "connect_s"),
    ("TLS", "tls_s"),
    ("first byte", "first_byte_s"),
    ("kept open", "kept_s"),
)


def table(found: Sequence[Probed]) -> list[str]:
    """Return the ranking as lines of text, medians over n tries; a stage that no endpoint had has no column."""
    values = [each.to_json() for each in found]
    stages = [(title, key) for title, key in _TIMES if any(shape[key] is not None for shape in values)]
    rows = [["", "endpoint", "n", *(title for title, _ in stages), "answer"]]
    for place, (each, shape) in enumerate(zip(found, values, strict=True), 1):
        times = [units.seconds(shape[key]) for _, key in stages]
        answer = f"{shape['status']} {shape['http_version']}" if each.answered else "none"
        rank = f"{place}." if each.answered else ""
        rows.append([rank, clean_line(each.name, 50), f"{len(each.answered)}/{len(each.tries)}", *times, answer])
    return aligned(rows, left=(1, 3 + len(stages)))
