"""What every test gets: private folders, a fixed time zone, and no network beyond loopback."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import prefork

os.environ.update(TZ="UTC", TEXTUAL_ANIMATIONS="none", COLORTERM="truecolor", LC_ALL="C.UTF-8")
for _name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "NO_COLOR", "http_proxy", "https_proxy"):
    os.environ.pop(_name, None)

_real_connect = socket.socket.connect
_real_connect_ex = socket.socket.connect_ex


def _refuse_beyond_loopback(address: Any) -> None:
    if isinstance(address, tuple) and address:
        host = str(address[0])
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = host == "localhost"
        if not loopback:
            raise AssertionError(f"a test tried to reach {host}, which is not loopback")


def _connect(self: socket.socket, address: Any) -> None:
    _refuse_beyond_loopback(address)
    _real_connect(self, address)


def _connect_ex(self: socket.socket, address: Any) -> int:
    _refuse_beyond_loopback(address)
    return _real_connect_ex(self, address)


socket.socket.connect = _connect  # type: ignore[method-assign]
socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign]


_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 4 << 30
"""Free bytes that a whole run may take; a container's default of 64 MB is too little."""


def pytest_configure() -> None:
    """Put the tests' folders into memory where there is room for them.

    A log commits row by row, and a disk that others use takes 4 to 100 ms for each: most of the time of a proof's test.
    """
    with contextlib.suppress(OSError, AttributeError):
        runs_programs = not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC
        if runs_programs and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_finish() -> None:
    """Keep the garbage collector away from what lives for the whole run: modules and tests.

    It went through all of them again and again, a third of the processor time of a screen's test.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Point settings, data and state at the test's own folder, and give it as a place to look at."""
    home = tmp_path / "home"
    for name in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"PROMPTOP_{name}_DIR", str(home / name.lower()))
    yield home


@pytest.fixture
def forked_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the processes beside the app and beside a command as forks, where their start is not what is tested."""
    if prefork.SAFE:
        monkeypatch.setattr("promptop.base.processes.launch", prefork.launch)
