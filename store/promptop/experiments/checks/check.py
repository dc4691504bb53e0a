"""What an answer must be: each check says of one answer whether it passes, and why it does not.

A check is written as text (``contains:TEXT``) or as a table (``{"type": "json-path", "path": "$.a", "equals": "1"}``).
Two kinds cannot be judged from the answer alone: ``similar`` needs vectors, ``rubric`` a model that is asked; they
carry what they need, and whoever runs a test set asks for it. A check may also be a Python expression where the caller
allows that: it can do whatever a program of the user's can.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError, UsageError
from promptop.base.json_schema import Validator
from promptop.base.sanitize import clean_line
from promptop.client.result import RunResult
from promptop.experiments.checks.answer_text import language_of, numbers_in, trouble_of

_SHOWN = 120
"""Characters of an explanation: a schema's message may hold the whole answer."""
LIMIT_S = 1.0
"""Seconds that one check may take on one answer: a pattern may take for ever."""
ANSWERED = "answered"
"""The check that every answer is held against: it is there, whole, and no refusal."""
SIMILAR_AT = 0.8
"""Cosine from which texts count as similar where nothing is said."""

Judge = Callable[[RunResult], str]
"""Returns why an answer fails; empty if it does not."""
Spec = str | Mapping[str, Any]
"""A check as it is written."""


@dataclass(frozen=True, slots=True)
class Check:
    """One condition."""

    text: str
    """As it was written, in one line."""
    fault: Judge
    name: str = ""
    """What its passes are counted under: checks of one name are one check of a test set."""
    kind: str = ""
    weight: float = 1.0
    wants: str = ""
    """For ``similar`` the text that the answer must be like, for ``rubric`` what it must meet."""
    at: float = SIMILAR_AT
    negated: bool = False
    limited: bool = False
    """Whether judging may take for ever, and is cut off."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process without what judges: there it names what was judged here."""
        kept = (self.text, _judged_elsewhere, self.name, self.kind, self.weight, self.wants, self.at)
        return (Check, (*kept, self.negated, self.limited))

    @property
    def is_asked(self) -> bool:
        """Whether a model must be asked."""
        return self.kind in ("similar", "rubric")

    def judge(self, result: RunResult) -> Checked:
        """Hold an answer against it; a call without an answer fails every check."""
        if result.state != "done":
            return Checked(self.text, False, "there is no whole answer")
        try:
            with time_limit(LIMIT_S if self.limited else None):
                fault = self.fault(result)
        except TimeoutError:
            fault = f"took longer than {LIMIT_S:g} s"
        return Checked(self.text, not fault, clean_line(fault, _SHOWN))

    def said(self, fault: str) -> Checked:
        """Return what came of asking, turned around where the check is negated."""
        if self.negated:
            fault = "" if fault else "holds, and must not"
        return Checked(self.text, not fault, clean_line(fault, _SHOWN))


