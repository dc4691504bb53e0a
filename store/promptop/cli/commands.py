"""The commands of ``promptop``: name → module and one line of help. A module is imported only when it is called.

A command's module has ``parameters()`` (or ``verbs()`` for sub-commands, :mod:`promptop.cli.command_line.declare`) and
``run(args) -> int``, which returns the exit code; ``EXAMPLES`` are for its help. Failures are raised as
:class:`promptop.base.errors.PromptopError`; the dispatcher prints cause and remedy and picks the exit code.
"""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "count": ("promptop.cli.prompts.count", "tokens, share of the window and cost of files, offline"),
    "cost": ("promptop.cli.prompts.cost", "what a call of so many tokens costs, by model"),
    "trim": ("promptop.cli.prompts.trim", "say a prompt with fewer tokens, by rules"),
    "lint": ("promptop.cli.prompts.lint", "what a prompt leaves open or asks that a model does badly"),
    "check": ("promptop.cli.prompts.check", "hold prompts to the tokens of prompts.lock, for CI"),
    "diff": ("promptop.cli.prompts.diff", "what changed between two prompts, in words, tokens and dollars"),
    "library": ("promptop.cli.prompts.library", "named prompts and their versions: list, show, add, rename, remove"),
    "export": ("promptop.cli.prompts.export", "a prompt as JSON, prompty, curl, Python and other forms"),
    "models": ("promptop.cli.prompts.models", "the catalogue: prices, windows, tokenizers"),
    "run": ("promptop.cli.calls.run", "send a prompt to one model, streamed, with its timings"),
    "compare": ("promptop.cli.calls.compare", "send a prompt to several models and compare"),
    "prove": ("promptop.cli.calls.prove", "whether a trimmed prompt gets the same answers, with its receipt"),
    "ablate": ("promptop.cli.calls.ablate", "which sentences of a prompt carry weight, and the trim that follows"),
    "optimise": ("promptop.cli.calls.optimise", "shorten a prompt by rules, ablation and a model, and prove it"),
    "optimize": ("promptop.cli.calls.optimise", "another spelling of optimise"),
    "cases": ("promptop.cli.calls.cases", "test sets: begin one, draw one from the log, show, check, convert"),
    "bench": ("promptop.cli.calls.bench", "measure a prompt under load; baselines, objectives, gates"),
    "claims": ("promptop.cli.calls.claims", "test what is said to change latency, on this endpoint"),
    "guide": ("promptop.cli.calls.guide", "lead a prompt to fewer tokens and less waiting, step by step"),
    "probe": ("promptop.cli.calls.probe", "rank endpoints by connect, TLS and first byte"),
    "batch": ("promptop.cli.calls.batch", "send many prompts: limited, cached, resumable, under a cap"),
    "embed": ("promptop.cli.calls.embed", "embed the lines of a file in as few requests as possible"),
    "proxy": ("promptop.cli.traffic.proxy", "log the calls of any program that speaks to an endpoint"),
    "watch": ("promptop.cli.traffic.watch", "run a command with its calls logged"),
    "log": ("promptop.cli.traffic.log", "where the request log is, and what to do with it"),
    "cache": ("promptop.cli.traffic.cache", "what the response cache holds, and how to empty it"),
    "ship": ("promptop.cli.fleet.ship", "send the log to the fleet's ClickHouse, each row once"),
    "fleet": ("promptop.cli.fleet.fleet", "the fleet's log: create its tables, check them, list its hosts"),
    "collect": ("promptop.cli.fleet.collect", "log the calls of programs that OpenTelemetry instruments (OTLP)"),
    "receive": ("promptop.cli.fleet.collect", "the same as collect"),
    "agents": ("promptop.cli.traffic.agents", "what coding agents use: sessions, blocks, limits, cost"),
    "report": ("promptop.cli.traffic.report", "latency, cache hits and spend of a window of the log"),
    "whatif": (
        "promptop.cli.traffic.whatif",
        "what the log's calls cost and take under another model, price, cache, tier, router",
    ),
    "alerts": ("promptop.cli.traffic.alerts", "the alerts of a log: list, test, run without the app"),
    "incident": ("promptop.cli.traffic.incident", "an incident in one file: export, its page; opens as a replay"),
    "demo": ("promptop.cli.app.demo", "the app against a simulated endpoint, no key needed"),
    "mcp": ("promptop.cli.app.mcp_server", "answer an agent's questions about cost, changes and caches (MCP)"),
    "config": ("promptop.cli.app.config", "where the settings are; show or create them"),
    "doctor": ("promptop.cli.app.doctor", "check settings, keys, endpoint, log, clock and terminal"),
    "help": ("promptop.cli.app.help", "explain a command; --man prints it as a man page"),
    "completion": ("promptop.cli.app.completion", "print the completions of bash, zsh or fish"),
}
