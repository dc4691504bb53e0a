"""The ``promptop`` command: dispatches to one command's module, or opens the app."""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import promptop
from promptop.base import texts
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.base.terminal import guard_output, unguard
from promptop.cli.commands import COMMANDS
from promptop.cli.shared.options import (
    AppOptions,
    OpenApp,
    add_settings_arguments,
    has_exports,
    has_live,
    log_files,
    settings_of,
)

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None, open_app: OpenApp | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 usage error, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding has not, or half of one in an answer, must not lose the rest. As an
        # escape it is still JSON inside a string.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    before = texts.use(_language)
    try:
        with guard_output():
            return _guarded_run(arguments, open_app)
    finally:
        texts.use(before)


def _language() -> str:
    """Return the language of the settings or of the environment; called only where a command has something to say."""
    from promptop import settings

    return settings.load().language or texts.from_environment()


def _guarded_run(arguments: list[str], open_app: OpenApp | None) -> int:
    try:
        return _run(arguments, open_app)
    except PromptopError as error:
        print(f"promptop: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) went away: not a failure
        return 0
    except OSError as error:  # a full disk behind the output, a terminal that is gone: the machine's fault, not ours
        where = f"{error.filename}: " if error.filename else ""
        print(f"promptop: {clean_line(where + (error.strerror or type(error).__name__))}", file=sys.stderr)
        return 1
    finally:
        _drop_what_nobody_reads()


def _drop_what_nobody_reads() -> None:
    """Point an output that is gone (a pipe, a terminal) at nothing.

    Python flushes once more at exit, and where that fails it ends with 120, whatever the exit code was to be.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except ValueError:  # closed already: nothing is flushed
            continue


def _run(arguments: list[str], open_app: OpenApp | None) -> int:
    name = arguments[0] if arguments else ""
    if name in COMMANDS:
        module = importlib.import_module(COMMANDS[name][0])
        parser = argparse.ArgumentParser(prog=f"promptop {name}", description=module.__doc__)
        module.add_arguments(parser)
        args = parser.parse_args(arguments[1:])
        args.open_app = open_app
        code: int = module.run(args)
        sys.stdout.flush()
        return code
    return _open(arguments, open_app)


def _begins_a_file(path: Path) -> bool:
    """Tell whether a path that is not there names a file to begin, and not a mistyped command: new.md, drafts/new.

    Raises :class:`UsageError` if its folder is not there.
    """
    if not path.suffix and path.name == str(path):
        return False
    if not path.expanduser().parent.is_dir():
        raise UsageError(f"There is no folder {str(path.parent)!r} for {path.name}.", "Make it first.")
    return True


def _open(arguments: list[str], open_app: OpenApp | None) -> int:
    parser = argparse.ArgumentParser(
        prog="promptop",
        description="Tune prompts and watch tokens, latency and spend, in your terminal.",
        epilog="commands:\n" + "\n".join(f"  {name:<9} {text}" for name, (_, text) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", type=Path, help="prompt to open in the editor")
    parser.add_argument("--tab", choices=("editor", "playground", "monitor"), help="tab shown first")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="write a cProfile of the app to FILE")
    parser.add_argument("--version", action="version", version=f"promptop {promptop.__version__}")
    add_settings_arguments(parser, several_logs=True)
    args = parser.parse_args(arguments)
    if args.file is not None and not args.file.exists() and not _begins_a_file(args.file):
        near = difflib.get_close_matches(str(args.file), COMMANDS, n=1)
        hint = f"Did you mean: promptop {near[0]}?" if near else "promptop --help lists the commands."
        raise UsageError(f"There is no file and no command {str(args.file)!r}.", hint)
    logs = log_files(args.log or (), follow=True)
    replay = logs if has_exports(args.log or ()) else ()
    followed = has_live(args.log or ())  # another program's log is read beside our own, which is written
    args.log = logs[0] if logs and not replay and not followed else None
    settings = settings_of(args)
    options = AppOptions(
        settings=settings,
        log_path=settings.log_path(),
        more_logs=() if replay else logs if followed else logs[1:],
        replay=replay,
        open_path=args.file,
        tab=args.tab or ("monitor" if replay or followed else "editor"),
        profile_to=args.profile,
    )
    return start(options, open_app)


def start(options: AppOptions, open_app: OpenApp | None) -> int:
    """Open the app, if there is one and a terminal to show it in."""
    if open_app is None:
        raise PromptopError("This installation has no screens.", "Start it with the promptop command.")
    # Textual reads keys from stdin and draws on stderr.
    for stream, name in ((sys.stdin, "input"), (sys.stderr, "error output")):
        if stream is None or not stream.isatty():
            raise UsageError(
                f"The app needs a terminal, and its standard {name} is not one.",
                "For scripts use the commands: promptop --help lists them.",
            )
    unguard()
    return open_app(options)
