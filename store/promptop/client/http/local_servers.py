"""How long a local server takes to load a model, where it can be told to: variants of a model differ most in that.

Ollama unloads by ``keep_alive: 0`` and reports ``load_duration`` of an empty request; llama.cpp's router unloads and
loads by ``/models/unload`` and ``/models/load``, and its load is timed by asking for its state. Other servers load when
they start: there the first call against the later ones is all that can be seen (:func:`first_call_s`).
"""

from __future__ import annotations

import asyncio
import statistics
import time
import urllib.parse
from collections.abc import Sequence
from typing import Any

from promptop.client.http.endpoints import base_url_of
from promptop.client.result import RunResult
from promptop.settings import Profile

LONGEST_LOAD_S = 600.0
LOOK_EVERY_S = 0.05


async def load_s(profile: Profile, model: str, *, longest_s: float = LONGEST_LOAD_S) -> float | None:
    """Unload a model, load it and return how long that took, seconds; None where the server cannot be told to.

    Only servers on a private address are asked: nobody else's model is unloaded.
    """
    import httpx2

    url = urllib.parse.urlsplit(base_url_of(profile))
    if not is_private(url.hostname or ""):
        return None
    root = f"{url.scheme}://{url.netloc}"
    limits = httpx2.Timeout(longest_s, connect=profile.connect_timeout_s)
    async with httpx2.AsyncClient(base_url=root, timeout=limits) as client:
        try:
            if (await client.get("/api/version")).status_code == 200:
                return await _ollama(client, model)
            if (await client.get("/models")).status_code == 200:
                return await _router(client, model, longest_s)
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return None  # a server of another kind, or none: the first call will tell
    return None


async def _ollama(client: Any, model: str) -> float | None:
    await client.post("/api/generate", json={"model": model, "keep_alive": 0, "stream": False})
    start = time.perf_counter()
    answer = await client.post("/api/generate", json={"model": model, "stream": False})
    took_s = time.perf_counter() - start
    if answer.status_code != 200:
        return None
    reported = answer.json().get("load_duration")
    return reported / 1e9 if isinstance(reported, int | float) and reported > 0 else took_s


async def _router(client: Any, model: str, longest_s: float) -> float | None:
    await client.post("/models/unload", json={"model": model})
    if not await _becomes(client, model, "unloaded", longest_s):
        return None
    start = time.perf_counter()
    if (await client.post("/models/load", json={"model": model})).status_code != 200:
        return None
    if not await _becomes(client, model, "loaded", longest_s):
        return None
    return time.perf_counter() - start


async def _becomes(client: Any, model: str, wanted: str, longest_s: float) -> bool:
    """Wait until the router says that a model is in a state; False for a server that names no states."""
    end = time.perf_counter() + longest_s
    while time.perf_counter() < end:
        listed = (await client.get("/models")).json()["data"]
        state = next((each.get("status", {}).get("value") for each in listed if each.get("id") == model), None)
        if state is None:
            return False
        if state == wanted:
            return True
        await asyncio.sleep(LOOK_EVERY_S)
    return False


def is_private(host: str) -> bool:
    """Return whether a host is this machine or one of a private network."""
    import ipaddress

    if host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".lan")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host
    return address.is_private or address.is_loopback


def first_call_s(first: RunResult | None, later: Sequence[RunResult]) -> float | None:
    """Return by how much the first call's TTFT exceeded the median of the later ones, seconds; None if not known.

    Loading is in it, and connecting and warming up too: an upper bound.
    """
    times = [result.ttft_s for result in later if result.ttft_s is not None and result.state == "done"]
    if first is None or first.ttft_s is None or not times:
        return None
    return max(0.0, first.ttft_s - statistics.median(times))
