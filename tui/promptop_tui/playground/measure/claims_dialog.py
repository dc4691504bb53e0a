"""The claim lab as a page: what is said to make answers faster, tested on the playground's prompt and first model."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop.client.request import RunRequest
from promptop.experiments.grid.caller import MeasurementStep
from promptop.experiments.interleaved import MOST_REPEATS
from promptop.experiments.latency_claims import CLAIMS, NAMES, REPEATS, ClaimFinding, ClaimOutcome, ClaimsRun
from promptop_tui.context import AppContext
from promptop_tui.playground.measure.measure_dialog import MeasureDialog, Planned, lengths_of, number, progress, whole
from promptop_tui.widgets.form_modal import FormField

_STYLES = {"changes": "$text-success bold", "not testable": "$text-muted bold", "too few": "$text-warning bold"}


class ClaimsView(VerticalScroll, can_focus=True):
    """Tests claims, and says what they came to."""

    HELP = """
    Each claim is asked both ways in turns, after a warm-up that is dropped: temperature 0 and 1, the limit of output
    tokens and a quarter of it, with and without a stop sequence, streamed and in one piece, the prompt and the prompt
    with 2,000 tokens before it (each call begins with a line of its own, so that no prefix cache helps), HTTP/1.1 and
    HTTP/2, a connection that is kept and one for each call. Calls are made one after the other.

    "In so many % of pairs" is the effect size: 50 % is none. Intervals are wider the more claims are judged at once.
    """
    title = "claim lab: what changes latency here?"

    def __init__(self, context: AppContext, request: RunRequest) -> None:
        """Take the request that is varied."""
        super().__init__(id="measure-body")
        self.shared = context
        self._request = request
        self._done = False

    def fields(self) -> list[FormField]:
        """Return claims, rounds and cap."""
        return [
            FormField("claims", "claims", "all", ", ".join(NAMES)),
            FormField("rounds", "rounds", str(REPEATS), tr("5 at least")),
            FormField("cap", "cap $", "", tr("session and day")),
        ]

    @property
    def view(self) -> Widget:
        """The findings, which are this widget."""
        return self

    def compose(self) -> ComposeResult:
        """Lay out the findings."""
        title = tr("{title}, with the playground's prompt and parameters", title=clean_line(self._request.title, 60))
        lines = [title, "", *(f"{claim.name:12} {claim.question}" for claim in CLAIMS)]
        yield Static("\n".join(lines), id="claims-text", markup=False)

    def plan(self, values: Mapping[str, str]) -> Planned:
        """Build the arms, and price them."""
        typed = values["claims"].replace(",", " ").split()
        names = [] if typed in ([], ["all"]) else typed
        repeats = whole(values["rounds"], "rounds", 1, MOST_REPEATS)
        cap = number(values["cap"], "cap", 0, 1e6) if values["cap"] else None
        claims = ClaimsRun(self._request, names, repeats)
        most = claims.trial.estimate(lengths_of(self.shared))
        if cap is not None and (most.usd or 0.0) > cap:
            raise UsageError(
                f"{most.calls} calls may cost {units.usd(most.usd)}; the cap is {units.usd(cap)}.",
                "Test fewer claims, lower max_tokens or rounds, or raise the cap.",
            )
        return Planned(claims, most, cap)

    def priced(self) -> None:
        """Add nothing to the price."""

    def began(self, values: Mapping[str, str]) -> None:
        """Keep what stands there until there are findings."""

    def advanced(self, step: MeasurementStep) -> str:
        """Say how far it is."""
        return progress(step.ended, step.size, step.spent_usd, step.failed, clean_line(step.last, 40))

    def ended(self, outcome: ClaimOutcome) -> str:
        """Show the findings."""
        self._done = True
        self.query_one("#claims-text", Static).update(rendered(outcome))
        if outcome.is_capped:
            return tr("the cap ended it; what came is judged")
        return tr("stopped; what came is judged") if outcome.stopped else "done"

    def result(self) -> bool:
        """Return whether anything was tested."""
        return self._done


def claims_dialog(context: AppContext, request: RunRequest) -> MeasureDialog[bool]:
    """Return the dialog that tests claims on this request."""
    return MeasureDialog(context, ClaimsView(context, request))


def rendered(outcome: ClaimOutcome) -> Content:
    """Return findings as they are read: verdict first, then what it rests on."""
    parts: list[Content | str | tuple[str, str]] = []
    for finding in outcome.findings:
        parts += _finding(finding)
    parts.append((outcome.footnote(), "$text-muted"))
    parts += [f"\n✗ {clean(error)}" for error in outcome.errors[:3]]
    return Content.assemble(*parts)


def _finding(finding: ClaimFinding) -> list[Content | str | tuple[str, str]]:
    head, *others = finding.sentences()
    return [
        (head, _STYLES.get(finding.verdict, "bold")),
        "\n",
        *(f"{clean_line(line, 300)}\n" for line in others),
        "\n",
    ]
