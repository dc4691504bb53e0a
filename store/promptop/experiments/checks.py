"""What an answer must be: has or lacks a text, equals one, matches a pattern or a JSON schema, is short enough.

A check may also be a Python expression, where the caller allows that: it can do whatever a program of the user's can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError, UsageError
from promptop.client.result import RunResult

_SHOWN = 120
"""Characters of an explanation: a schema's message may hold the whole answer."""

Judge = Callable[[RunResult], str]
"""Returns why an answer fails; empty if it does not."""


@dataclass(frozen=True, slots=True)
class Check:
    """One condition, as it was written."""

    text: str
    fault: Judge

    def judge(self, result: RunResult) -> Checked:
        """Hold an answer against it; a call without an answer fails every check."""
        fault = self.fault(result) if result.state == "done" else "there is no whole answer"
        return Checked(self.text, not fault, fault[:_SHOWN])


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check said of an answer; ``why`` is empty if it passed."""

    text: str
    passed: bool
    why: str

    def to_json(self) -> dict[str, object]:
        """Return the shape of the commands."""
        return {"check": self.text, "passed": self.passed, "why": self.why}


def judge(checks: Sequence[Check], result: RunResult) -> list[Checked]:
    """Hold an answer against all checks."""
    return [check.judge(result) for check in checks]


def parse_check(text: str, *, python: bool = False) -> Check:
    """Read a check; raise :class:`UsageError` or :class:`PromptopError` for one that could never be judged.

    ``python`` allows expressions of Python, which are refused otherwise.
    """
    kind, _, value = text.partition(":")
    kind = kind.strip().lower()
    if kind == "python" and not python:
        raise UsageError(
            "Checks in Python are off: they can do whatever a program can.",
            "promptop compare --allow-python, or python_checks = true in [playground] of the settings.",
        )
    make = _KINDS.get(kind)
    if make is None:
        raise UsageError(f"There is no check {kind!r}.", f"Checks: {', '.join(_FORMS)}.")
    if not value and kind != "json":
        raise UsageError(f"The check {kind!r} has nothing to compare with.", f"Checks: {', '.join(_FORMS)}.")
    return Check(text, make(value))


def _contains(value: str) -> Judge:
    return lambda result: "" if value in result.text else "is not in the answer"


def _lacks(value: str) -> Judge:
    return lambda result: "is in the answer" if value in result.text else ""


def _equals(value: str) -> Judge:
    return lambda result: "" if result.text.strip() == value.strip() else "the answer is another"


def _regex(value: str) -> Judge:
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise UsageError(f"regex:{value} is no regular expression ({error}).", "Check its brackets.") from None
    return lambda result: "" if pattern.search(result.text) else "matches nowhere"


def _max_tokens(value: str) -> Judge:
    if not value.strip().isascii() or not value.strip().isdigit():
        raise UsageError(f"max-tokens:{value} is no whole number.", "Write max-tokens:200.")
    most = int(value)

    def fault(result: RunResult) -> str:
        tokens = result.usage.output_tokens
        if tokens is None:
            return "the number of its tokens is unknown"
        return f"it has {tokens} tokens" if tokens > most else ""

    return fault


def _read(text: str) -> tuple[Any, str]:
    """Return the JSON of an answer, and why there is none."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse), ""
    except RecursionError:
        return None, "it is nested too deep"
    except ValueError as error:
        fenced = " (it stands in a code fence)" if text.lstrip().startswith("```") else ""
        return None, f"it is not JSON{fenced}: {error}"


def _json(value: str) -> Judge:
    if value:
        raise UsageError("The check json takes no value.", "Write json, or json-schema:FILE.")
    return lambda result: _read(result.text)[1]


def _json_schema(value: str) -> Judge:
    from jsonschema import exceptions, validators
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        schema: Any = json.loads(Path(value).read_text(encoding="utf-8"))
    except OSError as error:
        raise PromptopError(f"The schema {value} cannot be read ({error.strerror}).", "Check its name.") from None
    except (ValueError, RecursionError) as error:
        raise PromptopError(f"The schema {value} is not JSON ({error}).", "Check it with a JSON tool.") from None
    if not isinstance(schema, dict):
        raise PromptopError(f"The schema {value} is no JSON object.", 'Begin with {"type": "object", …}.')
    kind = validators.validator_for(schema, default=validators.validator_for({"$schema": _DRAFT}))
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        raise PromptopError(f"{value} is no JSON schema: {error.message}", f"See {error.json_path}.") from None
    # An empty registry: a schema's $ref to an address is not fetched.
    validator = kind(schema, registry=Registry())

    def fault(result: RunResult) -> str:
        found, why = _read(result.text)
        if why:
            return why
        try:
            error = exceptions.best_match(validator.iter_errors(found))
        except Unresolvable as unknown:
            return f"the schema refers to what is not in it: {unknown}"
        except RecursionError:
            return "it is nested too deep"
        return f"{error.json_path}: {error.message}" if error is not None else ""

    return fault


def _python(value: str) -> Judge:
    try:
        code = compile(value.strip(), "check", "eval")
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"python:{value} is no expression ({error}).", "Write python:len(text) < 200.") from None

    def fault(result: RunResult) -> str:
        data, why = _read(result.text)
        names = {
            "text": result.text,
            "data": None if why else data,
            "tokens": result.usage.output_tokens,
            "finish_reason": result.finish_reason,
            "re": re,
        }
        try:
            return "" if eval(code, names) else "is not true"
        except Exception as error:  # noqa: BLE001 - whatever the expression raises is why the answer fails
            return f"raised {type(error).__name__}: {error}"

    return fault


_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_FORMS = ("contains:TEXT", "lacks:TEXT", "equals:TEXT", "regex:PATTERN", "json", "json-schema:FILE", "max-tokens:N")
_KINDS: dict[str, Callable[[str], Judge]] = {
    "contains": _contains,
    "lacks": _lacks,
    "equals": _equals,
    "regex": _regex,
    "json": _json,
    "json-schema": _json_schema,
    "max-tokens": _max_tokens,
    "python": _python,
}
