from __future__ import annotations

import json
import re
import stat
import tomllib
from pathlib import Path

import pytest

from promptop import settings
from promptop.cli import main as cli
from promptop.cli.app.config import TEMPLATE


def test_path_show_and_init_agree(private_folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "path"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert cli.main(["config", "show"]) == 0
    assert "not there" in capsys.readouterr().out
    assert cli.main(["config", "init"]) == 0
    capsys.readouterr()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert settings.load(path, {}).problems == ()
    assert cli.main(["config", "init"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_init_by_force_keeps_the_old_file(private_folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = settings.config_path()
    path.parent.mkdir(parents=True)
    path.write_text("theme = 'mine'")
    assert cli.main(["config", "init", "--force"]) == 0
    assert path.with_suffix(".toml.bak").read_text() == "theme = 'mine'"


def test_show_prints_toml_that_means_the_same_and_names_mistakes(
    private_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = settings.config_path()
    path.parent.mkdir(parents=True)
    path.write_text('[profiles."my own"]\nmodels = ["通义"]\n[log]\nbodies = "everything"\n')
    assert cli.main(["config", "show"]) == 1
    out = capsys.readouterr()
    assert tomllib.loads(out.out)["profiles"]["my own"]["models"] == ["通义"]
    assert f"{path}:4: 'bodies' cannot be 'everything'" in out.err
    assert cli.main(["config", "show", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"][0]["line"] == 4


def test_the_template_names_every_setting_at_its_default() -> None:
    table = tomllib.loads(re.sub(r"(?m)^# (\w+ = |\[)", r"\1", TEMPLATE))
    defaults = settings.Settings()
    for section in ("log", "cache", "playground", "monitor"):
        for name, value in table[section].items():
            expected = tuple(value) if isinstance(value, list) else value
            assert getattr(getattr(defaults, section), name) == expected, (section, name)
        assert set(table[section]) == set(type(getattr(defaults, section)).__dataclass_fields__)
    assert set(table["editor"]) == set(settings.EditorSettings.__dataclass_fields__)
