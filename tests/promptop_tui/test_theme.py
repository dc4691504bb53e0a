from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from textual.color import Color

from promptop_tui.shell import theme

BRAND_TEXT = (theme.shipped_dir() / f"{theme.BRAND}.toml").read_text(encoding="utf-8")


def test_every_shipped_theme_is_sound() -> None:
    found = theme.load(theme.shipped_dir())
    assert found.problems == ()
    assert set(found.themes) == {"promptop-dark", "promptop-light", "promptop-contrast", "promptop-safe"}


NAMES = ["promptop-dark", "promptop-light", "promptop-contrast", "promptop-safe"]
TEXT = ("foreground", "dim", "accent", "good", "warn", "bad", "money", "role", "variable", "heading", "code", "tag")
# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
SIGHTS = {
    "all": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def colours(name: str) -> dict[str, str]:
    found = theme.load(theme.shipped_dir()).themes[name]
    return {**found.to_color_system().generate(), **found.variables}


def linear(color: str) -> tuple[float, ...]:
    """Return linear RGB, 0 to 1."""
    channels = [channel / 255 for channel in Color.parse(color).rgb]
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)


def ratio(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG)."""
    r, g, b = (0.2126, 0.7152, 0.0722)
    values = sorted(sum(w * c for w, c in zip((r, g, b), linear(each), strict=True)) for each in (one, other))
    return (values[1] + 0.05) / (values[0] + 0.05)


def distance(one: str, other: str, sight: str) -> float:
    """Return how far apart (Delta E 1976, CIE Lab, D65) two colours are for one kind of sight."""

    def lab(color: str) -> tuple[float, float, float]:
        rgb = linear(color)
        r, g, b = (min(max(sum(m * c for m, c in zip(row, rgb, strict=True)), 0.0), 1.0) for row in SIGHTS[sight])
        xyz = (
            (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
            0.2126 * r + 0.7152 * g + 0.0722 * b,
            (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
        )
        x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
        return 116 * y - 16, 500 * (x - y), 200 * (y - z)

    return math.dist(lab(one), lab(other))


@pytest.mark.parametrize("name", NAMES)
def test_text_can_be_read_on_every_ground(name: str) -> None:
    """WCAG: 4.5:1 for text (7:1 in the theme of high contrast), 3:1 for what may be overlooked and for charts."""
    found = colours(name)
    least = 7.0 if name == "promptop-contrast" else 4.5
    for key in TEXT:
        for ground in ("background", "surface", "panel", "select"):
            assert ratio(found[key], found[ground]) >= least, (key, ground)
    for key, ground in (("bad", "bad-bg"), ("good", "good-bg")):
        assert ratio(found[key], found[ground]) >= least, (key, ground)
    for key in ("faint", *(f"series-{n}" for n in range(1, 7))):
        assert ratio(found[key], found["background"]) >= 3, key


@pytest.mark.parametrize("name", NAMES)
def test_series_and_verdicts_are_apart_for_every_colour_vision(name: str) -> None:
    found = colours(name)
    series = [found[f"series-{n}"] for n in range(1, 5)]
    for sight in SIGHTS:
        for one, other in itertools.combinations(series, 2):
            assert distance(one, other, sight) >= 15, (sight, one, other)
        assert distance(found["good"], found["bad"], sight) >= 15, sight
    for one, other in itertools.pairwise(series):
        assert ratio(one, other) >= 1.25, "neighbouring layers differ in lightness, for readers without colour"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('primary = "#2f90dd"', 'primary = "#2f90dZ"'), "primary cannot be '#2f90dZ'"),
        (('name = "promptop-dark"', ""), "name is missing"),
        (("dark = true", "dark = 'yes'"), "dark cannot be"),
        (("accent =", "acent ="), "unknown key 'acent'"),
        (('heat-3 = "#3a2f1d"', ""), "lacks heat-3"),
        (('heat-3 = "#3a2f1d"', 'heat-3 = "warm"'), "heat-3 is not a colour"),
        (("[variables]", "[variables"), "not valid TOML"),
    ],
)
def test_a_bad_file_is_left_out_with_its_first_mistake(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    (tmp_path / "bad.toml").write_text(BRAND_TEXT.replace(change[0], change[1], 1), encoding="utf-8")
    found = theme.load(tmp_path)
    assert found.themes == {}
    (problem,) = found.problems
    assert says in problem
    assert "bad.toml" in problem


def test_a_file_of_the_user_replaces_a_shipped_theme_and_a_change_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(BRAND_TEXT.replace("#0e1116", "#000000"), encoding="utf-8")
    found = theme.load(theme.shipped_dir(), tmp_path)
    assert found.themes["promptop-dark"].background == "#000000"
    assert theme.stamp(theme.shipped_dir(), tmp_path) == found.stamp
    file.unlink()
    assert theme.stamp(theme.shipped_dir(), tmp_path) != found.stamp
