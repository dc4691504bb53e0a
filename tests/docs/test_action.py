"""The GitHub Action of docs/proof.md: its shell lines run in order against a local endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml
from tests.support.trap_endpoint import Said, Trap, honest, playing, system_of

PAGE = Path(__file__).parents[2] / "docs" / "proof.md"
MAIN = "import sys; from promptop.cli.main import main; sys.exit(main())"
BASE = "system:\nAdd every number. Keep to the form. Be nice to us all.\nuser:\n{{a}} and {{b}}\n"
TRIM = BASE.replace(" Be nice to us all.", "")


def steps() -> list[str]:
    text = PAGE.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    workflow = yaml.safe_load(text)
    return [step["run"].strip() for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


def forgets_the_form(body: dict[str, object], number: int, said: Said) -> Said:
    return said if "nice" in system_of(body) else Said("no form", id=said.id)


@pytest.mark.parametrize(("trap", "code", "word"), [(honest, 0, "proven"), (forgets_the_form, 1, "worse")])
def test_its_lines_prove_and_comment_the_receipt(tmp_path: Path, trap: Trap, code: int, word: str) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, line in (
        (
            "promptop",
            f'exec {sys.executable} -c "import sys; from promptop.cli.main import main; sys.exit(main())" "$@"',
        ),
        ("gh", f'while [ "$1" != --body-file ]; do shift; done; cp "$2" {tmp_path}/comment.md'),
        ("pip", "exit 0"),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    work = tmp_path / "repository"
    (work / "prompts").mkdir(parents=True)
    rows = [
        {
            "id": f"c{n}",
            "vars": {"a": str(n), "b": str(n * 7)},
            "checks": [{"type": "json-path", "path": "$.sum", "equals": n * 8}],
        }
        for n in range(1, 31)
    ]
    (work / "prompts" / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (work / "prompts" / "summary.md").write_text(BASE)
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org"]
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "base"],
        ["update-ref", "refs/remotes/origin/main", "HEAD"],
    ):
        subprocess.run([*git, *words], cwd=work, check=True)
    (work / "prompts" / "summary.md").write_text(TRIM)
    codes = []
    with playing(trap) as traps:
        environment = {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": traps.url,
            "PROMPTOP_DATA_DIR": str(tmp_path / "data"),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
        }
        for line in steps():
            told = line.replace("${{ github.base_ref }}", "main").replace("${{ github.event.number }}", "7")
            ended = subprocess.run(
                ["bash", "-e", "-c", told], cwd=work, env=environment, capture_output=True, text=True
            )
            codes.append(ended.returncode)
    assert codes == [0, 0, code, 0], ended.stderr
    comment = (tmp_path / "comment.md").read_text()
    assert word in comment and "30" in comment
    suite = ElementTree.parse(work / "junit.xml").getroot()
    assert next(suite.iter("testsuite")).get("tests")
