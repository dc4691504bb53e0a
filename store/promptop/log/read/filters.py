"""Filter expressions: ``model:gpt-4o status:error ttft>1s app:web`` compiled to SQL with parameters.

Terms stand side by side and all must hold. ``field:a,b`` is either value, ``*`` is any text, ``-term`` is the opposite,
quotes keep blanks together; ``field>value`` compares; a bare word is looked for in model, app, prompt and error. Values
only ever become parameters. A row that has no value in a compared field does not match, negated or not.
"""

from __future__ import annotations

import difflib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from promptop.base.errors import UsageError
from promptop.base.times import seconds
from promptop.log.read.stats import NONE_GROUP

_EXACT: dict[str, tuple[str, ...]] = {
    "model": ("request_model", "response_model"),
    "app": ("app",),
    "provider": ("provider_name",),
    "prompt": ("prompt_name",),
    "version": ("prompt_version",),
    "hash": ("prompt_hash",),
    "operation": ("operation_name",),
    "host": ("host_name",),
    "service": ("service_name",),
    "instance": ("service_instance_id",),
    "server": ("server_address",),
    "path": ("url_path",),
    "conversation": ("conversation_id",),
    "error": ("error_type",),
    "request": ("request_id", "response_id"),
    "key": ("cache_key",),
    "usage": ("usage_source",),
    "price": ("cost_status",),
    "tier": ("response_service_tier",),
}
_SECONDS: dict[str, str] = {
    "latency": "coalesce(duration_s, total_s)",
    "duration": "duration_s",
    "total": "total_s",
    "ttft": "ttft_s",
    "ttfo": "ttfo_s",
    "ttfb": "ttfb_s",
    "gap": "gap_max_s",
    "queue": "queue_s",
    "connect": "connect_s",
}
_NUMBERS: dict[str, str] = {
    "in": "usage_input_tokens",
    "out": "usage_output_tokens",
    "tokens": "(coalesce(usage_input_tokens, 0) + coalesce(usage_output_tokens, 0))",
    "cached": "usage_cache_read_input_tokens",
    "reasoning": "usage_reasoning_output_tokens",
    "cost": "cost_usd",
    "saved": "saved_usd",
    "temperature": "request_temperature",
    "max_tokens": "request_max_tokens",
    "attempt": "attempt",
    "stalls": "stalls",
    "chunks": "chunks",
    "code": "http_response_status_code",
    "id": "id",
    "pid": "process_pid",
    "tps": "((usage_output_tokens - 1) / nullif(duration_s - ttft_s, 0))",
}
_YES_NO: dict[str, str] = {
    "stream": "request_stream",
    "simulated": "simulated",
    "reused": "connection_reused",
}
_SPECIAL = ("status", "cache", "finish", "tag", "age", "time")
FIELDS: tuple[str, ...] = (*_EXACT, *_SECONDS, *_NUMBERS, *_YES_NO, *_SPECIAL)
"""Names that may stand before ``:`` or a comparison; ``tag`` is written ``tag.NAME:value``."""

