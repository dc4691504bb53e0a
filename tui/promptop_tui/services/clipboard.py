"""The clipboards that a copy reaches beside the terminal's own (OSC 52, which Textual writes).

OSC 52 alone is not enough: macOS's Terminal ignores it, and tmux does so in its default configuration. What is found
is used as well: tmux's own way to the terminal, and the program of the desktop. Over ssh the desktop's program is
that of the far machine, unless its display is forwarded: there pbcopy and clip.exe are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from promptop.base.errors import PromptopError
from promptop.base.texts import tr

TIMEOUT_S = 3.0
"""Seconds that a program may take; xclip and wl-copy go on in the background when they have read the text."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that reads what it is to put into a clipboard from its standard input."""

    command: tuple[str, ...]
    encoding: str = "utf-8"


def programs(
    environ: Mapping[str, str] | None = None,
    platform: str = sys.platform,
    which: Callable[[str], str | None] = shutil.which,
) -> tuple[Program, ...]:
    """Return the programs that can reach the user's clipboards here: tmux, and at most one of the desktop."""
    environ = os.environ if environ is None else environ
    found = []
    if environ.get("TMUX") and which("tmux"):
        found.append(Program(("tmux", "load-buffer", "-w", "-")))
    is_local = not (environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"))
    desktop = (
        (is_local and platform == "darwin", Program(("pbcopy",))),
        (bool(environ.get("WAYLAND_DISPLAY")), Program(("wl-copy",))),
        (bool(environ.get("DISPLAY")), Program(("xclip", "-selection", "clipboard"))),
        (bool(environ.get("DISPLAY")), Program(("xsel", "--clipboard", "--input"))),
        # Windows' own program, from inside WSL; it takes UTF-8 for the console's code page, and UTF-16 as it is.
        (is_local and platform == "linux", Program(("clip.exe",), "utf-16")),
    )
    found += [program for may, program in desktop if may and which(program.command[0])][:1]
    return tuple(found)


def put(text: str, into: Sequence[Program]) -> None:
    """Hand ``text`` to each program; raise :class:`PromptopError` with what failed after all were tried. Blocks."""
    failed = []
    for program in into:
        name = program.command[0]
        try:
            done = subprocess.run(
                program.command,
                input=text.encode(program.encoding, "replace"),
                # Not a pipe: what stays in the background to serve the clipboard would hold it open.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            failed.append(f"{name} ({type(error).__name__})")
        else:
            if done.returncode:
                failed.append(tr("{name} (it ended with {returncode})", name=name, returncode=done.returncode))
    if failed:
        raise PromptopError(
            f"The text did not reach the clipboard through {', '.join(failed)}.",
            "The terminal was asked as well (OSC 52); if it was not copied there either, write it to a file.",
        )
