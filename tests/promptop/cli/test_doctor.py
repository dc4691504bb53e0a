"""promptop doctor: each thing that can be wrong, with its remedy, and no key on the screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptop.cli.main import main
from promptop.simulator import SimulatedEndpoint


def findings(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    code = main(["doctor", "--json", *arguments])
    out = capsys.readouterr().out
    return code, {each["check"]: each for each in json.loads(out)}, out


def write(tmp_path: Path, base_url: str, more: str = "") -> str:
    path = tmp_path / "config.toml"
    path.write_text(f'[profiles.mine]\nbase_url = "{base_url}"\n{more}', encoding="utf-8")
    return str(path)


def test_all_is_well(
    tmp_path: Path, private_folders: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "sk-planted")
    with SimulatedEndpoint.in_thread() as endpoint:
        config = write(tmp_path, endpoint.base_url, 'api_key_env = "THE_KEY"\nmodels = ["sim-fst"]\n')
        code, found, out = findings(capsys, "--config", config)
        assert main(["doctor", "--config", config]) == 0
        assert "mine" in capsys.readouterr().out
    assert code == 0
    states = {name: each["state"] for name, each in found.items()}
    assert {states[name] for name in ("settings", "key", "endpoint", "log")} == {"good"}
    assert (states["models"], found["models"]["remedy"]) == ("warning", "Did you mean sim-fast?")
    assert "sk-planted" not in out


def test_each_fault_is_named(
    tmp_path: Path, private_folders: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THE_KEY", raising=False)
    code, found, _ = findings(capsys, "--config", write(tmp_path, "http://127.0.0.1:9/v1", 'api_key_env = "THE_KEY"\n'))
    assert (code, found["key"]["state"], found["endpoint"]["state"]) == (1, "bad", "skipped")
    assert "THE_KEY" in found["key"]["text"]
    monkeypatch.setenv("THE_KEY", '"sk planted"')
    code, found, out = findings(
        capsys, "--config", write(tmp_path, "http://127.0.0.1:9/v1", 'api_key_env = "THE_KEY"\n')
    )
    assert "blanks" in found["key"]["text"]
    assert "sk planted" not in out
    code, found, _ = findings(capsys, "--config", write(tmp_path, "http://127.0.0.1:9/v1"))
    assert (code, found["endpoint"]["state"]) == (1, "bad")
    code, found, _ = findings(capsys, "--config", write(tmp_path, "http://127.0.0.1:9/v1"), "--offline")
    assert (code, found["endpoint"]["state"]) == (0, "skipped")
    code, found, _ = findings(capsys, "--config", write(tmp_path, "http://127.0.0.1:9/v1", "[lgo]\n"))
    assert (code, found["settings"]["remedy"], found["endpoint"]["state"]) == (1, "Did you mean 'log'?", "skipped")
    code, found, _ = findings(capsys, "--config", str(tmp_path / "none.toml"), "--offline")
    assert (code, found["settings"]["state"]) == (1, "bad")
    code, found, _ = findings(capsys, "--offline", "--log", str(tmp_path))
    assert (found["log"]["state"], found["log"]["text"]) == ("bad", f"{tmp_path} is a folder")
    (tmp_path / "not.db").write_text("no log of ours, but long enough to be read as one" * 20)
    code, found, _ = findings(capsys, "--offline", "--log", str(tmp_path / "not.db"))
    assert found["log"]["state"] == "bad"


def test_settings_with_a_mistake_stop_what_sends_and_not_the_rest(
    tmp_path: Path, private_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, "http://127.0.0.1:9/v1", 'models = "m"\n')
    for command in (
        ["run", "-m", "m", "--text", "x"], ["compare", "-m", "m", "--text", "x"], ["bench", "-m", "m", "--text", "x"],
        ["claims", "-m", "m", "--text", "x"], ["prove", config, "-m", "m", "--text", "x"], ["probe"], ["embed", config],
        ["batch", config, "-o", str(tmp_path / "o")], ["proxy"],
    ):  # fmt: skip
        assert main([*command, "--config", config]) == 2, command
        assert "config.toml:3: 'models' cannot be 'm'" in capsys.readouterr().err
    assert main(["watch", "--config", config, "--", "true"]) == 2
    capsys.readouterr()
    assert main(["report", "--config", config]) == 0
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["config", "show", "--config", config]) == 1
