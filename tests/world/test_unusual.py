"""Most invented incidents are told, and ordinary days are told nothing of; ``make world`` runs them all.

``python -m tests.world.unusual`` prints what was missed and what was claimed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.world.incidents import KINDS, ORDINARY
from tests.world.unusual import tell, watch


@pytest.mark.world
@pytest.mark.timeout(3_600)
def test_most_incidents_are_told(tmp_path: Path) -> None:
    found = [told for kind in KINDS for seed in (1, 2) if (told := tell(kind, seed, tmp_path)) is not None]
    missed = [f"{each.kind}, seed {each.seed}, since {each.start}: {each.claims}" for each in found if not each.rank]
    assert len(found) >= 1.5 * len(KINDS)
    assert len(missed) <= 0.25 * len(found), missed


@pytest.mark.world
@pytest.mark.timeout(3_600)
def test_less_than_one_false_claim_a_day(tmp_path: Path) -> None:
    found = [watch(kind, seed, tmp_path) for kind in ORDINARY for seed in (0, 1)]
    claims = [f"{each.kind}, seed {each.seed}: {claim}" for each in found for claim in each.claims]
    assert len(claims) <= sum(each.days for each in found), claims


def test_an_incident_is_told(tmp_path: Path) -> None:
    """The way of the large runs, in a small one."""
    told = tell("a program is rejected", 5, tmp_path, days=0.15)
    assert told is not None
    assert told.rank
    assert told.delay is not None and told.delay <= 15
