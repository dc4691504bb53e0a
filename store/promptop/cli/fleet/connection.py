"""What ``ship`` and ``fleet`` share: the engine that the settings or ``--url`` name."""

from __future__ import annotations

from dataclasses import replace

from promptop.base.errors import UsageError
from promptop.cli.command_line.declare import Parameters, ParsedArguments, group, option
from promptop.fleet.engine import Address, Engine, parse_address, password_of
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


def address_of(fleet: FleetSettings) -> Address:
    """Return the engine's address; raises :class:`UsageError` if none is named."""
    if not fleet.url:
        raise UsageError("No fleet is named.", "Set url in [fleet], or write --url clickhouse://HOST:8443/promptop.")
    return parse_address(fleet.url, user=fleet.user, password=password_of(fleet.password_file), ca_file=fleet.ca_file)


def engine_of(fleet: FleetSettings, *, timeout_s: float = 30.0) -> Engine:
    """Return a client of the engine."""
    return Engine(address_of(fleet), timeout_s=timeout_s)