def _judged_elsewhere(_: RunResult) -> str:
    raise RuntimeError("a check that came from another process judges nothing here")


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


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise :class:`TimeoutError` after some seconds, where that can be: on the main thread of a Unix process."""
    if seconds is None or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def parse_check(
    spec: Spec, *, python: bool = False, expected: Any = None, folder: Path | None = None, shared: bool = True
) -> Check:
    """Read a check; raise :class:`UsageError` or :class:`PromptopError` for one that could never be judged.

    ``python`` allows expressions of Python, which are refused otherwise. ``expected`` is what the case expects, for
    checks that name no value of their own; files are looked for beside ``folder``. A check of one case alone (not
    ``shared``) is counted with those of the same kind.
    """
    table = _table_of(spec)
    kind = table["type"]
    if kind == "python" and not python:
        raise UsageError(
            "Checks in Python are off: they can do whatever a program can.",
            "Write --allow-python, or python_checks = true in [playground] of the settings.",
        )
    if kind in ("all-of", "any-of"):
        return _joined(table, python=python, expected=expected, folder=folder)
    make = _KINDS.get(kind)
    if make is None:
        raise UsageError(f"There is no check {kind!r}.", f"Checks: {', '.join(FORMS)}.")
    if kind in _EXPECTING and table.get("value") is None and expected is not None:
        table["value"] = expected
    if kind not in _BARE and _is_missing(table):
        raise UsageError(f"The check {kind!r} has nothing to compare with.", f"Checks: {', '.join(FORMS)}.")
    fault = make(_Given(table, folder, expected))
    negated = bool(table.get("not"))
    text = spec if isinstance(spec, str) else _shown(table)
    name = str(table.get("name") or (text if shared else _group(table)))
    weight = table.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0:
        raise UsageError(
            f"The weight {weight!r} of {clean_line(text, 60)} is not a number.", "Write a number from 0 on."
        )
    check = Check(text, fault, name, kind, float(weight), limited=kind in ("regex", "python"))
    if kind in ("similar", "rubric"):
        at = table.get("at", table.get("threshold", SIMILAR_AT))
        if isinstance(at, bool) or not isinstance(at, int | float) or not 0 < at <= 1:
            raise UsageError(f"{kind} at {at!r} makes no sense.", "Write a number above 0, at most 1.")
        return replace(check, wants=str(table["value"]), at=float(at), negated=negated)
    if negated:
        return replace(check, fault=lambda result: "" if fault(result) else "holds, and must not")
    return check


def takes_expected(spec: Spec) -> bool:
    """Whether a check names no value of its own, so that it compares with what each case expects."""
    table = _table_of(spec)
    if table["type"] == "json-path":
        return not any(table.get(how) is not None for how in ("equals", "number", "regex"))
    if table["type"] == "choice":
        return table.get("equals") is None
    return table["type"] in _EXPECTING and table.get("value") is None


def answered() -> Check:
    """Return the check that is always there."""
    return Check(ANSWERED, _answered(_Given({}, None, None)), ANSWERED, ANSWERED)


# How a check is written


def _is_missing(table: Mapping[str, Any]) -> bool:
    return table.get("value") in (None, "", [])


_SHORT = re.compile(r"(?s)(?P<not>not:)?\s*(?P<kind>[a-z][a-z-]*)(?:\((?P<at>[\d.]+)\))?\s*(?::(?P<value>.*))?\Z")
_PAIR = re.compile(r"(?s)(?P<path>[^=]+?)\s*(?P<how>=|~|#)\s*(?P<value>.*)\Z")
_NUMBER_FORM = re.compile(r"\s*(?P<value>\S+?)\s*(?:(?:±|\+-|within)\s*(?P<within>[\d.]+\s*%?))?\s*\Z")
_ALIASES = {"is-json": "json", "llm-rubric": "rubric", "lacks": "lacks", "not-contains": "lacks"}


def _table_of(spec: Spec) -> dict[str, Any]:
    """Return a check as a table with ``type``, and its value where it is one."""
    if isinstance(spec, Mapping):
        table = {str(key).replace("_", "-") if key != "ignore_case" else key: value for key, value in spec.items()}
        if "not" in table and isinstance(table["not"], str | Mapping):
            inner = _table_of(table["not"])
            return inner | {"not": not inner.get("not")}
        if "type" not in table:
            kinds = [key for key in table if key in _KINDS or key in _ALIASES]
            if len(kinds) != 1:
                raise UsageError(f"{_shown(table)} names no type of check.", f"Checks: {', '.join(FORMS)}.")
            table = {"type": kinds[0], "value": table.pop(kinds[0]), **table}
        table["type"] = str(table["type"]).strip().lower()
    else:
        found = _SHORT.match(spec)
        if found is None:
            raise UsageError(f"{clean_line(spec, 60)!r} is not a check.", f"Checks: {', '.join(FORMS)}.")
        table = {"type": found["kind"]}
        if found["not"]:
            table["not"] = True
        if found["at"]:
            table["at"] = float(found["at"])
        if found["value"] is not None:
            table |= _value_form(found["kind"], found["value"])
    kind = table["type"]
    if kind.startswith("not-") and kind not in _KINDS and kind not in _ALIASES:
        table["not"], kind = not table.get("not"), kind.removeprefix("not-")
    table["type"] = _ALIASES.get(kind, kind)
    return table


def _value_form(kind: str, value: str) -> dict[str, Any]:
    if kind in ("contains-any", "contains-all", "equals-any", "choice"):
        return {
            "value": [part.strip() for part in re.split(r"[|,]" if "|" not in value else r"\|", value) if part.strip()]
        }
    if kind == "number" and (found := _NUMBER_FORM.match(value)):
        return {"value": found["value"], **({"within": found["within"]} if found["within"] else {})}
    if kind == "json-path" and (found := _PAIR.match(value)):
        how = {"=": "equals", "~": "regex", "#": "number"}[found["how"]]
        return {"value": found["path"], how: found["value"]}
    return {"value": value}


def _shown(table: Mapping[str, Any]) -> str:
    told = {key: value for key, value in table.items() if key not in ("type", "name", "weight")}
    if set(told) <= {"value", "not"}:
        value = told.get("value")
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        head = ("not:" if told.get("not") else "") + str(table.get("type", ""))
        return head if value is None else f"{head}:{said}"
    return f"{table.get('type', 'check')} {json.dumps(told, ensure_ascii=False, default=str)}"


def _group(table: Mapping[str, Any]) -> str:
    """Return the kind of a case's own check, with the path it looks at: not what this one case expects."""
    head = ("not:" if table.get("not") else "") + str(table.get("type"))
    if table.get("type") == "json-path":
        return f"{head}:{table.get('path', table.get('value'))}"
    return f"{head}:{table.get('value')}" if table.get("type") in ("tool", "json-schema") else head


