"""How soon ``promptop demo`` is alive: first paint and first rows in a terminal, and what filling a day costs.

    python tests/benchmarks/demo_start.py [--runs 3]

Run it from the repository's root. Prints seconds from the command to the word SIMULATED and to the first row of the
log, then rows a second of ``promptop.simulator.fill`` with and without bodies. Absolute times are the machine's; the
demo is meant to be alive within five seconds.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.e2e.test_demo_terminal import Terminal


def start() -> tuple[float, float]:
    """Return seconds until the first paint and until the first row is drawn."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    begun = time.perf_counter()
    command = [sys.executable, "-m", "promptop_tui", "demo"]
    with subprocess.Popen(command, stdin=other, stdout=other, stderr=other, start_new_session=True):
        os.close(other)
        terminal = Terminal(main)
        terminal.wait_for("SIMULATED", 60)
        painted = time.perf_counter() - begun
        terminal.wait_for("support-bot|docs-search|ticket-tria", 60)
        filled = time.perf_counter() - begun
        terminal.press("\x11")
        terminal.read_to_the_end()
    os.close(main)
    return painted, filled


def fill_speed(bodies: bool) -> tuple[float, float]:
    """Return rows a second of wall clock and of processor time."""
    from promptop.simulator import fill

    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        rows = fill(Path(folder) / "log.db", bodies=bodies).rows
        return rows / (time.perf_counter() - wall), rows / (time.process_time() - cpu)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    runs = [start() for _ in range(args.runs)]
    print(f"first paint {statistics.median(run[0] for run in runs):.2f} s (median of {args.runs})")
    print(f"first rows  {statistics.median(run[1] for run in runs):.2f} s")
    for bodies in (False, True):
        wall, cpu = fill_speed(bodies)
        print(
            f"fill, bodies {'kept' if bodies else 'off ':4}: {wall:,.0f} rows/s, {cpu:,.0f} a second of processor time"
        )


if __name__ == "__main__":
    main()
