"""Run a command with its calls logged: promptop watch [options] -- CMD …; its exit code and signals are its own."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.shared.options import settings_of
from promptop.cli.traffic.proxy import add_log_arguments, bodies_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options and the command."""
    parser.usage = "%(prog)s [options] -- CMD [ARG …]"
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD …", help="what to run, after --")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=URL]",
        help="another variable that holds an endpoint's address (repeatable)",
    )
    parser.add_argument(
        "--proxy",
        action="store_true",
        help="route every program through the proxy, also Python's, whose clients are else watched from within",
    )
    parser.add_argument("--quiet", action="store_true", help="no line at the end about what was logged")
    add_log_arguments(parser)


def run(args: argparse.Namespace) -> int:
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
        app=args.app or Path(command[0]).name,
        include_usage=args.include_usage,
        limits=replace(ProxyLimits(), grace_s=run_command.GRACE_S),
    )
    outcome = run_command.run(command, options, redirected, os.environ, inject=not args.proxy)
    if not args.quiet:
        print(clean_line(f"promptop: {outcome}; log: {path}"), file=sys.stderr)
    return outcome.code