def _joined(table: Mapping[str, Any], **options: Any) -> Check:
    """Make one check of several: all, any, or a weighted share of at least ``score`` must pass."""
    given = table.get("value", table.get("checks"))
    if not isinstance(given, list) or not given:
        raise UsageError(f"{table['type']} holds no checks.", "Write a list of checks.")
    parts = [parse_check(each, **options) for each in given]
    if any(part.is_asked for part in parts):
        raise UsageError("similar and rubric cannot be part of another check.", "Write them as checks of their own.")
    total = sum(part.weight for part in parts) or 1.0
    least = float(table.get("score", 1.0 if table["type"] == "all-of" else 1e-9))

    def fault(result: RunResult) -> str:
        said = [(part, part.judge(result)) for part in parts]
        share = sum(part.weight for part, checked in said if checked.passed) / total
        failed = [f"{part.text}: {checked.why}" for part, checked in said if not checked.passed]
        return "" if share >= least - 1e-9 else f"score {share:.2f} of {least:.2f}; {'; '.join(failed)}"

    text = _shown({"type": table["type"], "value": [part.text for part in parts]})
    return Check(
        text, fault, str(table.get("name") or table["type"]), str(table["type"]), float(table.get("weight", 1))
    )


# What is judged


@dataclass(frozen=True, slots=True)
class _Given:
    """What a check was written with."""

    table: Mapping[str, Any]
    folder: Path | None
    expected: Any
    folded: bool = field(init=False, default=False)

    @property
    def value(self) -> Any:
        return self.table.get("value")

    @property
    def texts(self) -> list[str]:
        value = self.value
        return [_text(each) for each in (value if isinstance(value, list) else [value])]

    def fold(self, text: str) -> str:
        """Bring a text into the form in which texts are compared."""
        plain = unicodedata.normalize("NFC", text)
        return plain.casefold() if self.table.get("ignore_case") else plain

    def path(self) -> Path:
        name = str(self.value).removeprefix("file://")
        return (self.folder or Path()) / name


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _contains(given: _Given) -> Judge:
    wanted = [given.fold(text) for text in given.texts]
    return lambda result: "" if all(each in given.fold(result.text) for each in wanted) else "is not in the answer"


def _lacks(given: _Given) -> Judge:
    wanted = [given.fold(text) for text in given.texts]
    return lambda result: "is in the answer" if any(each in given.fold(result.text) for each in wanted) else ""


def _contains_any(given: _Given) -> Judge:
    wanted = [given.fold(text) for text in given.texts]
    return lambda result: "" if any(each in given.fold(result.text) for each in wanted) else "has none of these"


def _starts(given: _Given) -> Judge:
    wanted = given.fold(given.texts[0])
    return lambda result: "" if given.fold(result.text.lstrip()).startswith(wanted) else "begins otherwise"


