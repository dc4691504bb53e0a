"""A client of Redis (or Valkey) behind a circuit breaker: what the server does neither breaks nor long delays a call.

Any server that redis-py speaks to: ``redis://``, ``rediss://`` (TLS), ``unix://``, and ``redis+cluster://`` and
``redis+sentinel://host:port,host:port/service`` by their own names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from promptop.base.errors import UsageError
from promptop.cache.circuit_breaker import Breaker

if TYPE_CHECKING:
    from redis import Redis


def connect(url: str, *, timeout_s: float) -> Redis:
    """Return a client for ``url``; nothing is sent yet except to find a cluster's nodes.

    Raises :class:`UsageError` for an address that is not valid.
    """
    import redis

    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": 30,
        "decode_responses": False,
    }
    scheme, _, rest = url.partition("://")
    try:
        if scheme in ("redis+cluster", "rediss+cluster"):
            plain = f"{scheme.removesuffix('+cluster')}://{rest}"
            cluster: Any = redis.RedisCluster.from_url(plain, **options)
            return cluster  # type: ignore[no-any-return]
        if scheme == "redis+sentinel":
            parts = urlsplit(url)
            hosts = parts.netloc.rpartition("@")[2]
            nodes = [(host, int(port or 26379)) for host, _, port in (h.partition(":") for h in hosts.split(","))]
            service = parts.path.strip("/")
            if not service:
                raise ValueError("the service's name is missing: redis+sentinel://host:port/service")
            from redis.sentinel import Sentinel

            sentinel: Any = Sentinel
            found: Redis = sentinel(nodes, **options).master_for(service, password=parts.password, **options)
            return found
        client: Redis = redis.Redis.from_url(url, **options)
        return client
    except ValueError as error:
        raise UsageError(f"{_without_password(url)!r} is not an address of a Redis server ({error}).", _FORMS) from None


_FORMS = "Write redis://host:6379/0, rediss://…, unix:///path, redis+cluster://… or redis+sentinel://host:port/service."


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else url


class GuardedRedis:
    """Runs work on a server; a failure yields what the caller would do without one."""

    def __init__(
        self,
        url: str,
        what: str,
        *,
        timeout_s: float,
        breaker: Breaker | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """``what`` begins the notices: one at the first failure in a row, and one when the server is back."""
        self._url = url
        self._what = what
        self._timeout_s = timeout_s
        self._breaker = breaker or Breaker()
        self._notice = notice
        self._client: Redis | None = None
        self._is_told = False
        self.cause = ""
        """The last failure; empty before the first."""

    def do(self, work: Callable[[Any], Any], otherwise: Any) -> Any:
        """Return what ``work`` does with the client, or ``otherwise`` if the server fails or is left alone.

        Raises :class:`UsageError` for an address that is not valid.
        """
        if not self._breaker.allows():
            return otherwise
        import redis

        try:
            if self._client is None:
                self._client = connect(self._url, timeout_s=self._timeout_s)
            result = work(self._client)
        except (redis.RedisError, OSError) as error:
            self.cause = f"{type(error).__name__}: {_without_password(str(error))}"
            self._breaker.failed(self.cause)
            # At the first failure: a command makes one call, and nobody would hear of a third.
            if not self._is_told and self._notice is not None:
                self._is_told = True
                self._notice(f"{self._what} is out of use ({self.cause}). Calls go on without it; it is tried again.")
            return otherwise
        except UsageError:
            self._breaker.failed("the address is not valid")
            raise
        self._breaker.succeeded()
        if self._is_told and self._notice is not None:
            self._is_told = False
            self._notice(f"{self._what} is back.")
        return result

    def warm(self) -> None:
        """Load the library and connect, so that the first look-up pays for neither."""
        self.do(lambda client: client.ping(), None)

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None
