"""The logging reverse proxy: ``promptop proxy`` and the private one of ``promptop watch``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.proxy.background import ProxyThread as ProxyThread
    from promptop.proxy.http.limits import ProxyLimits as ProxyLimits
    from promptop.proxy.server import Proxy as Proxy
    from promptop.proxy.server_process import Options as Options
    from promptop.proxy.server_process import serve as serve
    from promptop.proxy.upstreams import Routes as Routes
    from promptop.proxy.upstreams import Upstream as Upstream

_HOMES = {
    "ProxyLimits": "http.limits",
    "Options": "server_process",
    "Proxy": "server",
    "ProxyThread": "background",
    "Routes": "upstreams",
    "Upstream": "upstreams",
    "serve": "server_process",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.proxy' has no attribute {name!r}")
    return getattr(importlib.import_module(f"promptop.proxy.{home}"), name)
