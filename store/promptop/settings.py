"""Settings: one TOML file, environment variables above it, the command line above both.

:func:`load` never raises for what a file says: each mistake becomes a :class:`Problem` with its line and remedy, the
default stands in for the value, and the app starts. Keys are never stored here: a profile names the environment
variable or the command that yields its key, and the key is read at the moment of use.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from promptop.errors import PromptopError

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in a settings file: where it stands, what is wrong, what to do."""

    path: Path
    line: int | None
    cause: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.cause}\n  → {self.remedy}"


@dataclass(frozen=True, slots=True)
class Profile:
    """An endpoint: where to send requests, where its key comes from, which models it is asked for."""

    name: str = ""
    base_url: str = OPENAI_URL
    """Address up to and with the version, for example ``http://127.0.0.1:8080/v1``."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key."""
    api_key_command: str = ""
    """Command whose first line of output is the key, for example ``pass show openai``."""
    models: tuple[str, ...] = ()
    """Models offered in the playground for this endpoint."""
    provider: str = ""
    """Provider's name in the log; taken from the host where it is empty."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Extra headers of each request. Not for keys: they would stand in this file."""
    timeout_s: float = 600.0
    """Seconds until a request that makes no progress is given up."""
    connect_timeout_s: float = 5.0
    """Seconds until a connection attempt is given up."""

    def api_key(self, environ: Mapping[str, str] | None = None) -> str:
        """Return the key, or an empty string if the profile names none; run ``api_key_command`` if there is one.

        Raises :class:`PromptopError` if the variable is not set or the command fails.
        """
        environ = os.environ if environ is None else environ
        if self.api_key_command:
            try:
                done = subprocess.run(
                    shlex.split(self.api_key_command), capture_output=True, text=True, timeout=30, check=True
                )
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                reason = type(error).__name__
                raise PromptopError(
                    f"The key command of profile {self.name!r} failed ({reason}).",
                    f"Run it by hand: {self.api_key_command}",
                ) from None
            lines = done.stdout.splitlines()
            return lines[0].strip() if lines else ""
        if self.api_key_env:
            key = environ.get(self.api_key_env, "")
            if not key:
                raise PromptopError(
                    f"Profile {self.name!r} takes its key from ${self.api_key_env}, which is not set.",
                    f"export {self.api_key_env}=… and start again, or set api_key_command in the profile.",
                )
            return key
        return ""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The request log."""

    path: str = ""
    """File of the log; empty: the data folder of the system (``promptop log path``)."""
    bodies: str = "off"
    """What is kept of prompts and answers: off, hash, redacted or full."""
    keep_days: int = 90
    """Rows older than this are pruned; rollups stay. 0 keeps everything."""
    max_mb: int = 2048
    """Rows are pruned, oldest first, when the log grows beyond this. 0 is no limit."""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The response cache, where a command or the playground uses it."""

    memory_mb: int = 64
    """Megabytes of answers kept in the process. 0 keeps none there."""
    redis: str = ""
    """Address of a Redis server shared by several processes, for example redis://127.0.0.1:6379/0."""
    redis_env: str = ""
    """Environment variable that holds the address instead, where it contains a password."""
    disk: bool = True
    """Keep answers in a file (mode 0600) beside the log as well."""
    disk_mb: int = 512
    """Largest size of that file, megabytes."""
    ttl_s: float = 86400.0
    """Seconds that an answer may be given again. 0 is for ever."""
    any_temperature: bool = False
    """Keep sampled answers too: a repeat is then no longer another sample."""
    normalize_whitespace: bool = False
    """Let prompts share an answer that differ only in runs of white space."""
    pace: str = "instant"
    """How a hit is streamed: instant or recorded."""


@dataclass(frozen=True, slots=True)
class EditorSettings:
    """The editor."""

    watch: tuple[str, ...] = ()
    """Models whose tokens and cost are shown while you type; empty: a list that is current at release."""
    output_tokens: int = 300
    """Expected output tokens of a call."""
    calls_per_day: int = 1000
    """Expected calls a day, where the log does not know better."""
    budget_tokens: int = 0
    """Token budget of a prompt; 0 shows no budget."""


