"""The settings: print where the file is, what is in force, or create the file with every setting explained."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptop import settings as room
from promptop.base.errors import PromptopError, UsageError
from promptop.base.files import write_private
from promptop.cli.command_line.command import Command, verb
from promptop.cli.command_line.declare import ParsedArguments, flag, option
from promptop.client.http.load_balancer import places_of

TEMPLATE = """\
# promptop: settings. Every line is optional; what is commented out shows the default.
# Keys are never stored here: name the environment variable or the command that yields one.

# profile = "openai"          # endpoint used at start
# language = ""              # en or zh (简体中文); empty: as LANG says
# theme = "promptop-dark"     # a file in the themes folder beside this one, or one of the shipped themes

[profiles.openai]
base_url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"
models = ["gpt-4o-mini", "gpt-4o"]

# [profiles.local]             # llama.cpp, vLLM, Ollama, LM Studio …
# base_url = "http://127.0.0.1:8080/v1"
# models = ["qwen2.5-7b-instruct"]
# server = "llama.cpp"         # or vllm, sglang, ollama: the monitor shows its queue, KV cache and prefix hits

# [profiles.deepseek]
# base_url = "https://api.deepseek.com/v1"
# api_key_command = "pass show deepseek"
# models = ["deepseek-chat"]

# Others that speak the same: OpenRouter https://openrouter.ai/api/v1, DashScope (通义千问)
# https://dashscope.aliyuncs.com/compatible-mode/v1, Zhipu (智谱) https://open.bigmodel.cn/api/paas/v4,
# Moonshot (月之暗面) https://api.moonshot.cn/v1, Gemini https://generativelanguage.googleapis.com/v1beta/openai,
# Groq https://api.groq.com/openai/v1, xAI https://api.x.ai/v1, Ollama http://127.0.0.1:11434/v1

# [profiles.claude]            # Anthropic's own API
# base_url = "https://api.anthropic.com"
# api = "anthropic"            # or "responses" for OpenAI's Responses API; "chat" where nothing is said
# api_key_env = "ANTHROPIC_API_KEY"
# models = ["claude-sonnet-5-5"]

# [profiles.fleet]             # several endpoints and keys for the same models (docs/endpoints.md)
# base_url = "http://10.0.0.5:8000/v1"
# endpoints = ["http://10.0.0.6:8000/v1"]
# api_key_env = "FLEET_KEY"
# api_key_envs = ["FLEET_KEY_2"]
# balance = "round-robin"      # or "least-latency"
# eject_s = 30.0               # what failed gets no calls for so long, then twice as long …
# keep_alive = 20              # idle connections kept for each endpoint, for keep_alive_s seconds
# keep_alive_s = 30.0
# max_connections = 100
# timeout_s = 600.0            # without a byte; connect_timeout_s = 5.0
# http2 = true
# ca_file = ""                 # PEM of an authority to trust beside the system's
# gzip_requests = false        # only for a server that takes compressed requests

[log]
# path = ""                    # empty: the data folder (promptop log path)
# bodies = "off"               # prompts and answers: off, hash, redacted or full
# keep_days = 90
# max_mb = 2048
# queue_mb = 32               # memory of a program for rows that wait to be written

[cache]                        # answers kept by promptop batch and, if you switch it on, the playground and the proxy
# memory_mb = 64
# redis = ""                   # redis://, rediss://, unix://, redis+cluster://, redis+sentinel://host:port/service
# redis_env = ""               # variable that holds the address, where it contains a password
# disk = true
# redis_prefix = "promptop:"
# disk_mb = 512
# ttl_s = 86400.0
# any_temperature = false      # keep sampled answers too
# tools = false                # keep answers of requests that offer tools, too
# normalize_whitespace = false
# pace = "instant"             # or recorded: hits stream as the answer once came
# semantic = "off"             # or local, endpoint: answer what asks the same in other words
# semantic_threshold = 0.0     # similarity that it takes; 0 is the model's own
# semantic_model = "text-embedding-3-small"   # for "endpoint"
# semantic_entries = 2000
# semantic_keep = "memory"     # or disk (prompts in plain text), redis (vector search)

[editor]
# watch = ["gpt-4o-mini", "claude-sonnet-4-5"]   # models whose tokens and cost are shown
# output_tokens = 300
# calls_per_day = 1000
# budget_tokens = 0
# keep_rounds = 6              # rounds of a conversation that the trims leave
# tier_medium = 0.3            # complexity from which on a task is medium, complex, for experts
# tier_complex = 0.6
# tier_expert = 0.9
# tier_models = []             # models recommended for the four tiers, simplest first
# lint_off = []                # lint rules that are off, by id (promptop lint --rules)
# trim_off = []                # trim rules that are off, by id (promptop trim --rules)

[playground]
# max_tokens = 512
# temperature = 1.0
# history = "metadata"          # what is kept of runs: full (prompts and answers, too), metadata, off
# python_checks = false         # allow checks that are Python expressions
# tool_commands = false         # allow results of tools by commands and MCP servers
# session_cap_usd = 1.0
# daily_cap_usd = 10.0          # of everything that promptop itself sends, commands included

