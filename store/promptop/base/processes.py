"""Child processes that run modules of this package: one launcher, one way to speak with them, one way to end them.

A child's standard input is a pipe from its parent. The kernel closes it when the parent is gone, kill -9 included, and
the end of that pipe tells the child to end: nothing is polled, and it works wherever there are pipes.

Frames are eight bytes of length and a pickle. Both ends are this program and the pipe is private to them; nothing
foreign is ever unpickled.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

CLOSE_S = 3.0
"""Seconds that a child is given to end once its input is closed: it closes connections and flushes the log."""
_LENGTH = 8


def launch(
    module: str,
    arguments: Sequence[str] = (),
    *,
    stdout: int = subprocess.PIPE,
    stderr: int | BinaryIO | None = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start ``python -m module arguments``, whatever the working directory holds and wherever the package lies.

    The child has a session of its own, so that a Ctrl-C in the terminal does not reach it. Its errors are dropped
    unless ``stderr`` says otherwise (None: to ours), because the screen is drawn on standard error.
    """
    root = str(Path(__file__).parents[2])
    known = os.environ.get("PYTHONPATH")
    return subprocess.Popen(
        # -P: a file in the working directory must not stand in for a module of the standard library.
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root},
        start_new_session=True,
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program of the user's ended."""

    status: int | None
    """Exit status; None where it was ended because it took too long."""
    printed: bytes
    complained: bytes


