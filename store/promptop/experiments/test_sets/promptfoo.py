"""Assertions of promptfoo as checks: its tables and its short forms; what has no equal here is named, never dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.experiments.checks import Spec

_SAME = frozenset(["equals", "contains", "contains-any", "contains-all", "starts-with", "regex", "similar", "is-json"])
_FOLDED = {"icontains": "contains", "icontains-any": "contains-any", "icontains-all": "contains-all"}
_RUBRICS = frozenset({"llm-rubric", "model-graded-closedqa", "g-eval"})
_PREFIX = re.compile(r"(?s)(?P<not>not-)?(?P<kind>[a-z][a-z-]*)(?:\((?P<at>[\d.]+)\))?(?::(?P<value>.*))?\Z")
_JSON_KINDS = frozenset({"is-json", "contains-json", "is-valid-json"})


class UnknownAssertion(Exception):  # noqa: N818 - it is a finding about the file, not an error of the program
    """An assertion that no check can stand for."""


def short(text: str) -> Spec:
    """Read a short form as it stands in a cell: ``contains:x``, ``is-json``, ``similar(0.8):x``; else equals."""
    value = text.strip()
    for prefix in ("javascript:", "fn:", "eval:", "python:", "file://", "webhook:"):
        if value.startswith(prefix):
            raise UnknownAssertion(f"the assertion {prefix}… runs code of its own")
    if value.startswith("grade:"):
        value = "llm-rubric:" + value.removeprefix("grade:")
    found = _PREFIX.match(value)
    known = (
        _SAME
        | set(_FOLDED)
        | _RUBRICS
        | _JSON_KINDS
        | {"latency", "cost", "is-refusal", "lacks", "levenshtein", "rouge-n"}
    )
    if (
        found is None
        or found["kind"] not in known
        or (found["value"] is None and found["kind"] not in _JSON_KINDS | {"is-refusal"})
    ):
        return {"type": "equals", "value": text}
    kind = found["kind"]
    given: Any = found["value"]
    if kind.endswith(("-any", "-all")) and given is not None:
        given = [part.strip() for part in given.split(",")]
    table: dict[str, Any] = {"type": ("not-" if found["not"] else "") + kind}
    if given is not None:
        table["value"] = given
    if found["at"]:
        table["threshold"] = float(found["at"])
    return check_of(table, Path())


def check_of(assertion: Any, folder: Path) -> Spec:
    """Return the check that an assertion stands for; raise :class:`UnknownAssertion`."""
    if isinstance(assertion, str):
        return short(assertion)
    if not isinstance(assertion, Mapping):
        raise UnknownAssertion("an assertion that is not a table")
    kind = str(assertion.get("type") or "")
    if kind == "assert-set":
        parts = [check_of(each, folder) for each in assertion.get("assert") or ()]
        least = assertion.get("threshold")
        return _with(assertion, {"type": "all-of", "value": parts} | ({"score": least} if least is not None else {}))
    negated = kind.startswith("not-")
    kind = kind.removeprefix("not-")
    value = assertion.get("value")
    if isinstance(value, str) and value.startswith("file://"):
        if kind == "is-json":
            value = _schema_at(value, folder)
        else:
            raise UnknownAssertion(f"{kind} with its value in a file")
    if isinstance(value, str) and "{{" in value:
        raise UnknownAssertion(f"{kind} with a template as its value")
    table = _table(kind, value, assertion)
    if table is None:
        raise UnknownAssertion(f"the assertion {kind or 'without a type'} has no equal here")
    return _with(assertion, table | ({"not": True} if negated else {}))


def _table(kind: str, value: Any, assertion: Mapping[str, Any]) -> dict[str, Any] | None:
    if kind == "is-json":
        return {"type": "json-schema", "value": value} if isinstance(value, Mapping) else {"type": "json"}
    if kind == "similar":
        return {"type": "similar", "value": value, "at": assertion.get("threshold", 0.75)}
    if kind in _SAME:
        return {"type": kind, "value": value}
    if kind in _FOLDED:
        return {"type": _FOLDED[kind], "value": value, "ignore_case": True}
    if kind in _RUBRICS:
        return {"type": "rubric", "value": value}
    if kind == "is-refusal":
        return {"type": "answered", "not": True}
    if kind == "latency":
        return {"type": "max-seconds", "value": float(assertion.get("threshold", 0)) / 1000}
    if kind == "cost":
        return {"type": "max-usd", "value": assertion.get("threshold", 0)}
    return None


def _with(assertion: Mapping[str, Any], table: dict[str, Any]) -> Spec:
    if table.get("not") and table["type"] == "answered" and str(assertion.get("type", "")).startswith("not-"):
        del table["not"]
    if assertion.get("weight") is not None:
        table["weight"] = assertion["weight"]
    if assertion.get("metric"):
        table["name"] = str(assertion["metric"])
    return table


def _schema_at(name: str, folder: Path) -> Any:
    import json

    path = (folder / name.removeprefix("file://")).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UnknownAssertion("a schema outside the folder of the test set")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PromptopError(f"The schema {path} cannot be read ({error}).", "Check it.") from None