@dataclass(frozen=True, slots=True)
class PlaygroundSettings:
    """The playground."""

    max_tokens: int = 512
    """Default limit of output tokens."""
    temperature: float = 1.0
    """Default temperature."""
    session_cap_usd: float = 1.0
    """Runs stop when a session has spent this much. 0 is no limit."""


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """The monitor."""

    window: str = "1h"
    """Window at start: 5m, 1h, 24h, 7d or 30d."""
    slo_latency_s: float = 10.0
    """Target for the 95th percentile of latency, seconds."""
    slo_ttft_s: float = 1.0
    """Target for the 95th percentile of time to first token, seconds."""
    slo_error_rate: float = 0.001
    """Target for the share of failed calls."""
    slo_cache_hits: float = 0.8
    """Target for the hit ratio of the response cache."""
    budget_usd_month: float = 0.0
    """Budget of a month in USD; 0 shows none."""
    alerts: tuple[str, ...] = ()
    """Rules that the open monitor judges: ``p95_ttft>2s over 15m``, ``burn>14.4 over 1h,5m`` (docs/monitor.md)."""
    alert_command: str = ""
    """Command that is run, with a sentence as its last argument, when an alert begins and when it ends."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. The text below each field is its manual."""

    profile: str = ""
    """Profile used at start; empty: the first one, or the one from the environment."""
    theme: str = "promptop-dark"
    """Theme: a file in themes/ or in the themes folder beside the settings file."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Key bindings: id = "key" (the palette's "keys: show" lists the ids)."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    log: LogSettings = field(default_factory=LogSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    editor: EditorSettings = field(default_factory=EditorSettings)
    playground: PlaygroundSettings = field(default_factory=PlaygroundSettings)
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    path: Path | None = None
    """The file that was read, or None."""
    problems: tuple[Problem, ...] = ()

    def active_profile(self) -> Profile:
        """Return the profile in use; with none configured, OpenAI with its key from ``OPENAI_API_KEY``."""
        if self.profile in self.profiles:
            return self.profiles[self.profile]
        for profile in self.profiles.values():
            return profile
        return Profile(name="openai", api_key_env="OPENAI_API_KEY")

    def log_path(self) -> Path:
        """Return the log file that is in use."""
        return Path(self.log.path).expanduser() if self.log.path else data_dir() / "log.db"


_DERIVED = {"path", "problems"}
_CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("log", "bodies"): ("off", "hash", "redacted", "full"),
    ("cache", "pace"): ("instant", "recorded"),
    ("monitor", "window"): ("5m", "1h", "24h", "7d", "30d"),
}


def config_dir() -> Path:
    """Return the folder of settings and themes (``PROMPTOP_CONFIG_DIR``, else the system's, XDG on Linux)."""
    return _folder("PROMPTOP_CONFIG_DIR", "user_config_path")


def data_dir() -> Path:
    """Return the folder of the log and the library (``PROMPTOP_DATA_DIR``, else the system's)."""
    return _folder("PROMPTOP_DATA_DIR", "user_data_path")


def state_dir() -> Path:
    """Return the folder of drafts and the app's own log (``PROMPTOP_STATE_DIR``, else the system's)."""
    return _folder("PROMPTOP_STATE_DIR", "user_state_path")


def _folder(variable: str, function: str) -> Path:
    chosen = os.environ.get(variable)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    found: Path = getattr(platformdirs, function)("promptop", appauthor=False)
    return found


def private_dir(path: Path) -> Path:
    """Create ``path`` with mode 0700 if it does not exist, and return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def config_path() -> Path:
    """Return the settings file, whether it exists or not."""
    return config_dir() / "config.toml"


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read settings; mistakes are in ``problems`` of the result.

    ``path`` is :func:`config_path` if not given. ``OPENAI_API_KEY`` or ``OPENAI_BASE_URL`` in ``environ`` make a
    profile ``env``, which is used at start unless the file chooses another.
    """
    environ = os.environ if environ is None else environ
    path = config_path() if path is None else path
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _with_environment(Settings(), environ)
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(path, None, f"cannot be read ({error})", "Check its permissions and that it is UTF-8.")
        return _with_environment(Settings(path=path, problems=(problem,)), environ)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines()) or None
        cause = str(error).split(" (at ")[0]
        problem = Problem(path, line, f"is not valid TOML: {cause}", "Mend that line; defaults are used until then.")
        return _with_environment(Settings(path=path, problems=(problem,)), environ)
    reader = _Reader(path, text)
    settings = reader.settings(table)
    if settings.profile and settings.profile not in settings.profiles and settings.profile != "env":
        names = ", ".join(settings.profiles) or "none"
        reader.note(("profile",), f"there is no profile {settings.profile!r}", f"Profiles in this file: {names}.")
    return _with_environment(replace(settings, path=path, problems=tuple(reader.problems)), environ)


