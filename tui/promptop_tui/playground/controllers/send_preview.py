"""Keeps in view what would be sent: roles, parts, tools, parameters, what has no value yet and what is left out."""

from __future__ import annotations

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.client.request import RunRequest
from promptop_tui.playground.controllers.cost.estimate import Plan
from promptop_tui.playground.controllers.request_builder import RequestBuilder, RunPlan
from promptop_tui.playground.controllers.run_controller import calls_of
from promptop_tui.playground.views.parameters import ParameterColumn
from promptop_tui.playground.views.prompt_panel import PromptPanel
from promptop_tui.playground.views.request_preview import preview, summary
from promptop_tui.playground.views.results import Results

UNFILLED = "has no value and will be sent as written"


class SendPreview:
    """Shows a plan where the prompt is typed, in the parameters, and in full where answers will stand."""

    def __init__(self, builder: RequestBuilder, column: ParameterColumn, prompt: PromptPanel, results: Results) -> None:
        """Take what builds the requests, and the views that show them."""
        self._builder, self._column, self._prompt, self._results = builder, column, prompt, results
        self._told: tuple[str, ...] = ()

    def update(self) -> Plan | None:
        """Show what would be sent now, and return it to be priced; None if nothing can be sent, which is said."""
        unfilled = self._builder.unfilled()
        self._column.show_rounds(self._builder.rounds())
        self._column.show_variables(self._builder.variables())
        self._column.show_unfilled(unfilled)
        try:
            plan = self._builder.plan()
            repeats = self._column.repeats()
        except PromptopError as error:
            self._prompt.show_sent(tr("nothing to send yet"))
            self._results.show_problem(error, is_blank=not self._prompt.text.strip())
            return None
        first = plan.requests[0]
        left_out = [*left_out_of(plan, system=self._column.system()), *self._builder.notes()]
        said = [f"{{{{{name}}}}} {UNFILLED}" for name in unfilled] + left_out
        others = [request.title for request in plan.requests[1:]]
        roles, *more = summary(first, unfilled, left_out)
        self._prompt.show_sent(tr("sends {roles}", roles=roles), *more)
        self._results.show_preview(preview(first, said, others))
        whole = plan.whole(0) if plan.context is not None else ()
        return Plan(plan.requests, calls_of(repeats), plan.context, whole)

    def news_of_unfilled(self) -> str:
        """Return which variables are sent as written and how they get values; empty if that was said before."""
        names = self._builder.unfilled()
        told, self._told = self._told, names
        if not names or names == told:
            return ""
        said = ", ".join(f"{{{{{name}}}}}" for name in names)
        return tr(
            "Sent as written: {said}.\n"
            "{{playground.variables}} gives them values, as does sample: {{{names}: …}} in front matter.",
            said=clean_line(said, 120),
            names=names[0],
        )


def left_out_of(plan: RunPlan, *, system: bool) -> list[str]:
    """Return in words what of a plan will not be sent, or otherwise than it was typed."""
    said = []
    if not system and any(each.get("role") in {"system", "developer"} for each in plan.whole(0)):
        said.append(tr("the system message will not be sent: system is off"))
    if plan.context is not None:
        gone = plan.context.rounds - plan.context.kept
        said.append(
            tr("{gone} of {rounds} earlier rounds will not be sent whole", gone=gone, rounds=plan.context.rounds)
        )
    changes: dict[str, list[str]] = {}
    for request in plan.requests:
        for change in changes_of(request):
            changes.setdefault(change, []).append(request.title)
    for change, titles in changes.items():
        whose = "" if len(titles) == len(plan.requests) else f"{', '.join(titles)}: "
        said.append(f"{whose}{change}")
    return said


def changes_of(request: RunRequest) -> list[str]:
    """Return in words how the body of a request will differ from what was asked for, as far as that is known before."""
    from promptop.client.http.endpoints import RefusedFields
    from promptop.client.request_body import body_of, find_model

    return body_of(request, find_model(request), RefusedFields())[1]
