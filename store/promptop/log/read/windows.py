"""A window of the log: which rows count, added up in all, by step of time and by group."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Sequence

from promptop.base.errors import UsageError
from promptop.log.own_calls import IS_OWN
from promptop.log.read.filters import Filter, tag_sql
from promptop.log.read.stats import MODEL, NONE_GROUP, SELECTED, Stats, Window

DIMENSIONS: dict[str, str] = {
    "model": MODEL,
    "app": "coalesce(app, '')",
    "prompt": "coalesce(prompt_name, '')",
    "provider": "coalesce(provider_name, '')",
    "operation": "coalesce(operation_name, '')",
    "version": "coalesce(prompt_version, '')",
    "conversation": "coalesce(conversation_id, '')",
    "hash": "coalesce(prompt_hash, '')",
    "server": "coalesce(server_address, '')",
    "host": "coalesce(host_name, '')",
    "service": "coalesce(service_name, '')",
    "instance": "coalesce(service_instance_id, '')",
    "pid": "coalesce(host_name || ' ', '') || coalesce(process_pid, '')",
    # Endpoint and key among several (the tag of our own calls), else where the call went.
    "place": "coalesce(CASE WHEN json_valid(tags) THEN json_extract(tags, '$.place') END,"
    " server_address || coalesce(':' || server_port, ''), '')",
    "error": "coalesce(error_type, '')",
    "cache": "coalesce(cache_level, '')",
    "tags": "coalesce(tags, '')",
}
"""Name of a dimension → its SQL; the first three are kept in rollups, the others are read from rows."""
JOIN = " · "
_OWN = "\x1f"
"""Stands for the group of a call of promptop's own that is not counted."""


class Sums:
    """A window while it is being added up."""

    def __init__(self, since_ms: int, until_ms: int, step_ms: int | None, *, own: bool = True) -> None:
        """``own``: whether promptop's own measuring calls count."""
        self.own = own
        self.left_out = Stats()
        self.since_ms, self.until_ms, self.step_ms = since_ms, until_ms, step_ms
        self.total = Stats()
        self.groups: dict[str, Stats] = {}
        self.buckets: dict[int, tuple[Stats, dict[str, Stats]]] = {}
        self.marks: list[int] = []
        """Highest id of each log that was added."""

    def bucket(self, start_ms: int) -> tuple[Stats, dict[str, Stats]]:
        """Return the sums of the step that holds a moment."""
        assert self.step_ms is not None
        start = start_ms - start_ms % self.step_ms
        found = self.buckets.get(start)
        if found is None:
            found = self.buckets[start] = (Stats(), {})
        return found

    def group(self, name: str) -> Stats:
        """Return the sums of a group."""
        return group_in(self.groups, name)

    def window(self) -> Window:
        """Return what was added up."""
        ordered = tuple((start, total, groups) for start, (total, groups) in sorted(self.buckets.items()))
        return Window(self.since_ms, self.until_ms, self.total, ordered, self.groups, tuple(self.marks), self.left_out)


def without(sql: str, missing: Collection[str]) -> str:
    """Return SQL in which columns that an older log does not have are NULL; names of tags and parameters stay."""
    if not missing:
        return sql
    return re.sub(rf"(?<![\w\"])(?:{'|'.join(sorted(missing))})(?![\w\"])", "NULL", sql)


def group_in(groups: dict[str, Stats], name: str) -> Stats:
    """Return the group ``name`` of ``groups``, new if it is not there yet."""
    found = groups.get(name)
    if found is None:
        found = groups[name] = Stats()
    return found


def dimension_sql(name: str) -> str:
    """Return the SQL of a dimension, ``tag.KEY`` included; raises :class:`UsageError` for another."""
    if name.startswith("tag.") and len(name) > len("tag."):
        return f"coalesce({tag_sql(name[4:])}, '')"
    if name not in DIMENSIONS:
        raise UsageError(f"The log cannot be grouped by {name!r}.", f"Known: {', '.join(DIMENSIONS)}, tag.KEY.")
    return DIMENSIONS[name]


def group_sql(by: Sequence[str]) -> str:
    """Return the SQL that names the group of a row."""
    if not by:
        return "NULL"
    parts = [f"coalesce(nullif({dimension_sql(name)}, ''), '{NONE_GROUP}')" for name in by]
    return f" || '{JOIN}' || ".join(parts)


def add_rows(
    sums: Sums,
    connection: sqlite3.Connection,
    by: Sequence[str],
    since_ms: int,
    until_ms: int,
    *,
    above_id: int = 0,
    upto_id: int | None = None,
    by_id: bool = False,
    where: Filter | None = None,
    whole: bool = True,
    steps: bool = True,
    missing: Collection[str] = (),
) -> int:
    """Add the rows that started in [since, until) and have an id above / up to the given ones; return their number.

    They go into the totals and groups (``whole``) and into the steps (``steps``). They are found by time, or from
    ``above_id`` on with ``by_id``. ``missing`` are columns that this log does not have.
    """
    conditions, parameters = ["started_ms >= ?", "started_ms < ?"], [since_ms, until_ms]
    index = "INDEXED BY requests_started"
    # A unary plus keeps SQLite from using a column's index.
    if by_id:
        conditions, index = ["id > ?", "+started_ms >= ?", "+started_ms < ?"], "NOT INDEXED"
        parameters.insert(0, above_id)
    elif above_id:
        conditions.append("+id > ?")
        parameters.append(above_id)
    elif upto_id is not None:
        conditions.append("+id <= ?")
        parameters.append(upto_id)
    values: list[object] = list(parameters)
    if where:
        conditions.append(f"({where.sql})")
        values.extend(where.parameters)
    group = group_sql(by) if sums.own else f"CASE WHEN {IS_OWN} THEN '{_OWN}' ELSE {group_sql(by)} END"
    sql = f"SELECT {group}, {SELECTED} FROM requests {index} WHERE {' AND '.join(conditions)}"
    count = 0
    step = sums.step_ms if steps else None
    for group, *row in connection.execute(without(sql, missing), values):
        count += 1
        if group == _OWN:
            if whole:
                sums.left_out.add(row)
            continue
        if whole:
            sums.total.add(row)
            if group is not None:
                sums.group(group).add(row)
        if step:
            total, groups = sums.bucket(row[1])
            total.add(row)
            if group is not None:
                group_in(groups, group).add(row)
    return count