def run_program(arguments: Sequence[str], given: bytes, longest_s: float) -> Ended:
    """Run a program of the user's with this on its standard input, in a session of its own that ends with it.

    Raises :class:`OSError` if it cannot be started. After ``longest_s`` it is killed with all that it started.
    """
    process = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        printed, complained = process.communicate(given, timeout=longest_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return Ended(None, *process.communicate())
    return Ended(process.returncode, printed, complained)


def stop(process: subprocess.Popen[bytes], wait_s: float = CLOSE_S) -> int:
    """Close the child's input, wait for it, and end it by force after ``wait_s``; return its exit status."""
    _close(process.stdin)
    for end in (process.terminate, process.kill):
        try:
            process.wait(wait_s)
            break
        except subprocess.TimeoutExpired:
            end()
    status = process.wait()
    _close(process.stdout)
    return status


def _close(pipe: IO[bytes] | None) -> None:
    """Close a pipe whose other end may be gone: what was buffered for it is lost with it."""
    if pipe is not None:
        with contextlib.suppress(OSError):
            pipe.close()


# Frames


def send(stream: IO[bytes], frame: object, *, flush: bool = True) -> None:
    """Write one frame; raise :class:`OSError` or :class:`ValueError` if the other end is gone."""
    data = pickle.dumps(frame, protocol=5)
    stream.write(len(data).to_bytes(_LENGTH, "big"))
    stream.write(data)
    if flush:
        stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Return the next frame; raise :class:`EOFError` when the other end is gone."""
    head = stream.read(_LENGTH)
    size = int.from_bytes(head, "big")
    data = stream.read(size) if len(head) == _LENGTH else b""
    if len(head) < _LENGTH or len(data) < size:
        raise EOFError
    return pickle.loads(data)


def waiting_frames(descriptor: int = 0) -> Iterator[Any]:
    """Yield each frame that arrives, and None whenever no more of them wait; end at the end of the stream.

    So a child can take all that has arrived before it does anything costly.
    """
    buffer = bytearray()
    while True:
        while len(buffer) >= _LENGTH and len(buffer) >= _LENGTH + (size := int.from_bytes(buffer[:_LENGTH], "big")):
            frame = pickle.loads(bytes(buffer[_LENGTH : _LENGTH + size]))
            del buffer[: _LENGTH + size]
            yield frame
        if not buffer and not select.select([descriptor], [], [], 0)[0]:
            yield None
        data = os.read(descriptor, 1 << 20)
        if not data:
            return
        buffer += data


class Link:
    """A child that is spoken with in frames, and the two threads that do so. Nothing here blocks its caller.

    Frames go out in the order of :meth:`send`; those that come back reach ``on_frame`` on the reader's thread. When the
    child ends by itself, ``on_end`` gets its exit status (None: it could not be started) on the writer's thread, after
    the last frame. After :meth:`close` or :meth:`kill` neither is called.
    """

    def __init__(self, module: str, *, on_frame: Callable[[Any], object], on_end: Callable[[int | None], object]):
        """Prepare; frames may be sent before :meth:`start`."""
        self._module, self._on_frame, self._on_end = module, on_frame, on_end
        self._outbox: queue.SimpleQueue[tuple[Any] | None] = queue.SimpleQueue()
        self._launched = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = False
        self._wait_s = CLOSE_S
        self._writer = threading.Thread(target=self._write, name=f"{module.rpartition('.')[2]}-writer", daemon=True)

    @property
    def pid(self) -> int | None:
        """The child's process id; None before it was started. Waits for a start that is under way."""
        if self._writer.ident is not None:
            self._launched.wait()
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the child, on the writer's thread."""
        self._writer.start()

    def send(self, frame: object) -> None:
        """Hand a frame over; it is dropped if the child is gone."""
        self._outbox.put((frame,))

    def close(self, wait_s: float = CLOSE_S) -> None:
        """Let the child take what was sent, then end its input and wait; kill it after ``wait_s`` seconds."""
        self._closing, self._wait_s = True, wait_s
        self._outbox.put(None)
        if self._writer.ident is not None and self._writer is not threading.current_thread():
            self._writer.join(wait_s + 1)

    def kill(self) -> None:
        """End the child at once: for one that holds nothing which is not here too."""
        self._closing = True
        self._outbox.put(None)
        if self._writer.ident is not None:
            self._launched.wait()
            if self._process is not None:
                self._process.kill()
            if self._writer is not threading.current_thread():
                self._writer.join()

    def _write(self) -> None:
        try:
            process = self._process = launch(self._module)
        except OSError:
            process = None
        finally:
            self._launched.set()
        if process is None:
            self._ended(None)
            return
        assert process.stdin is not None
        reader = threading.Thread(
            target=self._read, args=(process.stdout,), name=f"{self._module.rpartition('.')[2]}-reader", daemon=True
        )
        reader.start()
        with contextlib.suppress(OSError, ValueError):  # the child is gone: the reader sees to it
            while (item := self._outbox.get()) is not None:
                send(process.stdin, item[0], flush=self._outbox.empty())
        _close(process.stdin)
        try:
            process.wait(self._wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
        status = process.wait()
        if reader is not threading.current_thread():
            reader.join()
        _close(process.stdout)
        self._ended(status)

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(EOFError, OSError, ValueError):
            while True:
                frame = receive(stream)
                if self._closing:
                    break
                self._on_frame(frame)
        self._outbox.put(None)

    def _ended(self, status: int | None) -> None:
        if not self._closing:
            self._on_end(status)


class RestartPolicy:
    """Whether a child that died is started again: not if it died sooner than ``calm_s`` after the last restart."""

    def __init__(self, calm_s: float = 30.0) -> None:
        self._calm_s = calm_s
        self._last_s = -calm_s

    def allows(self) -> bool:
        """Say whether to restart now, and remember it if so."""
        now = time.monotonic()
        if now - self._last_s <= self._calm_s:
            return False
        self._last_s = now
        return True


# The child's side


def open_channel() -> tuple[BinaryIO, BinaryIO]:
    """Return the streams of frames of this process; whatever else prints goes to standard error from now on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the parent's to handle
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return inbox, outbox


class ParentWatch:
    """Notices on a thread that standard input is at its end: the parent closed it, or is gone."""

    def __init__(self, call: Callable[[], None]) -> None:
        """Watch from now on; ``call`` is called once, on the thread, when the parent is gone."""
        self._call = call
        self._lock = threading.Lock()
        self._gone = False
        threading.Thread(target=self._watch, name="parent-watch", daemon=True).start()

    def then(self, call: Callable[[], None]) -> None:
        """Call this instead from now on; at once if the parent is gone already."""
        with self._lock:
            self._call = call
            if self._gone:
                call()

    def _watch(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        with self._lock:
            self._gone = True
            self._call()


async def until_parent_is_gone(watch: ParentWatch | None = None) -> None:
    """Return when the parent is gone or the process is asked to end; ``watch`` is the watch of this process."""
    import asyncio

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)

    def end() -> None:
        with contextlib.suppress(RuntimeError):  # the loop ended for another reason
            loop.call_soon_threadsafe(over.set)

    if watch is None:
        ParentWatch(end)
    else:
        watch.then(end)
    await over.wait()