_TERM = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+|"')
_SHAPE = re.compile(r"(?P<name>[A-Za-z_]+(?:\.[^\s:<>=\"]+)?)(?P<sign>:|>=|<=|!=|=|>|<)(?P<value>.*)", re.DOTALL)
_COUNT = re.compile(r"\$?(\d+(?:\.\d+)?|\.\d+)([kKmM]?)")


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled expression: a condition on the table ``requests`` and its parameters."""

    text: str = ""
    sql: str = ""
    """Condition, or an empty string if every row matches."""
    parameters: tuple[object, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.sql)


def parse_filter(text: str, *, now_ms: int | None = None) -> Filter:
    """Compile an expression; ``now_ms`` is what ``age`` counts from (the clock's time if not given).

    Raises :class:`UsageError` that names the term and what could have been meant.
    """
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    if len(re.findall(r'(?<!\\)"', text)) % 2:
        raise UsageError(f"A quote is not closed in {text!r}.", 'Write a value with blanks as app:"my app".')
    conditions: list[str] = []
    parameters: list[object] = []
    for term in _TERM.findall(text):
        sql, values = _Term(term, now_ms).compiled()
        conditions.append(sql)
        parameters.extend(values)
    return Filter(text.strip(), " AND ".join(conditions), tuple(parameters))


class _Term:
    def __init__(self, term: str, now_ms: int) -> None:
        self.term, self.now_ms = term, now_ms

    def compiled(self) -> tuple[str, list[object]]:
        term = self.term
        negated = len(term) > 1 and term[0] in "-!"
        found = _SHAPE.fullmatch(term[negated:])
        if found is None:
            sql, values = self._word(_unquoted(term[negated:]))
        else:
            sign = found["sign"]
            if sign == "!=":
                negated, sign = not negated, ":"
            name = found["name"]
            name = f"tag.{name[4:]}" if name.lower().startswith("tag.") else name.lower()  # keys of tags have a case
            sql, values = self._field(name, ":" if sign == "=" else sign, found["value"])
        return (f"NOT ({sql})" if negated else f"({sql})"), values

    def _field(self, name: str, sign: str, raw: str) -> tuple[str, list[object]]:
        if not raw:
            raise UsageError(f"{self.term!r} has no value.", f"Write for example {_example(name)}.")
        if name.startswith("tag."):
            self._only_colon(name, sign)
            return self._text((tag_sql(name[4:]),), raw)
        special: Callable[[str, str], tuple[str, list[object]]] | None = getattr(self, f"_{name}", None)
        if name in _SPECIAL and special is not None:
            return special(sign, raw)
        if name in _SECONDS:
            return self._compared(_SECONDS[name], sign, raw, self._seconds)
        if name in _NUMBERS:
            return self._compared(_NUMBERS[name], sign, raw, self._number)
        if name in _EXACT:
            self._only_colon(name, sign)
            return self._text(_EXACT[name], raw)
        if name in _YES_NO:
            self._only_colon(name, sign)
            if raw.lower() not in {"yes", "no", "1", "0", "true", "false"}:
                raise self._bad(f"{name} is yes or no")
            return f"coalesce({_YES_NO[name]}, 0) = ?", [int(raw.lower() in {"yes", "1", "true"})]
        near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(sorted(FIELDS))}."
        raise UsageError(f"There is no field {name!r} to filter by.", hint)

    def _word(self, word: str) -> tuple[str, list[object]]:
        pattern = f"%{_escaped(word)}%"
        columns = ("request_model", "response_model", "app", "prompt_name", "error_type", "error_message")
        return " OR ".join(f"coalesce({c}, '') LIKE ? ESCAPE '\\'" for c in columns), [pattern] * len(columns)

    def _text(self, columns: tuple[str, ...], raw: str) -> tuple[str, list[object]]:
        conditions: list[str] = []
        values: list[object] = []
        for value in _alternatives(raw):
            for column in columns:
                if "*" in value:
                    conditions.append(f"coalesce({column}, '') LIKE ? ESCAPE '\\'")
                    values.append("%".join(_escaped(part) for part in value.split("*")))
                else:
                    conditions.append(f"coalesce({column}, '') = ? COLLATE NOCASE")
                    values.append("" if value == "none" else value)
        return " OR ".join(conditions), values

    def _compared(self, column: str, sign: str, raw: str, read: Callable[[str], float]) -> tuple[str, list[object]]:
        if sign != ":":
            return f"coalesce({column} {sign} ?, 0)", [read(raw)]
        conditions: list[str] = []
        values: list[object] = []
        for part in _alternatives(raw):
            low, dots, high = part.partition("..")
            if dots:
                conditions.append(f"coalesce({column} BETWEEN ? AND ?, 0)")
                values += [read(low), read(high)]
            else:
                conditions.append(f"coalesce({column} = ?, 0)")
                values.append(read(part))
        return " OR ".join(conditions), values

    def _status(self, sign: str, raw: str) -> tuple[str, list[object]]:
        if sign != ":":
            return self._compared(_NUMBERS["code"], sign, raw, self._number)
        conditions: list[str] = []
        values: list[object] = []
        for value in map(str.lower, _alternatives(raw)):
            if value == "ok":
                conditions.append("error_type IS NULL")
            elif value in {"error", "failed"}:
                conditions.append("coalesce(error_type <> 'cancelled', 0)")
            elif value == "cancelled":
                conditions.append("coalesce(error_type = 'cancelled', 0)")
            elif re.fullmatch(r"[1-5]xx", value):
                conditions.append("coalesce(http_response_status_code / 100 = ?, 0)")
                values.append(int(value[0]))
            elif value.isdecimal():
                conditions.append("coalesce(http_response_status_code = ?, 0)")
                values.append(int(value))
            else:
                raise self._bad("status is ok, error, cancelled, a code such as 429, or a class such as 5xx")
        return " OR ".join(conditions), values

    def _cache(self, sign: str, raw: str) -> tuple[str, list[object]]:
        self._only_colon("cache", sign)
        conditions: list[str] = []
        values: list[object] = []
        for value in map(str.lower, _alternatives(raw)):
            if value == "hit":
                conditions.append("coalesce(cache_level <> 'miss', 0)")
            elif value in {"none", "off"}:
                conditions.append("cache_level IS NULL")
            elif value == "provider":
                conditions.append("coalesce(usage_cache_read_input_tokens > 0, 0)")
            else:
                conditions.append("coalesce(cache_level = ?, 0)")
                values.append(value)
        return " OR ".join(conditions), values

    def _finish(self, sign: str, raw: str) -> tuple[str, list[object]]:
        self._only_colon("finish", sign)
        patterns: list[object] = [f'%"{_escaped(value)}"%' for value in _alternatives(raw)]
        return " OR ".join(["coalesce(response_finish_reasons, '') LIKE ? ESCAPE '\\'"] * len(patterns)), patterns

    def _tag(self, sign: str, raw: str) -> tuple[str, list[object]]:
        raise UsageError(f"{self.term!r} names no tag.", f"Write tag.NAME{sign}{raw}, for example tag.env:production.")

    def _age(self, sign: str, raw: str) -> tuple[str, list[object]]:
        opposite = {">": "<", "<": ">", ">=": "<=", "<=": ">="}.get(sign)
        if opposite is None:
            raise self._bad("age is compared, for example age<1h")
        return f"started_ms {opposite} ?", [self.now_ms - round(self._seconds(raw) * 1000)]

    def _time(self, sign: str, raw: str) -> tuple[str, list[object]]:
        if sign == ":":
            raise self._bad("time is compared, for example time>2026-11-21T09:30")
        try:
            moment = datetime.fromisoformat(_unquoted(raw)).astimezone()
        except ValueError:
            raise self._bad("a time is written 2026-11-21 or 2026-11-21T09:30") from None
        return f"started_ms {sign} ?", [round(moment.timestamp() * 1000)]

    def _seconds(self, raw: str) -> float:
        try:
            return seconds(raw)
        except ValueError:
            raise self._bad("a duration is written 500ms, 1.5s or 2h") from None

    def _number(self, raw: str) -> float:
        found = _COUNT.fullmatch(raw)
        if not found:
            raise self._bad("a number is written 1000, 1k or 0.01")
        value = float(found[1]) * {"": 1, "k": 1e3, "m": 1e6}[found[2].lower()]
        return int(value) if value.is_integer() else value

    def _only_colon(self, name: str, sign: str) -> None:
        if sign != ":":
            raise self._bad(f"{name} is not a number; write {name}:value")

    def _bad(self, rule: str) -> UsageError:
        return UsageError(f"{self.term!r} cannot be read: {rule}.", f"Write for example {_example('')}.")


def _example(name: str) -> str:
    return {"model": "model:gpt-4o", "": "model:gpt-4o status:error ttft>1s"}.get(
        name, f"{name}>1s" if name in _SECONDS else f"{name}>100" if name in _NUMBERS else f"{name}:value"
    )


def _alternatives(raw: str) -> list[str]:
    parts = re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', raw)
    return [_unquoted(part) for part in parts] or [""]


def _unquoted(text: str) -> str:
    return re.sub(r'"((?:[^"\\]|\\.)*)"', lambda found: re.sub(r"\\(.)", r"\1", found[1]), text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def tag_sql(key: str) -> str:
    """Return the SQL of one of the caller's tags, as text; NULL where a row has none of this key."""
    return f"CAST(json_extract(CASE WHEN json_valid(tags) THEN tags END, {_quoted_path(key)}) AS TEXT)"


def _quoted_path(name: str) -> str:
    path = '$."' + name.replace('"', "") + '"'
    return "'" + path.replace("'", "''") + "'"


def terms_for(dimension: str, name: str) -> str | None:
    """Return the expression that shows a group's requests; None if there is none."""
    if dimension == "day":
        return f"time>={name} time<{date.fromisoformat(name) + timedelta(days=1)}"
    if dimension == "tags":
        try:
            tags = json.loads(name)
        except ValueError:
            return None
        if not isinstance(tags, dict) or not tags:
            return None
        return " ".join(f"tag.{key}:{quoted(str(value))}" for key, value in tags.items())
    if dimension.startswith("tag.") and any(letter in dimension for letter in ' :<>="'):
        return None  # no key that an expression can name
    return f"{dimension}:none" if name == NONE_GROUP else f"{dimension}:{quoted(name)}"


def quoted(text: str) -> str:
    """Return a value as a filter expression takes it, with its blanks and commas."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
