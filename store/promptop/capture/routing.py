"""The routing policy applied to a request on its way: its body with another model, and what was decided.

Only requests for text are routed: a vector of another model would not compare with those that are kept. A request whose
body is signed, or too large to be held, goes out as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from promptop import providers
from promptop.capture.annotations import Annotation
from promptop.capture.include_usage import LARGEST_BODY, model_of
from promptop.providers.api import loads
from promptop.routing.policy import Decision, Policy, RequestFacts, complexity_of

ROUTED = frozenset(("chat", "text_completion"))
"""Operations that are routed, where the body names the model."""


def decide(
    policy: Policy, parsed: Any, path: str, *, app: str | None, tags: Mapping[str, object], note: Annotation | None
) -> Decision | None:
    """Return what the policy says of a parsed request; None for a request that is not routed."""
    model = model_of(parsed)
    if not model or providers.operation(path)[0] not in ROUTED:
        return None
    complexity = complexity_of(providers.read_request(parsed, path).texts) if policy.needs_complexity else None
    return policy.decide(
        RequestFacts(
            model=model,
            prompt=note.prompt_name if note is not None else None,
            app=(note.app if note is not None else None) or app,
            tags={**tags, **(note.tags if note is not None else {})},
            complexity=complexity,
        )
    )


def routed(
    policy: Policy,
    body: bytes | None,
    path: str,
    *,
    app: str | None,
    tags: Mapping[str, object],
    note: Annotation | None,
) -> tuple[Decision, bytes, Any] | None:
    """Return the decision, the body to send and its JSON; None for a request that is not routed."""
    if body is None or len(body) > LARGEST_BODY:
        return None
    parsed = loads(body)
    decision = decide(policy, parsed, path, app=app, tags=tags, note=note)
    if decision is None:
        return None
    if not decision.changes:
        return decision, body, parsed
    wanted = {**parsed, "model": decision.model}
    return decision, _with_model(body, decision, wanted), wanted


def _with_model(body: bytes, decision: Decision, wanted: Any) -> bytes:
    """Return the body with the model's name replaced and every other byte as it was, where that can be had."""
    name = re.escape(json.dumps(decision.asked, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    there = re.compile(rb'("model"\s*:\s*)' + name)
    made = json.dumps(decision.model, ensure_ascii=False).encode("utf-8", "surrogatepass")
    for found in there.finditer(body):
        changed = body[: found.start()] + found[1] + made + body[found.end() :]
        if loads(changed) == wanted:
            return changed
    return json.dumps(wanted, ensure_ascii=False).encode("utf-8", "surrogatepass")
