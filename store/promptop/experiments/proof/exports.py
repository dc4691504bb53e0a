"""A proof as a file: HTML without a server or a script, Markdown, CSV, JSON, JUnit, promptfoo's results."""

from __future__ import annotations

import csv
import difflib
import html
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.base.files import write_private
from promptop.base.sanitize import clean
from promptop.experiments.grid.cells import GridCell
from promptop.experiments.grid.checker import text_of_answer
from promptop.experiments.grid.promptfoo_results import ResultPrompt, ResultRow, results_file
from promptop.experiments.proof.records import SIDES, CaseRecord
from promptop.experiments.proof.report import ProofReport

_SIDE_NAMES = {"before": "baseline", "after": "trimmed"}


def write_report(out: Path, report: ProofReport, texts: tuple[str, str]) -> None:
    """Write a report in the form that the file's name asks for (0600: it holds prompts and answers).

    Raises :class:`UsageError` for a name that asks for none.
    """
    suffixes = "".join(out.suffixes[-2:]).lower()
    form = next((end for end in _FORMS if suffixes.endswith(end)), None)
    if form is None:
        raise UsageError(f"{out}: its ending names no form.", f"Endings: {', '.join(_FORMS)}.")
    try:
        write_private(out, _FORMS[form](report, texts).encode("utf-8", "replace").decode("utf-8"))
    except OSError as error:
        raise PromptopError(f"{out} cannot be written ({error.strerror}).", "Choose another --report.") from None


def _text(cell: GridCell) -> str:
    return clean(text_of_answer(cell.result)) if cell.whole else "(not kept)"


def _faults(cell: GridCell) -> list[str]:
    return [f"{each.text}: {each.why}" for each in cell.checked.values() if not each.passed]


def _prompt_diff(texts: tuple[str, str]) -> str:
    lines = difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(), "baseline", "trimmed", lineterm="", n=2)
    return "\n".join(lines)


def to_markdown(report: ProofReport, texts: tuple[str, str]) -> str:
    """Return the report for a comment or a page."""
    lines = [f"**{report.verdict}**: {report.why}", "", *(f"- {line}" for line in report.lines)]
    if report.advice:
        lines.append(f"- → {report.advice}")
    _, finding = report.deciding
    lines += ["", "| check | before | after | at most lower by | tells |", "|---|---|---|---|---|"]
    for check in finding.checks:
        said = "yes" if check.tells else check.why_not
        lines.append(
            f"| {_cell(check.check)} | {check.passed_before}/{check.of_before} | {check.passed_after}/{check.of_after}"
            f" | {units.share(-check.low)} | {_cell(said)} |"
        )
    if tags := report.by_tag():
        lines += ["", "| tag | cases | pass before | pass after |", "|---|---|---|---|"]
        lines += [f"| {_cell(tag)} | {n} | {before} | {after} |" for tag, n, before, after in tags]
    lines += ["", "| case | state | model | fails after |", "|---|---|---|---|"]
    for run, record in report.records():
        faults = "; ".join(fault for cell in record.after[:1] for fault in _faults(cell))
        lines.append(f"| {_cell(record.id)} | {record.state} | {_cell(run.title)} | {_cell(faults)} |")
    lines += ["", "```diff", clean(_prompt_diff(texts)).replace("```", "` ` `"), "```", "", _digests(report)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(clean(text).replace("|", "\\|").split())


def _digests(report: ProofReport) -> str:
    proof = report.proof
    return (
        f"baseline {proof.baseline}, trimmed {proof.trimmed}, test set {proof.test_set}, seed {proof.seed}, endpoint"
        f" {proof.host}, run {report.outcome.run}"
    )


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#1c2128}"
    "h1{font-size:1.3rem}table{border-collapse:collapse;width:100%;margin:1rem 0}"
    "td,th{border:1px solid #d0d7de;padding:.35rem .6rem;vertical-align:top;text-align:left}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font-size:.85rem}"
    ".proven,.alike{color:#1a7f37}.worse,.changed,.lost{color:#b42318}.undecided{color:#9a6700}"
    "details{margin:.5rem 0}summary{cursor:pointer}del{background:#ffd7d5}ins{background:#ccffd8}"
)


def to_html(report: ProofReport, texts: tuple[str, str]) -> str:
    """Return one page that needs no server, no script and no further file."""
    e = html.escape
    _, finding = report.deciding
    rows = "".join(
        f"<tr><td>{e(c.check)}</td><td>{c.passed_before}/{c.of_before}</td><td>{c.passed_after}/{c.of_after}</td>"
        f"<td>{e(units.share(-c.low))}</td><td>{e('yes' if c.tells else c.why_not)}</td></tr>"
        for c in finding.checks
    )
    tags = "".join(f"<tr><td>{e(t)}</td><td>{n}</td><td>{b}</td><td>{a}</td></tr>" for t, n, b, a in report.by_tag())
    cases = "".join(_case_html(run.title, record) for run, record in report.records())
    lines = "".join(f"<li>{e(line)}</li>" for line in report.lines)
    advice = f"<p>→ {e(report.advice)}</p>" if report.advice else ""
    tag_table = (
        f"<h2>Tags</h2><table><tr><th>tag</th><th>cases</th><th>pass before</th><th>pass after</th></tr>{tags}</table>"
        if tags
        else ""
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>promptop proof: {e(report.verdict)}</title><style>{_STYLE}</style>"
        f'<h1><span class="{e(report.verdict)}">{e(report.verdict)}</span>: {e(clean(report.why))}</h1>'
        f"<ul>{lines}</ul>{advice}"
        "<h2>Checks</h2><table><tr><th>check</th><th>before</th><th>after</th><th>at most lower by</th>"
        "<th>tells</th></tr>"
        f"{rows}</table>{tag_table}<h2>Cases</h2>{cases}"
        f"<h2>The trim</h2><pre>{e(clean(_prompt_diff(texts)))}</pre>"
        f"<p><small>{e(_digests(report))}</small></p></html>\n"
    )


