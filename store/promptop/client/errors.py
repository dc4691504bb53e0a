"""Errors of a call in words: what went wrong, and what its reader can do about it."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.client.accumulator import StreamFailedError
from promptop.client.http.api_client import EndpointError, NoAnswerError, NoAnswerInTimeError, StatusError
from promptop.client.result import CAP, RunError
from promptop.client.spending import OverCapError
from promptop.providers.errors import of_body, of_text
from promptop.settings import Profile

if TYPE_CHECKING:
    from promptop.client.request import RunRequest

_LONG_KEY = 12
"""Characters from which a key is hidden wherever it occurs."""
MESSAGE_LIMIT = 400
"""Characters of a server's message that are shown: some servers answer with a page of HTML."""


def explain(
    error: BaseException, request: RunRequest, secrets: Sequence[str] = (), *, answering: bool = False
) -> RunError:
    """Return cause and remedy of what the client or the transport raised; keys in ``secrets`` are cut out of messages.

    ``answering`` says that the response had begun: a connection that breaks before that may be tried again.
    """
    if isinstance(error, OverCapError):
        return RunError(CAP, error.cause, error.remedy)
    if isinstance(error, PromptopError):
        return RunError("key", error.cause, error.remedy)
    if isinstance(error, StatusError):
        return _of_status(error, request, _message(error, secrets))
    if isinstance(error, NoAnswerInTimeError):
        return _of_timeout(error, request.profile)
    if isinstance(error, NoAnswerError):
        return _of_connection(error, request.profile, secrets, answering)
    if isinstance(error, EndpointError):
        return _under_200(str(error.code or error.type or "error"), _message(error, secrets))
    if isinstance(error, StreamFailedError):
        return _under_200(error.code, _hide(clean_line(error.message, MESSAGE_LIMIT), secrets))
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return RunError(
            "malformed_event",
            f"The server sent an event that is not JSON ({clean_line(str(error), 120)}).",
            "What came before it is kept. If it happens again, look at the server or a proxy in between.",
        )
    if error.__class__.__module__.partition(".")[0] in {"httpx2", "httpcore2", "httpx"}:
        return _of_connection(error, request.profile, secrets, answering)
    return RunError("client", f"{type(error).__name__}: {_hide(clean_line(str(error), MESSAGE_LIMIT), secrets)}")


def incomplete(model: str) -> RunError:
    """Return the error of a stream that ended without its end."""
    return RunError(
        "incomplete_stream",
        f"The stream of {clean_line(model, 80)} ended before the answer did.",
        "What came is kept. Run it again; if it is always cut at the same time, look for a proxy's timeout.",
    )


def unexpected(message: str, profile: Profile) -> RunError:
    """Return the error of an answer under HTTP 200 that is none: a page, a word, foreign JSON."""
    said = clean_line(message, MESSAGE_LIMIT)
    return RunError(
        "unexpected_content",
        f"The endpoint did not answer the request: {said[:1].lower()}{said[1:]}.",
        f"Is base_url right, and does it end in /v1? It is {profile.base_url}.",
        200,
    )


def cancelled() -> RunError:
    """Return the error of a call that its user stopped."""
    return RunError("cancelled", "Cancelled; what came is kept.")


def retryable(error: RunError) -> bool:
    """Return whether another attempt may help: 408, 409, 429, 5xx and failed connections, but no exhausted quota."""
    if error.type == "insufficient_quota":
        return False
    if error.status is None:
        return error.type in {"connect", "connect_timeout"}
    return error.status in {408, 409, 429} or error.status >= 500


