"""``observe``: a client like the one given, whose every call is logged."""

from __future__ import annotations

import copy
import opcode
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from promptop.base.errors import UsageError
from promptop.capture.call import Labels, Sink, prepare
from promptop.capture.transports import classes, default_family, family_of

if TYPE_CHECKING:
    from promptop.cache import Cache, Policy
    from promptop.capture.caching.transport import Pace
    from promptop.log.write.pending import Bodies
    from promptop.routing.policy import Policy as RoutingPolicy

_Client = TypeVar("_Client")
_MODES = ("off", "hash", "redacted", "full")


def observe(
    client: _Client,
    *,
    log: str | os.PathLike[str] | Sink | None = None,
    app: str | None = None,
    tags: Mapping[str, object] | None = None,
    bodies: Bodies | None = None,
    simulated: bool = False,
    include_usage: bool = True,
    cache: Cache | None = None,
    cache_policy: Policy | None = None,
    cache_pace: Pace = "instant",
    routing: RoutingPolicy | bool = False,
) -> _Client:
    """Return a client like ``client`` whose every call leaves a row in the log; nothing else about it changes.

    ``client`` is an SDK client of OpenAI or Anthropic, or a client of httpx2 or httpx, sync or async. The new client
    shares its connections: close either, not both. ``log`` is a file or a :class:`promptop.log.Writer` (default: the
    settings' log); ``app`` and ``tags`` label the rows; ``bodies`` is what is kept of prompts and answers (off, hash,
    redacted, full; default: what the log's settings say). A stream that says nothing of usage asks for it, unseen
    by the caller, unless ``include_usage`` is false. With a :class:`promptop.cache.Cache` it answers from there
    what ``cache_policy`` lets it keep, streams at the recorded pace or at once. With ``routing`` a request for text
    goes to the model that the settings' rules name (true), or a policy's; its row says from where and why. Raises
    :class:`TypeError` for another kind of client.
    """
    labels = labels_for(
        log, app=app, tags=tags, bodies=bodies, simulated=simulated, include_usage=include_usage, routing=routing
    )
    within = _within(cache, cache_policy, cache_pace, labels)
    if _is_http_client(client):
        watched: _Client = _watched(client, labels, within)
        _warn_if_dropped(sys._getframe(1))
        return watched
    http = getattr(client, "_client", None)
    if http is None or not _is_http_client(http) or not hasattr(client, "copy"):
        raise TypeError(
            f"observe() cannot watch a {type(client).__name__}: it takes an OpenAI or Anthropic client, "
            "or a Client or AsyncClient of httpx2 or httpx"
        )
    sdk: Any = client
    observed: _Client = sdk.copy(http_client=_watched(http, labels, within))
    _warn_if_dropped(sys._getframe(1))
    return observed


def _warn_if_dropped(caller: FrameType) -> None:
    """Warn if the caller's statement is the call and nothing else, so that what it is given is lost."""
    # CPython's byte code: behind the call stand its caches (0), then what becomes of the value.
    following = caller.f_code.co_code[caller.f_lasti + 2 :: 2]
    if next((code for code in following if code), None) == opcode.opmap.get("POP_TOP"):
        warnings.warn(
            "promptop.observe() returns a new client and leaves the given one as it is; "
            "nothing is logged unless you use it: client = promptop.observe(client)",
            stacklevel=3,
        )