def _case_html(title: str, record: CaseRecord) -> str:
    e = html.escape
    state = record.state
    is_open = " open" if state.startswith("lost") else ""
    sides = ""
    for side in SIDES:
        cells = "".join(
            f"<pre>{e(_text(cell))}</pre>" + "".join(f"<div class='lost'>✗ {e(fault)}</div>" for fault in _faults(cell))
            for cell in record.side(side)
        )
        sides += f"<td>{cells}</td>"
    given = e(json.dumps(dict(record.case.vars), ensure_ascii=False)[:2000])
    css = "lost" if state.startswith("lost") else "state"
    return (
        f'<details{is_open}><summary><b>{e(record.id)}</b> · {e(title)} · <span class="{css}">{e(state)}</span>'
        f"{' · ' + e(', '.join(record.case.tags)) if record.case.tags else ''}</summary><pre>{given}</pre>"
        f"<table><tr><th>baseline</th><th>trimmed</th></tr><tr>{sides}</tr></table></details>"
    )


def to_csv(report: ProofReport, texts: tuple[str, str]) -> str:
    """Return a line for each answer."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        [
            *("case", "tags", "model", "version", "repeat", "state", "passed", "failed_checks", "text"),
            *("finish_reason", "input_tokens", "output_tokens", "ttft_s", "total_s", "cost_usd"),
        ]
    )
    for run, record in report.records():
        for side in SIDES:
            for repeat, cell in enumerate(record.side(side)):
                result, faults = cell.result, _faults(cell)
                writer.writerow(
                    [
                        *(record.id, ",".join(record.case.tags), run.title, _SIDE_NAMES[side], repeat, record.state),
                        *(int(not faults), _harmless("; ".join(faults)), _harmless(_text(cell)), result.finish_reason),
                        *(result.usage.input_tokens, result.usage.output_tokens, result.ttft_s, result.total_s),
                        result.cost_usd,
                    ]
                )
    return out.getvalue()


def _harmless(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an answer may be anything."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def to_json(report: ProofReport, texts: tuple[str, str]) -> str:
    """Return the shape of ``prove --json``."""
    return json.dumps(report.to_json(), ensure_ascii=True, indent=2) + "\n"


def to_junit(report: ProofReport, texts: tuple[str, str]) -> str:
    """Return JUnit's XML: the verdict is one test, each case another."""
    records = report.records()
    failures = sum(record.state in ("lost for sure", "lost", "flipped") for _, record in records)
    failed = report.verdict not in ("proven", "alike")
    cases = [f"<testcase classname={quoteattr('promptop')} name={quoteattr('verdict')}>"]
    if failed:
        cases.append(f"<failure message={quoteattr(_xml(report.verdict))}>{escape(_xml(report.why))}</failure>")
    cases.append("</testcase>")
    for run, record in records:
        seconds = sum(cell.result.total_s or 0.0 for side in SIDES for cell in record.side(side))
        head = f'classname={quoteattr(_xml(run.title))} name={quoteattr(_xml(record.id))} time="{seconds:.3f}"'
        inner = ""
        if record.state == "incomplete":
            inner = '<error message="no answer on one side or both"/>'
        elif record.state in ("lost for sure", "lost", "flipped"):
            said = "\n".join(fault for cell in record.after for fault in _faults(cell))
            inner = f"<failure message={quoteattr(record.state)}>{escape(_xml(said))}</failure>"
        cases.append(f"<testcase {head}>{inner}</testcase>")
    body = "".join(cases)
    errors = sum(record.state == "incomplete" for _, record in records)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites><testsuite name="promptop prove"'
        f' tests="{len(records) + 1}" failures="{failures + failed}" errors="{errors}">{body}</testsuite>'
        "</testsuites>\n"
    )


def _xml(text: str) -> str:
    """Return a text without characters that XML cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", clean(text))


def to_promptfoo(report: ProofReport, texts: tuple[str, str]) -> str:
    """Return the results as promptfoo writes them, baseline and trimmed text of each model as prompts."""
    runs = list(report.runs)
    names = list(_SIDE_NAMES.values())
    prompts = [ResultPrompt(texts[at], names[at], run.title) for run in runs for at in range(len(SIDES))]
    rows = [
        ResultRow(
            number,
            len(SIDES) * runs.index(run) + at,
            record.case,
            next(iter(record.side(side)), None),
            f"{record.failed[side]} calls failed" if record.failed[side] else "",
        )
        for number, (run, record) in enumerate(report.records())
        for at, side in enumerate(SIDES)
        if record.side(side) or record.failed[side]
    ]
    return results_file(report.outcome.run, report.proof.made_ms, f"promptop prove: {report.verdict}", prompts, rows)


_FORMS: dict[str, Callable[[ProofReport, tuple[str, str]], str]] = {
    ".promptfoo.json": to_promptfoo,
    ".html": to_html,
    ".md": to_markdown,
    ".csv": to_csv,
    ".json": to_json,
    ".xml": to_junit,
}
