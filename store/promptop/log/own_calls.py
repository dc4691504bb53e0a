"""The calls that promptop makes to measure, prove or fill tables: they say nothing of how a service does.

They stand in the log like any others, with their cost. Objectives, percentiles, alerts and duplicates leave them out
unless they are asked for. A single call of ``promptop run`` or of the playground is somebody's use and counts.
"""

from __future__ import annotations

import re

OWN_APPS = tuple(
    f"promptop {name}"
    for name in ("bench", "claims", "compare", "grid", "prove", "ablate", "guide", "batch", "trim", "rewrite", "probe")
)
"""Values of ``app`` that mark such calls."""
IS_OWN = f"coalesce(app, '') IN ({', '.join(repr(name) for name in OWN_APPS)})"
"""The SQL that tells them."""
_NAMES_AN_APP = re.compile(r"(?:^|\s)app(?::|=)")


def are_asked_for(filter_text: str) -> bool:
    """Whether a filter names an app itself: then it alone says whose calls count."""
    return _NAMES_AN_APP.search(filter_text) is not None
