"""Children: what they may import, how they are spoken with, and how they end."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.promptop.log.rows import append, random_rows
from tests.support.waits import until

from promptop.base import processes
from promptop.base.processes import Link, RestartPolicy
from promptop.log import Writer
from promptop.log.rollups import background_rollup
from promptop.log.rollups.background_rollup import Folding


def test_a_module_in_the_working_directory_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.db"
    with Writer(log):
        pass
    append(log, random_rows(50))
    monkeypatch.setattr(background_rollup, "WORTH_IT", 1)
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "ran"
    (tmp_path / "sqlite3.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit(3)\n")
    folding = Folding(log)
    assert folding.start()
    folding.wait(30)
    assert not mark.exists()
    assert not folding.start(), "everything is in the rollups"
    folding.close()


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import time\n"
        "from promptop.base.processes import launch\n"
        "print(launch('promptop.workers.call_worker').pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_link_tells_how_its_child_ended_and_not_after_close() -> None:
    ended: queue.Queue[int | None] = queue.Queue()
    link = Link("promptop.workers.call_worker", on_frame=lambda _: None, on_end=ended.put)
    link.start()
    pid = link.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert ended.get(timeout=20) == -signal.SIGKILL
    link.close()
    other = Link("promptop.workers.call_worker", on_frame=lambda _: None, on_end=ended.put)
    other.start()
    other.kill()
    assert not other.alive
    assert ended.empty()


def test_a_link_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.sys, "executable", "/nonexistent/python")
    ended: queue.Queue[int | None] = queue.Queue()
    link = Link("promptop.workers.call_worker", on_frame=lambda _: None, on_end=ended.put)
    link.start()
    assert ended.get(timeout=20) is None
    assert link.pid is None


def test_a_second_restart_within_the_calm_time_is_refused() -> None:
    policy = RestartPolicy(calm_s=1000)
    assert policy.allows()
    assert not policy.allows()
    assert RestartPolicy(calm_s=0).allows()
