"""Clients of httpx and httpx2 that log their calls to models, without the program's doing."""

from __future__ import annotations

import functools
import os
from typing import Any

from promptop.capture.call import Labels
from promptop.capture.observe import labels_for
from promptop.capture.transports import classes


def watch_clients(module: Any) -> None:
    """Let every client that is made of a family from now on watch the calls that go to models."""
    for name in ("Client", "AsyncClient"):
        kind = getattr(module, name)
        kind.__init__ = _watching(kind.__init__, module.__name__)


def _watching(begin: Any, family: str) -> Any:
    @functools.wraps(begin)
    def __init__(self: Any, *args: Any, **options: Any) -> None:  # noqa: N807 - stands for the client's own
        begin(self, *args, **options)
        try:
            labels = _labels()
            self._transport = _selective(family, self._transport, labels)
            self._mounts = {
                pattern: None if inner is None else _selective(family, inner, labels)
                for pattern, inner in self._mounts.items()
            }
        except Exception as error:  # noqa: BLE001 - the boundary: the program's client works unwatched
            from promptop.capture.faults import count_fault

            count_fault("watch", error)

    return __init__


@functools.cache
def _labels() -> Labels:
    environ = os.environ
    bodies: Any = environ.get("PROMPTOP_WATCH_BODIES") or None
    return labels_for(
        environ["PROMPTOP_WATCH_LOG"],
        app=environ.get("PROMPTOP_WATCH_APP"),
        tags=None,
        bodies=bodies,
        simulated=False,
        include_usage=environ.get("PROMPTOP_WATCH_INCLUDE_USAGE", "1") == "1",
    )


def _selective(family: str, inner: Any, labels: Labels) -> Any:
    """Return a transport that watches calls to models and leaves every other request alone."""
    watched_kind = classes(family)[0]
    if isinstance(inner, watched_kind):
        return inner
    return _kind(family)(inner, labels)


@functools.cache
def _kind(family: str) -> Any:
    watched: Any = classes(family)[0]

    class Selective(watched):  # type: ignore[misc]  # a base known at run time
        """Watches calls to models."""

        def handle_request(self, request: Any) -> Any:
            if _is_a_call(request):
                return super().handle_request(request)
            return self.inner.handle_request(request)

        async def handle_async_request(self, request: Any) -> Any:
            if _is_a_call(request):
                return await super().handle_async_request(request)
            return await self.inner.handle_async_request(request)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__dict__["inner"], name)

    return Selective


def _is_a_call(request: Any) -> bool:
    """Say whether a request goes to a model or an endpoint of one, and not to the proxy, which logs it itself."""
    from promptop.providers import operation

    url = request.url
    place = f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)}"
    if place == os.environ.get("PROMPTOP_WATCH_PROXY"):
        return False
    return place in os.environ.get("PROMPTOP_WATCH_ORIGINS", "").split(",") or operation(url.path)[0] is not None
