"""``promptop demo``: the app on a throw-away log, or the endpoint alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx2
import pytest
from tests.support.processes import children, descendants, is_gone, started
from tests.support.waits import until

from promptop.base.processes import launch
from promptop.cli import main as cli
from promptop.cli.shared.options import AppOptions
from promptop.log import LogReader

PROMPTOP = [sys.executable, "-m", "promptop_tui", "demo"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make the app's start believe in a terminal; return the folder in which temporary folders are made."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_the_app_opens_on_simulated_everything_and_nothing_is_left(terminal: Path) -> None:
    seen: list[AppOptions] = []
    children: list[int] = []

    def open_app(options: AppOptions) -> int:
        seen.append(options)
        children.extend(descendants(os.getpid()))
        profile = options.settings.active_profile()
        assert "sim-fast" in profile.models
        assert httpx2.get(f"{profile.base_url}/models").status_code == 200
        assert os.environ["PROMPTOP_STATE_DIR"].startswith(str(options.log_path.parent))
        assert options.log_path.parent.stat().st_mode & 0o777 == 0o700
        until(lambda: LogReader(options.log_path).last_id() >= 200)
        return 7

    assert cli.main(["demo", "--hours", "0.5", "--speed", "0"], open_app=open_app) == 7
    (options,) = seen
    assert options.simulated
    assert options.settings.profile == "simulated"
    assert list(options.settings.profiles) == ["simulated"]
    assert options.settings.log_path() == options.log_path
    assert not any(terminal.glob("promptop-demo-*"))
    assert children
    assert all(map(is_gone, children))


def test_an_app_that_fails_leaves_nothing_either(terminal: Path) -> None:
    def open_app(options: AppOptions) -> int:
        raise RuntimeError("the app broke")

    with pytest.raises(RuntimeError, match="the app broke"):
        cli.main(["demo", "--no-traffic"], open_app=open_app)
    assert not any(terminal.glob("promptop-demo-*"))


@pytest.mark.slow
def test_nothing_is_left_after_the_app_is_killed(tmp_path: Path) -> None:
    app = textwrap.dedent(
        """
        import sys, time
        from promptop.cli import main as cli
        sys.stdin.isatty = sys.stderr.isatty = lambda: True
        def open_app(options):
            print(options.log_path.parent, flush=True)
            time.sleep(600)
        cli.main(["demo", "--hours", "0.1"], open_app=open_app)
        """
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", app]
    with started(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.parent == tmp_path
        until(lambda: len(descendants(process.pid)) >= 2)
        children = descendants(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: all(map(is_gone, children)))
    assert not folder.exists()


@pytest.mark.slow
def test_the_endpoint_alone_serves_until_it_is_interrupted() -> None:
    with started([*PROMPTOP, "--serve", "--speed", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        body = {"model": "sim-fast", "messages": [{"role": "user", "content": "你好"}]}
        assert httpx2.post(f"{base_url}/chat/completions", json=body).json()["choices"]
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "SIMULATED" in rest
    assert f"OPENAI_BASE_URL={base_url}" in rest


@pytest.mark.parametrize("bad", [["--port", "99999"], ["--hours", "-1"], ["--speed", "-2"], ["--hours", "nan"]])
def test_options_that_cannot_be_meant(bad: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", *bad]) == 2
    assert bad[0] in capsys.readouterr().err


def test_a_port_that_is_taken(terminal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments in (["--serve"], []):
            assert cli.main(["demo", "--port", port, *arguments], open_app=lambda options: 0) == 1
            assert "→ Choose another port" in capsys.readouterr().err
    assert not any(terminal.glob("promptop-demo-*"))
    assert not children("promptop.simulator")


def test_a_back_room_that_does_not_start_says_why(
    terminal: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "promptop.base.processes.launch",
        lambda module, arguments, **pipes: launch("promptop.simulator.no_such_room", arguments, **pipes),
    )
    assert cli.main(["demo"], open_app=lambda options: 0) == 1
    said = capsys.readouterr().err
    assert "did not start" in said
    assert "no_such_room" in said
    assert "Traceback" not in said
    assert not any(terminal.glob("promptop-demo-*"))
