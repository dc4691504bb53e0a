"""Settings: one TOML file, environment variables above it, the command line above both.

:func:`load` never raises for what a file says: each mistake becomes a :class:`Problem` with its line and remedy, the
default stands in for the value, and the app starts. Keys are never stored here: a profile names the environment
variable or the command that yields its key, and the key is read at the moment of use.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from promptop.base import texts
from promptop.base.errors import PromptopError, UsageError
from promptop.base.files import config_dir, data_dir
from promptop.base.toml.records import Checks, Problem, RecordReader, Wrong, nearest
from promptop.base.units import Currency

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
    server: str = ""
    """Self-hosted server whose own figures the monitor shows: ``vllm``, ``sglang``, ``llama.cpp`` or ``ollama``."""
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
    """Connections to an endpoint at most; further calls wait for one. 0 means no limit."""
    http2: bool = True
    """Use HTTP/2 where the endpoint speaks it."""
    ca_file: str = ""
    """PEM file of an authority that is trusted beside the system's: a company's, or the simulated endpoint's."""
    gzip_requests: bool = False
    """Compress request bodies of 1 KiB and more; only for an endpoint that is known to take that."""

    def api_key(self, environ: Mapping[str, str] | None = None) -> str:
        """Return the key, or an empty string if the profile names none; run ``api_key_command`` if there is one.

        Raises :class:`PromptopError` if the variable is not set or the command fails.
        """
        environ = os.environ if environ is None else environ
        if self.api_key_command:
            import shlex
            import subprocess

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
    """Rows are pruned, oldest first, when the log grows beyond this. 0 means no limit."""
    queue_mb: int = 32
    """Memory for rows that wait to be written, megabytes; where it runs short a request's body goes before its row."""


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
    tools: bool = False
    """Keep answers of requests that offer tools: a repeat then asks for the same calls again."""
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
    tool_commands: bool = False
    """Allow results of tools to be what a command prints: it runs with your rights, and the model chooses its input."""
    session_cap_usd: float = 1.0
    """Runs stop when a session has spent this much. 0 means no limit."""
    daily_cap_usd: float = 10.0
    """Runs stop, those of the commands too, when promptop's own calls have cost this much today. 0 means no limit."""


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """The monitor."""

    window: str = "1h"
    """Window at start: 5m, 1h, 24h, 7d or 30d."""
    slo_latency_s: float = 0.0
    """Target for the 95th percentile of latency, seconds; 0: none."""
    slo_ttft_s: float = 0.0
    """Target for the 95th percentile of time to first token, seconds; 0: none."""
    slo_error_rate: float = 0.0
    """Target for the share of failed calls; 0: none, and ``burn`` reckons with 0.1 %."""
    slo_cache_hits: float = 0.0
    """Target for the hit ratio of the response cache; 0: none."""
    budget_usd_month: float = 0.0
    """Budget of a month in USD; 0 shows none."""
    alerts: tuple[str, ...] = ()
    """Rules that the app judges while it runs: ``p95_ttft>2s over 15m``, ``burn>14.4 over 1h,5m`` (docs/monitor.md)."""
    alert_command: str = ""
    """Command that is run, with a sentence as its last argument, when an alert begins and when it ends."""
    alert_webhook: str = ""
    """URL to which the same is posted as JSON, with host, log, rule, scope, value and start."""


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """Which model a request goes to, where routing is asked for (docs/routing.md)."""

    on: bool = False
    """Route the playground's calls and the proxy's. A program asks for it itself: ``observe(client, routing=True)``."""
    tiers: tuple[str, ...] = ()
    """Models by how hard the task is, simplest first; the scores between them are tier_medium … of [editor]."""
    rules: tuple[str, ...] = ()
    """Rules that are asked before the tiers: ``prompt=greet* -> gpt-4o-mini``, ``complexity<0.3 -> gpt-4o-mini``."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """The fleet's log: a ClickHouse that ``promptop ship`` sends this machine's log to."""

    url: str = ""
    """Address without a password, for example clickhouse://logs.example:8443/promptop."""
    user: str = ""
    """User of the engine; empty: the address's, else default."""
    password_file: str = ""
    """File (mode 0600) with the password; empty: the variable PROMPTOP_FLEET_PASSWORD."""
    ca_file: str = ""
    """Certificate of an authority of your own, PEM; empty: those that the system trusts."""
    tenant: str = "default"
    """Team or customer that the rows belong to."""
    every_s: float = 0.5
    """Fewest seconds between two batches that are not full; docs/fleet.md tells how many hosts one server takes."""
    in_process: bool = False
    """Ship from the programs that write the log (capture, proxy), without ``promptop ship`` beside them."""
    batch: int = 5000
    """Most rows of a batch."""
    columns_excluded: tuple[str, ...] = ()
    """Columns that stay on this machine, for example tags or error_message."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Metrics and spans that go to other programs."""

    names: str = "both"
    """Generation of OpenTelemetry's GenAI names that is sent: today's, the one before, or both (docs/fleet.md)."""


