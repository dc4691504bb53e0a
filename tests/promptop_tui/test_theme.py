from __future__ import annotations

from pathlib import Path

import pytest
from textual.color import Color

from promptop_tui.shell import theme

BRAND_TEXT = (theme.shipped_dir() / f"{theme.BRAND}.toml").read_text(encoding="utf-8")


def test_every_shipped_theme_is_sound() -> None:
    found = theme.load(theme.shipped_dir())
    assert found.problems == ()
    assert set(found.themes) == {"promptop-dark", "promptop-light", "promptop-contrast", "promptop-safe"}


@pytest.mark.parametrize("name", ["promptop-dark", "promptop-light", "promptop-contrast", "promptop-safe"])
def test_text_can_be_read_on_its_ground(name: str) -> None:
    """WCAG: 4.5:1 for text, 3:1 for the marks of a chart, in every shipped theme."""
    found = theme.load(theme.shipped_dir()).themes[name]
    variables = {**found.to_color_system().generate(), **found.variables}
    ground = Color.parse(variables["background"])

    def ratio(color: str) -> float:
        lighter, darker = sorted((luminance(ground), luminance(Color.parse(color))), reverse=True)
        return (lighter + 0.05) / (darker + 0.05)

    for key in ("foreground", "latency-good", "latency-warn", "latency-bad", "cache-hit", "cost"):
        assert ratio(variables[key]) >= 4.5, key
    for number in range(1, 7):
        assert ratio(variables[f"series-{number}"]) >= 3, number
    series = [variables[f"series-{n}"] for n in range(1, 7)]
    assert len(set(series)) == 6


def luminance(color: Color) -> float:
    def channel(value: float) -> float:
        return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4

    r, g, b = (channel(c / 255) for c in color.rgb)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("#56b4e9", "#56b4eZ"), "primary cannot be '#56b4eZ'"),
        (('name = "promptop-dark"', ""), "name is missing"),
        (("dark = true", "dark = 'yes'"), "dark cannot be"),
        (("accent =", "acent ="), "unknown key 'acent'"),
        (('heat-3 = "#40382e"', ""), "lacks heat-3"),
        (('heat-3 = "#40382e"', 'heat-3 = "warm"'), "heat-3 is not a colour"),
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
    file.write_text(BRAND_TEXT.replace("#10141b", "#000000"), encoding="utf-8")
    found = theme.load(theme.shipped_dir(), tmp_path)
    assert found.themes["promptop-dark"].background == "#000000"
    assert theme.stamp(theme.shipped_dir(), tmp_path) == found.stamp
    file.unlink()
    assert theme.stamp(theme.shipped_dir(), tmp_path) != found.stamp
