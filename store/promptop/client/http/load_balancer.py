"""Where the calls of a profile go that names several endpoints or keys: shared out; what fails is left out for a time.

A place is one endpoint with one key. One that fails is ejected for ``eject_s`` seconds, twice as long each time that it
fails again; then a single call is let through to it, and only its success brings it back. A call whose attempt failed
goes on at another place at once. With all places ejected the one that is due first is asked: to refuse helps nobody.
"""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from promptop.client.result import RunError
from promptop.settings import Profile

EJECT_AFTER = 3
"""Failures in a row that may be the server's passing trouble (5xx, time-outs) until a place is ejected."""
LONGEST_EJECT_S = 300.0
SMOOTHING = 0.3
"""Weight of the newest time to a first token in the running mean."""


@dataclass(slots=True, eq=False)
class Endpoint:
    """One endpoint with one key, and what became of the calls sent there."""

    profile: Profile
    label: str
    """Host and port, and the name of the key's variable where there are several."""
    sent: int = 0
    """Attempts."""
    failed: int = 0
    in_flight: int = 0
    latency_s: float | None = None
    """Running mean of the time to the first token."""
    in_a_row: int = 0
    ejections: int = 0
    """In a row, without a success between them."""
    until_s: float | None = None
    """Clock's moment until which it gets no calls; None: it is in use."""
    why: str = ""
    """What it was ejected for."""

    def to_json(self) -> dict[str, Any]:
        """Return the place as ``--json`` shows it (seconds, unknown is None)."""
        return {
            "place": self.label,
            "sent": self.sent,
            "failed": self.failed,
            "ttft_mean_s": self.latency_s,
            "ejected": self.why or None,
        }


def places_of(profile: Profile) -> list[Endpoint]:
    """Return the places of a profile: every endpoint with every key."""
    urls = list(dict.fromkeys((profile.base_url, *profile.endpoints)))
    keys = list(dict.fromkeys((profile.api_key_env, *profile.api_key_envs)))
    if len(keys) > 1 and not keys[0] and not profile.api_key_command:
        keys = keys[1:]
    found = []
    for url in urls:
        host = urllib.parse.urlsplit(url).netloc.rpartition("@")[2] or url
        for number, key in enumerate(keys):
            command = profile.api_key_command if number == 0 else ""
            label = host if len(keys) == 1 else f"{host} ${key}" if key else f"{host} key command"
            # Fields of the profile that do not differ stay: one identity for each place, and its own pool.
            one = replace(
                profile, base_url=url, api_key_env=key, api_key_command=command, endpoints=(), api_key_envs=()
            )
            found.append(Endpoint(one, label))
    return found


class Balancer:
    """Chooses the place of each attempt. Belongs to one event loop."""

    def __init__(self, profile: Profile, clock: Callable[[], float] = time.monotonic) -> None:
        self.places = places_of(profile)
        self._least = profile.balance == "least-latency"
        self._eject_s = profile.eject_s
        self._clock = clock
        self._turn = 0

    @property
    def several(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.places) > 1

    def choose(self, avoid: Collection[Endpoint] = ()) -> Endpoint:
        """Return the place of the next attempt, and count it as sent; not one of ``avoid`` if there is another."""
        place = self._chosen([each for each in self.places if each not in avoid] or self.places)
        place.sent += 1
        place.in_flight += 1
        return place

    def left(self, avoid: Collection[Endpoint]) -> bool:
        """Whether a place that is in use, or due to be tried again, is not among ``avoid``."""
        return any(self._usable(each) for each in self.places if each not in avoid)

    def _chosen(self, among: list[Endpoint]) -> Endpoint:
        usable = [each for each in among if self._usable(each)]
        if not usable:
            return min(among, key=lambda each: each.until_s or 0.0)
        due = [each for each in usable if each.until_s is not None]
        if due:
            return due[0]
        if self._least:
            unknown = [each for each in usable if each.latency_s is None]
            # Those that nobody has measured come first, one call each; a long queue makes a near place far.
            waiting = [each for each in unknown if not each.in_flight]
            if waiting:
                return waiting[0]
            known = [each for each in usable if each.latency_s is not None]
            if known:
                return min(known, key=lambda each: (each.latency_s or 0.0) * (each.in_flight + 1))
        order = self.places[self._turn :] + self.places[: self._turn]
        place = next(each for each in order if each in usable)
        self._turn = (self.places.index(place) + 1) % len(self.places)
        return place

    def _usable(self, place: Endpoint) -> bool:
        if place.until_s is None:
            return True
        return self._clock() >= place.until_s and not place.in_flight

    def ended(
        self, place: Endpoint, error: RunError | None, *, ttft_s: float | None = None, asked_s: float | None = None
    ) -> None:
        """Take what became of an attempt; ``asked_s`` is the pause that the server asked for."""
        place.in_flight -= 1
        if error is None or not blames_place(error):
            # What was refused for its content says that the place works.
            if error is None or error.status is not None:
                place.in_a_row = place.ejections = 0
                place.until_s, place.why = None, ""
            if error is None and ttft_s is not None:
                before = place.latency_s
                place.latency_s = ttft_s if before is None else before + SMOOTHING * (ttft_s - before)
            return
        place.failed += 1
        if error.type == "key":
            place.sent -= 1  # nothing left: there was no key to send
        place.in_a_row += 1
        at_once = error.type in {"connect", "connect_timeout", "key", "insufficient_quota"}
        at_once = at_once or error.status in {401, 403, 429} or place.until_s is not None
        if self.several and (at_once or place.in_a_row >= EJECT_AFTER):
            pause = min(LONGEST_EJECT_S, self._eject_s * 2**place.ejections)
            place.until_s = self._clock() + (pause if asked_s is None else max(asked_s, 0.0))
            place.ejections += 1
            place.why = error.cause


def blames_place(error: RunError) -> bool:
    """Return whether an error speaks against the endpoint or the key, and not against the request."""
    if error.type in {"connect", "connect_timeout", "timeout", "key", "insufficient_quota"}:
        return True
    return error.status is not None and (error.status in {401, 403, 408, 429} or error.status >= 500)
