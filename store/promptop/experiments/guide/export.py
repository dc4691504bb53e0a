"""The sheet as the table that goes into a report: a line for each change, before and after, and what can be told."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from promptop.base import units
from promptop.base.texts import mark, sentence, tr
from promptop.experiments.guide.sheet import Effect, Figure, Sheet, Taken
from promptop.experiments.guide.steps import STEPS, step_of

HEAD = (
    mark("step"),
    mark("change"),
    mark("TTFT"),
    mark("total"),
    mark("input"),
    mark("output"),
    mark("cost"),
    mark("effect"),
)
SHOWN = ("ttft_s", "total_s", "input_tokens", "output_tokens", "cost_usd")
_SHOW: Mapping[str, Any] = {
    "ttft_s": units.seconds,
    "total_s": units.seconds,
    "wall_s": units.seconds,
    "seen_s": units.seconds,
    "input_tokens": units.count,
    "output_tokens": units.count,
    "cost_usd": units.usd,
}
NO_EFFECT = mark("no measurable effect")
_VERDICTS = {"better": mark("better"), "worse": mark("worse"), "same": NO_EFFECT, "few": mark("too few calls to tell")}


def said(text: str) -> str:
    """Return a label or a note of the sheet, which is kept in English, in the user's language."""
    known = tr(text)
    return known if known != text else sentence(text)


def head() -> tuple[str, ...]:
    """Return the titles of the table in the user's language."""
    return tuple(map(tr, HEAD))


def rows_of(sheet: Sheet) -> list[tuple[str, ...]]:
    """Return the lines of the table, :data:`HEAD`'s columns; steps that were not taken have a line of their own."""
    rows: list[tuple[str, ...]] = []
    for step in STEPS:
        taken = sheet.of(step.name)
        if taken is None:
            rows.append((tr(step.title), tr("not taken yet"), *("",) * len(SHOWN), ""))
        elif not taken.effects:
            note = said(taken.note) if taken.note else tr("nothing to change")
            rows.append((tr(step.title), note, *("",) * len(SHOWN), ""))
        for effect in taken.effects if taken is not None else ():
            cells = tuple(figure_text(effect.figure(key)) for key in SHOWN)
            rows.append((tr(step.title), said(effect.label), *cells, verdict_of(effect)))
    return rows


def figure_text(figure: Figure | None) -> str:
    """Return a figure as ``before → after``, or alone where nothing was changed."""
    if figure is None:
        return ""
    show = _SHOW[figure.key]
    if figure.after is None:
        return str(show(figure.before))
    if figure.before == figure.after:
        return f"{show(figure.before)} ="
    return f"{show(figure.before)} → {show(figure.after)}"


def verdict_of(effect: Effect, say: Callable[[str], str] = tr) -> str:
    """Say what a change did, by figure; what cannot be told from chance is no effect. ``say`` translates."""
    changes = []
    for figure in effect.figures:
        if figure.verdict in ("better", "worse") and figure.before is not None and figure.after is not None:
            sign = "−" if figure.after < figure.before else "+"
            share = abs(figure.after - figure.before) / figure.before if figure.before else None
            size = units.share(share) if share is not None else _SHOW[figure.key](abs(figure.after - figure.before))
            changes.append(f"{say(figure.name)} {sign}{size}")
    if effect.errors:
        changes.append(f"{say('failed')} {effect.errors}")
    if changes:
        return ", ".join(changes)
    judged = [figure for figure in effect.figures if figure.verdict]
    if not judged:
        return ""
    return say(_VERDICTS["few"] if all(each.verdict == "few" for each in judged) else NO_EFFECT)


def intervals_of(effect: Effect) -> list[str]:
    """Return a line for each figure with its interval: what the table rests on."""
    lines = []
    for figure in effect.figures:
        show = _SHOW[figure.key]
        if figure.interval is None:
            continue
        low, high = figure.interval
        if figure.after is None:
            span = f"[{show(low)} … {show(high)}, n={effect.n[0]}]"
            lines.append(f"{tr(figure.name)}: {tr('median')} {show(figure.before)} {span}")
            continue
        ends = f"[{_signed(show, low)} … {_signed(show, high)}, n={effect.n[0]}+{effect.n[1]}]"
        what = tr(_VERDICTS.get(figure.verdict, figure.verdict))
        lines.append(f"{tr(figure.name)}: {show(figure.before)} → {show(figure.after)} {ends} {what}".rstrip())
    return lines


