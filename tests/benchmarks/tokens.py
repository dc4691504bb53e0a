"""What counting costs while you type, beside encoding the whole text with tiktoken.

    python tests/benchmarks/tokens.py [--seconds 2] [--encoding o200k_base]

Everything is measured in one run and read as ratios: absolute times are the machine's. Times are CPU time of the thread
that counts, but for the worker's, which are those of the clock. The documents are English and
code from the standard library's sources, and Chinese made of common characters. Exit code 1 if a ratio is missed.
"""

from __future__ import annotations

import argparse
import gc
import queue
import random
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from promptop import models
from promptop.tokens import TokenDocument, vocabularies
from promptop.tokens.counting import encodings_for
from promptop.workers.token_client import Counts, Reply, TokenClient

_HAN = (
    "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好看起"
    "发当没成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手又行意动方期它头经长儿回位分爱老因很给名法间斯知世什两次"
)


def sources() -> tuple[str, str]:
    """Return English (docstrings and comments) and code of the standard library."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("*.py"))]
    code = "\n".join(texts)
    lines = [
        line.strip(" #") for line in code.splitlines() if line.count(" ") > 6 and "=" not in line and "(" not in line
    ]
    return "\n".join(lines), code


def mixed(size: int, seed: int = 1) -> str:
    """Return English, Chinese and code in turn, ``size`` bytes of UTF-8."""
    source = random.Random(seed)
    english, code = sources()
    parts: list[str] = []
    made = 0
    while made < size:
        for kind in (english, code):
            start = source.randrange(len(kind) - 6000)
            parts.append(kind[start : start + source.randrange(800, 5000)])
        sentences = ("".join(source.choices(_HAN, k=source.randrange(6, 24))) for _ in range(source.randrange(10, 60)))
        parts.append("，".join(sentences) + "。\n")
        made += sum(len(part.encode()) for part in parts[-3:])
    return "".join(parts).encode()[:size].decode("utf-8", "ignore")


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed(action: Callable[[], object]) -> float:
    """Return the CPU seconds of this thread: neighbours on the machine are no part of a percentile."""
    begun = time.thread_time()
    action()
    return time.thread_time() - begun


def typing(document: TokenDocument, seconds: float, seed: int = 3) -> list[float]:
    """Type, erase and jump about; return the time of each edit."""
    source = random.Random(seed)
    times = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        place = source.randrange(len(document) + 1)
        for letter in source.choice(("hello world, ", "你好，世界。", "def f(x):\n    ret", "don't stop\n")):
            times.append(timed(lambda at=place, new=letter: document.replace(at, at, new)))
            place += 1
        for _ in range(5):
            place -= 1
            times.append(timed(lambda at=place: document.replace(at, at + 1, "")))
    return times


class Table:
    """Rows of figure, ratio and bound."""

    def __init__(self) -> None:
        self.missed = 0

    def row(self, what: str, measured: str, ratio: float, bound: float, at_least: bool) -> None:
        kept = ratio >= bound if at_least else ratio <= bound
        self.missed += not kept
        sign = "≥" if at_least else "≤"
        print(f"{what:<58} {measured:>24} {ratio:>9,.1f}  {sign} {bound:<8g} {'ok' if kept else 'MISSED'}")


def edits(table: Table, name: str, seconds: float) -> None:
    """Measure edits against one encoding of the whole text."""
    encode = vocabularies.encoder(name)
    medians = {}
    for size in (100_000, 1_000_000, 5_000_000):
        text = mixed(size)
        full = statistics.median(timed(lambda text=text: encode(text)) for _ in range(5 if size < 5_000_000 else 3))
        document = TokenDocument(name, text)
        assert document.count == len(encode(text))
        typing(document, 0.2)
        gc.collect()
        times = typing(document, seconds)
        assert document.count == len(encode(document.text))
        p50, p99 = quantile(times, 0.5), quantile(times, 0.99)
        medians[size] = p50
        shown = f"{p50 * 1e6:,.0f} / {p99 * 1e6:,.0f} µs, full {full * 1e3:,.0f} ms"
        if size == 1_000_000:
            table.row("edit in 1 MB: full encode ÷ edit p50", shown, full / p50, 1000, True)
            table.row("edit in 1 MB: full encode ÷ edit p99", shown, full / p99, 200, True)
            pairs = []
            for _ in range(7):  # side by side, so that the noise of the machine meets both
                once = timed(lambda text=text: encode(text))
                empty = TokenDocument(name, "start ")
                pairs.append((timed(lambda held=empty, text=text: held.replace(6, 6, text)), once))
            paste = statistics.median(pasted for pasted, _ in pairs)
            ratio = statistics.median(pasted / once for pasted, once in pairs)
            table.row("paste of 1 MB ÷ full encode", f"{paste * 1e3:,.0f} ms", ratio, 1.5, False)
    shown = f"{medians[5_000_000] * 1e6:,.0f} / {medians[100_000] * 1e6:,.0f} µs"
    table.row("edit p50 in 5 MB ÷ in 100 KB", shown, medians[5_000_000] / medians[100_000], 2, False)


def viewport(table: Table, name: str, seconds: float) -> None:
    """Measure the token edges of 50 lines, anywhere in 5 MB, none of them seen before."""
    document = TokenDocument(name, mixed(5_000_000))
    total = document.count
    source = random.Random(2)
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        line = source.randrange(document.lines - 50)

        def look(first: int = line) -> None:
            document.boundaries(document.offset_of_line(first), document.offset_of_line(first + 50))
            document.count_lines(first, first + 49)

        times.append(timed(look) * 1e3)
    assert total == document.count
    p50, p99 = quantile(times, 0.5), quantile(times, 0.99)
    table.row("edges and line counts of 50 lines of 5 MB, p99 ms", f"p50 {p50:.2f} ms, n {len(times)}", p99, 3, False)


def worker(table: Table, name: str) -> None:
    """Measure an edit's way to the worker process and back, and what watching twenty models adds to one."""
    text = mixed(1_000_000)
    full = statistics.median(timed(lambda: vocabularies.encoder(name)(text)) for _ in range(5))
    twenty = [model.id for model in models.search("", "openai") if model.count_kind == "exact"][:16]
    twenty += ["claude-opus-5-5", "gemini-2.5-pro", "grok-4.7", "llama-3.1-70b"]
    found = {}
    for label, encodings in (("one", (name,)), ("twenty", encodings_for(twenty))):
        replies: queue.Queue[Reply] = queue.Queue()
        with TokenClient(replies.put) as client:
            client.open("d", text, encodings)
            replies.get(timeout=60)
            times = []
            for step in range(400):
                begun = time.perf_counter()
                client.edit("d", step * 97, step * 97, "x")
                reply = replies.get(timeout=60)
                assert isinstance(reply, Counts)
                times.append(time.perf_counter() - begun)
        found[label] = (quantile(times, 0.5), quantile(times, 0.99), len(encodings))
    p50, p99, _ = found["one"]
    table.row(
        "edit through the worker, 1 MB: full encode ÷ p50",
        f"{p50 * 1e6:,.0f} / {p99 * 1e6:,.0f} µs",
        full / p50,
        100,
        True,
    )
    distinct = found["twenty"][2]
    table.row(
        f"watching 20 models ({distinct} tokenizers) ÷ watching one",
        f"{found['twenty'][0] * 1e6:,.0f} / {p50 * 1e6:,.0f} µs",
        found["twenty"][0] / p50,
        distinct * 1.5,
        False,
    )


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each kind of edit (default 2)")
    parser.add_argument("--encoding", default="o200k_base", choices=vocabularies.names())
    options = parser.parse_args(arguments)
    table = Table()
    print(f"{options.encoding:<58} {'measured':>24} {'ratio':>9}  {'bound':<10}")
    edits(table, options.encoding, options.seconds)
    viewport(table, options.encoding, options.seconds)
    worker(table, options.encoding)
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
