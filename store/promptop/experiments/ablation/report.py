"""What an ablation came to, unit by unit: effect with interval, tokens, dollars, class; and the trim that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from promptop.base import units as figures
from promptop.experiments.ablation.run import AblationOutcome, TrimProof
from promptop.experiments.ablation.search import ALPHA, CARRIES, FREE, UNSEEN, UnitFinding
from promptop.experiments.ablation.units import Unit
from promptop.experiments.proof import rule

ENDED = {
    "calls": "the cap of calls ended the search",
    "cap": "the cap ended the search",
    "stopped": "the search was stopped",
    "refused": "the endpoint refused: no further call can be answered",
    "failing": "calls failed again and again",
    "idle": "no check fails a broken answer, so no answer tells anything",
}


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One unit with its figures."""

    unit: Unit
    text: str
    finding: UnitFinding
    tokens: int
    usd: float | None
    """Input dollars of the unit in one call; None where the model has no price."""

    def to_json(self, cases: tuple[str, ...]) -> dict[str, Any]:
        """Return the row of ``ablate --json``."""
        interval = self.finding.interval
        return {
            "unit": self.unit.number,
            "kind": self.unit.kind,
            "start": self.unit.start,
            "end": self.unit.end,
            "text": self.text,
            "tokens": self.tokens,
            "usd": self.usd,
            "state": self.finding.state,
            "certainty": self.finding.certainty,
            "weight": self.finding.effect,
            "interval": list(interval) if interval is not None else None,
            "n": len(self.finding.scores),
            "witnesses": [cases[each] for each in dict.fromkeys(self.finding.witnesses)],
            "twin": self.finding.twin,
            "pinned": self.unit.pinned or None,
            "caution": self.unit.caution,
        }


@dataclass(frozen=True, slots=True)
class AblationReport:
    """What can be said after an ablation."""

    rows: tuple[UnitRow, ...]
    outcome: AblationOutcome
    proof: TrimProof | None
    tokens_before: int
    tokens_after: int

    @property
    def expensive_free(self) -> list[UnitRow]:
        """Units without a measurable effect, the dearest first."""
        return sorted((row for row in self.rows if row.finding.state == FREE), key=lambda row: -row.tokens)

    @property
    def cheap_carrying(self) -> list[UnitRow]:
        """Load-bearing units that cost no more than the usual one, the cheapest first."""
        usual = median(row.tokens for row in self.rows) if self.rows else 0
        rows = [row for row in self.rows if row.finding.state == CARRIES and row.tokens <= usual]
        return sorted(rows, key=lambda row: row.tokens)

    @property
    def verdict(self) -> str:
        """``proven`` and the other words of a proof; ``tried`` for a trim without one, ``none`` without a trim."""
        if self.proof is not None:
            return self.proof.verdict
        return "tried" if self.outcome.found.removed else "none"

    def lines(self) -> list[str]:
        """Return what was found, in sentences."""
        found, plan = self.outcome.found, self.outcome.plan
        counts = {state: sum(row.finding.state == state for row in self.rows) for state in (CARRIES, FREE)}
        open_ = len(self.rows) - sum(counts.values())
        said = [
            f"{len(self.rows)} units: {counts[CARRIES]} load-bearing, {counts[FREE]} without a measurable effect,"
            f" {open_} undecided or pinned ({found.asked} answers, {len(found.sound)} cases)"
        ]
        if found.ended:
            said.append(f"Not finished: {ENDED.get(found.ended, found.ended)}.")
        if found.failing:
            said.append(f"{len(found.failing)} of {len(plan.cases)} cases fail with the whole prompt and tell nothing.")
        if found.checked and found.bound is not None:
            said.append(
                f"Without the {len(found.removed)} units at most {figures.share(found.bound)} fewer answers pass on"
                f" cases like these (95 % sure)"
                + ("" if found.bound <= UNSEEN else "; too few cases to call a unit free")
            )
        if found.removed:
            said.append(f"The trim leaves out {self.tokens_before - self.tokens_after} of {self.tokens_before} tokens.")
        for one, two in found.twins:
            said.append(f"Units {one} and {two} say the same: each alone can go, both cannot.")
        if self.proof is not None:
            said.append(f"On {len(plan.held)} cases that were not used: {self.proof.verdict}: {self.proof.why}")
        elif found.removed:
            why = "no case was set aside" if not plan.held else "the search did not end"
            said.append(f"The trim is tried, not proven: {why}.")
        return said

    def to_json(self) -> dict[str, Any]:
        """Return the shape of ``ablate --json``."""
        outcome, found = self.outcome, self.outcome.found
        cases = tuple(planned.case.id for planned in outcome.plan.cases)
        return {
            "verdict": self.verdict,
            "units": [row.to_json(cases) for row in self.rows],
            "load_bearing": [row.unit.number for row in self.rows if row.finding.state == CARRIES],
            "no_measurable_effect": [row.unit.number for row in self.rows if row.finding.state == FREE],
            "redundant": [list(pair) for pair in found.twins],
            "expensive_without_effect": [row.unit.number for row in self.expensive_free],
            "cheap_and_load_bearing": [row.unit.number for row in self.cheap_carrying],
            "removed": sorted(found.removed),
            "bound": found.bound,
            "confidence": 1 - ALPHA,
            "search_cases": list(cases),
            "held_cases": [planned.case.id for planned in outcome.plan.held],
            "failing_cases": [cases[each] for each in found.failing],
            "wavers": found.wavers,
            "tokens": {"before": self.tokens_before, "after": self.tokens_after},
            "trimmed": outcome.trimmed,
            "calls": outcome.calls,
            "answers": found.asked,
            "kept": outcome.kept,
            "usd": outcome.spent_usd,
            "ended": found.ended or None,
            "idle_checks": list(outcome.idle),
            "run": outcome.run,
            "proof": dict(self.proof.shape) if self.proof is not None else None,
            "lines": self.lines(),
            "errors": list(outcome.errors),
        }


def report_on(outcome: AblationOutcome, model: str) -> AblationReport:
    """Put figures to what was found; ``model`` counts the tokens and gives the price."""
    from promptop import models
    from promptop.tokens import count

    text = outcome.plan.text
    rows = []
    for unit in outcome.plan.units:
        piece = text[unit.start : unit.end]
        tokens = count(piece, model).tokens
        usd = models.price(model, input_tokens=tokens, output_tokens=0).usd
        rows.append(UnitRow(unit, piece, outcome.found.units[unit.number], tokens, usd))
    before, after = (count(each, model).tokens for each in (text, outcome.trimmed))
    return AblationReport(tuple(rows), outcome, outcome.proof, before, after)


def could_show(held: int, margin: float) -> str:
    """Say what so many held-out cases can prove at best."""
    if not held:
        return "No case is set aside: the trim will be tried, not proven."
    seen = figures.share(rule.could_see(held))
    needed = rule.cases_needed(margin)
    more = f"; {needed} are needed for {figures.share(margin)}" if needed > held else ""
    return f"{held} cases are set aside for the proof and can show a drop of {seen} at best{more}."


def states_of(report: AblationReport) -> Mapping[int, str]:
    """Return the state of each unit by its number."""
    return {row.unit.number: row.finding.state for row in report.rows}
