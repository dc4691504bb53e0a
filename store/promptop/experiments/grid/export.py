"""A grid as text: a table for the terminal, and files in HTML, Markdown, CSV, JSON, JUnit and promptfoo's form."""

from __future__ import annotations

import csv
import html
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.base.files import write_private
from promptop.base.sanitize import clean, clean_line
from promptop.base.text_table import aligned
from promptop.experiments.checks.judges import Grading
from promptop.experiments.grid.cells import GridCell
from promptop.experiments.grid.checker import text_of_answer
from promptop.experiments.grid.plan import PlannedCase
from promptop.experiments.grid.promptfoo_results import ResultPrompt, ResultRow, results_file
from promptop.experiments.grid.run import GridOutcome
from promptop.experiments.stats import quantile, share_interval
from promptop.experiments.test_sets.case import Case


@dataclass(slots=True)
class GridCase:
    """One case with the cells of every column."""

    case: Case
    cells: dict[int, list[GridCell]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    """Column → why it has no answer."""

    def passed(self, column: int) -> bool | None:
        """Whether all answers of a column pass every check; None where there is none."""
        cells = self.cells.get(column)
        return all(checked.passed for cell in cells for checked in cell.checked.values()) if cells else None

    @property
    def is_failing(self) -> bool:
        """Whether a column fails, or has no answer."""
        return bool(self.failed) or any(self.passed(column) is False for column in self.cells)


@dataclass(frozen=True, slots=True)
class GridReport:
    """A grid as it is read: failing cases first."""

    columns: tuple[str, ...]
    cases: tuple[GridCase, ...]
    spent_usd: float
    kept: int
    errors: tuple[str, ...]
    is_capped: bool
    run: str
    grading: Grading | None = None


def report_of(cases: Sequence[PlannedCase], titles: Sequence[str], outcome: GridOutcome, run: str) -> GridReport:
    """Put the cells of a run in order."""
    found = [GridCase(planned.case) for planned in cases]
    for (case, place), cell in sorted(outcome.cells.items()):
        column, error = place % len(titles), cell.result.error
        if cell.result.state == "done":
            found[case].cells.setdefault(column, []).append(cell)
        else:
            found[case].failed[column] = error.cause if error is not None else "no answer"
    asked = [each for each in found if each.cells or each.failed]
    ordered = tuple(sorted(asked, key=lambda each: not each.is_failing))
    return GridReport(
        tuple(titles),
        ordered,
        outcome.spent_usd,
        outcome.kept,
        outcome.errors,
        outcome.is_capped,
        run,
        outcome.grading,
    )


def totals(outcome: GridReport) -> list[dict[str, Any]]:
    """Return for each column: cases, passes with their interval, tokens, times, cost."""
    found = []
    for at, title in enumerate(outcome.columns):
        cells = [cell for case in outcome.cases for cell in case.cells.get(at, [])]
        said = [passed for case in outcome.cases if (passed := case.passed(at)) is not None]
        results = [cell.result for cell in cells]
        costs = [result.cost_usd for result in results if result.cost_usd is not None]
        times = sorted(result.ttft_s for result in results if result.ttft_s is not None)
        low, high = share_interval(sum(said), len(said))
        names = dict.fromkeys(text for cell in cells for text in cell.checked)
        found.append(
            {
                "title": title,
                "cases": len(said),
                "passed": sum(said),
                "low": low,
                "high": high,
                "failed_calls": sum(at in case.failed for case in outcome.cases),
                "input_tokens": sum(result.usage.input_tokens or 0 for result in results),
                "output_tokens": sum(result.usage.output_tokens or 0 for result in results),
                "ttft_p50_s": quantile(times, 0.5) if times else None,
                "cost_usd": sum(costs) if costs else None,
                "unpriced": len(results) - len(costs),
                "checks": {name: _passes(outcome, at, name) for name in names},
            }
        )
    return found


def _passes(outcome: GridReport, column: int, name: str) -> list[int]:
    """Return how many answers of a column pass a check, of how many."""
    said = [
        cell.checked[name].passed
        for case in outcome.cases
        for cell in case.cells.get(column, [])
        if name in cell.checked
    ]
    return [sum(said), len(said)]


def table(outcome: GridReport) -> list[str]:
    """Return the totals as lines of text."""
    rows = [["column", "pass", "95 %", "TTFT", "in", "out", "cost"]]
    for each in totals(outcome):
        shown = f"{units.share(each['low'])}–{units.share(each['high'])}"
        cost = units.usd(each["cost_usd"]) if each["cost_usd"] is not None else "n/a"
        rows.append(
            [
                *(clean_line(each["title"], 40), f"{each['passed']}/{each['cases']}", shown),
                *(units.seconds(each["ttft_p50_s"]), units.count(each["input_tokens"])),
                *(units.count(each["output_tokens"]), cost),
            ]
        )
    return [*aligned(rows), *([outcome.grading.said()] if outcome.grading is not None else [])]


def failing(outcome: GridReport, most: int = 20) -> list[str]:
    """Return the failing cases, with why each column fails."""
    lines: list[str] = []
    cases = [case for case in outcome.cases if case.is_failing]
    for case in cases[:most]:
        lines.append(
            f"✗ {clean_line(case.case.id, 60)}" + (f" [{', '.join(case.case.tags)}]" if case.case.tags else "")
        )
        for at, title in enumerate(outcome.columns):
            why = case.failed.get(at) or "; ".join(_faults(case, at))
            if why:
                lines.append(f"    {clean_line(title, 40)}: {clean_line(why, 200)}")
    if len(cases) > most:
        lines.append(f"✗ and {len(cases) - most} more")
    return lines


def _faults(case: GridCase, column: int) -> list[str]:
    said = [each for cell in case.cells.get(column, []) for each in cell.checked.values() if not each.passed]
    return list(dict.fromkeys(f"{each.text}: {each.why}" for each in said))


def as_json(outcome: GridReport) -> dict[str, Any]:
    """Return the shape of ``compare --cases --json``."""
    return {
        "columns": totals(outcome),
        "cases": [
            {
                "id": case.case.id,
                "tags": list(case.case.tags),
                "vars": dict(case.case.vars),
                "cells": [
                    {"column": title, "passed": case.passed(at), "error": case.failed.get(at)}
                    | {"answers": [_cell_json(cell) for cell in case.cells.get(at, [])]}
                    for at, title in enumerate(outcome.columns)
                ],
            }
            for case in outcome.cases
        ],
        "cost_usd": outcome.spent_usd,
        "kept": outcome.kept,
        "run": outcome.run,
        "capped": outcome.is_capped,
        "errors": list(outcome.errors),
        "judge": asdict(outcome.grading) if outcome.grading is not None else None,
    }


def _cell_json(cell: GridCell) -> dict[str, Any]:
    return {
        **cell.result.to_json(),
        "text": cell.result.text if cell.whole else None,
        "checks": [each.to_json() for each in cell.checked.values()],
    }


def write_grid(out: Path, outcome: GridReport) -> None:
    """Write a grid in the form that the file's name asks for (0600); raise :class:`UsageError` for one that is none."""
    suffixes = "".join(out.suffixes[-2:]).lower()
    form = next((end for end in _FORMS if suffixes.endswith(end)), None)
    if form is None:
        raise UsageError(f"{out}: its ending names no form.", f"Endings: {', '.join(_FORMS)}.")
    try:
        write_private(out, _FORMS[form](outcome).encode("utf-8", "replace").decode("utf-8"))
    except OSError as error:
        raise PromptopError(f"{out} cannot be written ({error.strerror}).", "Choose another --report.") from None


def _text(cell: GridCell) -> str:
    return clean(text_of_answer(cell.result)) if cell.whole else "(not kept)"


def to_markdown(outcome: GridReport) -> str:
    """Return the totals and the failing cases."""
    lines = ["| column | pass | 95 % | TTFT | cost |", "|---|---|---|---|---|"]
    for each in totals(outcome):
        cost = units.usd(each["cost_usd"]) if each["cost_usd"] is not None else "n/a"
        lines.append(
            f"| {_md(each['title'])} | {each['passed']}/{each['cases']} | {units.share(each['low'])} –"
            f" {units.share(each['high'])} | {units.seconds(each['ttft_p50_s'])} | {cost} |"
        )
    if outcome.grading is not None:
        lines += ["", _md(outcome.grading.said())]
    if faults := failing(outcome, 100):
        lines += ["", "```", *faults, "```"]
    return "\n".join(lines) + "\n"


def _md(text: str) -> str:
    return " ".join(clean(text).replace("|", "\\|").split())


def to_html(outcome: GridReport) -> str:
    """Return one page that needs no server, no script and no further file."""
    e = html.escape
    head = "".join(f"<th>{e(title)}</th>" for title in outcome.columns)
    sums = "".join(f"<td>{each['passed']}/{each['cases']}</td>" for each in totals(outcome))
    rows = ""
    for case in outcome.cases:
        cells = ""
        for at in range(len(outcome.columns)):
            said = "".join(f"<pre>{e(_text(cell))}</pre>" for cell in case.cells.get(at, []))
            faults = [*_faults(case, at), *([case.failed[at]] if at in case.failed else [])]
            said += "".join(f"<div class='bad'>✗ {e(clean(fault))}</div>" for fault in faults)
            cells += f"<td>{said}</td>"
        tags = f"<br><small>{e(', '.join(case.case.tags))}</small>" if case.case.tags else ""
        rows += f"<tr><th>{e(case.case.id)}{tags}</th>{cells}</tr>"
    graded = f"<p>{e(outcome.grading.said())}</p>" if outcome.grading is not None else ""
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}"
        "td,th{border:1px solid #d0d7de;padding:.35rem .6rem;vertical-align:top;text-align:left}"
        "pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font-size:.85rem}.bad{color:#b42318}"
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>promptop grid</title><style>{style}</style><h1>{len(outcome.cases)} cases</h1>"
        f"<table><tr><th>case</th>{head}</tr><tr><th>passed</th>{sums}</tr>{rows}</table>{graded}</html>\n"
    )


