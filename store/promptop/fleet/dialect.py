"""Conditions and dimensions of a local log (SQLite) in ClickHouse's SQL; values stay parameters."""

from __future__ import annotations

import re

from promptop.log.read.filters import Filter
from promptop.log.read.stats import NONE_GROUP
from promptop.log.read.windows import JOIN, dimension_sql

_TAG = re.compile(
    r"CAST\(json_extract\(CASE WHEN json_valid\(tags\) THEN tags END, '\$\.\"((?:[^'\"]|'')*)\"'\) AS TEXT\)"
)
_PLACE = re.compile(r"CASE WHEN json_valid\(tags\) THEN json_extract\(tags, '\$\.(\w+)'\) END")
_TEXT = r"(coalesce\((?:\w+|multiIf\(.*?, NULL\)), ''\))"


def translated(sql: str) -> str:
    """Return a condition or a dimension of a local log as ClickHouse understands it the same way."""
    sql = _TAG.sub(lambda found: _tag(found[1].replace("''", "'")), sql)
    sql = _PLACE.sub(lambda found: _tag(found[1]), sql)
    # SQLite compares so without regard to the case of ASCII letters; lower() here changes those alone.
    sql = re.sub(_TEXT + r" = \? COLLATE NOCASE", r"lower(\1) = lower(?)", sql)
    sql = re.sub(_TEXT + r" LIKE \? ESCAPE '\\'", r"lower(\1) LIKE lower(?)", sql)
    # A division of integers is whole there and a fraction here.
    sql = sql.replace("http_response_status_code / 100", "intDiv(http_response_status_code, 100)")
    sql = sql.replace("':' || server_port", "concat(':', toString(server_port))")
    return sql.replace("coalesce(process_pid, '')", "ifNull(toString(process_pid), '')")


def condition(where: Filter) -> tuple[str, dict[str, object]]:
    """Return a filter as a condition with named, typed parameters, and their values."""
    if not where:
        return "1", {}
    values: dict[str, object] = {}

    def named(_: re.Match[str]) -> str:
        name, value = f"f{len(values)}", where.parameters[len(values)]
        values[name] = value
        kind = "Int64" if isinstance(value, int) else "Float64" if isinstance(value, float) else "String"
        return f"{{{name}:{kind}}}"

    # A question mark inside quotes is part of a tag's name.
    parts = re.split(r"('(?:[^'\\]|\\.|'')*')", translated(where.sql))
    return "".join(part if part.startswith("'") else re.sub(r"\?", named, part) for part in parts), values


def group(by: tuple[str, ...]) -> str:
    """Return the SQL that names the group of a row, as a local window names it."""
    if not by:
        return "''"
    parts = [f"coalesce(nullIf(toString({translated(dimension_sql(name))}), ''), '{NONE_GROUP}')" for name in by]
    joined = f", '{JOIN}', ".join(parts)
    return f"concat({joined})" if len(parts) > 1 else parts[0]


def _tag(key: str) -> str:
    name = "'" + key.replace("\\", "\\\\").replace("'", "\\'") + "'"
    text = "ifNull(tags, '')"
    kind = f"toString(JSONType({text}, {name}))"
    return (
        f"multiIf({kind} = 'String', JSONExtractString({text}, {name}),"
        f" {kind} = 'Bool', toString(toUInt8(JSONExtractBool({text}, {name}))),"
        f" {kind} IN ('Int64', 'UInt64', 'Double', 'Object', 'Array'), JSONExtractRaw({text}, {name}), NULL)"
    )


def rolled_group(by: tuple[str, ...]) -> str:
    """Return the same of a row of the sums, whose columns are the dimensions."""
    parts = [f"coalesce(nullIf(toString({name}), ''), '{NONE_GROUP}')" for name in by]
    joined = f", '{JOIN}', ".join(parts)
    return f"concat({joined})" if len(parts) > 1 else parts[0] if parts else "''"
