"""The five calls of a provider's batch API (OpenAI's ``/files`` and ``/batches``), with words for what goes wrong."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from promptop.base.errors import PromptopError, UsageError
from promptop.client.http.endpoints import base_url_of, headers_of
from promptop.settings import Profile

if TYPE_CHECKING:
    import httpx2

WINDOW = "24h"
PAGES = 10
"""Pages of a hundred batches that a lost one is looked for in."""
TRIES = 4
"""Attempts of a call that may be repeated."""
_NONE = frozenset((404, 405, 501))


class AwayError(PromptopError):
    """The provider did not answer, or not sensibly; it may later."""


class BatchApi:
    """One endpoint's batch API."""

    def __init__(self, profile: Profile, *, sleep: Callable[[float], object] = time.sleep) -> None:
        """Raise :class:`UsageError` for a profile whose API has no such batches, and what the key raises."""
        if profile.api == "anthropic":
            raise UsageError(
                "Anthropic's own batches have another form, which is not supported.",
                "Leave --provider-batch out, or use a profile of an OpenAI-compatible endpoint.",
            )
        import httpx2

        from promptop.client.http.transport import proxy_for

        self.profile = profile
        self.base_url = base_url_of(profile)
        parts = urllib.parse.urlsplit(self.base_url)
        self.host = f"{parts.hostname}:{parts.port or parts.scheme}"
        """As the cache's key writes it."""
        self._root = parts.path.removesuffix("/v1")
        self._sleep = sleep
        self._client = httpx2.Client(
            headers=headers_of(profile, profile.api_key()),
            timeout=httpx2.Timeout(profile.timeout_s, connect=profile.connect_timeout_s),
            proxy=proxy_for(profile.base_url),
        )

    def path(self, url: str) -> str:
        """Return the path on the server of a batch line's ``url``."""
        return self._root + url

    def upload(self, name: str, data: bytes) -> str:
        """Upload an input file; returns its id."""
        files = {"file": (name, data, "application/jsonl")}
        return str(self._ask("POST", "files", files=files, data={"purpose": "batch"})["id"])

    def create(self, file_id: str, url: str, token: str) -> Mapping[str, Any]:
        """Create a batch that carries ``token``."""
        body = {
            "input_file_id": file_id,
            "endpoint": url,
            "completion_window": WINDOW,
            "metadata": {"promptop": token},
        }
        return self._ask("POST", "batches", json=body)

    def batch(self, batch_id: str) -> Mapping[str, Any]:
        """Return a batch's state."""
        return self._ask("GET", f"batches/{batch_id}", again=True)

    def find(self, token: str) -> Mapping[str, Any] | None:
        """Return the batch that carries a token; None if there is none among the latest thousand."""
        after: dict[str, str] = {}
        for _ in range(PAGES):
            page = self._ask("GET", "batches", params={"limit": "100", **after}, again=True)
            rows = page.get("data") or []
            for batch in rows:
                if (batch.get("metadata") or {}).get("promptop") == token:
                    found: Mapping[str, Any] = batch
                    return found
            if not page.get("has_more") or not rows:
                return None
            after = {"after": str(rows[-1]["id"])}
        return None

    def cancel(self, batch_id: str) -> Mapping[str, Any]:
        """Ask for a batch to be stopped."""
        return self._ask("POST", f"batches/{batch_id}/cancel", again=True)

    def lines(self, file_id: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of an output or error file."""
        response = self._send("GET", f"files/{file_id}/content", again=True)
        for number, text in enumerate(response.content.decode("utf-8", "replace").split("\n"), 1):
            if not text.strip():
                continue
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            if not isinstance(line, dict):
                raise PromptopError(f"Line {number} of the provider's file {file_id} is not JSON.", "Run it again.")
            yield line

    def _ask(self, method: str, path: str, *, again: bool = False, **options: Any) -> Mapping[str, Any]:
        response = self._send(method, path, again=again, **options)
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise PromptopError(
                f"{self.base_url}/{path} answered with no JSON object.", "Is this endpoint the right one?"
            )
        return found

    def _send(self, method: str, path: str, *, again: bool = False, **options: Any) -> httpx2.Response:
        """Send a call; ``again``: it changes nothing, so that a failure is tried again."""
        import httpx2

        from promptop.limits.limiter import retry_after

        url = f"{self.base_url}/{path}"
        for attempt in range(1, TRIES + 1):
            try:
                response = self._client.request(method, url, **options)
            except httpx2.HTTPError as error:
                if again and attempt < TRIES:
                    self._sleep(2.0 ** (attempt - 1))
                    continue
                raise AwayError(
                    f"{url} did not answer ({type(error).__name__}).", "The same command goes on from here."
                ) from None
            # A refusal for the limits has done nothing yet, so that it may be repeated whatever was asked.
            repeat = response.status_code == 429 or (again and response.status_code >= 500)
            if repeat and attempt < TRIES:
                self._sleep(min(retry_after(response.headers) or 2.0 ** (attempt - 1), 60.0))
                continue
            return self._judged(response, path)
        raise AssertionError("the last attempt returns or raises")

    def _judged(self, response: httpx2.Response, path: str) -> httpx2.Response:
        from promptop.base.redact import credentials

        status = response.status_code
        if status < 300:
            return response
        if status in _NONE and path in ("files", "batches"):
            error: PromptopError = UsageError(
                f"{self.base_url} has no batch API ({status} for /{path}).",
                "Leave --provider-batch out: promptop sends the requests itself.",
            )
            raise error
        text = credentials(response.text[:300])
        kind = AwayError if status >= 500 or status == 429 else PromptopError
        raise kind(
            f"{self.base_url}/{path} refused ({status}): {text}",
            "Check the key and the model; the same command goes on.",
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