@dataclass(frozen=True, slots=True)
class MoneySettings:
    """A second currency that amounts are shown in, beside dollars. Prices, caps and JSON stay in dollars."""

    also: str = ""
    """Its code: CNY, EUR …; empty: dollars alone."""
    rate: float = 0.0
    """Units of it for a dollar."""
    as_of: str = ""
    """Date of that rate, for example 2026-11-28; it is shown with the figures."""

    def currency(self) -> Currency | None:
        """Return the second currency, None if there is none or its rate is missing."""
        return Currency(self.also, self.rate, self.as_of) if self.also and self.rate else None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. The text below each field is its manual."""

    profile: str = ""
    """Profile used at start; empty: the file's first one, without any the one from the environment."""
    theme: str = "promptop-dark"
    """Theme: a file in themes/ or in the themes folder beside the settings file."""
    language: str = ""
    """Language of the interface: en, zh (简体中文); empty: what LC_ALL, LC_MESSAGES or LANG asks for, else English."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Key bindings: id = "key" (the palette's "keys: show" lists the ids)."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    log: LogSettings = field(default_factory=LogSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    editor: EditorSettings = field(default_factory=EditorSettings)
    playground: PlaygroundSettings = field(default_factory=PlaygroundSettings)
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    fleet: FleetSettings = field(default_factory=FleetSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    money: MoneySettings = field(default_factory=MoneySettings)
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

    def require_valid(self) -> None:
        """Raise :class:`UsageError` if the settings cannot be obeyed as they are written.

        Whatever sends a prompt calls this first: a default that stands in for a mistake may be another endpoint.
        """
        if not self.problems:
            return
        first, more = self.problems[0], len(self.problems) - 1
        others = f" {more} more: promptop doctor." if more else ""
        raise UsageError(
            f"{first.place}: {first.cause}. Nothing is sent until the settings are right.", f"{first.remedy}{others}"
        )

    def log_path(self) -> Path:
        """Return the log file that is in use."""
        return Path(self.log.path).expanduser() if self.log.path else data_dir() / "log.db"


_CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("profiles.*", "api"): ("chat", "responses", "anthropic"),
    ("profiles.*", "server"): ("", "vllm", "sglang", "llama.cpp", "ollama"),
    ("profiles.*", "balance"): ("round-robin", "least-latency"),
    ("log", "bodies"): ("off", "hash", "redacted", "full"),
    ("playground", "history"): ("full", "metadata", "off"),
    ("cache", "pace"): ("instant", "recorded"),
    ("cache", "semantic"): ("off", "local", "endpoint"),
    ("cache", "semantic_keep"): ("memory", "disk", "redis"),
    ("metrics", "names"): ("new", "old", "both"),
    ("monitor", "window"): ("5m", "1h", "24h", "7d", "30d"),
}


def config_path() -> Path:
    """Return the settings file, whether it exists or not."""
    return config_dir() / "config.toml"


_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _url(value: Any) -> Wrong | None:
    """Judge a base URL, or each of a list of them."""
    for each in [value] if isinstance(value, str) else value:
        parts = urllib.parse.urlsplit(each)
        try:
            has_port = parts.port is None or parts.port > 0
        except ValueError:
            has_port = False
        if parts.scheme not in ("http", "https") or not parts.hostname or not has_port or " " in each:
            # Of an address with a password in it, only the rest is shown.
            shown = each if "@" not in each else each.rpartition("@")[2]
            return Wrong(repr(shown), "Write http://HOST/v1 or https://HOST/v1.")
    return None


def _variable_name(value: Any) -> Wrong | None:
    """Judge the name of an environment variable, or each of a list; one that is not a name may be a key."""
    for each in [value] if isinstance(value, str) else value:
        if each and not _VARIABLE_NAME.fullmatch(each):
            return Wrong("that", "Write the name of an environment variable, not a key: OPENAI_API_KEY.")
    return None


def _redis(value: Any) -> Wrong | None:
    schemes = (
        "redis://",
        "rediss://",
        "unix://",
        "redis+cluster://",
        "rediss+cluster://",
        "redis+sentinel://",
        "rediss+sentinel://",
    )
    if not value or value.startswith(schemes):
        return None
    return Wrong("that", "Write an address such as redis://127.0.0.1:6379/0.")


def _fleet_url(value: Any) -> Wrong | None:
    parts = urllib.parse.urlsplit(value)
    if not value or (parts.scheme in ("clickhouse", "clickhouse+http") and parts.hostname and parts.password is None):
        return None
    return Wrong("that", "Write clickhouse://HOST:8443/promptop; a password has a file of its own.")


def _currency(value: Any) -> Wrong | None:
    return None if not value or re.fullmatch(r"[A-Z]{3}", value) else Wrong(repr(value), "Write a code such as CNY.")


def _date(value: Any) -> Wrong | None:
    is_date = not value or re.fullmatch(r"\d{4}-\d\d-\d\d", value)
    return None if is_date else Wrong(repr(value), "Write a date such as 2026-11-28.")


def _language(value: Any) -> Wrong | None:
    known = texts.languages()
    return None if not value or value in known else Wrong(repr(value), f"Write one of {', '.join(known)}.")


def _between(low: float, high: float) -> Callable[[Any], Wrong | None]:
    def judge(value: Any) -> Wrong | None:
        return None if low <= value <= high else Wrong(f"{value:g}", f"Write a number from {low:g} to {high:g}.")

    return judge


_CHECKS: Checks = {
    ("profiles.*", "base_url"): _url,
    ("profiles.*", "endpoints"): _url,
    ("profiles.*", "api_key_env"): _variable_name,
    ("profiles.*", "api_key_envs"): _variable_name,
    ("", "language"): _language,
    ("money", "also"): _currency,
    ("money", "rate"): _between(0, 1_000_000),
    ("money", "as_of"): _date,
    ("cache", "redis"): _redis,
    ("fleet", "url"): _fleet_url,
    ("fleet", "batch"): _between(1, 100_000),
    ("fleet", "every_s"): _between(0.05, 3600),
    ("cache", "redis_env"): _variable_name,
    ("cache", "semantic_threshold"): _between(0, 1),
    ("editor", "tier_medium"): _between(0, 1),
    ("editor", "tier_complex"): _between(0, 1),
    ("editor", "tier_expert"): _between(0, 1),
    ("playground", "temperature"): _between(0, 2),
    ("monitor", "slo_error_rate"): _between(0, 1),
    ("monitor", "slo_cache_hits"): _between(0, 1),
}


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read settings; mistakes are in ``problems`` of the result.

    ``path`` is :func:`config_path` if not given. ``OPENAI_API_KEY`` or ``OPENAI_BASE_URL`` in ``environ`` make a
    profile ``env``, and ``ANTHROPIC_API_KEY`` makes ``anthropic``; they are used at start only if the file has no
    profile and chooses none.
    """
    environ = os.environ if environ is None else environ
    path = config_path() if path is None else path
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return _with_environment(Settings(), environ)
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is not UTF-8"
        problem = Problem(
            path, None, f"the file cannot be read ({said})", "Check its permissions and that it is UTF-8."
        )
        return _with_environment(Settings(path=path, problems=(problem,)), environ)
    import tomllib  # here, as what a key command needs is there: an observed program without a file pays for neither

    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
        cause = str(error).split(" (at ")[0]
        problem = Problem(path, line, f"is not valid TOML: {cause}", "Correct that line.")
        return _with_environment(Settings(path=path, problems=(problem,)), environ)
    reader = RecordReader(path, text, choices=_CHOICES, checks=_CHECKS, derived=("path", "problems"))
    settings: Settings = reader.read(Settings, table)
    profiles = dict(settings.profiles)
    for name, profile in settings.profiles.items():
        given = table["profiles"].get(name)
        if isinstance(given, dict) and "base_url" not in given and not (profile.api_key_env or profile.api_key_command):
            reader.note(
                ("profiles", name), f"profile {name!r} has no base_url and no key", "Write base_url, or api_key_env."
            )
        elif isinstance(given, dict) and "base_url" not in given and profile.api == "anthropic":
            profiles[name] = replace(profile, base_url=ANTHROPIC_URL)
    settings = _with_environment(replace(settings, profiles=profiles, path=path, problems=()), environ)
    money = settings.money
    if money.also and not (money.rate and money.as_of):
        missing = "rate" if not money.rate else "as_of"
        reader.note(("money",), f"[money] also has no {missing}", 'Write for example rate = 7.1, as_of = "2026-11-28".')
    if settings.profile and settings.profile not in settings.profiles:
        near = nearest(settings.profile, settings.profiles)
        names = ", ".join(settings.profiles) or "none"
        remedy = f"Did you mean {near!r}? Profiles: {names}." if near else f"Profiles: {names}."
        reader.note(("profile",), f"there is no profile {settings.profile!r}", remedy)
    return replace(settings, problems=(*reader.problems, *settings.problems))


