"""Error answers of any server as a code and one clean line: objects, texts, lists, details, pages of HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_LONGEST_PAGE = 64 * 1024
"""Characters of a page that are looked at."""
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_HEADING = re.compile(r"<h[12][^>]*>(.*?)</h[12]", re.IGNORECASE | re.DOTALL)
_SILENT = re.compile(r"<(script|style|head|svg)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>?")
_PAGE = re.compile(r"\s*(?:\ufeff)?<(?:!doctype|html|head|body|\?xml|h\d|center|title|p\b|div\b)", re.IGNORECASE)
_WORDS = ("message", "msg", "detail", "error_description", "error_message", "title", "reason", "errorMessage")
_ECHOES = frozenset(("input", "ctx", "url", "body", "request", "request_body", "received", "payload"))
"""Where servers repeat what they were sent: nothing there is said by the server."""


def is_page(text: str) -> bool:
    """Say whether a body is a page of HTML, whatever its content type says."""
    return _PAGE.match(text) is not None


def page_text(text: str) -> str:
    """Return what a page says in one line: its title or heading, else its words without tags."""
    text = text[:_LONGEST_PAGE]
    for pattern in (_TITLE, _HEADING):
        found = pattern.search(text)
        said = _plain(found[1]) if found else ""
        if said:
            return said
    return _plain(_SILENT.sub(" ", text))


def _plain(text: str) -> str:
    import html  # an observed program whose calls succeed does not pay for it

    return " ".join(html.unescape(_TAG.sub(" ", text)).split())


def read(error: Any) -> tuple[str, str]:
    """Return code and message of an error object, text, list or body; the code is ``error`` where there is none."""
    if isinstance(error, list):
        error = next((item for item in error if item), error)
    if isinstance(error, str):
        return "error", page_text(error) if is_page(error) else error.strip() or "no reason given"
    if not isinstance(error, dict):
        return "error", str(error)
    inner = error.get("error")
    if isinstance(inner, dict | list) and inner:
        code, message = read(inner)
        return (code if code != "error" else _code(error) or code), message
    message = _message(error)
    if isinstance(inner, str) and inner:
        # {"error": "invalid_grant", "message": "…"}: a word is the code, a sentence the message.
        if " " in inner.strip() or not message:
            return _code(error) or "error", page_text(inner) if is_page(inner) else inner
        return inner, message
    if not message:
        message = json.dumps(error, ensure_ascii=False)
    return _code(error) or "error", page_text(message) if is_page(message) else message


def of_body(body: Any) -> tuple[str, str] | None:
    """Return code and message of a parsed body of an error answer; None where it says nothing."""
    if body in (None, "", [], {}):
        return None
    return read(body)


def of_text(text: str) -> str:
    """Return the one line that a body which is not JSON says."""
    return page_text(text) if is_page(text) else " ".join(text.split())


def _code(error: dict[str, Any]) -> str:
    for name in ("code", "type", "status", "__type", "error_code"):
        value = error.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return ""


def _message(error: dict[str, Any]) -> str:
    for name in _WORDS:
        value = error.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if name == "detail" and isinstance(value, list):
            return "; ".join(_details(value))
        if isinstance(value, dict) and (said := _message(value)):
            return said
    errors = error.get("errors")
    return "; ".join(_details(errors)) if isinstance(errors, list) else ""


def _details(details: list[Any]) -> Iterator[str]:
    """Yield the words of pydantic's list of what is wrong: where, and what."""
    for detail in details[:5]:
        if isinstance(detail, str):
            yield detail
        elif isinstance(detail, dict):
            where = detail.get("loc")
            place = ".".join(str(step) for step in where) if isinstance(where, list) else ""
            said = _message({name: value for name, value in detail.items() if name not in _ECHOES})
            if said:
                yield f"{place}: {said}" if place else said


_REFUSES = re.compile(
    r"unsupported|not supported|(?:does|do)(?: not|n't) support|un(?:recogni[sz]ed|known|expected)"
    r"|not (?:permitted|allowed)|extra[_ ](?:inputs?|fields?|forbidden)|additional propert|not (?:a )?valid|invalid"
    r"|forbidden|only (?:be )?(?:set|allowed)",
    re.IGNORECASE,
)
_REPEATED = re.compile(r"\{.*\}", re.DOTALL)


def refuses_field(body: Any, fields: tuple[str, ...]) -> bool:
    """Say whether an error body refuses one of the fields: the server's own words count, not a repeated request."""
    if isinstance(body, list):
        return any(refuses_field(item, fields) for item in body)
    if isinstance(body, str):
        body = {"message": body}
    if not isinstance(body, dict):
        return False
    return any(_refused_in(holder, fields) for holder in (body, body.get("error"), body.get("detail")))


def _refused_in(holder: Any, fields: tuple[str, ...]) -> bool:
    if isinstance(holder, str):
        return _refuses(holder, fields)
    if isinstance(holder, list):
        return any(_names(detail.get("loc"), fields) for detail in holder if isinstance(detail, dict)) or _refuses(
            "; ".join(_details(holder)), fields
        )
    if not isinstance(holder, dict):
        return False
    param = holder.get("param")
    if isinstance(param, str) and param.partition(".")[0] in fields:
        return True
    return _refuses(_message(holder), fields)


def _names(where: Any, fields: tuple[str, ...]) -> bool:
    return isinstance(where, list) and any(step in fields for step in where)


def _refuses(message: str, fields: tuple[str, ...]) -> bool:
    names = "|".join(map(re.escape, fields))
    if re.search(rf"loc['\"]: ?[(\[]['\"]body['\"], ['\"](?:{names})['\"]", message):
        return True  # pydantic's list, printed into a message
    said = _REPEATED.sub(" ", message)
    return re.search(rf"\b(?:{names})\b", said) is not None and _REFUSES.search(said) is not None
