"""The routing policy applied to requests before they are priced and sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from promptop.client.request import RunRequest, text_of
from promptop.routing.policy import Policy, RequestFacts, complexity_of


def routed(request: RunRequest, policy: Policy, app: str | None = None) -> RunRequest:
    """Return the request with the model that the policy names, and the decision."""
    complexity = None
    if policy.needs_complexity:
        complexity = complexity_of([(str(each.get("role")), text_of([each])) for each in request.messages])
    decision = policy.decide(RequestFacts(request.model, request.prompt_name, app, {}, complexity))
    label = f"{request.title} → {decision.model}" if decision.changes else request.label
    return replace(request, model=decision.model, label=label, decision=decision)


def routed_all(requests: Iterable[RunRequest], policy: Policy | None, app: str | None = None) -> list[RunRequest]:
    """Return the requests routed by the policy; without one as they are."""
    return [request if policy is None else routed(request, policy, app) for request in requests]
