"""Test sets from files: our own JSONL, YAML, JSON and CSV, promptfoo's tests, OpenAI's evals, exports of Langfuse.

What a file means is seen by its shape. What cannot be taken over is named with file and line, and refuses the set
unless the caller skips it: a check that is silently missing makes a proof.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.experiments.checks import Spec
from promptop.experiments.test_sets import promptfoo
from promptop.experiments.test_sets.case import Case, TestSet, digest_id

MOST_CASES = 100_000
_FORMS = "Write JSONL with vars or messages a line, a YAML list of tests, or CSV with a header (docs/testsets.md)."
_OWN = frozenset(
    [
        "id",
        "vars",
        "messages",
        "expected",
        "checks",
        "weight",
        "tags",
        "files",
        "critical",
        "seen",
        "description",
        "name",
    ]
)
_PROMPTFOO = frozenset(
    [
        "assert",
        "metadata",
        "threshold",
        "options",
        "provider",
        "providers",
        "prompts",
        "providerOutput",
        "assertScoringFunction",
    ]
)
_ANSWER_KEYS = ("expected", "ideal", "answer", "correct_label", "label", "target")


def read_test_set(path: Path, *, skip_unknown: bool = False, only_variable: str | None = None) -> TestSet:
    """Read a test set; raise :class:`UsageError` naming file and line of what is not valid.

    ``only_variable`` is the prompt's one variable, which a plain text stands for. With ``skip_unknown`` what cannot be
    taken over is left out and named in the notes.
    """
    text = _read(path)
    suffix = path.suffix.lower()
    notes: list[str] = []

    def refuse(where: str, what: str) -> None:
        if not skip_unknown:
            raise UsageError(f"{where}: {what}", "Mend it, or leave it out with --skip-unknown.")
        notes.append(f"{where}: left out: {what}")

    reader = _Reader(path, refuse, notes, only_variable)
    if suffix in (".csv", ".tsv"):
        found = reader.table(text, "\t" if suffix == ".tsv" else None)
    elif suffix in (".jsonl", ".ndjson"):
        found = reader.lines(text)
    elif suffix in (".yaml", ".yml", ".json"):
        found = reader.document(text)
    else:
        raise UsageError(f"{path} is not a test set by its name.", _FORMS)
    if not found.cases:
        raise UsageError(f"{path} holds no case.", _FORMS)
    return replace(found, cases=_with_ids(found.cases), notes=tuple(notes))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    except OSError as error:
        raise PromptopError(f"{path} cannot be read ({error.strerror}).", "Check its name.") from None


def _with_ids(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Give every case a name; raise :class:`UsageError` for one that stands twice."""
    seen: dict[str, Case] = {}
    for case in cases:
        name = case.id or digest_id([dict(case.vars), [dict(each) for each in case.messages]])
        if name in seen:
            if case.id:
                raise UsageError(
                    f"{case.where}: the id {clean_line(name, 40)!r} stands at {seen[name].where} too.",
                    "Make it unique.",
                )
            raise UsageError(
                f"{case.where}: this case is the same as the one at {seen[name].where}.",
                "Leave one out: the same case twice counts once.",
            )
        seen[name] = replace(case, id=name)
    return tuple(seen.values())


