"""A second currency beside dollars: one formatter, asked for once, by a setting with its rate and date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptop import settings
from promptop.base import units
from promptop.cli.main import main


@pytest.fixture(autouse=True)
def dollars_afterwards() -> Iterator[None]:
    before = units.show_beside(None)
    yield
    units.show_beside(before)


def test_amounts_have_both_and_unknown_has_none() -> None:
    assert units.usd(0.0045) == "$0.0045"
    units.show_beside(units.Currency("CNY", 7.0, "2026-11-28"))
    assert [units.usd(each) for each in (0.0045, 1.84, 0.0, None)] == ["$0.0045 ¥0.0315", "$1.84 ¥12.88", "$0 ¥0", "–"]
    assert str(units.beside()) == "¥7.00 = $1 (2026-11-28)"
    assert units.Currency("CHF", 0.8, "2026-11-28").amount(2) == "CHF 2.00"


def test_the_setting_is_asked_for_with_the_first_amount() -> None:
    asked: list[int] = []

    def currency() -> None:
        asked.append(1)

    units.show_beside(currency)
    assert not asked
    assert units.usd(1) + units.usd(2) == "$1.00$2.00"
    assert asked == [1]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('also = "CNY"\nas_of = "2026-11-28"', "[money] also has no rate"),
        ('also = "CNY"\nrate = 7', "[money] also has no as_of"),
        ('also = "yuan"\nrate = 7\nas_of = "2026-11-28"', "'also' cannot be 'yuan'"),
        ('also = "CNY"\nrate = 7\nas_of = "yesterday"', "'as_of' cannot be 'yesterday'"),
    ],
)
def test_a_currency_needs_its_rate_and_date(tmp_path: Path, text: str, cause: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[money]\n{text}\n", encoding="utf-8")
    assert any(cause in problem.cause for problem in settings.load(file, {}).problems)


def test_commands_show_both_and_json_stays_in_dollars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "config_dir", lambda: tmp_path)
    (tmp_path / "config.toml").write_text('[money]\nalso = "CNY"\nrate = 7\nas_of = "2026-11-28"\n', encoding="utf-8")
    ask = ["cost", "--in", "1000", "--out", "500", "-m", "gpt-4o"]
    assert main(ask) == 0
    assert "$0.0075 ¥0.0525" in capsys.readouterr().out
    assert main([*ask, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["usd"] == 0.0075