[monitor]
# window = "1h"                # 5m, 1h, 24h, 7d, 30d
# slo_latency_s = 0.0          # targets, for example 10.0, 1.0, 0.001, 0.8; 0: none
# slo_ttft_s = 0.0
# slo_error_rate = 0.0
# slo_cache_hits = 0.0
# budget_usd_month = 0.0
# alerts = []                  # ["p95_ttft>2s over 15m", "burn>14.4 over 1h,5m", "month_cost>$100"]
# alert_command = ""           # for example "notify-send promptop"; a sentence is added as its last argument
# alert_webhook = ""           # for example "https://hooks.example.com/x"; the same is posted there as JSON

[routing]
# on = false                   # route the playground's calls and the proxy's (docs/routing.md)
# rules = ["prompt=greet* tag.team=ops -> gpt-4o-mini"]
# tiers = ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"]   # by complexity, simplest first, asked after the rules

[money]
# also = ""                    # a second currency beside dollars, for example CNY, with its rate and the rate's date:
# rate = 0.0                   # 7.1 units for a dollar
# as_of = ""                   # 2026-11-28

[fleet]
# url = ""                     # clickhouse://logs.example:8443/promptop: promptop ship sends this machine's log there
# user = ""
# password_file = ""           # mode 0600; else the variable PROMPTOP_FLEET_PASSWORD
# ca_file = ""                 # PEM of an authority of your own
# tenant = "default"
# every_s = 0.5
# in_process = false           # programs that write the log ship it, too, without promptop ship beside them
# batch = 5000
# columns_excluded = []        # ["tags", "error_message"] stay on this machine

[keys]
# "editor.send" = "f5"         # binding id = key; F1 in the app lists the ids
"""


EXAMPLES = (
    "promptop config path",
    "promptop config show",
    "promptop config init",
)


def verbs() -> list[Command]:
    """Declare the sub-commands."""
    return [
        verb("path", "print where the settings file is"),
        verb(
            "show",
            "print the settings in force and what is wrong with the file",
            option("--config", type=Path, metavar="FILE", help="settings file (default: promptop config path)"),
            flag("--json", help="for programs"),
        ),
        verb(
            "init",
            "create the file, each setting explained",
            flag("--force", help="replace a file that exists; the old one is kept as .bak"),
        ),
    ]


def run(args: ParsedArguments) -> int:
    """Run one sub-command; ``show`` exits with 1 if the file has mistakes."""
    path = room.config_path()
    if args.verb == "path":
        print(path)
        return 0
    if args.verb == "init":
        return _init(path, args.force)
    if args.config is not None and not args.config.exists():
        raise UsageError(f"There is no settings file {args.config}.", "promptop config init creates one.")
    return _show(args.config or path, args.json)


def _show(path: Path, as_json: bool) -> int:
    settings = room.load(path)
    values: dict[str, Any] = asdict(settings)
    for derived in ("path", "problems"):
        values.pop(derived)
    if as_json:
        problems = [
            {"path": str(p.path), "line": p.line, "cause": p.cause, "remedy": p.remedy} for p in settings.problems
        ]
        print(json.dumps({"path": str(path), "settings": values, "problems": problems}, indent=2))
        return 1 if problems else 0
    print(f"# {settings.path or f'{path} (not there: defaults and environment)'}")
    active = settings.active_profile()
    print(f"# endpoint in use: {active.name} {active.base_url}; {_key_state(active)}")
    places = places_of(active)
    for place in places if len(places) > 1 else ():
        print(f"#   shared out ({active.balance}): {place.label}; {_key_state(place.profile)}")
    print("\n".join(_toml(values, "")))
    for problem in settings.problems:
        print(problem, file=sys.stderr)
    return 1 if settings.problems else 0


def _key_state(profile: room.Profile) -> str:
    if profile.api_key_command:
        return "key from a command"
    if profile.api_key_env:
        state = "set" if os.environ.get(profile.api_key_env) else "not set"
        return f"key from ${profile.api_key_env} ({state})"
    return "no key"


def _toml(table: dict[str, Any], prefix: str) -> list[str]:
    lines = [
        f"{_quoted(key)} = {json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)}"
        for key, value in table.items()
        if not isinstance(value, dict)
    ]
    for key, value in table.items():
        if isinstance(value, dict) and value:
            name = f"{prefix}{_quoted(key)}"
            inner = _toml(value, name + ".")
            plain = any(not isinstance(item, dict) for item in value.values())
            lines += ["", f"[{name}]", *inner] if plain else inner
    return lines


def _quoted(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else json.dumps(key)


def _init(path: Path, force: bool) -> int:
    if path.exists() and not force:
        raise UsageError(f"{path} exists already.", "Edit it, or replace it with --force (the old one is kept).")
    try:
        if path.exists():
            path.replace(path.with_suffix(".toml.bak"))
        write_private(path, TEMPLATE)
    except OSError as error:
        raise PromptopError(
            f"{path} cannot be written ({error.strerror}).", "Check the folder's permissions."
        ) from error
    print(path)
    return 0