class _Reader:
    def __init__(
        self, path: Path, refuse: Callable[[str, str], None], notes: list[str], only_variable: str | None
    ) -> None:
        self.path, self.refuse, self.notes, self.only_variable = path, refuse, notes, only_variable
        self.proposed: set[str] = set()

    # The three kinds of files

    def lines(self, text: str) -> TestSet:
        cases = []
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            where = f"{self.path}:{number}"
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{where}: not JSON ({error}).", "Write one object a line.") from None
            if not isinstance(entry, dict):
                raise UsageError(f"{where}: a line must be a JSON object.", _FORMS)
            if (case := self.entry(entry, where)) is not None:
                cases.append(case)
        return TestSet(tuple(cases), (), self.path)

    def document(self, text: str) -> TestSet:
        data = self._parsed(text)
        checks: tuple[Spec, ...] = ()
        defaults: Mapping[str, Any] = {}
        if isinstance(data, Mapping):
            checks = tuple(data.get("checks") or ())
            defaults = data.get("defaultTest") or {}
            if not isinstance(defaults, Mapping):
                self.refuse(str(self.path), "defaultTest that is not a table")
                defaults = {}
            entries = next((data[name] for name in ("tests", "cases", "items", "data") if name in data), None)
        else:
            entries = data
        if isinstance(entries, str):
            return self._included(entries, checks)
        if not isinstance(entries, list):
            raise UsageError(f"{self.path} holds neither tests: nor cases: nor a list.", _FORMS)
        cases = []
        for number, entry in enumerate(entries, 1):
            where = f"{self.path}: test {number}"
            if isinstance(entry, str) and entry.startswith("file://"):
                inner = self._included(entry, ())
                cases += list(inner.cases)
                continue
            if not isinstance(entry, Mapping):
                raise UsageError(f"{where} is not a table.", _FORMS)
            if (case := self.entry(entry, where, defaults)) is not None:
                cases.append(case)
        return TestSet(tuple(cases), checks, self.path)

    def _included(self, name: str, checks: tuple[Spec, ...]) -> TestSet:
        target = (self.path.parent / name.removeprefix("file://")).resolve()
        if "://" in name.removeprefix("file://") or not target.is_relative_to(self.path.parent.resolve()):
            self.refuse(str(self.path), f"tests from elsewhere: {clean_line(name, 80)}")
            return TestSet((), checks, self.path)
        if target == self.path.resolve():
            raise UsageError(f"{self.path} takes its tests from itself.", "Name another file.")
        inner = read_test_set(target, only_variable=self.only_variable)
        self.notes.extend(inner.notes)
        return TestSet(inner.cases, (*checks, *inner.checks), self.path)

    def _parsed(self, text: str) -> Any:
        if self.path.suffix.lower() == ".json":
            try:
                return json.loads(text)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{self.path} is not JSON ({error}).", "Check it with a JSON tool.") from None
        import yaml

        try:
            # An alias is a copy where it is used: a few lines of them make a gigabyte.
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
                raise UsageError(f"{self.path} uses YAML aliases (*name), which are not read.", "Write it out.")
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark is not None else ""
            raise UsageError(
                f"{self.path}{line}: not YAML ({getattr(error, 'problem', error)}).", "Check its indentation."
            ) from None
        except RecursionError:
            raise UsageError(f"{self.path} is nested too deep.", "Write it flatter.") from None

    def table(self, text: str, separator: str | None) -> TestSet:
        head = text.split("\n", 1)[0]
        # Spreadsheets of half of Europe write semicolons.
        separator = separator or (";" if head.count(";") > head.count(",") else ",")
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        names = [name.strip() for name in reader.fieldnames or ()]
        if not names or len(set(names)) < len(names):
            raise UsageError(f"{self.path}:1: the header is empty, or names a column twice.", _FORMS)
        reader.fieldnames = names
        cases = []
        try:
            for row in reader:
                where = f"{self.path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise UsageError(f"{where}: the row has not as many fields as the header.", "Mend it.")
                case = self.langfuse(row, where) if {"input", "expectedOutput"} <= set(names) else self._row(row, where)
                if case is not None:
                    cases.append(case)
        except csv.Error as error:
            raise UsageError(f"{self.path}:{reader.line_num}: not CSV ({error}).", "Check its quotes.") from None
        return TestSet(tuple(cases), (), self.path)

    def _row(self, row: Mapping[str, str], where: str) -> Case | None:
        own = {"id", "expected", "tags", "weight", "checks", "critical", "files"}
        checks: list[Spec] = []
        variables: dict[str, str] = {}
        said: dict[str, Any] = {}
        threshold: float | None = None
        for name, value in row.items():
            if re.fullmatch(r"__expected\d*", name):
                if value.strip():
                    checks += self._short(value, where)
            elif name == "__description":
                said["id"] = value.strip()
            elif name == "__metadata:tags":
                said["tags"] = value
            elif name == "__threshold":
                threshold = float(value) if value.strip() else None
            elif name.startswith("__"):
                if value.strip() and not name.startswith("__metadata"):
                    self.refuse(where, f"the column {clean_line(name, 40)}")
            elif name in own:
                if value.strip():
                    said[name] = value.strip() if name != "expected" else value
            else:
                variables[name] = value
        if "checks" in said:
            checks += [part.strip() for part in str(said["checks"]).split("\n") if part.strip()]
        if threshold is not None and checks:
            checks = [{"type": "any-of", "value": checks, "score": threshold, "name": "score"}]
        return self._case(
            {
                "id": said.get("id", ""),
                "vars": variables,
                "expected": said.get("expected"),
                "checks": checks,
                "weight": _number(said.get("weight", "1"), where, "weight"),
                "tags": _split(said.get("tags", "")),
                "files": _split(said.get("files", "")),
                "critical": str(said.get("critical", "")).lower() in ("1", "true", "yes"),
            },
            where,
        )

    def _short(self, value: str, where: str) -> list[Spec]:
        try:
            return [promptfoo.short(value)]
        except promptfoo.UnknownAssertion as error:
            self.refuse(where, str(error))
            return []

    # One entry, whatever program wrote it

    def entry(self, entry: Mapping[str, Any], where: str, defaults: Mapping[str, Any] | None = None) -> Case | None:
        if "input" in entry and "ideal" in entry:
            return self._openai(entry, where)
        if "item" in entry and isinstance(entry["item"], Mapping) and "vars" not in entry:
            return self._item(entry["item"], where)
        if "input" in entry and ("expectedOutput" in entry or "datasetId" in entry or "datasetName" in entry):
            return self.langfuse(entry, where)
        if "assert" in entry or "vars" in entry or (defaults and ("vars" in defaults or "assert" in defaults)):
            if not {"expected", "checks", "id"} & set(entry) or "assert" in entry:
                return self._promptfoo(entry, where, defaults or {})
            return self._case(entry, where)
        if "messages" in entry:
            return self._case(entry, where)
        self.refuse(where, f"it has neither vars nor messages (fields: {', '.join(map(str, list(entry)[:6]))}).")
        return None

    def _case(self, entry: Mapping[str, Any], where: str) -> Case | None:
        unknown = sorted(set(entry) - _OWN)
        if unknown:
            self.refuse(where, f"the field {clean_line(unknown[0], 40)!r} is not known.")
        variables, messages = entry.get("vars") or {}, entry.get("messages") or []
        if not isinstance(variables, Mapping) or not _are_messages(messages):
            raise UsageError(f"{where}: vars must be a table, messages a list of role and content.", _FORMS)
        checks = entry.get("checks") or []
        checks = [checks] if isinstance(checks, str | Mapping) else checks
        weight = entry.get("weight", 1)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or weight <= 0:
            raise UsageError(f"{where}: the weight {weight!r} is not a number above 0.", "Leave it out for 1.")
        tags = entry.get("tags") or []
        return Case(
            str(entry.get("id") or entry.get("description") or entry.get("name") or ""),
            {str(name): value for name, value in variables.items()},
            tuple(messages),
            entry.get("expected"),
            tuple(checks),
            float(weight),
            tuple(_split(tags) if isinstance(tags, str) else map(str, tags)),
            tuple(map(str, [entry["files"]] if isinstance(entry.get("files"), str) else entry.get("files") or ())),
            bool(entry.get("critical")),
            entry.get("seen"),
            where,
        )

    def _promptfoo(self, entry: Mapping[str, Any], where: str, defaults: Mapping[str, Any]) -> Case | None:
        for name in sorted(set(map(str, entry)) - _OWN - _PROMPTFOO):
            self.refuse(where, f"the field {clean_line(name, 40)!r} is not known.")
        checks: list[Spec] = []
        given = [*(defaults.get("assert") or []), *(entry.get("assert") or [])]
        for assertion in given:
            try:
                checks.append(promptfoo.check_of(assertion, self.path.parent))
            except promptfoo.UnknownAssertion as error:
                self.refuse(where, str(error))
        threshold = entry.get("threshold", defaults.get("threshold"))
        if threshold is not None and checks:
            checks = [{"type": "any-of", "value": checks, "score": threshold, "name": "score"}]
        variables = {**(defaults.get("vars") or {}), **(entry.get("vars") or {})}
        files = {name: value for name, value in variables.items() if str(value).startswith("file://")}
        for name, value in variables.items():
            if isinstance(value, list) and not all(isinstance(each, Mapping) for each in value):
                self.refuse(where, f"a list of values for {clean_line(str(name), 40)}, which promptfoo asks one by one")
        for name in ("assertScoringFunction", "provider", "providerOutput", "options"):
            if entry.get(name) or defaults.get(name):
                self.refuse(where, f"the field {name} of promptfoo")
        metadata = entry.get("metadata") or {}
        tags = metadata.get("tags") or entry.get("tags") or [] if isinstance(metadata, Mapping) else []
        own = {
            name: entry[name]
            for name in ("expected", "weight", "critical", "files", "seen", "messages")
            if name in entry
        }
        own_checks = entry.get("checks") or []
        case = self._case(
            {
                "id": entry.get("id") or entry.get("description") or "",
                "vars": {name: value for name, value in variables.items() if name not in files},
                "checks": [*checks, *([own_checks] if isinstance(own_checks, str | Mapping) else own_checks)],
                "tags": tags,
                **own,
            },
            where,
        )
        if case is None or not files:
            return case
        read = TestSet((case,), (), self.path)
        return replace(
            case,
            vars={
                **case.vars,
                **{name: read.read(case, value).decode("utf-8", "replace") for name, value in files.items()},
            },
        )

    def _openai(self, entry: Mapping[str, Any], where: str) -> Case | None:
        ideal = entry["ideal"]
        given = entry["input"]
        shape: dict[str, Any] = {"id": str(entry.get("id") or "")}
        if _are_messages(given) and given:
            shape["messages"] = given
        else:
            shape["vars"] = self._only(given, where)
        shape["checks"] = [
            {"type": "equals-any" if isinstance(ideal, list) else "equals", "value": ideal, "name": "ideal"}
        ]
        return self._case(shape | {"expected": ideal}, where)

    def _item(self, item: Mapping[str, Any], where: str) -> Case | None:
        proposal = next((name for name in _ANSWER_KEYS if name in item), None)
        if proposal is not None and proposal not in self.proposed:
            self.proposed.add(proposal)
            self.notes.append(
                f"{where}: item.{proposal} looks like what is right; to check it, write --check 'equals:…' or convert"
                " the set and name it expected."
            )
        return self._case({"vars": dict(item)}, where)

    def langfuse(self, entry: Mapping[str, Any], where: str) -> Case | None:
        """Take an item of a Langfuse dataset; archived ones are left out."""
        if str(entry.get("status") or "").upper() == "ARCHIVED":
            self.notes.append(f"{where}: archived, left out")
            return None
        given, wanted, metadata = (_loaded(entry.get(name)) for name in ("input", "expectedOutput", "metadata"))
        shape: dict[str, Any] = {"id": str(entry.get("id") or "")}
        if _are_messages(given) and given:
            shape["messages"] = given
        elif isinstance(given, Mapping) and _are_messages(given.get("messages")) and given.get("messages"):
            shape["messages"] = given["messages"]
        elif isinstance(given, Mapping):
            shape["vars"] = dict(given)
        else:
            shape["vars"] = self._only(given, where)
        if wanted not in (None, ""):
            shape["expected"] = wanted
        if isinstance(metadata, Mapping) and metadata.get("tags"):
            shape["tags"] = metadata["tags"]
        return self._case(shape, where)

    def _only(self, given: Any, where: str) -> dict[str, Any]:
        if self.only_variable is None:
            self.notes.append(f"{where}: a plain text stands for the variable input")
        return {self.only_variable or "input": given if given is not None else ""}


def _loaded(value: Any) -> Any:
    """Return JSON that stands in a cell of a table."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) and "role" in each for each in value)


def _split(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,;|]", text) if part.strip()]


def _number(text: str, where: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"{where}: the {what} {clean_line(text, 20)!r} is not a number.", "Leave it out for 1."
        ) from None


def rows_of(cases: Sequence[Case]) -> Iterator[dict[str, str]]:
    """Return cases as rows of a table whose columns are variables, with ours beside them."""
    for case in cases:
        yield {
            "id": case.id,
            **case.values(),
            "expected": ""
            if case.expected is None
            else case.expected
            if isinstance(case.expected, str)
            else json.dumps(case.expected, ensure_ascii=False),
            "tags": ",".join(case.tags),
            "weight": f"{case.weight:g}",
            "checks": "\n".join(
                each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in case.checks
            ),
        }
