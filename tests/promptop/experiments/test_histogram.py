"""Where values are counted: equal spans, a tail that flattens nothing."""

from __future__ import annotations

import pytest

from promptop.experiments.histogram import spans


def test_spans_cover_all_groups_together() -> None:
    found = spans([[1.0, 2.0, 3.0], [2.0, 5.0]], 4)
    assert found is not None
    assert found.edges() == [1.0, 2.0, 3.0, 4.0]
    assert found.counts([1.0, 2.0, 3.0]) == [1, 1, 1, 0]
    assert found.counts([2.0, 5.0]) == [0, 1, 0, 1]
    assert not found.tail


def test_one_answer_that_hung_flattens_nothing() -> None:
    values = [number / 100 for number in range(100)] * 2 + [60.0]
    found = spans([sorted(values)], 10)
    assert found is not None and found.tail
    assert found.step == pytest.approx(0.099)
    counts = found.counts(values)
    assert sum(counts) == 201
    assert max(counts) <= 24


def test_equal_values_have_no_distribution() -> None:
    assert spans([[2.0, 2.0], []], 8) is None
    assert spans([[], []], 8) is None
