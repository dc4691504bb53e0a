"""Run a command with its calls logged: promptop watch -- CMD …; its exit code and signals are passed through."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.options import settings_of
from promptop.cli.traffic.proxy import bodies_of, log_options

RUNS_PROGRAM = True
"""Words behind the first are the program's."""


EXAMPLES = (
    "promptop watch -- python my_script.py",
    "promptop watch --app nightly --bodies redacted -- python my_script.py",
)


def parameters() -> Parameters:
    """Declare the options and the command."""
    return [
        argument("command", many=True, required=False, metavar="-- CMD [ARG …]", help="what to run, after --"),
        option(
            "--env",
            many=True,
            metavar="NAME[=URL]",
            help="another variable that holds an endpoint's address (repeatable)",
        ),
        flag(
            "--proxy",
            help="route every program through the proxy, also Python's, whose clients are else watched from within",
        ),
        flag("--quiet", help="no line at the end about what was logged"),
        *log_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Run the command and return its exit code."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise UsageError("There is no command to run.", "promptop watch -- python my_program.py")
    try:
        from promptop.proxy import run_command
        from promptop.proxy.http.limits import ProxyLimits
        from promptop.proxy.server_process import Options
    except ImportError as error:
        raise PromptopError(f"Watching needs {error.name}.", "pip install promptop") from None
    settings = settings_of(args, sends=True)
    redirected = run_command.redirect(os.environ, args.env)
    path = settings.log_path()
    options = Options(
        upstreams=redirected.upstreams,
        port=0,
        log_path=path,
        bodies=bodies_of(args, settings),
        fleet=settings.fleet,
        app=args.app or Path(command[0]).name,
        include_usage=args.include_usage,
        limits=replace(ProxyLimits(), grace_s=run_command.GRACE_S),
    )
    outcome = run_command.run(command, options, redirected, os.environ, inject=not args.proxy)
    if not args.quiet:
        print(clean_line(f"promptop: {outcome}; log: {path}"), file=sys.stderr)
    return outcome.code
