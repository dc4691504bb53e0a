"""What a command line means for the app, and the options that several commands share."""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from promptop import settings as settings_room
from promptop.base.errors import UsageError
from promptop.base.files import state_dir
from promptop.base.sanitize import clean_line
from promptop.base.toml.records import nearest
from promptop.cli.command_line.completion import files, profiles
from promptop.cli.command_line.declare import Parameters, ParsedArguments, group, option
from promptop.settings import FleetSettings, Settings

if TYPE_CHECKING:
    from promptop.fleet.log_source import FleetLog
    from promptop.log.read.reader import LogPlace


@dataclass(frozen=True, slots=True)
class AppOptions:
    """How to open the app."""

    settings: Settings
    log_path: Path
    more_logs: tuple[Path, ...] = ()
    """Logs that the monitor reads beside the first."""
    watched: tuple[LogPlace, ...] = ()
    """Logs that the monitor shows instead of them: a fleet's, another program's."""
    replay: tuple[Path, ...] = ()
    """Logs that the monitor replays instead of them; calls are still written to ``log_path``."""
    simulated: bool = False
    """Endpoint and traffic are simulated; the app says so on every screen."""
    open_path: Path | None = None
    """File to open in the editor."""
    ask: str = ""
    """Prompt that the playground opens with, as a file would hold it."""
    tab: str = "editor"
    """Tab shown first: editor, playground or monitor."""
    draft_path: Path | None = None
    """Where the draft is saved; None: the state folder."""
    profile_to: Path | None = None
    """File for a cProfile of the app itself."""


_LIVE_MS = 86_400_000

OpenApp = Callable[[AppOptions], int]
"""Opens the app and returns its exit code; injected, because the core knows no screen."""


def settings_options(*, several_logs: bool = False, reads_only: bool = False) -> Parameters:
    """Return ``--config``, ``--profile`` and ``--log``, which every command that needs settings takes."""
    if several_logs:
        text = (
            "request log, folder of logs or export (JSONL, CSV) to replay; repeatable; the first log is written;"
            " or what is followed: a logs.db of llm, LiteLLM's postgresql://…"
        )
        log = option("--log", type=log_place, many=True, metavar="FILE", complete=files, help=text)
    elif reads_only:
        text = (
            "request log (default: promptop log path), logs.db of llm, postgresql:// of LiteLLM,"
            " or clickhouse://, the fleet's log"
        )
        log = option("--log", type=log_place, metavar="FILE", complete=files, help=text)
    else:
        log = option("--log", type=Path, metavar="FILE", help="request log (default: promptop log path)")
    profile = option(
        "--profile", old=["--endpoint"], metavar="NAME", complete=profiles, help="endpoint: a profile of the settings"
    )
    config = option("--config", type=Path, metavar="FILE", help="settings file (default: promptop config path)")
    return group("Settings", config, profile, log)


def log_place(text: str) -> Path | str:
    """Read ``--log`` of a command that only reads: a path, or an address of PostgreSQL or ClickHouse as it is."""
    from promptop.fleet.engine import is_address
    from promptop.log.transfer.live_sources import is_postgres

    return text if is_postgres(text) or is_address(text) else Path(text)


def fleet_log(places: Sequence[Path | str], settings: FleetSettings) -> FleetLog | None:
    """Return the fleet's log that ``--log`` names, if it does; raises :class:`UsageError` beside another log."""
    from promptop.fleet.engine import is_address

    address = next((each for each in places if isinstance(each, str) and is_address(each)), None)
    if address is None:
        return None
    if len(places) != 1:
        raise UsageError("A fleet's log is read alone.", "Name one address, or files.")
    from promptop.fleet.background import address_of
    from promptop.fleet.log_source import FleetLog

    return FleetLog(address_of(replace(settings, url=address)))


def log_places(
    places: Sequence[Path | str], settings: FleetSettings, *, since_ms: int | None = None, follow: bool = False
) -> tuple[LogPlace, ...]:
    """Return what ``--log`` names, for a reader: a fleet's log alone, else files as :func:`log_files` gives them."""
    fleet = fleet_log(places, settings)
    return (fleet,) if fleet is not None else log_files(places, since_ms=since_ms, follow=follow)


def has_exports(paths: Iterable[Path | str]) -> bool:
    """Tell whether any of ``--log`` is an exported file, which is looked at and not written to."""
    from promptop.log.transfer.replays import is_export

    return any(isinstance(path, Path) and is_export(path) for path in paths)


