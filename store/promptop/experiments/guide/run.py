"""One step of the sheet, measured: the ways of asking before and after, in turns, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptop.base import units
from promptop.base.texts import mark
from promptop.budget.estimate import CostEstimate, Lengths, estimate, times
from promptop.client.result import CallProgress, RunResult
from promptop.experiments.grid.caller import MeasurementStep as Progressed
from promptop.experiments.guide.sheet import Effect, Figure, Sheet, Taken, now_ms
from promptop.experiments.guide.steps import Options, Plan, Step, Variant
from promptop.experiments.interleaved import Arm, Trial, TrialOutcome
from promptop.experiments.stats import INPUT, METRICS, Difference, difference, summarise, values_of
from promptop.log import LogReader
from promptop.settings import Settings

APP = "promptop guide"
FIGURES = (*(each for each in METRICS if each.key in ("ttft_s", "total_s")), INPUT, *METRICS[3:])
"""What the sheet keeps of each change: TTFT, total, input and output tokens, cost."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the calls of a step came to."""

    effects: tuple[Effect, ...]
    spent_usd: float
    stopped: bool
    capped: bool
    errors: tuple[str, ...] = ()
    unpriced: int = 0
    """Calls whose price is not known."""


class StepRun:
    """The calls of one step. It can be pickled until it works, and then belongs to one event loop."""

    def __init__(
        self, step: Step, plan: Plan, now: Variant, settings: Settings, options: Options, values: dict[str, str]
    ) -> None:
        """Build the requests; ``values`` fill the prompt's variables. Raises what building them raises."""
        self._name = step.name
        self._plan = plan
        self._repeats = max(1, options.repeats)
        # A hit says nothing of the endpoint: the cache is asked in its own step alone.
        now = replace(now, cache=False)
        arms = [Arm("before", now.request(settings, values))]
        # Each change is held against the one before it, so that two in one step are told apart.
        for change in plan.changes:
            after = replace(change.after, cache=step.name == "cache")
            arms.append(Arm(change.label, after.request(settings, values)))
        if step.name == "baseline":
            arms = arms[:1]
        self._labels = [change.label for change in plan.changes]
        self._cached = any(arm.request.cache for arm in arms)
        self._cache = settings.cache
        alone = [replace(arms[0], title="one after the other")]
        self._trials = (
            [
                Trial(alone, self._repeats, app=APP, ends_refused=True),
                Trial(
                    [replace(arms[0], title="at once")],
                    self._repeats,
                    app=APP,
                    warm_ups=0,
                    concurrency=self._repeats,
                    ends_refused=True,
                ),
            ]
            if plan.together
            else []
            if not plan.changes
            else [Trial(arms, self._repeats, app=APP, ends_refused=True)]
        )
        self._at = 0

    @property
    def size(self) -> int:
        """Number of calls, warm-ups included."""
        return sum(trial.size for trial in self._trials)

    def estimate(self, lengths: Lengths | None = None) -> CostEstimate:
        """Return what the step may cost."""
        if not self._trials:
            return CostEstimate(0, 0, 0.0, ())
        first = self._trials[0]
        if len(self._trials) == 1:
            return first.estimate(lengths)
        requests = [arm.request for arm in first.arms]
        return times(estimate(requests, 1, lengths), self.size)

    def snapshot(self) -> Progressed:
        """Return how far it is."""
        if not self._trials:
            return Progressed(0, 0, 0.0, 0)
        steps = [trial.snapshot() for trial in self._trials[: self._at + 1]]
        return replace(
            steps[-1],
            size=self.size,
            ended=sum(each.ended for each in steps),
            spent_usd=sum(each.spent_usd for each in steps),
            failed=sum(each.failed for each in steps),
        )

    def stop(self) -> Sequence[CallProgress]:
        """Begin no further call and cancel those under way."""
        return [progress for trial in self._trials for progress in trial.stop()]

    async def work(self, options: Mapping[str, Any]) -> Measured:
        """Make the calls; ``options`` are those of :class:`promptop.client.http.endpoints.Endpoints`."""
        outcomes: list[TrialOutcome] = []
        if self._cached:
            options = {"cache": self._cache, **options}
        for self._at, trial in enumerate(self._trials):  # noqa: B020 - the snapshot tells how far it is
            outcomes.append(await trial.work(options))
            if outcomes[-1].stopped or outcomes[-1].is_capped:
                break
        groups = [group for outcome in outcomes for group in outcome.kept]
        errors = dict.fromkeys(str(each.error) for group in groups for each in group if each.error is not None)
        return Measured(
            self._effects(groups),
            sum(each.spent_usd for each in outcomes),
            any(each.stopped for each in outcomes),
            any(each.is_capped for each in outcomes),
            tuple(errors),
            sum(each.unpriced for each in outcomes),
        )

    def _effects(self, groups: Sequence[Sequence[RunResult]]) -> tuple[Effect, ...]:
        if not groups:
            return ()
        if self._name == "baseline":
            return (_alone(groups[0]),)
        if self._plan.together:
            return (_together(*groups),) if len(groups) == 2 else ()
        pairs = zip(self._labels, groups, groups[1:], strict=False)
        return tuple(effect_of(label, before, after) for label, before, after in pairs)


def _alone(results: Sequence[RunResult]) -> Effect:
    figures = []
    for metric in FIGURES:
        found = summarise(values_of(results, metric))
        if found is not None:
            figures.append(Figure(metric.key, metric.name, found.p50, None, found.interval))
    well = [each for each in results if each.state == "done"]
    return Effect(mark("as it is"), tuple(figures), (len(well), 0), len(results) - len(well))


