"""The benchmark page: a load on the playground's models, its percentiles as they come, its distribution, a baseline."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop.client.request import RunRequest
from promptop.experiments.bench.arrivals import load_of
from promptop.experiments.bench.baselines import Baseline, Baselines, digest
from promptop.experiments.bench.gates import parse_objective
from promptop.experiments.bench.load_generator import FIGURES, MOST_AT_ONCE, MOST_CALLS, Load, MeasuredRequest
from promptop.experiments.bench.report import NAMES, changes, remarks, table
from promptop.experiments.bench.runner import BenchOutcome, BenchRun, BenchStep
from promptop.experiments.histogram import spans
from promptop_tui.context import AppContext
from promptop_tui.playground.measure.measure_dialog import MeasureDialog, Planned, lengths_of, number, progress, whole
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.chart import Chart
from promptop_tui.widgets.form_modal import FormField
from promptop_tui.widgets.plot import Plot, Series, Unit

CALLS = 20
BINS = (8, 24)
"""Bars of a distribution, at least and at most: two for each root of the number of calls."""
WORDS = "Write 1,4,16 (at once), 2/s,5/s (Poisson), or: log 1h app:web x10 (arrivals of the log)."
_LOG = re.compile(r"log\s+(\S+)(?:\s+(.*?))??(?:\s+[x×](\d+(?:\.\d+)?))?", re.IGNORECASE)


class BenchView(VerticalScroll, can_focus=True):
    """Measures what the playground would send, and shows the percentiles and one figure's distribution."""

    HELP = """
    `load` is a closed loop of so many calls at once (`1,4,16`: three steps), an open loop of so many a second (`2/s`,
    Poisson arrivals), or the arrivals of the log (`log 1h app:web x10`: those of the last hour, ten times as fast). In
    an open loop latency counts from when a call was due. The first calls of each step are warm-ups and are dropped.

    With the results below in focus: `n` looks at the next model or step, `f` at the next figure, `s` keeps the result
    as the baseline that is named, `l` opens the claim lab. The calls run in a process of their own.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "next_phase", "Next", id="bench.next", tooltip="Look at the next model or step"),
        Binding("f", "next_figure", "Figure", id="bench.figure", tooltip="Look at the next figure's distribution"),
        Binding("l", "lab", "Claim lab", id="bench.lab", tooltip="Test what is said to change latency"),
        Binding("s", "save", "Save", id="bench.save", tooltip="Keep the result as the baseline of that name"),
    ]
    title = "benchmark"

    def __init__(self, context: AppContext, requests: Sequence[RunRequest]) -> None:
        """Take what the playground would send; calls are not tried again, as that would be more load."""
        super().__init__(id="measure-body")
        self.shared = context
        self._requests = list(requests)
        self._text = Static(id="bench-text", markup=False)
        self._chart = Chart(id="bench-chart")
        self._baselines = Baselines(now_s=context.now)
        self._names: list[str] = []
        self._named: Baseline | None = None
        self._baseline: Baseline | None = None
        self._phases: list[MeasuredRequest] = []
        self._asked = digest(self._requests) if self._requests else ""
        self._figure, self._phase = "ttft", 0
        self._whole = False
        self._least_s = 0.0

    def fields(self) -> list[FormField]:
        """Return calls, load, objectives, baseline and cap."""
        return [
            FormField("load", "load", "1,4", "1,4,16 · 2/s · log 1h app:web x10"),
            FormField("calls", "calls", str(CALLS), tr("in each step")),
            FormField("slo", "objectives", "ttft<1s", "ttft<1s, total<8s"),
            FormField("baseline", "baseline", "", "name; s saves"),
            FormField("cap", "cap $", "", tr("session and day")),
            FormField("warm", "warm-up", "", tr("as many as at once")),
        ]

    @property
    def view(self) -> Widget:
        """The results, which are this widget."""
        return self

    @property
    def _dialog(self) -> MeasureDialog[bool]:
        """The dialog around the results."""
        assert isinstance(self.screen, MeasureDialog)
        return self.screen

    def compose(self) -> ComposeResult:
        """Lay out the distribution and the percentiles."""
        yield self._chart
        yield self._text

    def priced(self) -> None:
        """Say what is measured, and which baselines there are."""
        if self._phases:
            return
        titles = ", ".join(clean_line(request.title, 40) for request in self._requests)
        least = tr("\ntakes {least_s} at least", least_s=units.seconds(self._least_s)) if self._least_s else ""
        known = tr("\nbaselines: {map}", map=", ".join(map(clean_line, self._names[:12]))) if self._names else ""
        self._text.update(
            tr(
                "{titles}: the playground's prompt and parameters{least}{known}",
                titles=titles,
                least=least,
                known=known,
            )
        )

    def plan(self, values: Mapping[str, str]) -> Planned:
        """Build the loads, find the baseline, and price the calls."""
        self._names = self._baselines.names()
        name = values["baseline"]
        self._named = self._baselines.load(name) if name in self._names else None
        calls = whole(values["calls"], "calls", 1, MOST_CALLS)
        warm = whole(values["warm"], "warm-up", 0, MOST_CALLS) if values["warm"] else None
        loads = self._loads(values["load"], calls, warm)
        objectives = [parse_objective(part) for part in values["slo"].split(",") if part.strip()]
        cap = number(values["cap"], "cap", 0, 1e6) if values["cap"] else None
        self._least_s = len(self._requests) * sum(load.arrivals()[-1] for load in loads if load.is_open)
        bench = BenchRun(self._requests, loads, objectives)
        most = bench.estimate(lengths_of(self.shared))
        if cap is not None and (most.usd or 0.0) > cap:
            raise UsageError(
                f"{most.calls:,} calls may cost {units.usd(most.usd)}; the cap is {units.usd(cap)}.",
                "Lower max_tokens or calls, or raise the cap.",
            )
        return Planned(bench, most, cap)

    def _loads(self, text: str, calls: int, warm: int | None) -> list[Load]:
        if found := _LOG.fullmatch(text):
            from promptop.base.times import moment_ms

            now_ms = int(self.shared.now() * 1000)
            since, where, speed = found[1], found[2] or "", float(found[3] or 1)
            load = load_of(
                self.shared.log_path,
                moment_ms(since, now_ms),
                now_ms,
                calls,
                name=f"arrivals of {since}",
                where=where,
                speed=speed,
            )
            return [load]
        loads = []
        for part in text.replace(" ", "").split(","):
            try:
                if part.endswith("/s"):
                    rate = number(part[:-2], "load", 1e-6, 10_000)
                    loads.append(Load(calls, rate=rate, warm_ups=2 if warm is None else warm))
                else:
                    at_once = whole(part, "load", 1, MOST_AT_ONCE)
                    loads.append(Load(calls, at_once, warm_ups=at_once if warm is None else warm))
            except UsageError as error:
                raise UsageError(error.cause, WORDS) from None
        return loads

    def began(self, values: Mapping[str, str]) -> None:
        """Take the baseline that is named, and forget the last run."""
        self._objectives = values["slo"]
        self._phases, self._phase, self._whole = [], 0, False
        self._baseline = self._named
        self.add_class("-measured")
        self._text.update("")

    def advanced(self, step: BenchStep) -> str:
        """Show the percentiles so far, and say how far it is."""
        live = MeasuredRequest(step.phase, "", calls=len(step.latest))
        live.values = {
            name: sorted(value for each in step.latest if (value := each.get(name)) is not None) for name in FIGURES
        }
        self._draw(live, None)
        lines = [
            tr("{phase} · so far, the last {n} calls", phase=clean_line(step.phase), n=len(step.latest)),
            *table(live, self._width),
        ]
        for phase in step.over:
            p50, p95 = (units.seconds(phase["ttft"][name]) for name in ("p50", "p95"))
            rate = units.rate(phase["throughput"])
            lines.append(
                tr(
                    "✓ {clean_line}, {phase}: TTFT p50 {p50}, p95 {p95}, {rate}/s",
                    clean_line=clean_line(phase["title"], 30),
                    phase=phase["load"],
                    p50=p50,
                    p95=p95,
                    rate=rate,
                )
            )
        if step.error:
            lines.append(f"✗ {clean_line(step.error, 200)}")
        self._text.update("\n".join(lines))
        return progress(
            step.ended, step.size, step.spent_usd, step.failed, tr("{in_flight} under way", in_flight=step.in_flight)
        )

    def ended(self, outcome: BenchOutcome) -> str:
        """Show the first phase, and say how to see the others."""
        self._phases = outcome.phases
        self._whole = not outcome.stopped and not outcome.is_capped
        self._show(outcome.errors)
        if outcome.is_capped:
            return tr("the cap ended it; what came is shown")
        if outcome.stopped:
            return tr("stopped; what came is shown")
        return tr("done · {key_name} saves it as the baseline that is named", key_name=key_name(self, "bench.save"))

    def _show(self, errors: Sequence[str] = ()) -> None:
        """Show the phase that is looked at."""
        text = self._text
        if not self._phases:
            text.update(clean("\n".join(f"✗ {error}" for error in errors[:3])) or tr("nothing came"))
            return
        phase = self._phases[self._phase % len(self._phases)]
        before = self._baseline.find(phase.key) if self._baseline is not None else None
        self._draw(phase, before)
        place = f" ({self._phase % len(self._phases) + 1} of {len(self._phases)}, n)" if len(self._phases) > 1 else ""
        objectives = ", ".join(part.strip() for part in self._objectives.split(",") if part.strip())
        parts: list[Content | str | tuple[str, str]] = [(f"{clean_line(phase.key)}{place}", "bold"), "\n"]
        parts += [f"{line}\n" for line in [*table(phase, self._width), *remarks(phase, objectives)]]
        if self._baseline is not None:
            name = clean_line(self._baseline.name)
            if before is None:
                parts.append(tr("\nThe baseline {name} has no {key}.\n", name=name, key=clean_line(phase.key)))
            else:
                other = "" if self._baseline.asked == self._asked else tr(" (another prompt or other parameters)")
                parts += ["\n", *(f"{line}\n" for line in changes(phase, before, f"{name}{other}"))]
        parts += [f"\n✗ {clean(error)}" for error in errors[:3]]
        text.update(Content.assemble(*parts))

    @property
    def _width(self) -> int:
        """Cells that a line of the page has."""
        return self.content_size.width

    def _draw(self, phase: MeasuredRequest, before: MeasuredRequest | None) -> None:
        """Draw how the chosen figure is distributed, beside the baseline's where there is one."""
        name = self._figure
        groups = [phase.values.get(name, []), before.values.get(name, []) if before is not None else []]
        found = spans(groups, min(BINS[1], max(BINS[0], round(2 * len(groups[0]) ** 0.5))))
        unit: Unit = "rate" if name == "tps" else "seconds"
        called = NAMES[name]
        if found is None:
            self._chart.plot = Plot(called, empty=tr("no distribution yet"))
            return
        shown = Plot("", unit=unit).format
        titles = ["now", self._baseline.name if self._baseline is not None else ""]
        series = tuple(
            Series(clean_line(title, 20), tuple(count / len(group) for count in found.counts(group)), role)
            for title, group, role in zip(titles, groups, ("series-1", "series-2"), strict=True)
            if group
        )
        n = len(groups[0])
        note = f"p50 {shown(phase.statistic('p50', name))} · p95 {shown(phase.statistic('p95', name))} · n={n}"
        tail = tr(" · the last bar holds the tail") if found.tail else ""
        self._chart.plot = Plot(
            called,
            series=series,
            unit="share",
            names=tuple(shown(edge).replace(" ", "") for edge in found.edges()),
            note=note + tail,
        )

    def action_next_phase(self) -> None:
        """Look at the next model or step."""
        self._phase += 1
        if self._phases and not self._dialog.running:
            self._show()

    def action_next_figure(self) -> None:
        """Look at the next figure's distribution."""
        names = [name for name in NAMES if name != "ttfo"]
        self._figure = names[(names.index(self._figure) + 1) % len(names)]
        if self._phases and not self._dialog.running:
            self._show()

    def action_lab(self) -> None:
        """Open the claim lab over this page, for the first of its models."""
        from promptop_tui.playground.measure.claims_dialog import claims_dialog

        if not self._dialog.running:
            self.app.push_screen(claims_dialog(self.shared, self._requests[0]))

    def action_save(self) -> None:
        """Keep the result under the name in the field."""
        name = self._dialog.values()["baseline"]
        if self._dialog.running or not self._phases:
            self.notify(tr("There is nothing to keep yet."), severity="warning")
        elif not self._whole:
            self.notify(tr("The benchmark was stopped: only a whole one can be a baseline."), severity="warning")
        elif not name:
            self.notify(tr("Type a name into the field baseline."), severity="warning")
            self._dialog.query_one("#field-baseline").focus()
        else:
            self._save(name, self._phases)

    @work(thread=True, group="baseline", description="keep a baseline")
    def _save(self, name: str, phases: Sequence[MeasuredRequest]) -> None:
        try:
            self._baselines.save(name, self._asked, phases)
            self._names, self._named = self._baselines.names(), self._baselines.load(name)
        except PromptopError as error:
            told = partial(self.notify, clean(str(error)), title=tr("Not saved"), severity="error", markup=False)
        else:
            told = partial(self.notify, tr("Saved as baseline {name}.", name=clean_line(name)), markup=False)
        self.app.call_from_thread(told)

    def result(self) -> bool:
        """Return whether anything was measured."""
        return bool(self._phases)


def bench_dialog(context: AppContext, requests: Sequence[RunRequest]) -> MeasureDialog[bool]:
    """Return the dialog that measures these requests under load."""
    return MeasureDialog(context, BenchView(context, requests))
