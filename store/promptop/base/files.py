"""The folders of the app's files, and files that only their owner reads (0600, folders 0700), replaced in one piece."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TextIO


def private_dir(path: Path) -> Path:
    """Create ``path`` with mode 0700 if it does not exist, and return it; raises :class:`OSError`."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def create_private(path: Path) -> bool:
    """Create an empty file with mode 0600 in a folder with mode 0700; return whether it was not there before."""
    private_dir(path.parent)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
    except FileExistsError:
        return False
    return True


def open_private(path: Path) -> TextIO:
    """Open a text file (0600, UTF-8, newlines as written) to be written anew; raises :class:`OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    return open(descriptor, "w", encoding="utf-8", newline="")  # noqa: PTH123 - a descriptor has no path


def write_private(path: Path, content: str | bytes) -> None:
    """Replace a file at once, so that a crash leaves the old one or the new one; raises :class:`OSError`."""
    private_dir(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open_private(temporary) as file:
            if isinstance(content, bytes):
                file.buffer.write(content)
            else:
                file.write(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # a full disk must not keep half a file
        raise


def identity(path: Path) -> tuple[int, int] | None:
    """Return (device, inode) of a file, or None if there is none: it changes when a file is deleted or replaced."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def config_dir() -> Path:
    """Return the folder of settings and themes (``PROMPTOP_CONFIG_DIR``, else the system's, XDG on Linux)."""
    return _folder("PROMPTOP_CONFIG_DIR", "user_config_path")


def data_dir() -> Path:
    """Return the folder of the log and the library (``PROMPTOP_DATA_DIR``, else the system's)."""
    return _folder("PROMPTOP_DATA_DIR", "user_data_path")


def state_dir() -> Path:
    """Return the folder of drafts and the app's own log (``PROMPTOP_STATE_DIR``, else the system's)."""
    return _folder("PROMPTOP_STATE_DIR", "user_state_path")


def _folder(variable: str, function: str) -> Path:
    chosen = os.environ.get(variable)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    found: Path = getattr(platformdirs, function)("promptop", appauthor=False)
    return found
