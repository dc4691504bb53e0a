"""How long until the app has painted, beside bare Textual and beside an app that loads everything first.

Run: python tests/benchmarks/start.py [RUNS]. Prints medians and ratios of one run; asserts nothing.
"""

from __future__ import annotations

import os
import pty
import select
import statistics
import sys
import tempfile
import time

BARE = (
    "from textual.app import App\nfrom textual.widgets import TextArea\n"
    "class A(App):\n def compose(self):\n  yield TextArea('. Monitor')\nA().run()"
)
EAGER = "import openai, httpx2, tiktoken, sqlite_utils, aiohttp, redis\n"
APP = "import sys; sys.argv[:] = ['promptop']\nfrom promptop_tui.main import main\nmain()"
CASES = {"bare Textual + TextArea": BARE, "promptop": APP, "promptop, everything imported first": EAGER + APP}


def seconds_to_paint(code: str) -> float:
    """Return the seconds from exec to the first appearance of a word that the first screen shows."""
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        folder = tempfile.mkdtemp(prefix="promptop-start-")
        os.environ.update(TERM="xterm-256color", LINES="30", COLUMNS="100", PROMPTOP_STATE_DIR=folder)
        os.environ.update(PROMPTOP_DATA_DIR=folder, PROMPTOP_CONFIG_DIR=folder)
        os.execv(sys.executable, [sys.executable, "-c", code])
    seen = b""
    while b"Monitor" not in seen:
        ready, _, _ = select.select([terminal], [], [], 30)
        if not ready:
            raise TimeoutError(seen[-500:])
        seen += os.read(terminal, 65536)
    elapsed = time.perf_counter() - started
    os.write(terminal, b"\x11")
    while True:
        try:
            if not os.read(terminal, 65536):
                break
        except OSError:
            break
    os.waitpid(pid, 0)
    os.close(terminal)
    return elapsed


def main() -> None:
    """Print one table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    taken: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(runs):
        for name, code in CASES.items():
            taken[name].append(seconds_to_paint(code))
    base = statistics.median(taken["bare Textual + TextArea"])
    print(f"{'first paint':40s} {'median s':>9s} {'ratio':>6s}   n={runs}")
    for name, values in taken.items():
        print(f"{name:40s} {statistics.median(values):9.3f} {statistics.median(values) / base:6.2f}")


if __name__ == "__main__":
    main()
