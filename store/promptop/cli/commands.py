"""The commands of ``promptop``: name → module and one line of help. A module is imported only when it is called.

A command's module has ``parameters()`` (or ``verbs()`` for sub-commands, :mod:`promptop.cli.command_line.declare`) and
``run(args) -> int``, which returns the exit code; ``EXAMPLES`` are for its help. Failures are raised as
:class:`promptop.base.errors.PromptopError`; the dispatcher prints cause and remedy and picks the exit code.
"""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "count": ("promptop.cli.prompts.count", "tokens, share of the window and cost of files, offline"),
    "cost": ("promptop.cli.prompts.cost", "what a call costs, from its token counts, by model"),
    "trim": ("promptop.cli.prompts.trim", "shorten prompts by rules"),
    "lint": ("promptop.cli.prompts.lint", "find what a prompt leaves open or asks that models do badly"),
    "check": ("promptop.cli.prompts.check", "fail if a prompt grew beyond prompts.lock, for CI"),
    "diff": ("promptop.cli.prompts.diff", "what changed between two prompts, in words, tokens and dollars"),
    "library": ("promptop.cli.prompts.library", "named prompts and their versions: list, show, add, rename, remove"),
    "export": ("promptop.cli.prompts.export", "a prompt as JSON, prompty, curl, Python and other forms"),
    "models": ("promptop.cli.prompts.models", "the catalogue: prices, windows, tokenizers"),
    "run": ("promptop.cli.calls.run", "send a prompt to one model, streamed, with its timings"),
    "compare": ("promptop.cli.calls.compare", "send a prompt to several models and compare"),
    "prove": ("promptop.cli.calls.prove", "prove that a trimmed prompt gets the same answers"),
    "ablate": ("promptop.cli.calls.ablate", "find which sentences of a prompt matter, and trim the rest"),
    "optimise": ("promptop.cli.calls.optimise", "shorten a prompt by rules, ablation and a model, and prove it"),
    "optimize": ("promptop.cli.calls.optimise", "another spelling of optimise"),
    "cases": ("promptop.cli.calls.cases", "test sets: create, draw from the log, show, check, convert"),
    "bench": ("promptop.cli.calls.bench", "load-test a prompt; baselines, objectives, gates"),
    "claims": ("promptop.cli.calls.claims", "test common claims about latency on your endpoint"),
    "guide": ("promptop.cli.calls.guide", "optimise tokens and latency of a prompt step by step"),
    "probe": ("promptop.cli.calls.probe", "rank endpoints by connect, TLS and first byte"),
    "batch": ("promptop.cli.calls.batch", "send many prompts: rate-limited, cached, resumable, capped"),
    "embed": ("promptop.cli.calls.embed", "embed the lines of a file in as few requests as possible"),
    "proxy": ("promptop.cli.traffic.proxy", "log the calls of any program: a reverse proxy"),
    "watch": ("promptop.cli.traffic.watch", "run a command with its calls logged"),
    "log": ("promptop.cli.traffic.log", "the request log: status, tail, prune, backup, import, export, query"),
    "cache": ("promptop.cli.traffic.cache", "the response cache: statistics, clearing, simulation"),
    "ship": ("promptop.cli.fleet.ship", "send the log to the fleet's ClickHouse, each row once"),
    "fleet": ("promptop.cli.fleet.fleet", "the fleet's log: create its tables, check them, list its hosts"),
    "collect": ("promptop.cli.fleet.collect", "log the calls of programs that OpenTelemetry instruments (OTLP)"),
    "receive": ("promptop.cli.fleet.collect", "the same as collect"),
    "agents": ("promptop.cli.traffic.agents", "what coding agents use: sessions, blocks, limits, cost"),
    "report": ("promptop.cli.traffic.report", "latency, cache hits, failures and spend of the log"),
    "whatif": (
        "promptop.cli.traffic.whatif",
        "what the log would have cost under another model, price, cache, tier, router",
    ),
    "alerts": ("promptop.cli.traffic.alerts", "alerts without the app: list, test, run"),
    "incident": ("promptop.cli.traffic.incident", "an incident as one file: export, replay, HTML page"),
    "demo": ("promptop.cli.app.demo", "the app against a simulated endpoint, no key needed"),
    "mcp": ("promptop.cli.app.mcp_server", "answer an agent's questions about cost, changes and caches (MCP)"),
    "config": ("promptop.cli.app.config", "the settings: path, show, init"),
    "doctor": ("promptop.cli.app.doctor", "check settings, keys, endpoint, log, clock and terminal"),
    "help": ("promptop.cli.app.help", "explain a command; --man prints it as a man page"),
    "completion": ("promptop.cli.app.completion", "print the completions of bash, zsh or fish"),
}