def _equals(given: _Given) -> Judge:
    wanted = {given.fold(text.strip()) for text in given.texts}
    return lambda result: "" if given.fold(result.text.strip()) in wanted else "the answer is another"


def _regex(given: _Given) -> Judge:
    value = str(given.value)
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise UsageError(f"regex:{value} is not a regular expression ({error}).", "Check its brackets.") from None
    return lambda result: "" if pattern.search(result.text) else "matches nowhere"


def _whole_number(given: _Given, what: str) -> int:
    text = str(given.value).strip()
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"{what}:{text} is not a whole number.", f"Write {what}:200.")
    return int(text)


def _max_tokens(given: _Given) -> Judge:
    most = _whole_number(given, "max-tokens")

    def fault(result: RunResult) -> str:
        tokens = result.usage.output_tokens
        if tokens is None:
            return "the number of its tokens is unknown"
        return f"it has {tokens} tokens" if tokens > most else ""

    return fault


def _most(given: _Given, what: str, read: Callable[[RunResult], float | None], unit: str) -> Judge:
    try:
        most = float(given.value)
    except (TypeError, ValueError):
        raise UsageError(f"{what}:{given.value} is not a number.", f"Write {what}:2.5.") from None

    def fault(result: RunResult) -> str:
        value = read(result)
        if value is None:
            return f"{unit} unknown"
        return f"{value:.4g} {unit}" if value > most else ""

    return fault


def _length(given: _Given, what: str, measure: Callable[[str], int]) -> Judge:
    """Read ``10..200``, ``..200`` or ``200`` (at most)."""
    text = str(given.value).strip()
    low, dots, high = text.partition("..")
    try:
        least, most = (int(low or 0), int(high) if high else None) if dots else (0, int(text))
    except ValueError:
        raise UsageError(
            f"{what}:{text} is not a length.", f"Write {what}:10..200, or {what}:200 for at most 200."
        ) from None

    def fault(result: RunResult) -> str:
        size = measure(result.text.strip())
        return "" if size >= least and (most is None or size <= most) else f"it has {size}"

    return fault


