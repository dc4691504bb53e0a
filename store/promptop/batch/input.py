"""What a batch is made from: OpenAI's batch format, or a prompt with placeholders and a table of values.

Every mistake of an input is found before the first request is sent, and named by its line.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import whole_text
from promptop.capture.routing import decide
from promptop.prompts import Prompt
from promptop.prompts.syntax.variables import flat
from promptop.routing.policy import Decision, Policy

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
    decision: Decision | None = None
    """What routing decided; ``body`` then names the model that it chose."""

    @property
    def digest(self) -> str:
        """BLAKE2b-128 of what is asked, hex: a journal's result counts only for the same request."""
        text = json.dumps([self.custom_id, self.url, self.body], sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def routed(items: Sequence[Item], policy: Policy, app: str) -> list[Item]:
    """Return the requests with the models that the policy names, and what was decided of each."""
    out = []
    for item in items:
        decision = decide(policy, item.body, item.url, app=app, tags={}, note=None)
        body = {**item.body, "model": decision.model} if decision is not None else item.body
        out.append(replace(item, body=body, decision=decision))
    return out


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
        item = _item(whole_text(entry), len(items), number, path, model, defaults or {})
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
        body = _own_fields(entry)
    elif isinstance(entry.get("prompt"), str):
        system = [{"role": "system", "content": entry["system"]}] if isinstance(entry.get("system"), str) else []
        messages = [*system, {"role": "user", "content": entry["prompt"]}]
        body = {**_own_fields(entry, "prompt", "system"), "messages": messages}
    else:
        raise UsageError(f"{path}:{number}: there is no body, no messages and no prompt.", _JSONL)
    body = {**({"model": model} if model else {}), **defaults, **body}
    if not isinstance(body.get("model"), str):
        raise UsageError(f"{path}:{number}: the body names no model.", "Add it to the body, or use -m MODEL.")
    return Item(index, custom_id, url, body, number)


def _own_fields(entry: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """Return what a line says of its request, without what names the line."""
    return {name: value for name, value in entry.items() if name not in ("custom_id", "url", "method", *more)}


def read_table(path: Path, prompt: Prompt, *, model: str, defaults: Mapping[str, Any] | None = None) -> list[Item]:
    """Make one request for each row of a CSV file (or JSONL of objects) by filling ``{{column}}`` in ``prompt``.

    The column ``id``, if there is one, names the results. Parameters are those of the prompt, ``defaults`` over them.
    Raises :class:`UsageError` for a variable without column: sample values are for trying the prompt.
    """
    if not model:
        raise UsageError("A template names no model.", "Use -m MODEL, or a model in the prompt's front matter.")
    wanted = {name.partition(".")[0].partition("[")[0]: name for name in prompt.variables}
    parameters = {name: value for name, value in prompt.parameters.items() if value is not None}
    items: list[Item] = []
    for number, row in _rows(path):
        missing = sorted(name for root, name in wanted.items() if root not in row and name not in row)
        if missing:
            columns = ", ".join(row) or "none"
            raise UsageError(f"{path}:{number}: no value for {{{{{missing[0]}}}}}.", f"Columns there: {columns}.")
        body = {"model": model, **parameters, **(defaults or {}), "messages": prompt.openai(flat(row))}
        items.append(Item(len(items), str(row.get("id") or f"row-{len(items) + 1}"), _URLS[0], body, number))
    if not items:
        raise UsageError(f"{path} holds no row.", "Write a header line with the column names, then a line per request.")
    ids = [item.custom_id for item in items]
    if len(set(ids)) < len(ids):
        double = next(each for each in ids if ids.count(each) > 1)
        raise UsageError(f"{path}: id {double!r} stands there twice.", "Results are told apart by it.")
    return items


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the columns of a table's first row; raise :class:`UsageError` if it cannot be read."""
    return tuple(next(iter(_rows(path)), (0, {}))[1])


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


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, columns) of each row of a table; values of JSON lines may be nested."""
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        for number, text in enumerate(_lines(path), 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                raise UsageError(f"{path}:{number}: not JSON ({said}).", "Write one object per line.") from None
            if not isinstance(row, dict):
                raise UsageError(f"{path}:{number}: a line must be a JSON object.", "Write one object per line.")
            yield number, whole_text(row)
        return
    text = _text(path)
    # A cell in quotes may hold line ends of any kind, so the reader, and not the lines, says where a row ends.
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        for row in reader:
            if None in row or None in row.values():
                raise UsageError(f"{path}:{reader.line_num}: the row has not as many fields as the header.", "Mend it.")
            yield reader.line_num, whole_text(row)
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: not CSV ({error}).", "Correct that line.") from None


def _delimiter(text: str) -> str:
    """Return what parts the columns: a comma, or what spreadsheets elsewhere write where the header has none."""
    header = text[: text.find("\n") + 1] or text
    return next((each for each in (",", ";", "\t") if each in header), ",")


def _lines(path: Path) -> list[str]:
    """Return the lines of a file: only a line feed ends one, since JSON may hold the other line ends of Unicode."""
    return _text(path).split("\n")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    except OSError as error:
        raise PromptopError(
            f"{path} cannot be read ({error.strerror}).", "Check the path and its permissions."
        ) from None
