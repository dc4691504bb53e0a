"""The logging reverse proxy: ``promptop proxy`` and the private one of ``promptop watch``. Needs aiohttp."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.shim.proxy.limits import Limits as Limits
    from promptop.shim.proxy.process import Options as Options
    from promptop.shim.proxy.process import serve as serve
    from promptop.shim.proxy.server import Proxy as Proxy
    from promptop.shim.proxy.thread import ProxyThread as ProxyThread
    from promptop.shim.proxy.upstreams import Routes as Routes
    from promptop.shim.proxy.upstreams import Upstream as Upstream

_HOMES = {
    "Limits": "limits",
    "Options": "process",
    "Proxy": "server",
    "ProxyThread": "thread",
    "Routes": "upstreams",
    "Upstream": "upstreams",
    "serve": "process",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.shim.proxy' has no attribute {name!r}")
    return getattr(importlib.import_module(f"promptop.shim.proxy.{home}"), name)