def _of_status(error: StatusError, request: RunRequest, message: str) -> RunError:
    status, profile = error.status_code, request.profile
    said = f": {message}" if message else "."
    kind = str(status)
    code = str(error.code or error.type or "")
    if status == 401:
        return RunError(kind, f"The endpoint refuses the key (401){said}", _key_remedy(profile), status)
    if status == 403:
        return RunError(
            kind, f"The key may not do this (403){said}", "Check the key's project, region and model access.", status
        )
    if status == 404:
        model = clean_line(request.model, 80)
        remedy = f"Is the model's name right, and does base_url end in /v1? It is {profile.base_url}."
        return RunError(kind, f"The endpoint does not know {model!r} (404){said}", remedy, status)
    if status == 429 and code == "insufficient_quota":
        return RunError(code, f"The account's quota is used up (429){said}", "Add credit, or use another key.", status)
    if status == 429:
        return RunError(kind, f"Too many requests (429){said}", "Wait, or run fewer at once.", status)
    if status == 413 or code == "context_length_exceeded":
        return RunError(
            kind, f"The prompt is too long for the model ({status}){said}", "Shorten it or lower max_tokens.", status
        )
    if status in {400, 422}:
        param = f" Field: {clean_line(error.param, 60)}." if error.param else ""
        return RunError(kind, f"The endpoint refuses the request ({status}){said}{param}", "Change it as said.", status)
    if status >= 500:
        return RunError(kind, f"The server failed ({status}){said}", "It is not your prompt: try again later.", status)
    return RunError(kind, f"The endpoint answered {status}{said}", "", status)


def _key_remedy(profile: Profile) -> str:
    name = f"profile {profile.name!r}" if profile.name else "the profile"
    if profile.api_key_command:
        return f"Check what {name} gets from its api_key_command."
    if profile.api_key_env:
        return f"Check the key in ${profile.api_key_env} ({name}, {profile.base_url})."
    return f'{name.capitalize()} sends no key: give it api_key_env = "NAME_OF_VARIABLE" (promptop config path).'


def _of_timeout(error: BaseException, profile: Profile) -> RunError:
    cause = type(error.__cause__).__name__
    if cause in {"ConnectTimeout", "PoolTimeout"}:
        return RunError(
            "connect_timeout",
            f"No connection to {profile.base_url} within {profile.connect_timeout_s:g} s.",
            "Check the address and the network; connect_timeout_s of the profile is the limit.",
        )
    return RunError(
        "timeout",
        f"The server sent nothing for {profile.timeout_s:g} s.",
        "What came before is kept. Run it again, or raise timeout_s of the profile.",
    )


def _of_connection(error: BaseException, profile: Profile, secrets: Sequence[str], answering: bool) -> RunError:
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    kinds = {type(link).__name__ for link in _chain(error)}
    words = _hide(clean_line(str(root) or type(root).__name__, 200), secrets)
    host = urllib.parse.urlsplit(profile.base_url).netloc
    if answering:
        return RunError(
            "incomplete_stream",
            f"The connection to {host} broke while the answer came ({words}).",
            "What came is kept. Run it again.",
        )
    if kinds & {"UnsupportedProtocol", "InvalidURL", "LocalProtocolError"}:
        return RunError("connect", f"base_url {profile.base_url!r} cannot be called ({words}).", "Write http(s)://….")
    if kinds & {"RemoteProtocolError", "ReadError", "WriteError"}:
        return RunError(
            "connect",
            f"{host} closed the connection without an answer ({words}).",
            "Try again; if it stays so, is it an HTTP server, and is base_url right?",
        )
    lowered = words.lower()
    if "certificate" in lowered or "ssl" in lowered:
        return RunError(
            "connect", f"TLS with {host} failed ({words}).", "Check the certificate, or the https in base_url."
        )
    if any(part in lowered for part in ("name or service", "nodename", "name resolution", "getaddrinfo")):
        return RunError("connect", f"The host {host} was not found ({words}).", "Check base_url and the network.")
    return RunError(
        "connect",
        f"Nothing answers at {profile.base_url} ({words}).",
        "Is the server running, and is base_url of the profile right?",
    )


def _under_200(code: str, message: str) -> RunError:
    return RunError(
        clean_line(code, 60),
        f"The server reported an error in the stream (HTTP 200): {message}",
        "What came before it is kept. Try again, or another model or provider.",
        200,
    )


def _chain(error: BaseException) -> list[BaseException]:
    links = [error]
    while (before := links[-1].__cause__ or links[-1].__context__) is not None and before not in links:
        links.append(before)
    return links


def _message(error: EndpointError, secrets: Sequence[str]) -> str:
    said = of_body(error.body)
    message = said[1] if said is not None else of_text(error.message)
    return _hide(clean_line(message.strip(), MESSAGE_LIMIT), secrets)


def _hide(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        # A short key ("x", "ollama") is hidden where it stands alone: cut out of words it would garble every message.
        whole = len(secret) >= _LONG_KEY
        text = text.replace(secret, "[key]") if whole else re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "[key]", text)
    return text
