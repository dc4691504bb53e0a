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
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from promptop.base.errors import PromptopError
from promptop.base.toml_records import Problem, RecordReader

OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"
ANTHROPIC = "anthropic"
"""Name of the profile that ``ANTHROPIC_API_KEY`` makes."""


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
    api: str = "chat"
    """What it speaks: ``chat`` (OpenAI's Chat Completions), ``responses`` (OpenAI's Responses API) or ``anthropic``."""
    endpoints: tuple[str, ...] = ()
    """Further base URLs that serve the same models; calls are shared out among them and ``base_url``."""
    api_key_envs: tuple[str, ...] = ()
    """Further environment variables that hold a key; each key goes to each endpoint of the profile."""
    balance: str = "round-robin"
    """How calls are shared out: ``round-robin``, or ``least-latency`` by the time to the first token."""
    eject_s: float = 30.0
    """Seconds that an endpoint or key that failed gets no calls; twice as long each time that it fails again."""
    keep_alive: int = 20
    """Idle connections that are kept open for each endpoint."""
    keep_alive_s: float = 30.0
    """Seconds until an idle connection is closed; the SDK's own 5 make most interactive calls pay for TLS."""
    max_connections: int = 100
    """Connections to an endpoint at most; further calls wait for one. 0 is no limit."""
    http2: bool = True
    """Use HTTP/2 where the endpoint speaks it."""
    gzip_requests: bool = False
    """Compress request bodies of 1 KiB and more; only for an endpoint that is known to take that."""

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
    redis_prefix: str = "promptop:"
    """What our keys in that server begin with; another prefix is another cache, and other limits."""
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
    semantic: str = "off"
    """Answer what asks the same in other words: off, local (extra ``semantic``) or endpoint (its /embeddings)."""
    semantic_threshold: float = 0.0
    """Similarity from which two prompts may ask the same, 0 … 1; 0 is the model's own (local 0.93, endpoint 0.85)."""
    semantic_model: str = "text-embedding-3-small"
    """Model that the endpoint is asked for vectors of."""
    semantic_entries: int = 2000
    """Most prompts that are remembered."""
    semantic_keep: str = "memory"
    """Where prompts are remembered: memory (this process), disk (a file, in plain text) or redis (vector search)."""


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
    keep_rounds: int = 6
    """Rounds of a conversation before the pending turn that the trim rule old-history keeps."""
    tier_medium: float = 0.3
    """Complexity from which on a task is medium, 0 … 1 (docs/editor.md)."""
    tier_complex: float = 0.6
    """Complexity from which on a task is complex."""
    tier_expert: float = 0.9
    """Complexity from which on a task is for experts."""
    tier_models: tuple[str, ...] = ()
    """Models recommended for the four tiers, simplest first; empty: by price among the watched ones."""
    lint_off: tuple[str, ...] = ()
    """Lint rules that are off, by id (promptop lint --rules)."""
    trim_off: tuple[str, ...] = ()
    """Trim rules that are off, by id (promptop trim --rules)."""


@dataclass(frozen=True, slots=True)
class PlaygroundSettings:
    """The playground."""

    max_tokens: int = 512
    """Default limit of output tokens."""
    temperature: float = 1.0
    """Default temperature."""
    history: str = "metadata"
    """What is kept of runs: full (prompts and answers), metadata (models, parameters, figures, ratings), or off."""
    python_checks: bool = False
    """Allow checks of answers to be Python expressions: they can do whatever a program of yours can."""
    session_cap_usd: float = 1.0
    """Runs stop when a session has spent this much. 0 is no limit."""
    daily_cap_usd: float = 10.0
    """Runs stop, those of the commands too, when promptop's own calls have cost this much today. 0 is no limit."""


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
    """Rules that the app judges while it runs: ``p95_ttft>2s over 15m``, ``burn>14.4 over 1h,5m`` (docs/monitor.md)."""
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


_CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("profiles.*", "api"): ("chat", "responses", "anthropic"),
    ("profiles.*", "balance"): ("round-robin", "least-latency"),
    ("log", "bodies"): ("off", "hash", "redacted", "full"),
    ("playground", "history"): ("full", "metadata", "off"),
    ("cache", "pace"): ("instant", "recorded"),
    ("cache", "semantic"): ("off", "local", "endpoint"),
    ("cache", "semantic_keep"): ("memory", "disk", "redis"),
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


def config_path() -> Path:
    """Return the settings file, whether it exists or not."""
    return config_dir() / "config.toml"


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read settings; mistakes are in ``problems`` of the result.

    ``path`` is :func:`config_path` if not given. ``OPENAI_API_KEY`` or ``OPENAI_BASE_URL`` in ``environ`` make a
    profile ``env``, which is used at start unless the file chooses another; ``ANTHROPIC_API_KEY`` makes ``anthropic``.
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
    reader = RecordReader(path, text, choices=_CHOICES, derived=("path", "problems"))
    settings: Settings = reader.read(Settings, table)
    from_environment = {"env", *([ANTHROPIC] if environ.get("ANTHROPIC_API_KEY") else [])}
    if settings.profile and settings.profile not in {*settings.profiles, *from_environment}:
        names = ", ".join(settings.profiles) or "none"
        reader.note(("profile",), f"there is no profile {settings.profile!r}", f"Profiles in this file: {names}.")
    return _with_environment(replace(settings, path=path, problems=tuple(reader.problems)), environ)


def _with_environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return the settings with the profiles that the environment makes; one of the file of the same name stands."""
    made: dict[str, Profile] = {}
    if environ.get("OPENAI_API_KEY") or environ.get("OPENAI_BASE_URL"):
        made["env"] = Profile(
            name="env",
            base_url=environ.get("OPENAI_BASE_URL") or OPENAI_URL,
            api_key_env="OPENAI_API_KEY" if environ.get("OPENAI_API_KEY") else "",
        )
    if environ.get("ANTHROPIC_API_KEY"):
        made[ANTHROPIC] = Profile(
            name=ANTHROPIC,
            base_url=environ.get("ANTHROPIC_BASE_URL") or ANTHROPIC_URL,
            api_key_env="ANTHROPIC_API_KEY",
            api="anthropic",
        )
    profiles = {**settings.profiles, **{name: each for name, each in made.items() if name not in settings.profiles}}
    # Anthropic's is used at start only where there is nothing else: the file's first profile stands before it.
    first = "env" if "env" in made else ""
    return replace(settings, profiles=profiles, profile=settings.profile or first)
