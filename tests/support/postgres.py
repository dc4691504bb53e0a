"""A PostgreSQL server of its own in a temporary folder, on loopback; needs Debian's package postgresql."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def binaries() -> Path | None:
    """Return the folder of the newest server's programs; None if there is none."""
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


class Server:
    """A server that runs; ``address`` is the administrator's."""

    def __init__(self, folder: Path, port: int) -> None:
        # PostgreSQL refuses root.
        user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self._as: dict[str, Any] = (
            {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user is not None else {}
        )
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        self._folder, self.port = folder, port
        self.address = f"postgresql://admin@127.0.0.1:{port}/postgres"

    def _run(self, program: str, *arguments: str) -> None:
        bin_folder = binaries()
        assert bin_folder is not None
        subprocess.run(
            [str(bin_folder / program), *arguments],
            check=True,
            timeout=90,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "LC_ALL": "C.UTF-8"},
            **self._as,
        )

    def make(self) -> None:
        """Create the database's files."""
        self._run("initdb", "-D", "data", "-U", "admin", "-A", "trust", "--no-sync", "-E", "UTF8")

    def start(self) -> None:
        """Start, and return when it answers."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=32MB"
        self._run("pg_ctl", "-D", "data", "-w", "-t", "60", "-l", "log", "-o", options, "start")

    def stop(self) -> None:
        """Stop at once."""
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")


@contextmanager
def postgres() -> Iterator[Server]:
    """Run a server for the time of a ``with`` block."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        server = Server(folder, port)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
