"""Figures read the same everywhere: units, digits, unknown."""

from __future__ import annotations

import pytest

from promptop.base import units


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.0003, "0.3 ms"),
        (0.84, "840 ms"),
        (0.9996, "1.00 s"),
        (2.314, "2.31 s"),
        (9.996, "10.0 s"),
        (99.97, "1m 40s"),
        (3599.7, "1h 00m"),
    ],
)
def test_seconds(value: float | None, shown: str) -> None:
    assert units.seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "$0"),
        (0.00045, "$0.00045"),
        (0.0075, "$0.0075"),
        (1.8e-6, "$0.0000018"),
        (1e-9, "<$0.000001"),
        (0.12, "$0.120"),
        (1.84, "$1.84"),
        (12408.4, "$12,408"),
    ],
)
def test_usd(value: float | None, shown: str) -> None:
    assert units.usd(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0, "0"), (9999, "9999"), (12_400, "12.4k"), (412_000, "412k"), (3.1e6, "3.1M")]
)
def test_count(value: float | None, shown: str) -> None:
    assert units.count(value) == shown


def test_share_never_rounds_to_whole_or_to_nothing() -> None:
    assert [units.share(x) for x in (None, 0, 0.0001, 0.004, 0.63, 0.9999, 1)] == [
        "–",
        "0 %",
        "<0.1 %",
        "0.4 %",
        "63 %",
        "99.9 %",
        "100 %",
    ]


def test_change_needs_something_to_compare_with() -> None:
    assert units.change(1.12, 1) == "+12 %"
    assert units.change(0.97, 1) == "−3 %"
    assert units.change(1.001, 1) == "="
    assert units.change(30, 1) == "×30"
    assert units.change(5000, 1) == ">×999"
    assert units.change(None, 1) == units.change(1, None) == units.change(1, 0) == ""
