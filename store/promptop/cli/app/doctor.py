"""Check what promptop needs: settings, keys, the endpoint and its models, the log, the clock, this terminal.

It asks the endpoint in use for its list of models, with its key and without any prompt; --offline asks nothing. While
the settings have a mistake nothing is asked. Keys are never printed.

Exit codes: 0 fine, perhaps with a warning, 1 something does not work, 2 usage error.
"""

from __future__ import annotations

import email.utils
import json
import os
import shutil
import sqlite3
import sys
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptop import settings as settings_room
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.base.terminal import painter, write_styled
from promptop.base.toml.records import nearest
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option
from promptop.cli.shared.options import settings_options
from promptop.settings import Profile, Settings

if TYPE_CHECKING:
    import httpx2

GOOD, WARNING, BAD, SKIPPED = "good", "warning", "bad", "skipped"
_SIGNS = {GOOD: "✓", WARNING: "!", BAD: "✗", SKIPPED: "–"}
MOST_SKEW_S = 30.0
"""Difference to the endpoint's clock from which on windows of the log and caps of a day would be off."""
LOW_ON_ROOM = 200_000_000
"""Free bytes in the log's folder below which it is worth a word."""


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """What one check came to."""

    check: str
    state: str
    """``good``, ``warning``, ``bad`` or ``skipped``."""
    text: str
    remedy: str = ""


EXAMPLES = (
    "promptop doctor",
    "promptop doctor --offline --json",
)


