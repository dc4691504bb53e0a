"""No test of this folder inherits what another learned of an endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from promptop.capture import include_usage


@pytest.fixture(autouse=True)
def no_refusals() -> Iterator[None]:
    """Forget which endpoints refused ``stream_options``: the process remembers it for its life."""
    include_usage._refused.clear()
    yield
    include_usage._refused.clear()