def _signed(show: Any, value: float) -> str:
    return f"{'−' if value < 0 else '+'}{show(abs(value))}"


def whole(sheet: Sheet) -> Effect | None:
    """Return the first measured figures against the last ones that the adopted steps led to; None without both.

    The cache is left out: it answers a repeat, and says nothing of a call.
    """
    first = sheet.of("baseline")
    adopted = [taken for taken in sheet.taken if taken.adopted and taken.effects and taken.step != "cache"]
    if first is None or not first.effects or not adopted:
        return None
    last = max(adopted, key=lambda taken: taken.at_ms).effects[-1]
    figures = []
    for key in SHOWN:
        before, after = first.effects[0].figure(key), last.figure(key)
        if before is not None and after is not None:
            figures.append(Figure(key, before.name, before.before, after.after))
    return Effect(mark("from the baseline to now"), tuple(figures), (first.effects[0].n[0], last.n[1]))


def intervals(sheet: Sheet) -> list[str]:
    """Return the 95 % intervals of every step: ``Shorten, rules: input: 60 → 48 […] better``."""
    return [
        f"{tr(step_of(taken.step).title)}, {said(effect.label)}: {line}"
        for taken in sheet.taken
        for effect in taken.effects
        for line in intervals_of(effect)
    ]


def lines_of(sheet: Sheet) -> tuple[list[tuple[str, ...]], list[str]]:
    """Return the table's rows with the line of the whole way, and the notes under it."""
    rows = rows_of(sheet)
    if (way := whole(sheet)) is not None:
        cells = tuple(figure_text(way.figure(key)) for key in SHOWN)
        rows.append((tr("All adopted"), said(way.label), *cells, ""))
    notes = [f"{tr(step_of(each.step).title)}: {said(each.note)}" for each in sheet.taken if each.note and each.effects]
    if any(each.adopted and each.step in ("shorten", "context") for each in sheet.taken):
        notes.append(tr("Whether the answers held is not shown here: promptop prove OLD NEW --cases CASES tells."))
    return rows, notes


def markdown_text(sheet: Sheet) -> str:
    """Return the sheet as Markdown."""
    rows, notes = lines_of(sheet)
    lines = [f"**{_cell(sheet.name)}**, {_cell(sheet.current.model)}", "", _line(head())]
    lines.append("| --- | --- |" + " ---: |" * len(SHOWN) + " --- |")
    lines += [*map(_line, rows), *(f"\n{note}" for note in notes)]
    if told := intervals(sheet):
        lines += ["", tr("95 % intervals:"), "", *(f"- {_cell(line)}" for line in told)]
    return "\n".join(lines)


def csv_text(sheet: Sheet) -> str:
    """Return a line for each figure of each change, unrounded; seconds, tokens, USD."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("step", "change", "figure", "before", "after", "low", "high", "verdict", "n_before", "n_after"))
    for taken in sheet.taken:
        for effect in taken.effects:
            for each in effect.figures:
                low, high = each.interval or ("", "")
                # A leading = + - @ would be a formula in a spreadsheet.
                label = "'" + effect.label if effect.label[:1] in ("=", "+", "-", "@") else effect.label
                values = (each.before, each.after if each.after is not None else "", low, high)
                writer.writerow((taken.step, label, each.key, *values, each.verdict, *effect.n))
    return out.getvalue().rstrip("\n")


def as_json(sheet: Sheet) -> dict[str, Any]:
    """Return the sheet under the names of ``promptop guide --json``; texts of the prompt are left out."""
    variants = {"original": asdict(sheet.original), "current": asdict(sheet.current)}
    for variant in variants.values():
        variant.pop("text")
    steps = [
        {"step": step.name, "title": step.title, **(_step_json(taken) if (taken := sheet.of(step.name)) else {})}
        for step in STEPS
    ]
    return {"prompt": sheet.name, **variants, "next": sheet.next_step or None, "steps": steps}


def _step_json(taken: Taken) -> dict[str, Any]:
    table = asdict(taken)
    table.pop("step")
    for effect, told in zip(taken.effects, table["effects"], strict=True):
        told["verdict"] = verdict_of(effect, str)
    return table


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
