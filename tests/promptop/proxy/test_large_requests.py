"""A request too large to be held is read as it passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from promptop.simulator import SimulatedEndpoint


@pytest.mark.parametrize("picture", [False, True])
def test_its_row_has_a_price_with_the_input_or_none(
    picture: bool, serve: Callable[..., Any], endpoint: SimulatedEndpoint
) -> None:
    served = serve(endpoint.base_url, include_usage=False)
    content: Any = "x y " * 2_500_000
    if picture:
        content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 2_500_000}}]
    ask = {"messages": [{"role": "user", "content": content}], "model": "gpt-4o", "stream": True, "max_tokens": 9}
    with httpx2.Client(verify=False, timeout=60) as client:
        client.post(f"{served.base_url}/chat/completions", json=ask)
    (row,) = served.rows(1)
    assert (row.request_model, row.request_stream, row.request_max_tokens) == ("gpt-4o", 1, 9)
    if row.usage_source == "estimated":
        if picture:
            assert row.cost_usd is None and row.usage_input_tokens is None
        else:
            assert (row.usage_input_tokens or 0) > 1_000_000 and (row.cost_usd or 0) > 1