def effect_of(label: str, before: Sequence[RunResult], after: Sequence[RunResult]) -> Effect:
    """Return what a change came to, each figure with whether its difference can be told from chance."""
    figures = []
    for metric in FIGURES:
        found = difference(before, after, metric, confidence=1 - 0.05 / len(FIGURES))
        if found is not None:
            figures.append(
                Figure(metric.key, metric.name, found.baseline.p50, found.other.p50, found.interval, _verdict(found))
            )
    counts = [sum(each.state == "done" for each in group) for group in (before, after)]
    return Effect(label, tuple(figures), (counts[0], counts[1]), len(before) + len(after) - sum(counts))


def _verdict(found: Difference) -> str:
    if found.interval is None:
        return "few"
    if not found.measurable:
        return "same"
    return "better" if (found.difference < 0) == found.metric.lower_is_better else "worse"


def _together(one_by_one: Sequence[RunResult], at_once: Sequence[RunResult]) -> Effect:
    """Return the time that all calls took, by the log's clock."""
    walls = [_wall(group) for group in (one_by_one, at_once)]
    faster = "" if None in walls else "better" if (walls[1] or 0.0) < 0.8 * (walls[0] or 0.0) else "same"
    wall = Figure("wall_s", mark("wall"), walls[0], walls[1], None, faster)
    each = effect_of("", one_by_one, at_once)
    return replace(each, label=mark("all at once"), figures=(wall, *each.figures))


def _wall(results: Sequence[RunResult]) -> float | None:
    spans = [
        (each.row.started_ms / 1000, each.row.started_ms / 1000 + each.total_s)
        for each in results
        if each.row is not None and each.row.started_ms is not None and each.total_s is not None
    ]
    return max(end for _, end in spans) - min(start for start, _ in spans) if spans else None


def finished(sheet: Sheet, step: Step, plan: Plan, measured: Measured, *, adopt: bool | None = None) -> Sheet:
    """Return the sheet with a step's result; ``adopt`` overrules whether the following steps begin with its change."""
    adopts = step.adopts if adopt is None else adopt
    adopts = adopts and bool(plan.changes) and not plan.together and step.name != "baseline"
    # What broke is not gone on with.
    adopts = adopts and all(effect.n[1] > 0 for effect in measured.effects) and bool(measured.effects)
    taken = Taken(step.name, now_ms(), measured.effects, plan.note, adopts, measured.spent_usd)
    return sheet.with_step(step, taken, plan.changes[-1].after if adopts else None)


def without_calls(sheet: Sheet, step: Step, plan: Plan, settings: Settings) -> Sheet:
    """Return the sheet with a step that makes no call: nothing to change, streaming, monitoring."""
    if step.name == "streaming":
        effects = _streaming(sheet)
        plan = plan if effects else Plan(note="Take the baseline first: it measures the first words.")
    elif step.name == "monitoring":
        effects, plan = (), _monitoring(sheet, settings)
    elif (before := sheet.of(step.name)) is not None and before.adopted:
        return sheet  # what it came to stays: there is nothing left since its change was adopted
    else:
        effects = ()
    return sheet.with_step(step, Taken(step.name, now_ms(), effects, plan.note), None)


def _streaming(sheet: Sheet) -> tuple[Effect, ...]:
    """Hold the first word against the whole answer, of the last calls that were measured."""
    for name in ("parameters", "context", "shorten", "baseline"):
        taken = sheet.of(name)
        for effect in reversed(taken.effects if taken is not None else ()):
            first, whole = effect.figure("ttft_s"), effect.figure("total_s")
            ttft = None if first is None else first.before if first.after is None else first.after
            total = None if whole is None else whole.before if whole.after is None else whole.after
            if ttft is not None and total is not None:
                verdict = "better" if ttft < total else "same"
                figure = Figure("seen_s", mark("first text"), total, ttft, None, verdict)
                return (Effect(mark("the first words instead of the whole answer"), (figure,), effect.n),)
    return ()


def _monitoring(sheet: Sheet, settings: Settings) -> Plan:
    """Say how the prompt's model does in the log of the last 24 hours against the targets."""
    from promptop.client.targets import parse_target

    model, targets = parse_target(sheet.current.model, settings).model, settings.monitor
    path = settings.log_path()
    if not path.exists():
        return Plan(note="There is no log yet.")
    until = now_ms() + 1
    with LogReader(path) as log:
        stats = log.window(until - 86_400_000, until, by=("model",), own=False).groups.get(model)
    if stats is None or not stats.n:
        return Plan(
            note=f"No call of {model} in 24 hours but promptop's own measurements. observe or the proxy logs a service."
        )
    p95, ttft = stats.latency.quantile(0.95), stats.ttft.quantile(0.95)
    return Plan(
        note=f"Calls of {model} in 24 h: {units.count(stats.n)},"
        f" p95 {units.seconds(p95)}{_mark(p95, targets.slo_latency_s)},"
        f" TTFT p95 {units.seconds(ttft)}{_mark(ttft, targets.slo_ttft_s)},"
        f" failed {units.share(stats.error_rate)}{_mark(stats.error_rate, targets.slo_error_rate)}"
    )


def _mark(value: float | None, target: float) -> str:
    return "" if value is None or not target else " ✓" if value <= target else " ✗"
