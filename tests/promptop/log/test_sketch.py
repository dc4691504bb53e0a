"""Sketches: every quantile within 1 %, merging exact, whatever the parts."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptop.log import Sketch

QS = (0.0, 0.25, 0.5, 0.95, 0.99, 0.999, 1.0)
durations = st.lists(st.floats(1e-4, 1e5, allow_nan=False), min_size=1, max_size=80)


def exact(values: list[float], q: float) -> float:
    """Return the quantile by inclusive linear interpolation."""
    ordered = sorted(values)
    rank = q * (len(ordered) - 1)
    low = math.floor(rank)
    return ordered[low] + (rank - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def test_one_to_a_hundred() -> None:
    sketch = Sketch(range(1, 101))
    assert exact(list(range(1, 101)), 0.95) == pytest.approx(95.05)
    assert sketch.quantile(0.95) == pytest.approx(95.05, rel=0.01)
    assert (sketch.n, sketch.mean, sketch.max) == (100, 50.5, 100.0)


def test_nothing_is_none_and_never_zero() -> None:
    sketch = Sketch()
    assert (sketch.quantile(0.5), sketch.mean, sketch.max, list(sketch.buckets())) == (None, None, None, [])
    sketch.merge(Sketch())
    assert sketch == Sketch()


@given(durations)
def test_quantiles_are_within_one_percent(values: list[float]) -> None:
    found = Sketch(values).quantiles(QS)
    for q, value in zip(QS, found, strict=True):
        assert value == pytest.approx(exact(values, q), rel=0.01)


@given(st.lists(durations, min_size=1, max_size=5), st.randoms())
def test_parts_add_up_to_the_whole_in_any_order_and_through_the_file(
    parts: list[list[float]], order: random.Random
) -> None:
    whole = Sketch(value for part in parts for value in part)
    order.shuffle(parts)
    merged, loaded = Sketch(), Sketch()
    for part in parts:
        sketch = Sketch(part)
        merged.merge(sketch)
        loaded.merge_stored(sketch.n, sketch.sum_us, sketch.max_us, sketch.blob())
    assert merged == whole
    assert loaded.quantiles(QS) == whole.quantiles(QS)
    assert loaded == whole
    assert Sketch.stored(whole.n, whole.sum_us, whole.max_us, whole.blob()) == whole


def test_a_copy_does_not_change_with_its_original() -> None:
    original = Sketch([1.0])
    copy = original.copy()
    original.add(2.0)
    assert (copy.n, original.n) == (1, 2)
    assert copy == Sketch([1.0])


def test_clock_faults_are_counted_and_harm_nothing() -> None:
    sketch = Sketch([float("nan"), -5.0, 0.0, 1e30, float("inf"), 1.0])
    assert sketch.n == 5
    assert sketch.quantile(0) == 0.0
    assert sketch.max == 1e6
    assert Sketch.stored(sketch.n, sketch.sum_us, sketch.max_us, sketch.blob()) == sketch


@pytest.mark.parametrize(("count", "code"), [(3, b"H"), (70_000, b"I")])
def test_counts_of_any_size_are_stored(count: int, code: bytes) -> None:
    sketch = Sketch([1.0, 2.0])
    bucket = next(iter(sketch._counts))
    sketch._counts[bucket] = count
    assert sketch.blob()[:1] == code
    assert Sketch.stored(2, 0, 0, sketch.blob())._decoded() == sketch._counts
