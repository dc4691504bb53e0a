"""How long until the app has painted, beside bare Textual, and what ``observe`` adds to a client's start.

Run: python tests/benchmarks/start.py [RUNS]. Prints medians and ratios of one run; asserts nothing. The first paint is
the editor's (aim: 1.8 times bare Textual); the main thread's processor time stands beside it, which other programs of
the machine change little. ``observe`` is measured in processor time beside the start of the httpx client that it
watches (aim: 0.15 of it), with byte code at hand: without it (``PYTHONDONTWRITEBYTECODE``, a first start) the compiler
takes most of the time.
The commands are measured in processor time beside the bare interpreter. Aims: ``--version`` 1.5 times it, ``count`` 17,
``check`` 20, ``run`` 40.
"""

from __future__ import annotations

import os
import pty
import resource
import select
import statistics
import subprocess
import sys
import tempfile
import time

BARE = (
    "from textual.app import App\nfrom textual.widgets import TextArea\n"
    "class A(App):\n def compose(self):\n  yield TextArea('. Monitor')\nA().run()"
)
EAGER = "import httpx2, tiktoken, sqlite_utils, aiohttp, redis\n"
APP = "import sys; sys.argv[:] = ['promptop']\nfrom promptop_tui.main import main\nmain()"
CASES = {"bare Textual + TextArea": BARE, "promptop": APP, "promptop, everything imported first": EAGER + APP}

OBSERVE = """
import time
start = time.process_time()
import httpx
client = httpx.Client()
loaded = time.process_time()
import promptop
promptop.observe(client)
print(loaded - start, time.process_time() - loaded)
"""


def seconds_of_observe(folder: str) -> tuple[float, float]:
    """Return the processor seconds of an httpx client's start, and of observing it; byte code is kept in ``folder``."""
    environment = {**os.environ, "PROMPTOP_DATA_DIR": folder, "PROMPTOP_CONFIG_DIR": folder}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = f"{folder}/bytecode"
    done = subprocess.run([sys.executable, "-c", OBSERVE], env=environment, capture_output=True, text=True, check=True)
    client, observe = map(float, done.stdout.split())
    return client, observe


CALL = "import sys; from promptop_tui.main import main; sys.exit(main())"
COMMANDS: dict[str, list[str]] = {
    "promptop --version": ["--version"],
    "promptop cost": ["cost", "--in", "1000", "--out", "300", "-m", "gpt-4o"],
    "promptop count FILE": ["count", "prompt.md", "-m", "gpt-4o"],
    "promptop check": ["check"],
    "promptop run, refused connection": ["run", "prompt.md", "-m", "gpt-4o", "--base-url", "http://127.0.0.1:9/v1"],
}


def cpu_seconds(arguments: list[str], folder: str) -> float:
    """Return the processor time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {f"PROMPTOP_{kind}_DIR": folder for kind in ("STATE", "DATA", "CONFIG")}
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, check=False,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_commands(runs: int) -> None:
    """Print the processor time of each command, warm."""
    with tempfile.TemporaryDirectory(prefix="promptop-start-") as folder:
        with open(f"{folder}/prompt.md", "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write("Explain prompt engineering in one sentence.\n")
        cpu_seconds(["-c", CALL, "check", "--update", "prompt.md", "-m", "gpt-4o"], folder)  # the table is kept
        cases = {"python -c pass": ["-c", "pass"]} | {name: ["-c", CALL, *words] for name, words in COMMANDS.items()}
        taken: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(runs):
            for name, arguments in cases.items():
                taken[name].append(cpu_seconds(arguments, folder))
    base = statistics.median(taken["python -c pass"])
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:40} {median * 1000:8.0f} ms of processor time {median / base:6.1f} ×")


def seconds_to_paint(code: str) -> tuple[float, float]:
    """Return the seconds from exec to a word that the first screen shows, and the main thread's processor time."""
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
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:  # noqa: PTH123
        processor = int(file.read().split()[0]) / 1e9
    os.write(terminal, b"\x11")
    while True:
        try:
            if not os.read(terminal, 65536):
                break
        except OSError:
            break
    os.waitpid(pid, 0)
    os.close(terminal)
    return elapsed, processor


def main() -> None:
    """Print one table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    for _ in range(runs):
        for name, code in CASES.items():
            taken[name].append(seconds_to_paint(code))
    medians = {
        name: [statistics.median(values) for values in zip(*pairs, strict=True)] for name, pairs in taken.items()
    }
    base = medians["bare Textual + TextArea"]
    print(f"{'first paint':40s} {'median s':>9s} {'ratio':>6s} {'processor':>9s} {'ratio':>6s}   n={runs}")
    for name, (wall, processor) in medians.items():
        print(f"{name:40s} {wall:9.3f} {wall / base[0]:6.2f} {processor:9.3f} {processor / base[1]:6.2f}")
    with tempfile.TemporaryDirectory(prefix="promptop-start-") as folder:
        seconds_of_observe(folder)  # compiles
        pairs = [seconds_of_observe(folder) for _ in range(runs)]
    client, observe = (statistics.median(values) for values in zip(*pairs, strict=True))
    print(f"{'httpx.Client(), processor':40s} {client:9.3f} {1:6.2f}")
    print(f"{'promptop.observe, processor':40s} {observe:9.3f} {observe / client:6.2f}")
    print_commands(runs)


if __name__ == "__main__":
    main()
