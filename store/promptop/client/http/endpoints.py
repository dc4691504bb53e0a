"""One HTTP client per endpoint, kept open, so that the second call finds its connection waiting.

An :class:`Endpoints` belongs to one event loop. It also remembers what each model refused, so that a parameter is
repaired once and not at every call, and how calls were shared out among the places of a profile.

One client (:mod:`promptop.client.http.api_client`) speaks every API.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.client.apis import api_of
from promptop.client.http.api_client import ApiClient, EndpointError, NoAnswerError
from promptop.client.http.load_balancer import Balancer
from promptop.client.spending import Gate, open_gate
from promptop.settings import CacheSettings, Profile, Settings

if TYPE_CHECKING:
    import httpx2

    from promptop.cache import Cache
    from promptop.log import Writer
    from promptop.log.write.pending import Bodies


@dataclass(slots=True)
class RefusedFields:
    """What a model was found to refuse: fields that are left out, and fields sent under another name."""

    dropped: dict[str, str] = field(default_factory=dict)
    """Field → why, in the words shown beside the result."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Field → name it is sent under."""


class Endpoints:
    """The clients of one event loop, one per endpoint; all of them log to the same file."""

    def __init__(
        self,
        *,
        log: Path | Writer | None = None,
        app: str = "promptop",
        tags: Mapping[str, str] | None = None,
        bodies: str | None = None,
        simulated: bool = False,
        cache: CacheSettings | None = None,
        notice: Callable[[str], None] | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Keep the options of the logging transport; nothing is opened or imported yet.

        ``cache`` is used for requests that ask for it, and for no other; ``notice`` is told when its Redis fails.
        ``gate`` is asked before each attempt whether there is money for it.
        """
        self.gate: Gate = gate or open_gate
        self._log = log
        self._app = app
        self._tags = tags
        self._bodies = bodies
        self._simulated = simulated
        self._cache_settings = cache
        self._notice = notice
        self._cache: Cache | None = None
        self._inner: dict[Identity, httpx2.AsyncHTTPTransport] = {}
        self._clients: dict[tuple[Identity, bool, bool], ApiClient] = {}
        self._balancers: dict[tuple[str, Identity], Balancer] = {}
        self._keys: dict[str, str] = {}
        self._learned: dict[tuple[str, str], RefusedFields] = {}
        self._lock = asyncio.Lock()

    def transport_options(self) -> dict[str, Any]:
        """Return the options of the logging transport, for calls that go past these clients."""
        return {"log": self._log, "app": self._app, "bodies": self._bodies, "simulated": self._simulated}

    def learned(self, profile: Profile, model: str) -> RefusedFields:
        """Return what this model of this endpoint was found to refuse; callers add to it."""
        return self._learned.setdefault((profile.base_url, model), RefusedFields())

    def balancer(self, profile: Profile) -> Balancer:
        """Return what shares out the calls of a profile among its endpoints and keys."""
        place = profile.name, _identity(profile)
        if place not in self._balancers:
            self._balancers[place] = Balancer(profile)
        return self._balancers[place]

    def balancers(self) -> list[Balancer]:
        """Return those of the profiles that were called and have several places."""
        return [each for each in self._balancers.values() if each.several]

    def shares(self) -> list[str]:
        """Say how calls were shared out among the endpoints and keys of each profile that has several, a line each."""
        lines = []
        for balancer in self.balancers():
            for place in balancer.places:
                failed = f", {place.failed} failed" if place.failed else ""
                mean = f", TTFT {units.seconds(place.latency_s)}" if place.latency_s is not None else ""
                why = f"; left out: {clean_line(place.why, 120)}" if place.why else ""
                lines.append(f"{clean_line(place.label, 60)}: {place.sent} sent{failed}{mean}{why}")
        return lines

    async def client(self, profile: Profile, *, cached: bool = False, logged: bool = True) -> ApiClient:
        """Return the client of a profile, one that asks the cache first if ``cached``; all share their connections.

        Not ``logged`` is what the app asks for itself, such as the list of models: the log holds the user's calls.
        Raises :class:`promptop.base.errors.PromptopError` if the profile's key or the cache's address cannot be had.
        """
        cached = cached and self._cache_settings is not None
        place = _identity(profile), cached, logged
        async with self._lock:
            known = self._clients.get(place)
            if known is not None:
                return known
            # A key command may ask a password manager, and importing httpx2 takes 0.2 s: neither may hold up the
            # calls that are already streaming on this loop.
            key = await asyncio.to_thread(profile.api_key)
            made = await asyncio.to_thread(self._make, profile, key, cached, logged)
            self._clients[place] = made
            self._keys[f"{profile.name} {profile.api_key_env}"] = key
            return made

    def secrets(self) -> tuple[str, ...]:
        """Return the keys in use, so that they can be cut out of messages."""
        return tuple(key for key in self._keys.values() if key)

    def refusal(self, profile: Profile, body: Mapping[str, Any]) -> str:
        """Say why the cache is not asked for a request with this body; empty if it is, or there is none."""
        if self._cache_settings is None:
            return ""
        from promptop.cache import key_of, policy_of

        key = key_of("", api_of(profile).path, body, policy_of(self._cache_settings))
        return key.refusal if key is not None else ""

    def _make(self, profile: Profile, key: str, cached: bool, logged: bool) -> ApiClient:
        import httpx2

        from promptop.client.http.transport import Connection, proxy_for

        place = _identity(profile)
        if place not in self._inner:
            self._inner[place] = Connection(profile, proxy_for(profile.base_url))
        inner = self._inner[place]
        transport: httpx2.AsyncBaseTransport = self._watched(inner, cached) if logged else inner
        timeout = httpx2.Timeout(profile.timeout_s, connect=profile.connect_timeout_s)
        headers = headers_of(profile, key)
        home = httpx2.URL(base_url_of(profile))

        async def authorize(request: httpx2.Request) -> None:
            """Take out a key that a redirect would take abroad."""
            url = request.url
            if (url.scheme, url.host, url.port) != (home.scheme, home.host, home.port):
                request.headers.pop("x-api-key", None)  # of Authorization httpx2 sees to that itself

        http = httpx2.AsyncClient(
            transport=transport, timeout=timeout, follow_redirects=True, event_hooks={"request": [authorize]}
        )
        return ApiClient(base_url_of(profile), headers, http)

    def _watched(self, inner: httpx2.AsyncBaseTransport, cached: bool) -> httpx2.AsyncBaseTransport:
        """Return a transport that logs what passes through ``inner``."""
        import promptop

        watched: httpx2.AsyncBaseTransport = promptop.transport(
            inner,
            asynchronous=True,
            family="httpx2",
            log=self._log,
            app=self._app,
            tags=self._tags,
            bodies=cast("Bodies | None", self._bodies),
            simulated=self._simulated,
            **(self._caching() if cached else {}),
        )
        return watched

    def _caching(self) -> dict[str, Any]:
        """Return the options of the transport that concern the cache, which is opened with the first of them."""
        from promptop.cache import open_cache, policy_of

        settings = self._cache_settings
        assert settings is not None, "asked for a cache that there is not"
        if self._cache is None:
            log: Any = getattr(self._log, "path", self._log) or Settings().log_path()
            self._cache = open_cache(settings, Path(log), notice=self._notice)
            self._cache.warm()  # 280 to 880 ms (import and connect) that a first miss would show as TTFT
        return {"cache": self._cache, "cache_policy": policy_of(settings), "cache_pace": settings.pace}

    async def models(self, profile: Profile, *, timeout_s: float = 5.0) -> tuple[str, ...]:
        """Return the ids that the endpoint lists at ``/models``; empty if it lists none or fails."""
        try:
            client = await self.client(profile, logged=False)
            listed = await client.get("/models", timeout_s=timeout_s)
        except (EndpointError, NoAnswerError, ValueError):
            # Asked only to make an error message more helpful; many servers have no such list, or one of another shape.
            return ()
        rows = listed.get("data") if isinstance(listed, dict) else None
        names = (row.get("id") for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
        return tuple(sorted(name for name in names if isinstance(name, str)))

    async def aclose(self) -> None:
        """Close every connection."""
        clients = list(self._clients.values())
        self._clients.clear()
        self._inner.clear()
        for client in clients:
            await client.close()
        if self._cache is not None:
            await asyncio.to_thread(self._cache.close)
            self._cache = None


async def load_client() -> None:
    """Import what a call needs off the event loop, so that the first call need not wait for it."""

    def load() -> None:
        import httpx2  # noqa: F401

        import promptop.client.http.transport  # noqa: F401

    await asyncio.to_thread(load)


def headers_of(profile: Profile, key: str) -> dict[str, str]:
    """Return the headers of each request: the profile's own, the key where its API wants it, the API's version."""
    ours = api_of(profile).headers(key)
    if "authorization" in ours:
        return {**profile.headers, **ours}
    return {**ours, **profile.headers}


def base_url_of(profile: Profile) -> str:
    """Return the address that paths are put after: Anthropic's is written without its ``/v1`` as often as with it."""
    url = profile.base_url.rstrip("/")
    return f"{url}/v1" if profile.api == "anthropic" and not urllib.parse.urlsplit(url).path else url


Identity = tuple[str, ...]
"""What tells connections apart: an address with a key's source, and every option of the transport."""

_OPTIONS = (
    *("base_url", "endpoints", "api_key_command", "api_key_env", "api_key_envs", "api", "timeout_s"),
    *("connect_timeout_s", "keep_alive", "keep_alive_s", "max_connections", "http2", "ca_file", "gzip_requests"),
)


def _identity(profile: Profile) -> Identity:
    return (*(repr(getattr(profile, name)) for name in _OPTIONS), repr(sorted(profile.headers.items())))
