"""Processes of this package, forked from one that has its modules and vocabularies in memory.

A process that starts costs 0.3 to 1 second of a core, nearly all of it for imports and for the ranks of a vocabulary.
Where a test needs a process and not its start, :class:`Forked` gives it one in a hundredth of that: a real process with
a session, pipes, folder, environment and exit status of its own. The parent of them all has one thread, so that a fork
of it is whole. Tests of how a process starts and ends use the launcher of the product.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import pickle
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import types
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

_MODULES = (
    "promptop.cli.main",
    "promptop.cli.traffic.watch",
    "promptop.proxy.server_process",
    "promptop.proxy.run_command",
    "promptop.workers.call_worker",
    "promptop.workers.check_worker",
    "promptop.workers.measurement",
    "promptop.workers.token_worker",
    "promptop.log.rollups.background_rollup",
    "openai.resources.chat",
)
_ENCODINGS = ("o200k_base", "cl100k_base")
_LONGEST_REQUEST = 1 << 18
_PID_BYTES = 8
_LOOK_S = 0.5
"""Between looks at whether another thread has seen the end of the process."""


@dataclass(frozen=True, slots=True)
class _Start:
    """What a process is to be."""

    kind: str
    """-m or -c."""
    program: str
    arguments: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    new_session: bool


class Forked(subprocess.Popen[Any]):
    """``python -m MODULE …`` or ``python -c CODE …`` as a fork; it is used as any :class:`subprocess.Popen`."""

    _status = -1

    def _execute_child(self, args: Sequence[str], *details: Any) -> None:  # type: ignore[override]
        (_, _, _, _, cwd, env, _, _, _, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *rest) = details
        kind, program, *arguments = args[1:]
        assert kind in ("-m", "-c"), kind
        start = _Start(
            kind,
            program,
            tuple(arguments),
            os.fspath(cwd or Path.cwd()),
            dict(env if env is not None else os.environ),
            bool(rest[-2]),
        )
        self._status, status_of_child = os.pipe()
        given = [own if theirs == -1 else theirs for own, theirs in enumerate((p2cread, c2pwrite, errwrite))]
        try:
            with _LOCK:
                socket.send_fds(_server(), [pickle.dumps(astuple(start))], [*given, status_of_child])
        finally:
            os.close(status_of_child)
            self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]
        self.pid = int.from_bytes(os.read(self._status, _PID_BYTES), "big")
        self._child_created = True

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None and select.select([self._status], [], [], 0)[0]:
                told = os.read(self._status, _PID_BYTES)
                os.close(self._status)
                self.returncode = int.from_bytes(told, "big", signed=True) if told else -signal.SIGKILL
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self._internal_poll()) is None:
            left = None if end is None else max(0.0, end - time.monotonic())
            # Another thread may read the status and close the pipe meanwhile.
            with contextlib.suppress(OSError, ValueError):
                if (
                    not select.select([self._status], [], [], min(0.5, left) if left is not None else 0.5)[0]
                    and left == 0
                ):
                    assert timeout is not None
                    raise subprocess.TimeoutExpired(self.args, timeout)
        return status


SAFE = sys.platform == "linux"
"""Elsewhere system libraries may have threads of their own, and processes are started as usual."""
if not SAFE:
    Forked = subprocess.Popen  # type: ignore[misc, assignment]

_LOCK = threading.Lock()


@cache
def _server() -> socket.socket:
    """Return the channel to the process that forks, which ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST_REQUEST)
    root = Path(__file__).parents[2]
    known = [str(root / "tui"), str(root / "store"), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(known)},
        start_new_session=True,
    )
    theirs.close()
    atexit.register(_end, ours, process)
    return ours


def _end(channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    channel.close()
    process.wait()


def launch(
    module: str,
    arguments: Sequence[str] = (),
    *,
    stdout: int = subprocess.PIPE,
    stderr: int | BinaryIO | None = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a module as :func:`promptop.base.processes.launch` does, as a fork."""
    return Forked(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


# The process that forks


def _serve(channel: socket.socket) -> None:
    warnings.simplefilter("ignore")
    for module in _MODULES:
        importlib.import_module(module)
    from promptop.tokens import splintr

    for name in _ENCODINGS:
        splintr.encoder(name)
    gc.collect()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads cannot be forked"  # noqa: PTH208
    while True:
        with contextlib.suppress(ChildProcessError):  # waited for here, so that their processor time is counted
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        data, descriptors, _, _ = socket.recv_fds(channel, _LONGEST_REQUEST, 4)
        if not data:
            return
        if os.fork() == 0:
            try:
                channel.close()
                _watch(_Start(*pickle.loads(data)), descriptors)
            finally:
                os._exit(1)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(start: _Start, descriptors: list[int]) -> None:
    """Be the parent of one process: tell its id and, once it has ended, its exit status."""
    status = descriptors.pop()
    pid = os.fork()
    if pid == 0:
        os.close(status)
        _become(start, descriptors)
    os.write(status, pid.to_bytes(_PID_BYTES, "big"))
    for descriptor in descriptors:
        os.close(descriptor)
    os.setsid()
    _, ended = os.waitpid(pid, 0)
    os.write(status, os.waitstatus_to_exitcode(ended).to_bytes(_PID_BYTES, "big", signed=True))
    os._exit(0)


def _become(start: _Start, descriptors: list[int]) -> None:
    if start.new_session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        if descriptor > 2:
            os.close(descriptor)
    os.chdir(start.folder)
    os.environ.clear()
    os.environ.update(start.environment)
    time.tzset()
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
        for number, mode in enumerate(("r", "w", "w"))
    )
    code = 0
    try:
        if start.kind == "-m":
            sys.argv = [start.program, *start.arguments]
            sys.modules.pop(start.program, None)
            runpy.run_module(start.program, run_name="__main__", alter_sys=True)
        else:
            sys.argv = ["-c", *start.arguments]
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(start.program, "<string>", "exec"), main.__dict__)
    except SystemExit as over:
        code = over.code if isinstance(over.code, int) else int(over.code is not None)
    except BaseException:  # noqa: BLE001  # what Python prints of a program that fails
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as _channel:
        _serve(_channel)