def has_live(paths: Iterable[Path | str]) -> bool:
    """Tell whether any of ``--log`` is another program's log, which is followed and not written to."""
    from promptop.log.transfer.live_sources import is_live

    return any(is_live(path) for path in paths)


def log_files(paths: Iterable[Path | str], *, since_ms: int | None = None, follow: bool = False) -> tuple[Path, ...]:
    """Return the logs of ``--log``, each once: files as they are, of a folder those in it, exports as private logs.

    Of LiteLLM's PostgreSQL and of a database of ``llm`` the rows since ``since_ms`` (a day ago if it is not given) are
    in a private log, which goes on growing with ``follow``.

    Raises :class:`UsageError` for a folder without logs, :class:`PromptopError` for an export that holds no call.
    """
    from promptop.fleet.engine import is_address
    from promptop.log.transfer.live_sources import is_live, open_live
    from promptop.log.transfer.replays import SUFFIXES, open_export

    found: dict[Path, None] = {}
    for path in paths:
        if isinstance(path, str) and is_address(path):
            raise UsageError(
                "This command reads a local log.",
                "`promptop report`, `alerts`, `log tail`, `log export` and the monitor read a fleet's.",
            )
        if is_live(path):
            begin = time.time_ns() // 1_000_000 - _LIVE_MS if since_ms is None else since_ms
            mirror = open_live(path, state_dir() / "replays", begin)
            found[mirror.log] = None
            if follow:
                mirror.follow()
                atexit.register(mirror.close)
            else:
                mirror.close()
            continue
        assert isinstance(path, Path)  # an address of another kind is not live
        if path.suffix.lower() in SUFFIXES and not path.exists():  # a log would be begun under that name
            raise UsageError(f"There is no export {path}.", "promptop log export -o FILE writes one.")
        if has_exports([path]):
            found[open_export(path, state_dir() / "replays")] = None
            continue
        if not path.is_dir():
            found[path] = None
            continue
        from promptop.log.files import logs_in

        try:
            inside = logs_in(path)
        except OSError as error:
            raise UsageError(
                f"The folder {path} cannot be read ({error.strerror}).", "Check its permissions."
            ) from None
        if not inside:
            raise UsageError(f"There is no request log in the folder {path}.", "Name a file, or another folder.")
        found.update(dict.fromkeys(inside))
    return tuple(found)


def require_logs(places: Iterable[LogPlace]) -> None:
    """Raise :class:`UsageError` for the first log that is not there."""
    for path in places:
        if isinstance(path, Path) and not path.exists():
            begun = "The first logged call creates it: promptop run, promptop proxy or promptop.observe(client)."
            raise UsageError(f"There is no log {clean_line(str(path))}.", begun)


def settings_of(args: ParsedArguments, *, sends: bool = False) -> Settings:
    """Return the settings that the shared options choose.

    Raises :class:`UsageError` for a profile that does not exist and, if the command ``sends`` anything to an endpoint,
    for settings that cannot be obeyed as they are written; other commands go on, and one line says so.
    """
    if args.config is not None and not args.config.exists():
        raise UsageError(f"There is no settings file {args.config}.", "promptop config init creates one.")
    found = settings_room.load(args.config)
    if sends:
        found.require_valid()
    tell_problems(found)
    if args.profile is not None:
        if args.profile not in found.profiles:
            names = ", ".join(found.profiles) or "none (promptop config init writes examples)"
            near = nearest(args.profile, found.profiles)
            hint = f"Did you mean {near!r}? " if near else ""
            raise UsageError(f"There is no profile {args.profile!r}.", f"{hint}Profiles: {names}.")
        found = replace(found, profile=args.profile)
    if args.log is not None:
        found = replace(found, log=replace(found.log, path=str(args.log)))
    return found


def own_settings() -> Settings:
    """Return the settings of the user's file for a command without the shared options; one line says what is wrong."""
    found = settings_room.load()
    tell_problems(found)
    return found


def tell_problems(settings: Settings) -> None:
    """Say in one line on stderr that the settings are not obeyed as they are written."""
    if not settings.problems:
        return
    first, more = settings.problems[0], len(settings.problems) - 1
    others = f" ({more} more)" if more else ""
    line = f"promptop: {first.place}: {first.cause}{others}; defaults are used. promptop doctor says what to do."
    print(clean_line(line), file=sys.stderr)