def read_json(text: str, *, fenced: bool = False) -> tuple[Any, str]:
    """Return the JSON of an answer, and why there is none; ``fenced`` takes the inside of one code fence."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    if fenced and (found := re.fullmatch(r"(?s)\s*```[\w-]*\n(.*?)\n?```\s*", text)):
        text = found[1]
    try:
        return json.loads(text, parse_constant=refuse), ""
    except RecursionError:
        return None, "it is nested too deep"
    except ValueError as error:
        inside = " (it stands in a code fence)" if text.lstrip().startswith("```") else ""
        return None, f"it is not JSON{inside}: {error}"


def _json(given: _Given) -> Judge:
    if given.value not in (None, "", True):
        if isinstance(given.value, Mapping):
            return _schema(given, given.value, "The schema")
        raise UsageError("The check json takes no value.", "Write json, or json-schema:FILE.")
    fenced = bool(given.table.get("fenced"))
    return lambda result: read_json(result.text, fenced=fenced)[1]


def _json_schema(given: _Given) -> Judge:
    if isinstance(given.value, Mapping):
        return _schema(given, given.value, "The schema")
    path = given.path()
    try:
        schema: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PromptopError(f"The schema {path} cannot be read ({error.strerror}).", "Check its name.") from None
    except (ValueError, RecursionError) as error:
        raise PromptopError(f"The schema {path} is not JSON ({error}).", "Check it with a JSON tool.") from None
    if not isinstance(schema, dict):
        raise PromptopError(f"The schema {path} is not a JSON object.", 'Begin with {"type": "object", …}.')
    return _schema(given, schema, str(path))


def _fault_of(validator: Validator, value: Any) -> str:
    try:
        return validator.worst(value)
    except PromptopError as error:
        return error.cause[:1].lower() + error.cause[1:].rstrip(".")


def _schema(given: _Given, schema: Mapping[str, Any], name: str) -> Judge:
    validator = Validator(schema, name)
    fenced = bool(given.table.get("fenced"))

    def fault(result: RunResult) -> str:
        found, why = read_json(result.text, fenced=fenced)
        return why or _fault_of(validator, found)

    return fault


_STEP = re.compile(r"\.?(?P<name>[^.\[\]]+)|\[(?P<index>-?\d+)\]|\[(?P<quote>['\"])(?P<quoted>.*?)(?P=quote)\]")


def value_at(value: Any, path: str) -> tuple[Any, str]:
    """Return the value at a path such as ``$.items[0].name``, and why there is none."""
    rest = path.strip().removeprefix("$")
    at = 0
    while at < len(rest):
        step = _STEP.match(rest, at)
        if step is None:
            raise UsageError(f"{path} is not a path.", "Write $.name, $.list[0], or $['a name'].")
        at = step.end()
        if step["index"] is not None:
            number = int(step["index"])
            if not isinstance(value, list) or not -len(value) <= number < len(value):
                return None, f"there is no {rest[:at]}"
            value = value[number]
            continue
        name = step["quoted"] if step["quoted"] is not None else step["name"]
        if not isinstance(value, dict) or name not in value:
            return None, f"there is no {rest[:at].removeprefix('.')}"
        value = value[name]
    return value, ""


def _json_path(given: _Given) -> Judge:
    table = given.table
    path = str(table.get("path", given.value))
    value_at({}, path)
    hows = [how for how in ("equals", "number", "regex") if table.get(how) is not None]
    if not hows and given.expected is not None:
        table, hows = {**table, "equals": given.expected}, ["equals"]
    inner: Callable[[str, Any], str]
    if not hows:
        inner = lambda text, value: ""  # noqa: E731
    elif hows[0] == "equals":
        wanted = table["equals"]
        inner = lambda text, value: "" if _is_same(value, wanted) else f"{path} is {_text(value)}"  # noqa: E731
    elif hows[0] == "number":
        near = _near(table["number"], table.get("within"))
        inner = lambda text, value: near(text)  # noqa: E731
    else:
        pattern = re.compile(str(table["regex"]))
        inner = lambda text, value: "" if pattern.search(text) else f"{path} is {text}"  # noqa: E731
    fenced = bool(table.get("fenced"))

    def fault(result: RunResult) -> str:
        data, why = read_json(result.text, fenced=fenced)
        if why:
            return why
        value, why = value_at(data, path)
        return why or inner(_text(value), value)

    return fault


def _is_same(value: Any, wanted: Any) -> bool:
    if value == wanted and type(value) is type(wanted):
        return True
    # A table of cases holds texts: "12" there means the number 12 as well.
    if isinstance(wanted, str):
        plain = unicodedata.normalize("NFC", wanted.strip())
        return unicodedata.normalize("NFC", _text(value).strip()) == plain
    return bool(value == wanted) and not isinstance(value, bool) and not isinstance(wanted, bool)


def _near(wanted: Any, within: Any) -> Callable[[str], str]:
    found = numbers_in(str(wanted))
    if len(found) != 1:
        raise UsageError(f"number:{wanted} is not a number.", "Write number:12.5, or number:12.5 within 1%.")
    middle = found[0]
    text = str(within or 0).strip()
    try:
        allowed = abs(middle) * float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise UsageError(f"within {within} is not a number.", "Write within 0.1, or within 1%.") from None

    def fault(text: str) -> str:
        numbers = numbers_in(text)
        if not numbers:
            return "there is no number"
        slack = 1e-9 * max(1.0, abs(middle))
        return "" if abs(numbers[-1] - middle) <= allowed + slack else f"the last number is {numbers[-1]:g}"

    return fault


def _number(given: _Given) -> Judge:
    near = _near(given.value, given.table.get("within"))
    return lambda result: near(result.text)


def _choice(given: _Given) -> Judge:
    labels = given.texts
    wanted = given.table.get("equals", given.expected)
    if wanted is not None and _text(wanted) not in labels:
        raise UsageError(f"{_text(wanted)!r} is none of the labels.", f"Labels: {', '.join(labels)}.")
    patterns = {
        label: re.compile(rf"(?<!\w){re.escape(label)}(?!\w)" if label.isascii() else re.escape(label), re.IGNORECASE)
        for label in labels
    }

    def fault(result: RunResult) -> str:
        named = [label for label, pattern in patterns.items() if pattern.search(result.text)]
        if len(named) != 1:
            return f"names {' and '.join(named)}" if named else "names none of the labels"
        return "" if wanted is None or named[0] == _text(wanted) else f"the label is {named[0]}"

    return fault


def _tool(given: _Given) -> Judge:
    name, schema = str(given.value), given.table.get("arguments")
    validator = Validator(schema, "The schema of the arguments") if isinstance(schema, Mapping) else None

    def fault(result: RunResult) -> str:
        calls = [arguments for called, arguments in result.tool_calls if called == name]
        if not calls:
            return "is not called"
        if validator is None:
            return ""
        faults = []
        for arguments in calls:
            found, why = read_json(arguments)
            faults.append(why or _fault_of(validator, found))
        return "" if "" in faults else faults[0]

    return fault


def _language(given: _Given) -> Judge:
    wanted = str(given.value).strip().lower()
    language_of("")  # the table of languages is read once

    def fault(result: RunResult) -> str:
        found = language_of(result.text)
        return "" if found == wanted.partition("-")[0] else f"the language is {found or 'not clear'}"

    return fault


_TROUBLES = {
    "empty": "the answer is empty",
    "cut": "the answer was cut at its limit of tokens",
    "refused": "it is a refusal",
}
"""What :func:`trouble_of` says of an answer, as a sentence."""


def _answered(given: _Given) -> Judge:
    def fault(result: RunResult) -> str:
        trouble = trouble_of(result)
        if trouble == "refused" and result.is_withheld and not result.refused:
            return "the provider withheld it"
        return _TROUBLES.get(trouble, "")

    return fault


def _asked(given: _Given) -> Judge:
    return lambda result: "is judged by a model: use it with a test set"


def _python(given: _Given) -> Judge:
    value = str(given.value)
    try:
        code = compile(value.strip(), "check", "eval")
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"python:{value} is not an expression ({error}).", "Write python:len(text) < 200.") from None

    def fault(result: RunResult) -> str:
        data, why = read_json(result.text)
        names = {
            "text": result.text,
            "data": None if why else data,
            "tokens": result.usage.output_tokens,
            "finish_reason": result.finish_reason,
            "expected": given.expected,
            "re": re,
        }
        try:
            return "" if eval(code, names) else "is not true"
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the expression raises is why the answer fails
            return f"raised {type(error).__name__}: {error}"

    return fault


FORMS = (
    *("contains:TEXT", "lacks:TEXT", "contains-any:A|B", "contains-all:A|B", "starts-with:TEXT", "equals:TEXT"),
    *("equals-any:A|B", "regex:PATTERN", "json", "json-schema:FILE", "json-path:$.a=VALUE", "number:12 within 1%"),
    *("choice:A|B|C", "tool:NAME", "language:en", "length:10..200", "words:..80", "max-tokens:N", "max-seconds:N"),
    *("max-usd:N", "similar(0.8):TEXT", "rubric:TEXT", "answered", "not:CHECK"),
)
_BARE = frozenset({"json", "answered", "choice", "json-path", "equals", "equals-any"})
"""Kinds that may be written without a value: what the case expects stands in, or none is needed."""
_EXPECTING = frozenset({"equals", "equals-any", "contains", "number", "similar"})
_KINDS: dict[str, Callable[[_Given], Judge]] = {
    "contains": _contains,
    "contains-all": _contains,
    "contains-any": _contains_any,
    "lacks": _lacks,
    "starts-with": _starts,
    "equals": _equals,
    "equals-any": _equals,
    "regex": _regex,
    "json": _json,
    "json-schema": _json_schema,
    "json-path": _json_path,
    "number": _number,
    "choice": _choice,
    "tool": _tool,
    "language": _language,
    "length": lambda given: _length(given, "length", len),
    "words": lambda given: _length(given, "words", lambda text: len(text.split())),
    "max-tokens": _max_tokens,
    "max-seconds": lambda given: _most(given, "max-seconds", lambda result: result.total_s, "s"),
    "max-usd": lambda given: _most(given, "max-usd", lambda result: result.cost_usd, "USD"),
    "similar": _asked,
    "rubric": _asked,
    "answered": _answered,
    "python": _python,
}