def _with_environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    if not (environ.get("OPENAI_API_KEY") or environ.get("OPENAI_BASE_URL")):
        return settings
    profile = Profile(
        name="env",
        base_url=environ.get("OPENAI_BASE_URL") or OPENAI_URL,
        api_key_env="OPENAI_API_KEY" if environ.get("OPENAI_API_KEY") else "",
    )
    profiles = {**settings.profiles, "env": profile} if "env" not in settings.profiles else dict(settings.profiles)
    return replace(settings, profiles=profiles, profile=settings.profile or "env")


class _Reader:
    """Turns a parsed TOML table into dataclasses, collecting problems with their lines."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()
        self.problems: list[Problem] = []

    def settings(self, table: dict[str, Any]) -> Settings:
        read: Settings = self._record(Settings, table, ())
        return read

    def note(self, place: tuple[str, ...], cause: str, remedy: str) -> None:
        self.problems.append(Problem(self.path, self._line_of(place), cause, remedy))

    def _line_of(self, place: tuple[str, ...]) -> int | None:
        """Find the line of a key below its table's header; None if it is written in another form."""
        header, key = ".".join(place[:-1]), place[-1]
        inside = ""
        for number, line in enumerate(self.lines, 1):
            if found := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
                inside = found[1].replace('"', "")
                if inside == ".".join(place):
                    return number
            elif inside == header and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return None

    def _record(self, kind: type[Any], table: dict[str, Any], place: tuple[str, ...]) -> Any:
        hints = typing.get_type_hints(kind)
        known = {
            f.name: f for f in fields(kind) if f.name not in _DERIVED and (kind is not Profile or f.name != "name")
        }
        values: dict[str, Any] = {}
        for key, value in table.items():
            here = (*place, key)
            if key not in known:
                near = _nearest(key, known)
                hint = f"Did you mean {near!r}?" if near else f"Known here: {', '.join(known)}."
                self.note(here, f"unknown setting {key!r}", hint)
                continue
            read, ok = self._value(hints[key], value, here)
            if ok:
                values[key] = read
            else:
                default = known[key].default
                shown = "the default" if default is MISSING else repr(default)
                self.note(here, f"{key!r} cannot be {value!r}", f"{_wanted(hints[key], place, key)}; {shown} is used.")
        if kind is Profile:
            values["name"] = place[-1]
        return kind(**values)

    def _value(self, hint: Any, value: Any, place: tuple[str, ...]) -> tuple[Any, bool]:
        if is_dataclass(hint) and isinstance(hint, type):
            return (self._record(hint, value, place), True) if isinstance(value, dict) else (None, False)
        origin = typing.get_origin(hint)
        if origin is tuple:
            ok = isinstance(value, list) and all(isinstance(item, str) for item in value)
            return (tuple(value) if ok else None), ok
        if origin is not None and not isinstance(hint, types.UnionType):
            return self._mapping(typing.get_args(hint)[1], value, place)
        if hint is float:
            ok = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
            return (float(value) if ok else None), ok
        if hint is bool:
            return value, isinstance(value, bool)
        if hint is int:
            return value, isinstance(value, int) and not isinstance(value, bool) and value >= 0
        choices = _CHOICES.get((place[-2] if len(place) > 1 else "", place[-1]))
        return value, isinstance(value, hint) and (choices is None or value in choices)

    def _mapping(self, hint: Any, value: Any, place: tuple[str, ...]) -> tuple[Any, bool]:
        if not isinstance(value, dict):
            return None, False
        out = {}
        for key, item in value.items():
            read, ok = self._value(hint, item, (*place, key))
            if not ok:
                self.note((*place, key), f"{key!r} cannot be {item!r}", _wanted(hint, place, key) + "; it is left out.")
                continue
            out[key] = read
        return out, True


def _wanted(hint: Any, place: tuple[str, ...], key: str) -> str:
    choices = _CHOICES.get((place[-1] if place else "", key))
    if choices:
        return "Write one of " + ", ".join(choices)
    if is_dataclass(hint):
        return "Write a table"
    origin = typing.get_origin(hint)
    if origin is tuple:
        return "Write a list of strings"
    if origin is not None:
        return "Write a table"
    return {
        str: "Write a string",
        int: "Write a whole number ≥ 0",
        float: "Write a number ≥ 0",
        bool: "Write true or false",
    }.get(hint, "Check it")


def _nearest(key: str, known: Mapping[str, object]) -> str:
    import difflib

    found = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return found[0] if found else ""
