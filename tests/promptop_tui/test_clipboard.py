"""Copying beside OSC 52: which program is used where, that the text arrives whole, what is said if it does not."""

from __future__ import annotations

import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.promptop_tui.conftest import MakeApp
from tests.support.waits import until_shown as wait_until

from promptop.base.errors import PromptopError
from promptop_tui.services import clipboard
from promptop_tui.services.clipboard import Program, programs, put

ALL = ("tmux", "pbcopy", "wl-copy", "xclip", "xsel", "clip.exe")


@pytest.mark.parametrize(
    ("environ", "platform", "installed", "names"),
    [
        ({}, "linux", ("xclip", "xsel", "wl-copy"), []),  # no display: they could only fail
        ({"DISPLAY": ":0"}, "linux", ("xclip", "xsel"), ["xclip"]),
        ({"DISPLAY": ":0"}, "linux", ("xsel",), ["xsel"]),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}, "linux", ALL, ["wl-copy"]),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}, "linux", ("xclip",), ["xclip"]),
        ({"TMUX": "/tmp/s,1,0", "DISPLAY": ":0"}, "linux", ALL, ["tmux", "xclip"]),
        ({}, "darwin", ("pbcopy",), ["pbcopy"]),
        ({"SSH_CONNECTION": "a"}, "darwin", ("pbcopy",), []),
        ({}, "linux", ("clip.exe",), ["clip.exe"]),
        ({"SSH_TTY": "x", "DISPLAY": "localhost:10"}, "linux", ("xclip", "clip.exe"), ["xclip"]),
        ({"TMUX": "x"}, "linux", (), []),
    ],
)
def test_what_can_reach_the_user_is_used(
    environ: Mapping[str, str], platform: str, installed: tuple[str, ...], names: list[str]
) -> None:
    found = programs(environ, platform, lambda name: name if name in installed else None)
    assert [program.command[0] for program in found] == names


def script(folder: Path, body: str) -> Path:
    path = folder / "copier"
    path.write_text(f"#!{sys.executable}\nimport pathlib, sys\nhere = pathlib.Path({str(folder)!r})\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_text_arrives_whole_and_failures_are_told(tmp_path: Path) -> None:
    good = script(tmp_path, "(here / 'got').write_bytes(sys.stdin.buffer.read())")
    put("请你\n'x' \u2028🙂", [Program((str(good),)), Program((str(good),), "utf-16")])
    assert (tmp_path / "got").read_bytes().decode("utf-16") == "请你\n'x' \u2028🙂"
    (tmp_path / "bad").mkdir()
    bad = script(tmp_path / "bad", "sys.exit(3)")
    with pytest.raises(PromptopError, match="ended with 3") as raised:
        put("x", [Program((str(bad),)), Program((str(tmp_path / "absent"),)), Program((str(good),))])
    assert "FileNotFoundError" in str(raised.value)
    assert (tmp_path / "got").read_bytes() == b"x"  # those after a failure are tried


async def test_every_copy_of_the_app_reaches_it(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copier = Program((str(script(tmp_path, "(here / 'got').write_bytes(sys.stdin.buffer.read())")),))
    monkeypatch.setattr(clipboard, "programs", lambda: (copier,))
    app = make_app()
    async with app.run_test() as pilot:
        await wait_until(pilot, lambda: app.query("#prompt"))
        app.copy_to_clipboard("茶 tea")
        await wait_until(
            pilot, lambda: (tmp_path / "got").exists() and (tmp_path / "got").read_bytes() == "茶 tea".encode()
        )
        assert app.clipboard == "茶 tea"
        monkeypatch.setattr(clipboard, "programs", lambda: (Program((str(tmp_path / "absent"),)),))
        app.copy_to_clipboard("tea")
        await wait_until(pilot, lambda: any("did not reach" in each.message for each in app._notifications))
