"""The wheel, installed into a clean environment, starts: what a user gets is not the checkout."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its dependencies are lent from this one, so that no network is needed.

    A path in a .pth file is added without reading the .pth files inside it: the checkout's editable install is not
    visible there.
    """
    home = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=120)
    python = home / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = home / "lib" / version / "site-packages"
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(command, check=True, timeout=120)
    return home


def test_the_wheel_holds_both_packages_the_themes_and_the_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("promptop/py.typed", "promptop_tui/app.tcss", "promptop_tui/themes/promptop-dark.toml"):
        assert wanted in names
    assert any(name.startswith("promptop/tokens/") and name.endswith(".xz") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "docs"))]


def test_commands_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    prompt = tmp_path / "p.txt"
    prompt.write_text("解释什么是提示工程?", encoding="utf-8")
    where = "import promptop, promptop_tui; print(promptop.__file__, promptop_tui.__file__)"
    done = subprocess.run(
        [installed / "bin/python", "-c", where], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.count(str(installed)) == 2
    command = [installed / "bin/promptop", "count", "--json", "-m", "gpt-4o", prompt]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert '"tokens": 6' in done.stdout


def test_the_app_starts_from_the_wheel_and_leaves_when_told(installed: Path, private_folders: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", LINES="24", COLUMNS="80")
        os.execv(installed / "bin/promptop", ["promptop"])
    seen = b""
    end = time.monotonic() + 60
    asked = False
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 1)
        if ready:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break  # the other end closed: the app left
        if not asked and b"Monitor" in seen:
            os.write(terminal, b"\x11")
            asked = True
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert asked, seen[-2000:]
    assert os.waitstatus_to_exitcode(status) == 0
