"""Begins each Python child of ``promptop watch``: its clients of httpx and httpx2 log their calls to models themselves.

The program sees the addresses that it would have seen without ``watch``, and the same exceptions; a call leaves a row
and nothing else. Where promptop cannot be loaded (an older Python) the variables go on pointing at the proxy.
"""

import os
import sys
from importlib import abc, machinery, util
from typing import Any

_FAMILIES = ("httpx", "httpx2")


def _hand_on() -> None:
    """Run the ``sitecustomize`` that stands behind this one on the path."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib takes 10 ms of every start
    sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != here]  # noqa: PTH100
    spec = machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


class _Patching(abc.Loader):
    """Loads a module as its own loader does, and then watches its clients."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: machinery.ModuleSpec) -> Any:
        """Return what the module's own loader makes."""
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """Run the module; a failure of ours leaves it as it is."""
        self._loader.exec_module(module)
        try:
            from promptop.proxy.inject.clients import watch_clients

            watch_clients(module)
        except Exception as error:  # noqa: BLE001 - the boundary: the program runs unwatched
            sys.stderr.write(f"promptop watch: {module.__name__} is not watched ({type(error).__name__})\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _Finder(abc.MetaPathFinder):
    """Finds the client libraries as Python would, once each."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the module's own spec with a loader that watches it."""
        if name not in _FAMILIES:
            return None
        sys.meta_path.remove(self)
        try:
            spec = util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            spec.loader = _Patching(spec.loader)
        return spec


def _begin() -> None:
    source = os.environ.get("PROMPTOP_WATCH_SOURCE", "")
    if sys.version_info < (3, 11) or not source or not os.environ.get("PROMPTOP_WATCH_LOG"):
        return
    if util.find_spec("promptop") is None:
        sys.path.append(source)
    for pair in os.environ.pop("PROMPTOP_WATCH_RESTORE", "").split("\n"):
        name, equals, value = pair.partition("=")
        if equals:
            os.environ[name] = value
        elif name:
            os.environ.pop(name, None)
    sys.meta_path.insert(0, _Finder())


try:
    _begin()
finally:
    _hand_on()