def parameters() -> Parameters:
    """Declare the options."""
    return [
        flag("--offline", help="do not ask the endpoint"),
        option("--timeout", type=float, default=10.0, metavar="S", help="seconds for its answer (default 10)"),
        flag("--json", help="print a JSON list"),
        *settings_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Print the findings; 1 if one of them is bad."""
    if not 0 < args.timeout <= 600:
        raise UsageError("--timeout goes up to 600 seconds.", "Leave it out for 10.")
    found: list[DoctorFinding] = []
    for each in _findings(args):
        found.append(each)
        if not args.json:
            style = {GOOD: "good", WARNING: "warning", BAD: "bad", SKIPPED: "quiet"}[each.state]
            sign = painter(sys.stdout)(_SIGNS[each.state], style)
            write_styled(sys.stdout, f"{sign} {clean_line(f'{each.check:<9} {each.text}', 400)}\n")
            if each.remedy:
                print(clean_line(f"  → {each.remedy}"))
            sys.stdout.flush()
    if args.json:
        print(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=1))
    return 1 if any(each.state == BAD for each in found) else 0


def _findings(args: ParsedArguments) -> Iterator[DoctorFinding]:
    settings = settings_room.load(args.config)
    if args.log is not None:
        settings = replace(settings, log=replace(settings.log, path=str(args.log)))
    if args.config is not None and not args.config.exists():
        yield DoctorFinding("settings", BAD, f"there is no file {args.config}", "promptop config init creates one.")
    else:
        yield from _settings(settings)
    if args.profile is not None and args.profile not in settings.profiles:
        near = nearest(args.profile, settings.profiles)
        hint = f"Did you mean {near}?" if near else f"Profiles: {', '.join(settings.profiles) or 'none'}."
        yield DoctorFinding("endpoint", BAD, f"there is no profile {args.profile!r}", hint)
    else:
        if args.profile is not None:
            settings = replace(settings, profile=args.profile)
        yield from _endpoint(settings, offline=args.offline, timeout_s=args.timeout)
    yield from _log(settings.log_path())
    yield from _terminal()


def _settings(settings: Settings) -> Iterator[DoctorFinding]:
    for problem in settings.problems:
        yield DoctorFinding("settings", BAD, f"{problem.place}: {problem.cause}", problem.remedy)
    if not settings.problems:
        path = settings.path
        said = str(path) if path is not None else f"no file at {settings_room.config_path()}: defaults, environment"
        yield DoctorFinding("settings", GOOD, said)


def _endpoint(settings: Settings, *, offline: bool, timeout_s: float) -> Iterator[DoctorFinding]:
    active = settings.active_profile()
    key = None
    for profile in settings.profiles.values() or [active]:
        is_active = profile.name == active.name
        # A command may ask a password manager: only the endpoint in use is worth that.
        finding, found = _key(profile, run_command=is_active and not settings.problems)
        if not is_active and finding.state == BAD:
            finding = replace(finding, state=WARNING)
        key = found if is_active else key
        yield finding
    where = f"{active.name} {_without_password(active.base_url)}"
    if settings.problems:
        yield DoctorFinding("endpoint", SKIPPED, f"{where}: not asked while the settings have a mistake")
        return
    if offline or key is None:
        yield DoctorFinding("endpoint", SKIPPED, f"{where}: not asked" + ("" if offline else " without its key"))
        return
    yield from _asked(active, where, key, timeout_s)


def _key(profile: Profile, *, run_command: bool) -> tuple[DoctorFinding, str | None]:
    """Return what is known of a profile's key, and the key; None where it cannot be had or was not asked for."""
    name = profile.name
    if profile.api_key_command and not run_command:
        return DoctorFinding("key", GOOD, f"{name}: from a command, which is run when it is used"), None
    if not profile.api_key_command and not profile.api_key_env:
        return DoctorFinding("key", GOOD, f"{name}: no key is sent"), ""
    try:
        key = profile.api_key()
    except PromptopError as error:
        return DoctorFinding("key", BAD, error.cause, error.remedy), None
    source = "its command" if profile.api_key_command else f"${profile.api_key_env}"
    if not key:
        return DoctorFinding("key", BAD, f"{name}: {source} gives nothing", "Run it by hand."), None
    if key != key.strip() or any(ord(char) < 33 or ord(char) > 126 for char in key):
        said = f"{name}: the key from {source} has blanks or characters that no header carries"
        return DoctorFinding("key", BAD, said, "Copy it again, without quotes and line breaks."), None
    return DoctorFinding("key", GOOD, f"{name}: present, from {source}"), key


def _asked(profile: Profile, where: str, key: str, timeout_s: float) -> Iterator[DoctorFinding]:
    """Ask for the models, and judge what comes: reachable, key taken, models there, clocks alike."""
    import httpx2

    from promptop.client.http.endpoints import base_url_of, headers_of

    began_s = time.time()
    try:
        with httpx2.Client(timeout=timeout_s, follow_redirects=False) as client:
            answer = client.get(f"{base_url_of(profile)}/models", headers=headers_of(profile, key))
    except (httpx2.HTTPError, OSError, ValueError) as error:
        cause = clean_line(str(error) or type(error).__name__, 160)
        remedy = "Is the server running, and the address right? A proxy of the environment is used where one is set."
        yield DoctorFinding("endpoint", BAD, f"{where}: nothing answers ({cause})", remedy)
        return
    took_s = time.time() - began_s
    status = answer.status_code
    if status in (401, 403):
        yield DoctorFinding(
            "endpoint", BAD, f"{where}: it refuses the key ({status})", "Check the key and its permissions."
        )
    elif 300 <= status < 400:
        to = clean_line(answer.headers.get("location", "?"), 100)
        yield DoctorFinding("endpoint", BAD, f"{where}: it redirects to {to}", "Write that address as base_url.")
    elif status >= 500:
        yield DoctorFinding("endpoint", BAD, f"{where}: it answers {status}", "Look at the server, or try again later.")
    else:
        yield DoctorFinding("endpoint", GOOD, f"{where}: answers in {took_s * 1000:.0f} ms")
    if status < 300:
        yield _models(profile, answer)
    elif status in (404, 405):
        yield DoctorFinding("models", WARNING, "it lists none; its models are known by the settings alone")
    yield _clock(answer, (began_s + time.time()) / 2)


def _models(profile: Profile, answer: httpx2.Response) -> DoctorFinding:
    try:
        listed = answer.json()
        rows: Any = listed.get("data", listed.get("models")) if isinstance(listed, dict) else listed
        names = {str(row.get("id") or row.get("name")) for row in rows or () if isinstance(row, dict)}
    except (ValueError, TypeError):
        kind = clean_line(answer.headers.get("content-type", "no content type"), 60)
        remedy = "base_url usually ends with /v1; a page in HTML is a web server's, not an API's."
        return DoctorFinding("models", BAD, f"what it lists is not JSON of models but {kind}", remedy)
    missing = [name for name in profile.models if name not in names]
    if missing and names:
        near = nearest(missing[0], names)
        some = f"Did you mean {near}?" if near else f"It has {', '.join(sorted(names)[:5])}."
        return DoctorFinding(
            "models", WARNING, f"{len(names)} listed, and {', '.join(missing[:3])} is not among them", some
        )
    return DoctorFinding("models", GOOD if names else WARNING, f"{len(names)} listed" if names else "none is loaded")


def _clock(answer: httpx2.Response, now_s: float) -> DoctorFinding:
    try:
        theirs = email.utils.parsedate_to_datetime(answer.headers.get("date", ""))
        skew_s = now_s - theirs.timestamp()
    except (ValueError, TypeError):
        return DoctorFinding("clock", SKIPPED, "the endpoint says no time to compare with")
    if abs(skew_s) > MOST_SKEW_S:
        way = "ahead of" if skew_s > 0 else "behind"
        remedy = "Set the time (NTP): windows of the log and the cap of the day go by this clock."
        return DoctorFinding("clock", WARNING, f"{abs(skew_s):,.0f} s {way} the endpoint's", remedy)
    return DoctorFinding("clock", GOOD, "within a few seconds of the endpoint's")


def _log(path: Path) -> Iterator[DoctorFinding]:
    """Judge the log: a file of ours that can be written, or a folder where one can be begun; room; rows of tomorrow."""
    from promptop.log.read.status import status_of

    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if path.is_dir():
        yield DoctorFinding("log", BAD, f"{path} is a folder", "Name a file in [log] path.")
        return
    if not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        yield DoctorFinding("log", BAD, f"{path} cannot be written", "Check its permissions, or set [log] path.")
        return
    said = f"{path} is begun with the first call"
    if path.exists():
        try:
            status: dict[str, Any] = status_of(path)
        except (PromptopError, sqlite3.Error) as error:
            cause = error.cause if isinstance(error, PromptopError) else str(error)
            yield DoctorFinding("log", BAD, f"{path}: {cause}", "Move it away; a new one is begun.")
            return
        said = f"{path}: {status['rows']:,} rows, writable"
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + MOST_SKEW_S))
        if (status["last"] or "") > now:
            yield DoctorFinding(
                "clock", WARNING, f"the log has rows of the future ({status['last']})", "Is the time right?"
            )
    free = shutil.disk_usage(folder).free
    if free < LOW_ON_ROOM:
        yield DoctorFinding("log", WARNING, f"{said}; {free / 1e6:,.0f} MB are free", "Make room, or set [log] max_mb.")
    else:
        yield DoctorFinding("log", GOOD, said)


