"""Files that publish and run promptop elsewhere: the release, the Action, services, container and recipes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.prepare_release import prepare

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _copy(to: Path) -> Path:
    (to / "store" / "promptop").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "store/promptop/__init__.py"):
        shutil.copy(ROOT / name, to / name)
    changes = to / "CHANGELOG.md"
    changes.write_text(changes.read_text(encoding="utf-8").replace("## Unreleased", f"## {PROJECT['version']}"))
    return to


def test_a_tag_makes_addresses_absolute_and_must_be_the_version(tmp_path: Path) -> None:
    root = _copy(tmp_path)
    prepare(root, f"v{PROJECT['version']}", "https://example.org/o/p")
    readme = (root / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]*)\)", readme)
    assert targets
    assert [target for target in targets if not target.startswith(("http", "#"))] == []
    assert "](https://example.org/o/p/raw/v" in readme
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Changelog"].startswith("https://example.org/o/p/blob/v")
    assert project["scripts"] == PROJECT["scripts"]
    with pytest.raises(SystemExit, match=r"The tag says 9\.9\.9; pyproject\.toml says"):
        prepare(_copy(tmp_path / "other"), "v9.9.9", "https://example.org/o/p")


def test_workflows_hold_no_secret_and_publish_by_trust() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        assert "secrets." not in text
        jobs = yaml.safe_load(text)["jobs"]
        assert all(step.keys() & {"uses", "run"} for job in jobs.values() for step in job["steps"])
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert release["permissions"] == {"contents": "read"}


def test_targets_that_workflows_make_exist() -> None:
    made = re.findall(r"\bmake ([a-z-]+)", "".join(p.read_text() for p in (ROOT / ".github").rglob("*.yml")))
    rules = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert made
    assert set(made) <= set(rules)


def test_the_hooks_are_commands() -> None:
    from promptop.cli.commands import COMMANDS

    for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")):
        program, command = hook["entry"].split()[:2]
        assert program == "promptop"
        assert command in COMMANDS


def test_the_action_comments_what_changed_prompts_cost(tmp_path: Path) -> None:
    step = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"][1]["run"]
    tools, work = tmp_path / "bin", tmp_path / "repository"
    tools.mkdir()
    (work / "prompts").mkdir(parents=True)
    main = "import sys; from promptop.cli.main import main; sys.exit(main())"
    for name, line in (
        ("promptop", f'exec {sys.executable} -c "{main}" "$@"'),
        ("python", f'exec {sys.executable} "$@"'),
        (
            "gh",
            f'echo "$3" > {tmp_path}/number; while [ "$1" != --body-file ]; do shift; done; cp "$2" {tmp_path}/said',
        ),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org"]

    def run_git(*words: str) -> None:
        subprocess.run([*git, *words], cwd=work, check=True)

    run_git("init", "-q")
    (work / "prompts" / "old one.md").write_text("Please answer in one word.\n")
    (work / "other.txt").write_text("x")
    run_git("add", ".")
    run_git("commit", "-qm", "base")
    run_git("update-ref", "refs/remotes/origin/main", "HEAD")
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(tmp_path),
        "BASE": "main",
        "NUMBER": "7",
        "FILES": "*.prompt prompts/*.md",
        "MODEL": "gpt-4o",
    }
    subprocess.run(["bash", "-e", "-c", step], cwd=work, env=environment, check=True)
    assert not (tmp_path / "said").exists()
    (work / "prompts" / "old one.md").write_text("Answer in one word.\n")
    (work / "prompts" / "new.md").write_text("hello world")
    (work / "other.txt").write_text("y")
    run_git("add", ".")
    run_git("commit", "-qm", "change")
    subprocess.run(["bash", "-e", "-c", step], cwd=work, env=environment, check=True)
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert "| `prompts/old one.md` | 5 | -1 | -2.50 |" in said
    assert "| `prompts/new.md` | 2 | +2 | +5.00 |" in said
    assert "other" not in said
    assert (tmp_path / "number").read_text().strip() == "7"


def test_the_image_runs_as_a_user_and_copies_what_is_there() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE)
    assert all((ROOT / name).exists() for line in copied for name in line.split())
    assert re.search(r"^USER [1-9]", text, re.MULTILINE)
    assert "HEALTHCHECK" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", ["promptop-proxy.service", "promptop-ship.service"])
def test_the_units_are_units(tmp_path: Path, name: str) -> None:
    program = tmp_path / "promptop"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / name
    unit.write_text((DEPLOY / name).read_text(encoding="utf-8").replace("/opt/promptop/bin/promptop", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_recipe_needs_what_the_project_needs() -> None:
    recipe = yaml.safe_load((DEPLOY / "conda-recipe.yaml").read_text(encoding="utf-8"))
    named = {re.split(r"[ >=<]", line)[0] for line in recipe["requirements"]["run"]} - {"python"}
    assert named == {re.split(r"[>=<;\[ ]", line)[0] for line in PROJECT["dependencies"]}
    assert recipe["build"]["python"]["entry_points"] == [f"{k} = {v}" for k, v in PROJECT["scripts"].items()]
