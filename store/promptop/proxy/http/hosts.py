"""Whom a request may name as its host and its origin: a web page must not reach a proxy on loopback.

A page's script may send requests to this machine, and by rebinding its DNS name it may even read the answers. Its name
is then in ``Host``, and ``Origin`` says where it came from: only loopback's names and configured ones are taken.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from promptop.proxy.upstreams import RefusedError

_PORT = re.compile(r":\d{0,5}\Z")
_WEB = re.compile(r"https?://([^/]*)\Z", re.IGNORECASE)
_ANYWHERE = frozenset(("0.0.0.0", "::", "*", ""))


class Hosts:
    """The names under which a proxy may be reached."""

    def __init__(self, names: Iterable[str] = (), *, checked: bool = True) -> None:
        """``names`` besides those of loopback; where requests carry an access token any host may be ``checked`` not."""
        self._names = frozenset(name.lower().strip("[]").rstrip(".") for name in names) - _ANYWHERE
        self._checked = checked
        self._known: set[str] = set()

    def admit(self, host: str | None, origin: str | None) -> None:
        """Raise :class:`RefusedError` for a host or an origin that is not this machine's."""
        if host is not None and self._checked and host not in self._known:
            if not self._is_ours(_PORT.sub("", host.strip())):
                raise RefusedError(
                    403,
                    "host_not_allowed",
                    "The request names another host than this proxy's.",
                    "Use http://127.0.0.1 or localhost, or start the proxy with --host-name NAME.",
                )
            if len(self._known) < 100:
                self._known.add(host)
        if origin is not None and not self._is_from_here(origin.strip()):
            raise RefusedError(
                403,
                "origin_not_allowed",
                "The request comes from a web page of another host.",
                "Start the proxy with --host-name NAME if that page may use it.",
            )

    def _is_ours(self, name: str) -> bool:
        name = name.lower().strip("[]").rstrip(".")
        if name in self._names or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def _is_from_here(self, origin: str) -> bool:
        """Say whether an origin is not a foreign web page: of this machine, or an app that is none (``app://…``)."""
        page = _WEB.match(origin)
        if page is None:
            return "://" in origin and not origin.lower().startswith("file:")
        return self._is_ours(_PORT.sub("", page[1]))