def transport(
    inner: Any = None,
    *,
    asynchronous: bool | None = None,
    family: str | None = None,
    log: str | os.PathLike[str] | Sink | None = None,
    app: str | None = None,
    tags: Mapping[str, object] | None = None,
    bodies: Bodies | None = None,
    simulated: bool = False,
    include_usage: bool = True,
    cache: Cache | None = None,
    cache_policy: Policy | None = None,
    cache_pace: Pace = "instant",
    routing: RoutingPolicy | bool = False,
    **options: Any,
) -> Any:
    """Return a transport for a client of httpx2 or httpx that logs each request and passes it to ``inner``.

    Without ``inner`` it makes a plain one, ``asynchronous`` or not, of ``family`` (``httpx2`` or ``httpx``; default:
    the one that is loaded) with ``options`` such as ``http2=True``. The other arguments are those of :func:`observe`.
    """
    if inner is None:
        family = family or default_family()
        import importlib

        httpx = importlib.import_module(family)
        inner = httpx.AsyncHTTPTransport(**options) if asynchronous else httpx.HTTPTransport(**options)
    elif options:
        raise TypeError(f"options of a transport are given where it is made: {', '.join(options)}")
    family = family or family_of(inner) or default_family()
    labels = labels_for(
        log, app=app, tags=tags, bodies=bodies, simulated=simulated, include_usage=include_usage, routing=routing
    )
    return classes(family)[0](_within(cache, cache_policy, cache_pace, labels)(inner, family), labels)


def labels_for(
    log: str | os.PathLike[str] | Sink | None,
    *,
    app: str | None,
    tags: Mapping[str, object] | None,
    bodies: Bodies | None,
    simulated: bool,
    include_usage: bool = True,
    routing: RoutingPolicy | bool = False,
) -> Labels:
    """Return what all calls of a client have in common; ``log`` is a file, a writer, or None for the settings' log."""
    if bodies is not None and bodies not in _MODES:
        raise UsageError(f"bodies cannot be {bodies!r}.", f"Choose one of {', '.join(_MODES)}.")
    if log is None or isinstance(log, str | os.PathLike):
        from promptop.log import writer_for

        sink: Sink = writer_for(log)
    else:
        sink = log
    prepare(sink)
    labels = Labels(sink, app, dict(tags or {}), bodies, simulated, include_usage)
    if not routing:
        return labels
    if routing is True:
        from promptop.routing.policy import policy_of
        from promptop.settings import load

        routing = policy_of(load())
    return replace(labels, routing=routing)


def _within(cache: Cache | None, policy: Policy | None, pace: Pace, labels: Labels) -> Callable[[Any, str], Any]:
    """Return what puts the cache, if there is one, between the logging transport and the inner one of a family."""
    if cache is None:
        return lambda inner, _: inner
    from promptop.capture.caching import transport as caching

    if cache.semantic is not None and policy is None:
        from promptop.cache import Policy

        policy = Policy(semantic=True)

    def within(inner: Any, family: str) -> Any:
        return caching.classes(family)[0](inner, cache, policy, pace, classes(family)[0](inner, labels), labels.tags)

    return within


def _is_http_client(client: object) -> bool:
    return family_of(client) is not None and hasattr(client, "_transport") and hasattr(client, "_mounts")


@lru_cache(maxsize=256)
def _undying(kind: type[Any]) -> type[Any]:
    """Return a class like ``kind``, with all that it overrides, whose instances do nothing when they are collected."""

    def nothing(self: object) -> None:
        """Leave it to the original."""

    names = {"__slots__": (), "__del__": nothing, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), {**names, "__qualname__": kind.__qualname__})


def _watched(http: Any, labels: Labels, within: Callable[[Any, str], Any]) -> Any:
    """Return a copy of an httpx client that shares everything with it, but whose transports are watched."""
    family = family_of(http)
    assert family is not None
    wrapper = classes(family)[0]

    def wrap(inner: Any) -> Any:
        if inner is None:
            return None
        return wrapper(within(inner.inner if isinstance(inner, wrapper) else inner, family), labels)

    watched = copy.copy(http)
    # The SDKs' own clients close their connections when they are collected. The copy must not do that to a client that
    # is still in use, nor may the original while the copy is: so the copy does nothing then, and holds the original.
    if hasattr(type(http), "__del__"):
        watched.__class__ = _undying(type(http))  # type: ignore[arg-type]  # every class is hashable
    watched._promptop_origin = http
    watched._transport = wrap(http._transport)
    watched._mounts = {pattern: wrap(inner) for pattern, inner in http._mounts.items()}
    return watched
