"""What a command line means for the app, and the options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from promptop import settings as settings_room
from promptop.errors import UsageError
from promptop.settings import Settings


@dataclass(frozen=True, slots=True)
class AppOptions:
    """How to open the app."""

    settings: Settings
    log_path: Path
    simulated: bool = False
    """Endpoint and traffic are simulated; the app says so on every screen."""
    open_path: Path | None = None
    """File to open in the editor."""
    tab: str = "editor"
    """Tab shown first: editor, playground or monitor."""
    draft_path: Path | None = None
    """Where the draft is saved; None: the state folder."""
    profile_to: Path | None = None
    """File for a cProfile of the app itself."""


OpenApp = Callable[[AppOptions], int]
"""Opens the app and returns its exit code; injected, because the core knows no screen."""


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, ``--endpoint`` and ``--log``, which every command that needs settings takes."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: promptop config path)")
    parser.add_argument("--endpoint", metavar="NAME", help="profile of the settings to use")
    parser.add_argument("--log", type=Path, metavar="FILE", help="request log (default: promptop log path)")


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings that the shared options choose; raise UsageError for a profile that does not exist."""
    if args.config is not None and not args.config.exists():
        raise UsageError(f"There is no settings file {args.config}.", "promptop config init creates one.")
    found = settings_room.load(args.config)
    if args.endpoint is not None:
        if args.endpoint not in found.profiles:
            names = ", ".join(found.profiles) or "none (promptop config init writes examples)"
            raise UsageError(f"There is no profile {args.endpoint!r}.", f"Profiles: {names}.")
        found = replace(found, profile=args.endpoint)
    if args.log is not None:
        found = replace(found, log=replace(found.log, path=str(args.log)))
    return found
