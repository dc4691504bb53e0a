"""How long from a key to its paint, in a pseudo terminal: the whole app with live counts, at several sizes.

    python tests/benchmarks/editor_keys.py [--keys 20] [--stock]

Prints the median and the slowest of the keys for each document, and the ratio to the 1 KB document of the same
widget. ``--stock`` measures Textual's own TextArea on the same documents in a bare app, for comparison. Read the
ratios: absolute times are the machine's.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import random
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

DOCUMENTS = (
    ("prose 1 KB", "prose", 1_000),
    ("prose 100 KB", "prose", 100_000),
    ("prose 1 MB", "prose", 1_000_000),
    ("Chinese 1 MB", "chinese", 350_000),
    ("short lines 1 MB", "short", 1_000_000),
    ("one line 100 KB", "line", 100_000),
)
_WORDS = [
    "the",
    "model",
    "reads",
    "your",
    "prompt",
    "and",
    "answers",
    "with",
    "tokens",
    "that",
    "cost",
    "time",
    "and",
    "money",
    "so",
    "keep",
    "it",
    "short",
]
_HAN = "请你帮我总结下面的文章并且翻译成英文不要遗漏任何重要信息谢谢"


def document(kind: str, length: int) -> str:
    """Make a text without the letter that is typed."""
    rng = random.Random(7)
    if kind == "chinese":
        lines = ("".join(rng.choice(_HAN) for _ in range(rng.randrange(20, 160))) + "。" for _ in range(length // 80))
        return "\n".join(lines)
    if kind == "short":
        return "\n".join(rng.choice(_WORDS) for _ in range(length // 6))
    words = " ".join(rng.choice(_WORDS) for _ in range(length // 5))[:length]
    if kind == "line":
        return words
    return "\n".join(words[at : at + 400] for at in range(0, len(words), 400))


def child(path: Path, stock: bool) -> None:
    """Run the app, or a bare one around the stock widget, on a file."""
    if stock:
        from textual.app import App, ComposeResult
        from textual.widgets import TextArea

        class Stock(App[None]):
            def compose(self) -> ComposeResult:
                yield TextArea(path.read_text(encoding="utf-8"), show_line_numbers=True)

        Stock().run()
        return
    from promptop.cli.shared.options import AppOptions
    from promptop.settings import Settings
    from promptop_tui.app import run

    folder = path.parent
    run(AppOptions(Settings(), folder / "log.db", open_path=path, draft_path=folder / "draft.md"))


def drain(terminal: int, quiet: float, limit: float) -> bytes:
    """Read until nothing came for ``quiet`` seconds."""
    read, end = b"", time.perf_counter() + limit
    while time.perf_counter() < end and select.select([terminal], [], [], quiet)[0]:
        read += os.read(terminal, 65536)
    return read


def read_until(terminal: int, wanted: bytes, limit: float) -> float:
    """Return the seconds until ``wanted`` was painted."""
    start, read = time.perf_counter(), b""
    while wanted not in read:
        left = limit - (time.perf_counter() - start)
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            raise SystemExit(f"{wanted!r} was not painted in {limit} s")
        read += os.read(terminal, 65536)
    return time.perf_counter() - start


def measure(path: Path, stock: bool, keys: int) -> list[float]:
    """Return milliseconds from key to paint, for keys typed at the start of the document, with pauses."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        mode = ["--stock"] if stock else []
        os.execv(sys.executable, [sys.executable, __file__, "--child", str(path), *mode])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    try:
        drain(terminal, 1.5, 20)
        os.write(terminal, b"Z")
        read_until(terminal, b"Z", 20)
        times = []
        for _ in range(keys):
            drain(terminal, 0.15, 5)
            os.write(terminal, b"Z")
            times.append(1000 * read_until(terminal, b"Z", 20))
        return times
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


def main() -> None:
    """Measure each document and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.stock)
        return
    print(f"{'document':18} {'median ms':>9} {'max ms':>8} {'ratio':>6}")
    small = 0.0
    for name, kind, length in DOCUMENTS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "prompt.md"
            path.write_text(document(kind, length), encoding="utf-8")
            times = measure(path, options.stock, options.keys)
        median = statistics.median(times)
        small = small or median
        print(f"{name:18} {median:9.1f} {max(times):8.1f} {median / small:6.2f}", flush=True)


if __name__ == "__main__":
    main()