def to_csv(outcome: GridReport) -> str:
    """Return a line for each answer."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["case", "tags", "column", "repeat", "passed", "failed_checks", "text", "ttft_s", "cost_usd"])
    for case in outcome.cases:
        for at, title in enumerate(outcome.columns):
            for repeat, cell in enumerate(case.cells.get(at, [])):
                faults = "; ".join(f"{c.text}: {c.why}" for c in cell.checked.values() if not c.passed)
                said = [_harmless(faults), _harmless(_text(cell)), cell.result.ttft_s, cell.result.cost_usd]
                writer.writerow([case.case.id, ",".join(case.case.tags), title, repeat, int(not faults), *said])
    return out.getvalue()


def _harmless(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an answer may be anything."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def to_junit(outcome: GridReport) -> str:
    """Return JUnit's XML, a test for each case and column."""
    tests, failures = [], 0
    for case in outcome.cases:
        for at, title in enumerate(outcome.columns):
            said = "\n".join([*_faults(case, at), *([case.failed[at]] if at in case.failed else [])])
            failures += bool(said)
            inner = f'<failure message="failed">{escape(clean(said))}</failure>' if said else ""
            head = f"classname={quoteattr(clean(title))} name={quoteattr(clean(case.case.id))}"
            took = sum(cell.result.total_s or 0.0 for cell in case.cells.get(at, []))
            tests.append(f'<testcase {head} time="{took:.3f}">{inner}</testcase>')
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites><testsuite name="promptop compare" tests="{len(tests)}"'
        f' failures="{failures}">{"".join(tests)}</testsuite></testsuites>\n'
    )


def to_promptfoo(outcome: GridReport) -> str:
    """Return the results as promptfoo writes them: each column is a prompt of its own."""
    rows = [
        ResultRow(number, at, case.case, next(iter(case.cells.get(at, [])), None), case.failed.get(at, ""))
        for number, case in enumerate(outcome.cases)
        for at in range(len(outcome.columns))
        if case.cells.get(at) or at in case.failed
    ]
    prompts = [ResultPrompt(title, title, title) for title in outcome.columns]
    return results_file(outcome.run, int(time.time() * 1000), "promptop compare", prompts, rows)


_FORMS: dict[str, Callable[[GridReport], str]] = {
    ".promptfoo.json": to_promptfoo,
    ".html": to_html,
    ".md": to_markdown,
    ".csv": to_csv,
    ".json": lambda outcome: json.dumps(as_json(outcome), ensure_ascii=True, indent=1) + "\n",
    ".xml": to_junit,
}
