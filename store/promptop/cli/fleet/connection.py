"""What ``ship`` and ``fleet`` share: the engine that the settings or ``--url`` name."""

from __future__ import annotations

from dataclasses import replace

from promptop.cli.command_line.declare import Parameters, ParsedArguments, group, option
from promptop.fleet.background import address_of
from promptop.fleet.engine import Engine
from promptop.settings import FleetSettings


def connection_options() -> Parameters:
    """Declare ``--url``, ``--user``, ``--password-file`` and ``--ca-file``."""
    return group(
        "Fleet",
        option("--url", metavar="URL", help="clickhouse://HOST:8443/promptop (default: [fleet] url)"),
        option("--user", metavar="NAME", help="user of the engine (default: [fleet] user)"),
        option("--password-file", metavar="FILE", help="file, mode 0600 (else $PROMPTOP_FLEET_PASSWORD)"),
        option("--ca-file", metavar="FILE", help="certificate of an authority of your own, PEM"),
    )


def chosen(args: ParsedArguments, settings: FleetSettings) -> FleetSettings:
    """Return the settings with what the command line says above them."""
    for name in ("url", "user", "password_file", "ca_file"):
        if getattr(args, name, None):
            settings = replace(settings, **{name: getattr(args, name)})
    return settings


def engine_of(fleet: FleetSettings, *, timeout_s: float = 30.0) -> Engine:
    """Return a client of the engine."""
    return Engine(address_of(fleet), timeout_s=timeout_s)