def _with_environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return the settings with the profiles that the environment makes; what the file says stands above them."""
    made: dict[str, Profile] = {}
    wrong: list[Problem] = []
    if environ.get("OPENAI_API_KEY") or environ.get("OPENAI_BASE_URL"):
        url = environ.get("OPENAI_BASE_URL") or OPENAI_URL
        made["env"] = Profile(
            name="env", base_url=url, api_key_env="OPENAI_API_KEY" if environ.get("OPENAI_API_KEY") else ""
        )
    if environ.get("ANTHROPIC_API_KEY"):
        made[ANTHROPIC] = Profile(
            name=ANTHROPIC,
            base_url=environ.get("ANTHROPIC_BASE_URL") or ANTHROPIC_URL,
            api_key_env="ANTHROPIC_API_KEY",
            api="anthropic",
        )
    in_use = not settings.profiles
    for variable, name in (("OPENAI_BASE_URL", "env"), ("ANTHROPIC_BASE_URL", ANTHROPIC)):
        if name in made and environ.get(variable) and (found := _url(made[name].base_url)) and in_use:
            wrong.append(Problem(Path(f"${variable}"), None, f"the address cannot be {found.shown}", found.wanted))
    # The file's profiles come first: with none chosen, the first of them is used.
    profiles = {**settings.profiles, **{name: each for name, each in made.items() if name not in settings.profiles}}
    return replace(settings, profiles=profiles, problems=(*settings.problems, *wrong))
