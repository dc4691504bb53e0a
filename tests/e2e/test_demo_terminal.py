"""``promptop demo`` in a terminal: from the command to the first figures, and back to a clean machine."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pytest
from tests.support.processes import started

_ESCAPES = re.compile(r"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>78]|\x1b\][^\x07]*\x07")


class Terminal:
    """The other end of a program's terminal: what it wrote, as text without escape sequences."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.text = ""

    def wait_for(self, pattern: str, seconds: float = 30.0) -> None:
        """Read until the pattern has been drawn."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} was not drawn; the end of what was: {self.text[-2000:]}"
            if select.select([self._fd], [], [], left)[0]:
                self.text += _ESCAPES.sub("", os.read(self._fd, 65536).decode("utf-8", "replace"))

    def press(self, keys: str) -> None:
        """Send keys as a terminal does."""
        os.write(self._fd, keys.encode())

    def read_to_the_end(self, seconds: float = 30.0) -> None:
        """Read until every process has closed the terminal."""
        deadline = time.monotonic() + seconds
        while select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # Linux ends a terminal whose last writer has left so
                return
            if not data:
                return
            self.text += _ESCAPES.sub("", data.decode("utf-8", "replace"))
        raise AssertionError(f"the terminal is still held; the end of what was drawn: {self.text[-2000:]}")


@pytest.mark.slow
def test_the_demo_comes_alive_and_leaves_nothing(tmp_path: Path) -> None:
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "promptop_tui", "demo", "--hours", "1"]
    try:
        with started(
            command, stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True
        ) as process:
            os.close(other)
            terminal = Terminal(main)
            terminal.wait_for("SIMULATED")
            terminal.wait_for("support-bot|docs-search|gpt-4|claude|deepseek", 60)  # something of the log
            assert list(tmp_path.glob("promptop-demo-*"))
            terminal.press("\x11")  # ctrl+q
            terminal.read_to_the_end()
        assert process.returncode == 0, terminal.text[-2000:]
    finally:
        os.close(main)
    assert not list(tmp_path.glob("promptop-demo-*"))
    assert "Traceback" not in terminal.text


@pytest.mark.slow
def test_a_terminal_that_goes_away_ends_the_demo_whoever_was_told(tmp_path: Path) -> None:
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    # What a newcomer's shell holds, and nothing that makes Python flush each write.
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "promptop_tui", "demo", "--hours", "0", "--no-traffic"]
    # No process of the session has this terminal as its own, so that nobody is sent SIGHUP: as below make.
    with started(command, stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True) as process:
        os.close(other)
        Terminal(main).wait_for("SIMULATED")
        os.close(main)
        assert process.wait(30) == 128 + signal.SIGHUP
    assert not list(tmp_path.glob("promptop-demo-*"))
