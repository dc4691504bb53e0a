"""Where a request goes: upstreams by prefix, and an allow-list for hosts that are named in the path.

A request can reach the hosts named here and no other: redirects are passed back and never followed, and a target is
always ``origin + path`` with a path that begins with a slash, so that nothing in it can become part of the authority.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlsplit

from promptop.base.errors import UsageError

RESERVED = frozenset({"healthz", "metrics", "to", "token"})
"""First segments of a path that the proxy keeps for itself."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z", re.IGNORECASE)
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?\Z|\[[0-9a-f:.]+\](:\d{1,5})?\Z", re.IGNORECASE)
_ASCII = "".join(map(chr, range(0x21, 0x7F)))
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server that requests are forwarded to."""

    name: str
    """Prefix under which it is reached; empty for the default."""
    origin: str
    """Scheme, host and port, for example ``https://api.openai.com``."""
    base_path: str = ""
    """Path before every request's path, for example ``/v1``; not doubled where the request has it already."""
    host: str = ""
    port: int = 443
    http2: bool = False
    """Whether HTTP/2 is offered to it."""
    userinfo: str = field(default="", repr=False)
    """User and password of the address and of the HTTP proxy on the way, as they stand there."""
    authorization: str | None = field(default=None, repr=False)
    """``Authorization`` for clients that send none, from the user and password in the address."""
    via: str | None = field(default=None, repr=False)
    """HTTP proxy on the way to it, from ``HTTPS_PROXY`` and its kin."""

    @property
    def url(self) -> str:
        """The address without credentials, as it may be shown."""
        return self.origin + self.base_path


def parse(text: str, *, http2: bool = False, environ: Mapping[str, str] | None = None) -> Upstream:
    """Read ``URL`` or ``NAME=URL``; raise :class:`UsageError` for anything else."""
    name, url = "", text
    if found := re.match(r"([^:/?#=]+)=(.*)\Z", text, re.DOTALL):
        name, url = found[1], found[2]
    if name and (not _NAME.match(name) or name.lower() in RESERVED):
        raise UsageError(
            f"{name!r} cannot be the name of an upstream.",
            f"Use letters, digits, '.', '_', '-', and none of {', '.join(sorted(RESERVED))}.",
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not host
        or parts.query
        or parts.fragment
        or re.search(r"[\s\x00-\x1f]", url)
    ):
        raise UsageError(
            "An upstream's address must look like https://api.openai.com/v1.",
            "Give a scheme, a host and perhaps a path; no query.",
        )
    authorization = None
    if parts.username or parts.password:
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    shown = f"[{host}]" if ":" in host else host
    default = _DEFAULT_PORTS[parts.scheme]
    port = port or default
    origin = f"{parts.scheme}://{shown}" + ("" if port == default else f":{port}")
    via = _via(parts.scheme, host, os.environ if environ is None else environ)
    known = (parts.netloc.rpartition("@")[0], urlsplit(via or "").netloc.rpartition("@")[0])
    return Upstream(
        name=name,
        origin=origin,
        base_path=parts.path.rstrip("/"),
        host=host,
        port=port,
        http2=http2,
        userinfo=":".join(filter(None, known)),
        authorization=authorization,
        via=via,
    )


def _via(scheme: str, host: str, environ: Mapping[str, str]) -> str | None:
    """Return the HTTP proxy that the environment names for this host; loopback is never proxied."""
    if is_loopback(host):
        return None
    lowered = {key.lower(): value for key, value in environ.items() if key.lower().endswith("_proxy") and value}
    via = lowered.get(f"{scheme}_proxy") or lowered.get("all_proxy")
    if not via or not via.startswith(("http://", "https://")):
        return None
    bypass = {"no": lowered.get("no_proxy", "")}
    return None if urllib.request.proxy_bypass_environment(host, bypass) else via  # type: ignore[attr-defined]


def is_loopback(host: str) -> bool:
    """Say whether a host name or address means this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class RefusedError(Exception):
    """A request that the proxy answers itself: HTTP status, machine-readable code, cause and remedy."""

    def __init__(self, status: int, code: str, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.status = status
        self.code = code
        self.cause = cause
        self.remedy = remedy


class Routes:
    """From a request's target to an upstream and the path that it is sent."""

    def __init__(self, upstreams: Sequence[Upstream], allow: Iterable[str] = ()) -> None:
        """Take upstreams, at most one without a name, and hosts for ``/to/HOST/…`` (``HOST``, ``*.HOST``, origins)."""
        self._named: dict[str, Upstream] = {}
        self._default: Upstream | None = None
        for upstream in upstreams:
            if not upstream.name:
                if self._default is not None:
                    raise UsageError("Two upstreams have no name.", "Name the others: --upstream NAME=URL.")
                self._default = upstream
            elif upstream.name in self._named:
                raise UsageError(f"Two upstreams are called {upstream.name!r}.", "Give each its own name.")
            else:
                self._named[upstream.name] = upstream
        self._exact: dict[str, Upstream] = {}
        self._suffixes: list[str] = []
        for entry in allow:
            self._permit(entry)

    def _permit(self, entry: str) -> None:
        bare = entry.split("://", 1)[-1].rstrip("/")
        if not _HOST.match(bare):
            raise UsageError(f"{entry!r} cannot be allowed: not a host.", "Write api.example.com or *.example.com.")
        if bare.startswith("*."):
            self._suffixes.append(bare[1:].lower())
            return
        upstream = parse(entry if "://" in entry else f"https://{entry}")
        self._exact[bare.lower()] = replace(upstream, name="to")

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """Every configured upstream, the default first."""
        first = (self._default,) if self._default else ()
        return (*first, *self._named.values(), *self._exact.values())

    def resolve(self, target: str) -> tuple[Upstream, str]:
        """Return the upstream of a request target and the target that it is sent; raise :class:`RefusedError`."""
        if not target.startswith("/"):
            raise RefusedError(
                400,
                "not_a_forward_proxy",
                "This is a reverse proxy: it takes paths, not addresses.",
                "Set the program's base URL to this proxy instead of its HTTP proxy.",
            )
        if not target.isascii():
            target = quote(target.encode("utf-8", "surrogateescape"), safe=_ASCII)
        path, question, query = target.partition("?")
        first, slash, rest = path[1:].partition("/")
        if upstream := self._named.get(first):
            return upstream, _join(upstream, slash + rest) + question + query
        if first == "to" and slash:
            upstream, path = self._named_in_path(rest)
            return upstream, path + question + query
        if self._default is None:
            names = ", ".join(f"/{name}/" for name in self._named)
            raise RefusedError(
                404, "no_upstream", "No upstream is configured for this path.", f"Prefixes here: {names}."
            )
        return self._default, _join(self._default, path) + question + query

    def _named_in_path(self, rest: str) -> tuple[Upstream, str]:
        authority, _, path = rest.partition("/")
        authority = authority.lower()
        upstream = self._exact.get(authority)
        if upstream is None and _HOST.match(authority) and authority.endswith(tuple(self._suffixes)):
            upstream = replace(parse(f"https://{authority}"), name="to")
        if upstream is None:
            raise RefusedError(
                403,
                "host_not_allowed",
                "This host is not on the proxy's list.",
                "Start the proxy with --allow HOST.",
            )
        return upstream, "/" + path


def _join(upstream: Upstream, path: str) -> str:
    """Put the upstream's base path before a path that does not begin with it."""
    base = upstream.base_path
    if base and path != base and not path.startswith(base + "/"):
        path = base + path
    return path or "/"
