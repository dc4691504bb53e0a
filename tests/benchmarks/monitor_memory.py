"""Whether the monitor's memory stays flat: a simulated hour of rows through reader, snapshots and table rows.

``python tests/benchmarks/monitor_memory.py [SECONDS] [ROWS_A_SECOND]`` moves a simulated clock second by second, has
the rows written by a real writer, looks at the log each second as the tab does, and prints resident memory on the way.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from pathlib import Path
from queue import Queue

import psutil

sys.path[:0] = [str(Path(__file__).parent)]

from monitor_refresh import NOW, Clock, one  # noqa: E402 (found beside this file)

from promptop.log import Row, Writer  # noqa: E402
from promptop.settings import MonitorSettings  # noqa: E402
from promptop_tui.monitor.analysis.tile_figures import figures_of  # noqa: E402
from promptop_tui.monitor.data.reader import Answer, MonitorReader  # noqa: E402
from promptop_tui.monitor.data.snapshot import SPANS, SnapshotQuery  # noqa: E402
from promptop_tui.monitor.views.charts import KINDS  # noqa: E402
from promptop_tui.monitor.views.row_cells import Feed, cells_of  # noqa: E402


def main() -> None:
    """Print one line each tenth of the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=int, nargs="?", default=3600)
    parser.add_argument("rate", type=int, nargs="?", default=100)
    args = parser.parse_args()
    clock, answers, feed = Clock(), Queue[Answer](), Feed()
    query, settings, process = SnapshotQuery(SPANS["1h"]), MonitorSettings(), psutil.Process()
    with tempfile.TemporaryDirectory() as folder, Writer(Path(folder) / "log.db", keep_days=0) as writer:
        reader = MonitorReader(Path(folder) / "log.db", answers.put, clock)
        thread = threading.Thread(target=reader.run)
        thread.start()
        for second in range(args.seconds):
            clock.now = NOW + second
            for index in range(args.rate):
                started = int((NOW + second) * 1000) + index
                writer.put(
                    Row(started_ms=started, request_model=f"m{index % 9}", duration_s=1 + index / 50, ttft_s=0.3)
                )
            writer.flush(30)
            _, found = one(reader, answers, query)
            if found is not None and found.state == "ok":
                if found.restart:
                    feed.restart(found.fresh, older_from=found.older_from)
                else:
                    feed.append(found.fresh, following=True)
                figures_of(found, settings)
                for kind in KINDS[:3]:
                    kind.plot(found, settings)
                for row in feed.rows[-20:]:
                    cells_of(row)
            if second % max(args.seconds // 10, 1) == 0:
                resident = process.memory_info().rss / 1e6
                print(
                    f"{second:>6} s  {(second + 1) * args.rate:>9,} rows",
                    f"{len(feed.rows):>7,} in the table  {resident:6.0f} MB",
                    flush=True,
                )
        reader.stop()
        thread.join()
    print(f"{args.seconds:>6} s  end {process.memory_info().rss / 1e6:34.0f} MB")


if __name__ == "__main__":
    main()
