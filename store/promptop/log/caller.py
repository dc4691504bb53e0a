"""Which process a row comes from: host, process, service and instance, under OpenTelemetry's resource names.

Read once in each process (a forked child reads anew), from ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` where
they are set. A service that nobody named stays unknown; an instance that nobody named gets a random UUID, as the
conventions recommend.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from promptop.log.row import Row

_LONGEST = 128


@dataclass(frozen=True, slots=True)
class Caller:
    """One process as its rows name it."""

    host_name: str | None
    process_pid: int
    service_name: str | None
    service_instance_id: str

    def sign(self, row: Row) -> None:
        """Fill in the columns of the caller; what a row has already stays."""
        if row.host_name is None:
            row.host_name = self.host_name
        if row.process_pid is None:
            row.process_pid = self.process_pid
        if row.service_name is None:
            row.service_name = self.service_name
        if row.service_instance_id is None:
            row.service_instance_id = self.service_instance_id


_known: Caller | None = None


def this_process() -> Caller:
    """Return this process as a caller."""
    global _known  # noqa: PLW0603 - one process has one identity
    if _known is None or _known.process_pid != os.getpid():
        _known = read_caller(os.environ)
    return _known


def read_caller(environ: Mapping[str, str]) -> Caller:
    """Return the caller that an environment describes, with this machine's name and this process's id."""
    resource = _attributes(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    return Caller(
        host_name=(resource.get("host.name") or socket.gethostname())[:_LONGEST] or None,
        process_pid=os.getpid(),
        service_name=(environ.get("OTEL_SERVICE_NAME") or resource.get("service.name", ""))[:_LONGEST] or None,
        service_instance_id=resource.get("service.instance.id", "")[:_LONGEST] or str(uuid.uuid4()),
    )


def _attributes(text: str) -> dict[str, str]:
    """Read ``key=value,key=value`` with percent-encoded values; a pair without a key or a value is left out."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {unquote(key.strip()): unquote(value.strip()) for key, _, value in pairs if key.strip() and value.strip()}
