"""What foreign text holds reaches a terminal as pictures, in every format and from every error."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from promptop.base.sanitize import clean, clean_line
from promptop.base.terminal import ERASE, Guarded, guarded
from promptop.log import Row, Writer

EVIL = "a\x1b]52;c;ZXZpbA==\x07\x9b31m\u202eb\u200bc\U000e0041\x00d"
MAIN = "import sys; from promptop.cli.main import main; sys.exit(main())"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    now = time.time_ns() // 1_000_000
    with Writer(path) as writer:
        writer.put(
            Row(
                started_ms=now, app=EVIL, error_type=EVIL, error_message=EVIL, request_model=EVIL,
                operation_name="chat", total_s=1.0, tags=f'{{"k": "{EVIL[:1]}"}}', usage_input_tokens=1,
            )
        )  # fmt: skip
    return path


_COLOURS = re.compile(r"\x1b\[(?:0|1|2|3[1-6])m")
"""What a report is coloured with; the foreign texts here have none of these."""


def in_a_terminal(*arguments: str) -> str:
    """Return everything that a command writes to a terminal."""
    control, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments], stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True
    )
    os.close(terminal)
    seen = b""
    while True:
        try:
            data = os.read(control, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    child.wait()
    os.close(control)
    return seen.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "arguments",
    [
        *(("report", "--by", "error", "--format", form) for form in ("table", "csv", "json", "prometheus", "md")),
        *(("log", "export", "--format", form) for form in ("csv", "jsonl")),
        ("log", "export", "--format", "csv", "-o", "/dev/stdout"),
        ("log", "query", "SELECT app, error_type FROM requests"),
    ],
    ids=lambda arguments: "-".join(arguments[:6]).replace("/", ""),
)
def test_no_control_byte_reaches_a_terminal(arguments: tuple[str, ...], log: Path) -> None:
    shown = in_a_terminal(*arguments, "--log", str(log))
    assert "52;c;" in shown, "the text itself is shown"
    shown = _COLOURS.sub("", shown)  # our own
    assert not set(shown) & set("\x1b\x07\x9b\x00\u202e\u200b\U000e0041")
    assert "\udcc2" not in shown


@pytest.mark.parametrize("arguments", [("report", "--log"), ("log", "import"), ("lint",), ("log", "tail", "--log")])
def test_no_control_byte_of_a_file_name_reaches_a_terminal(arguments: tuple[str, ...], tmp_path: Path) -> None:
    shown = in_a_terminal(*arguments, str(tmp_path / "x\x1b]52;c;evil\x07"))
    assert "52;c;evil" in shown and "\x1b" not in shown and "\x07" not in shown


def test_what_a_command_writes_over_its_own_line_passes() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    guard = guarded(stream)
    assert isinstance(guard, Guarded) and guarded(guard) is guard
    guard.write(f"{ERASE}3 of 4 {ERASE}")
    guard.writelines(["a\r\n", "b\tc\n"])
    assert stream.getvalue() == f"{ERASE}3 of 4 ␍␛[Ka\nb\tc\n"
    assert guarded(io.StringIO()).write("\x1b") == 1


def test_what_has_no_width_is_seen_unless_it_joins() -> None:
    assert clean("a\u200bb\ufeff \U000e0041\u2060") == "a\ufffdb\ufffd \ufffd\ufffd"
    assert clean_line("pass\u200dword \u200c") == "pass\ufffdword \ufffd"
    for text in ("👩\u200d👩\u200d👧", "می\u200cخواهم", "क\u094d\u200dष"):
        assert clean(text) == text