def _terminal() -> Iterator[DoctorFinding]:
    term = os.environ.get("TERM", "")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        yield DoctorFinding("terminal", SKIPPED, "this is not a terminal: the commands work, the app needs one")
        return
    size = shutil.get_terminal_size()
    colours = "true colour" if os.environ.get("COLORTERM") in ("truecolor", "24bit") else "256 colours or fewer"
    inside = " in tmux" if os.environ.get("TMUX") else " in screen" if term.startswith("screen") else ""
    said = f"{term or 'unknown'}{inside}, {size.columns} × {size.lines}, {colours}, {sys.stdout.encoding}"
    if term in ("", "dumb"):
        yield DoctorFinding("terminal", BAD, said, "Set TERM to what it is: xterm-256color for most.")
    elif (sys.stdout.encoding or "").lower().replace("-", "") != "utf8":
        yield DoctorFinding("terminal", WARNING, said, "Use a UTF-8 locale: export LC_ALL=C.UTF-8.")
    elif size.columns < 80 or size.lines < 24:
        yield DoctorFinding("terminal", WARNING, said, "From 80 × 24 on everything is shown.")
    elif "256" in colours:
        remedy = "Themes are drawn with the nearest colours. If it can more: export COLORTERM=truecolor."
        yield DoctorFinding("terminal", WARNING, said, remedy if not inside else f"{remedy} tmux also needs RGB set.")
    else:
        yield DoctorFinding("terminal", GOOD, said)


def _without_password(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
