"""The proxy's parser lets nothing through that another strict one refuses, or reads differently."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.mark.parametrize("seed", range(4))
async def test_no_mutated_request_is_let_through_by_the_proxy_alone(seed: int, parser_fuzz: ModuleType) -> None:
    """A bounded part of what ``parser_fuzz.py`` compares when it is run as a program (a million: none)."""
    assert await parser_fuzz.compare(1500, seed) == []
