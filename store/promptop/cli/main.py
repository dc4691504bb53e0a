"""The ``promptop`` command: dispatches to one command's module, or opens the app.

What every command needs is imported here alone; click, the command's module and what it works with come when they are
used, so that ``promptop --version`` is answered by little more than the interpreter.
"""

from __future__ import annotations

import io
import os
import sys

import promptop

TYPE_CHECKING = False  # typing takes as long as all else that --version needs
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from promptop.base.errors import PromptopError
    from promptop.base.units import Currency
    from promptop.cli.command_line.declare import ParsedArguments
    from promptop.cli.shared.options import AppOptions, OpenApp

INTERRUPTED = 130
_COMPLETE = "_PROMPTOP_COMPLETE"


def main(argv: Sequence[str] | None = None, open_app: OpenApp | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 usage error, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _replace_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding has not, or half of one in an answer, must not lose the rest. As an
        # escape it is still JSON inside a string.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if arguments in (["-V"], ["--version"]):
        return _guarded_run(arguments, open_app)
    from promptop.base import texts, units
    from promptop.base.terminal import guard_output

    before = texts.use(_language)
    units.show_beside(_currency)
    try:
        with guard_output():
            return _guarded_run(arguments, open_app)
    finally:
        texts.use(before)
        units.show_beside(None)


def _language() -> str:
    """Return the language of the settings or of the environment; called only where a command has something to say."""
    from promptop import settings
    from promptop.base import texts

    return settings.load().language or texts.from_environment()


def _currency() -> Currency | None:
    """Return the second currency of the settings; called only where an amount is shown."""
    from promptop import settings

    return settings.load().money.currency()


def _replace_missing_streams() -> None:
    """Put streams that lead nowhere in the place of those that the caller closed (``>&-``)."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - stays open as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def _guarded_run(arguments: list[str], open_app: OpenApp | None) -> int:
    try:
        return _run(arguments, open_app)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) went away: not a failure
        return 0
    except OSError as error:  # a full disk behind the output, a terminal that is gone: the machine's fault, not ours
        from promptop.base.sanitize import clean_line

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
    if arguments in (["-V"], ["--version"]):
        print(f"promptop {promptop.__version__}")
        sys.stdout.flush()
        return 0
    from promptop.base.errors import PromptopError

    try:
        return _dispatch(arguments, open_app)
    except PromptopError as error:
        _tell(error, arguments)
        return error.exit_code


def _dispatch(arguments: list[str], open_app: OpenApp | None) -> int:
    from promptop.cli.command_line.command import parse
    from promptop.cli.commands import COMMANDS

    if _COMPLETE in os.environ:
        from promptop.cli.command_line.completion import answer
        from promptop.cli.command_line.loading import Root

        return answer(Root())
    name = arguments[0] if arguments else ""
    if name not in COMMANDS:
        return _open(arguments, open_app)
    from promptop.cli.command_line.loading import command_of, module_of

    args = parse(command_of(name), f"promptop {name}", arguments[1:])
    if args is None:
        return 0
    args.open_app = open_app
    code: int = module_of(name).run(args)
    sys.stdout.flush()
    return code


def _tell(error: PromptopError, arguments: list[str]) -> None:
    """Print cause and remedy on stderr; where JSON was asked for, print them as JSON on stdout too."""
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--json" in words:
        import json

        told = {"error": {"cause": error.cause, "remedy": error.remedy or None, "exit_code": error.exit_code}}
        print(json.dumps(told, ensure_ascii=False))
    print(f"promptop: {error}", file=sys.stderr)


def _begins_a_file(path: Path) -> bool:
    """Tell whether a path that is not there names a file to begin, and not a mistyped command: new.md, drafts/new.

    Raises :class:`UsageError` if its folder is not there.
    """
    from promptop.base.errors import UsageError

    if not path.suffix and path.name == str(path):
        return False
    if not path.expanduser().parent.is_dir():
        raise UsageError(f"There is no folder {str(path.parent)!r} for {path.name}.", "Make it first.")
    return True


def _refuse_mistyped_command(arguments: list[str]) -> None:
    """Raise for a word that is near a command's name and no file, whatever follows it, and for options before one."""
    import difflib
    from pathlib import Path

    from promptop.base.errors import UsageError
    from promptop.base.sanitize import clean_line
    from promptop.cli.commands import COMMANDS

    first = arguments[0] if arguments else ""
    if first.startswith("-"):
        name = next((word for word in arguments[1:] if word in COMMANDS and not Path(word).exists()), "")
        if name and not {"-h", "--help"} & set(arguments):
            raise UsageError(
                f"Options stand behind the command {name}.", f"promptop {name} --help shows how it is used."
            )
        return
    if not first or Path(first).exists() or Path(first).suffix or os.sep in first:
        return
    from promptop.cli.command_line.loading import TABS

    names = [*COMMANDS, *(f"--tab {tab}" for tab in TABS)]
    near = [f"--tab {first}"] if first in TABS else difflib.get_close_matches(first, names, n=1)
    hint = f"Did you mean: promptop {near[0]}?" if near else "promptop --help lists the commands."
    raise UsageError(f"There is no file and no command {clean_line(first, 60)!r}.", hint)


def _open(arguments: list[str], open_app: OpenApp | None) -> int:
    from promptop.cli.command_line.command import parse
    from promptop.cli.command_line.loading import app_command
    from promptop.cli.shared.options import AppOptions, fleet_log, has_exports, has_live, log_files, settings_of
    from promptop.fleet.engine import is_address

    _refuse_mistyped_command(arguments)
    args: ParsedArguments | None = parse(app_command(), "promptop", arguments)
    if args is None:
        return 0
    if args.version:
        print(f"promptop {promptop.__version__}")
        return 0
    if args.file is not None and not args.file.exists() and not _begins_a_file(args.file):
        _refuse_mistyped_command([str(args.file)])
    if args.file is not None and args.file.suffix == ".promptop" and args.file.is_file():  # an incident: replayed
        args.log, args.file = [*(args.log or ()), args.file], None
    places = args.log or ()
    away = any(isinstance(place, str) and is_address(place) for place in places)
    logs = () if away else log_files(places, follow=True)
    replay = logs if has_exports(args.log or ()) else ()
    followed = has_live(args.log or ())  # another program's log is shown, and our own written
    args.log = logs[0] if logs and not replay and not followed else None
    settings = settings_of(args)
    fleet = fleet_log(places, settings.fleet)
    options = AppOptions(
        settings=settings,
        log_path=settings.log_path(),
        more_logs=() if replay or followed else logs[1:],
        watched=(fleet,) if fleet is not None else logs if followed else (),
        replay=replay,
        open_path=args.file,
        tab=args.tab or ("monitor" if replay or followed or fleet else "editor"),
        profile_to=args.cprofile,
    )
    return start(options, open_app)


def start(options: AppOptions, open_app: OpenApp | None) -> int:
    """Open the app, if there is one and a terminal to show it in."""
    from promptop.base.errors import PromptopError, UsageError
    from promptop.base.terminal import unguard

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
