"""What a batch is made from: OpenAI's batch format, or a prompt with placeholders and a table of values.

Every mistake of an input is found before the first request is sent, and named by its line.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError, UsageError

PLACEHOLDER = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")
_URLS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/completions")


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a batch."""

    index: int
    custom_id: str
    url: str
    """Path as OpenAI's format writes it: ``/v1/chat/completions``."""
    body: Mapping[str, Any]
    line: int

    @property
    def digest(self) -> str:
        """BLAKE2b-128 of what is asked, hex: a journal's result counts only for the same request."""
        text = json.dumps([self.custom_id, self.url, self.body], sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def read_jsonl(path: Path, *, model: str = "", defaults: Mapping[str, Any] | None = None) -> list[Item]:
    """Read OpenAI's batch format; a line may also be ``{"messages": …}`` or ``{"prompt": "…"}``, with ``model``.

    ``defaults`` are parameters for lines that do not set them. Raises :class:`UsageError` naming the first bad line.
    """
    items: list[Item] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(_lines(path), 1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}:{number}: not JSON ({error.msg} at column {error.colno}).", _JSONL) from None
        if not isinstance(entry, dict):
            raise UsageError(f"{path}:{number}: a line must be a JSON object.", _JSONL)
        item = _item(entry, len(items), number, path, model, defaults or {})
        if item.custom_id in seen:
            raise UsageError(
                f"{path}:{number}: custom_id {item.custom_id!r} stands in line {seen[item.custom_id]} too.",
                "Results are told apart by custom_id: make each one unique.",
            )
        seen[item.custom_id] = number
        items.append(item)
    if not items:
        raise UsageError(f"{path} holds no request.", _JSONL)
    return items


_JSONL = 'Write lines like {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {…}}.'


def _item(entry: dict[str, Any], index: int, number: int, path: Path, model: str, defaults: Mapping[str, Any]) -> Item:
    custom_id = str(entry.get("custom_id", f"line-{number}"))
    url = str(entry.get("url", "/v1/chat/completions"))
    if url not in _URLS:
        raise UsageError(f"{path}:{number}: url {url!r} is not one of a batch.", f"Choose one of {', '.join(_URLS)}.")
    if "body" in entry:
        body = entry["body"]
        if not isinstance(body, dict):
            raise UsageError(f"{path}:{number}: body must be a JSON object.", _JSONL)
    elif isinstance(entry.get("messages"), list):
        body = {name: value for name, value in entry.items() if name not in ("custom_id", "url", "method")}
    elif isinstance(entry.get("prompt"), str):
        body = {"messages": [{"role": "user", "content": entry["prompt"]}]}
    else:
        raise UsageError(f"{path}:{number}: there is no body, no messages and no prompt.", _JSONL)
    body = {**({"model": model} if model else {}), **defaults, **body}
    if not isinstance(body.get("model"), str):
        raise UsageError(f"{path}:{number}: the body names no model.", "Add it to the body, or use -m MODEL.")
    return Item(index, custom_id, url, body, number)


def read_table(
    path: Path, messages: Sequence[Mapping[str, Any]], *, model: str, defaults: Mapping[str, Any] | None = None
) -> list[Item]:
    """Make one request for each row of a CSV file (or JSONL of objects) by filling ``{{column}}`` in ``messages``.

    The column ``id``, if there is one, names the results. Raises :class:`UsageError` for a placeholder without column.
    """
    if not model:
        raise UsageError("A template names no model.", "Use -m MODEL, or a model in the prompt's front matter.")
    wanted = set().union(*(PLACEHOLDER.findall(str(message.get("content", ""))) for message in messages))
    items: list[Item] = []
    for number, row in _rows(path):
        missing = sorted(wanted - row.keys())
        if missing:
            columns = ", ".join(row) or "none"
            raise UsageError(f"{path}:{number}: no value for {{{{{missing[0]}}}}}.", f"Columns there: {columns}.")
        filled = [{**message, "content": fill(str(message.get("content", "")), row)} for message in messages]
        body = {"model": model, **(defaults or {}), "messages": filled}
        items.append(Item(len(items), row.get("id") or f"row-{len(items) + 1}", _URLS[0], body, number))
    if not items:
        raise UsageError(f"{path} holds no row.", "Write a header line with the column names, then a line per request.")
    ids = [item.custom_id for item in items]
    if len(set(ids)) < len(ids):
        double = next(each for each in ids if ids.count(each) > 1)
        raise UsageError(f"{path}: id {double!r} stands there twice.", "Results are told apart by it.")
    return items


def crossed(names: Sequence[str], filled: Sequence[Sequence[Item]]) -> list[Item]:
    """Return the items of several prompts over one table, as ``NAME/ID``: row by row, each with every prompt.

    Raises :class:`UsageError` for two prompts of one name.
    """
    double = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if double is not None:
        raise UsageError(
            f"Two prompts are called {double!r}.", "Results are told apart by it: rename one of the files."
        )
    rows = zip(*filled, strict=True)
    named = [(name, item) for row in rows for name, item in zip(names, row, strict=True)]
    return [
        replace(item, index=index, custom_id=f"{name}/{item.custom_id}") for index, (name, item) in enumerate(named)
    ]


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return ``template`` with each ``{{name}}`` replaced, in one pass: a value is never read as a template."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        for number, text in enumerate(_lines(path), 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                raise UsageError(f"{path}:{number}: not JSON ({error.msg}).", "Write one object per line.") from None
            if not isinstance(row, dict):
                raise UsageError(f"{path}:{number}: a line must be a JSON object.", "Write one object per line.")
            yield (
                number,
                {str(k): v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in row.items()},
            )
        return
    reader = csv.DictReader(_lines(path))
    for row in reader:
        if None in row or None in row.values():
            raise UsageError(f"{path}:{reader.line_num}: the row has not as many fields as the header.", "Mend it.")
        yield reader.line_num, row


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    except OSError as error:
        raise PromptopError(
            f"{path} cannot be read ({error.strerror}).", "Check the path and its permissions."
        ) from None
