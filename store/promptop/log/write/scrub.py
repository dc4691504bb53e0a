"""No credential in any column of a row: what a caller, a server or an imported file wrote there is looked through."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter

from promptop.base import redact
from promptop.log.row import Row

_MESSAGE = 500
"""Characters kept of an error's message."""
_LONGEST, _LONGEST_JSON, _SHORT = 512, 8192, 400
"""Characters kept of other text; a JSON text above its limit is left out, since half of one is none."""
_CODE = re.compile(r"([a-z]+(?:_[a-z]+)+): ")
"""A server's name of an error before its message."""
_OURS = frozenset(("prompt_hash", "prefix_hashes", "input_chars", "output_chars", "operation_name", "openai_api_type"))
_TEXT_COLUMNS = tuple(f.name for f in fields(Row) if f.metadata["sql"] == "TEXT" and f.name not in _OURS)
_values = attrgetter(*_TEXT_COLUMNS)
_JSON_COLUMNS = frozenset(f.name for f in fields(Row) if "JSON" in f.metadata["meaning"])


def scrub(row: Row, secrets: redact.Secrets = redact.NO_SECRETS) -> None:
    """Take credentials out of every column of text that the caller or the server had a say in, then cut it to size.

    In this order: the beginning of a key that is cut through would not be known for one.
    """
    values = _values(row)
    joined = "\0".join([value for value in values if value is not None])
    if (
        len(joined) < _SHORT
        and joined.isascii()
        and redact.credentials(joined, secrets) == joined
        and (row.url_path is None or _is_clean_path(row.url_path))
        and "Infinity" not in joined
        and "NaN" not in joined
    ):
        return  # all at once: nearly always there is nothing, and a pattern costs as much for ten texts as for one
    for name, value in zip(_TEXT_COLUMNS, values, strict=True):
        if value is None:
            continue
        # Half a surrogate pair (a server may split one over two events) is not a text to SQLite.
        text = value.encode("utf-8", "replace").decode()
        if name in _JSON_COLUMNS:
            clean = redact.json_text(text, secrets, numbers=name == "tags")
            setattr(row, name, clean if clean is not None and len(clean) <= _LONGEST_JSON else None)
        elif name == "error_message":
            row.error_message = " ".join(_message(text, secrets).split())[:_MESSAGE]
        elif name == "url_path":
            row.url_path = redact.path(text, secrets)[:_LONGEST]
        else:
            setattr(row, name, redact.credentials(text, secrets)[:_LONGEST])


@lru_cache(maxsize=256)
def _is_clean_path(path: str) -> bool:
    return redact.path(path) == path


def _message(text: str, secrets: redact.Secrets) -> str:
    """Return an error's message: a code such as ``invalid_api_key`` before it is not a name of what follows."""
    if found := _CODE.match(text):
        return f"{redact.credentials(found[1], secrets)}: {redact.credentials(text[found.end() :], secrets)}"
    return redact.credentials(text, secrets)
