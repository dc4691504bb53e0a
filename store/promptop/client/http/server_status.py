"""Asks the self-hosted servers of the profiles how they stand. No key is sent: these pages need none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from promptop.base.errors import PromptopError
from promptop.providers.servers.status import SERVERS, ServerStatus, parse_metrics, parse_ollama
from promptop.settings import Profile

_TIMEOUT_S = 2.0
_MOST_BYTES = 4 << 20


def self_hosted(profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    """Return the endpoints of profiles that name their server, by a name for each."""
    found: dict[str, Profile] = {}
    for name, profile in profiles.items():
        if profile.server:
            found[name] = profile
            for number, url in enumerate(profile.endpoints, 2):
                found[f"{name} {number}"] = replace(profile, base_url=url)
    return found


def status_url(profile: Profile) -> str:
    """Return where a profile's server tells its figures: beside the version in its address."""
    base = profile.base_url.rstrip("/")
    return base.removesuffix("/v1") + SERVERS[profile.server].path


def read_status(profile: Profile, before: ServerStatus | None = None) -> ServerStatus:
    """Ask a server; ``before`` is the look before. Raises :class:`PromptopError` with cause and remedy."""
    import httpx2

    url, names = status_url(profile), SERVERS[profile.server]
    verify: bool | str = profile.ca_file or True
    try:
        with (
            httpx2.Client(timeout=_TIMEOUT_S, verify=verify, follow_redirects=False) as client,
            client.stream("GET", url) as answer,
        ):
            if answer.status_code != 200:
                raise PromptopError(f"{url} answers {answer.status_code}.", names.remedy)
            body = b""
            for part in answer.iter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise PromptopError(f"{url} sends more than {_MOST_BYTES >> 20} MiB.", "Is it the right address?")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise PromptopError(f"{url} does not answer ({type(error).__name__}).", "Is the server running?") from None
    if profile.server == "ollama":
        import json

        try:
            found = parse_ollama(json.loads(body))
        except ValueError:
            found = ServerStatus()
    else:
        found = parse_metrics(profile.server, body.decode("utf-8", "replace"))
    if not found.is_known:
        raise PromptopError(f"{url} has no figures of {profile.server}.", "Check server and base_url of the profile.")
    return found.since(before)
