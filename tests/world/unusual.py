"""How often the monitor's second line tells an incident, and how often it claims something of ordinary days.

``python -m tests.world.unusual [--seeds N] [--first SEED] [--incidents | --ordinary] [KIND …]`` makes a log for each
kind and seed (other programs, models, names, rates, hours each time) and looks at it as the monitor does: at incidents
each minute from their start, at ordinary traffic of a day each quarter of an hour. A claim counts as false once, and
again if it comes back after an hour.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.world import incidents
from tests.world.incidents import KINDS, ORDINARY
from tests.world.traffic import DAY_MS, HOUR_MS, MINUTE_MS, Row, calls, finished, world, write

from promptop.alerts.changes import clock, sentence
from promptop.alerts.watch import Present, Watch
from promptop.log import LogReader
from promptop.log.rollups.rollups import Rollups

MONDAY_MS = 1_795_392_000_000
"""2026-11-23T00:00Z."""
LOOK_EVERY_MS = 15 * MINUTE_MS
NEW_AFTER_MS = HOUR_MS


class Looking:
    """A log that grows, looked at now and then."""

    def __init__(self, folder: Path, rows: Iterator[Row]) -> None:
        """Write the rows of ``rows`` into a log of ``folder`` as their calls end."""
        self._path = folder / "log.db"
        self._rows = finished(rows)
        self._next = next(self._rows, None)
        self._now_ms = 0
        self._rollups: Rollups | None = None
        self._log: LogReader | None = None
        self._watch = Watch()
        self.written = 0
        self.took_s: list[float] = []
        """Processor time of each look, seconds."""

    def close(self) -> None:
        """Close the log and remove it."""
        for each in (self._log, self._rollups):
            if each is not None:
                each.close()
        for path in self._path.parent.glob(f"{self._path.name}*"):
            path.unlink()

    def look(self, now_ms: int) -> Present:
        """Write what has ended by a time, and look."""
        self._now_ms = now_ms
        self.written += write(self._path, self._until(now_ms))
        for path in (self._path, self._path.with_name(f"{self._path.name}-wal")):
            if path.exists():  # the file was written when its rows were
                os.utime(path, (now_ms / 1000, now_ms / 1000))
        if self._log is None or self._rollups is None:
            self._rollups = Rollups(self._path, now_ms=lambda: self._now_ms)
            self._log = LogReader(self._path)
        self._rollups.catch_up(float("inf"), limit=20_000)
        self._log.changed()
        began = time.process_time()
        *_, present = self._watch.steps(self._log, now_ms)
        self.took_s.append(time.process_time() - began)
        assert present is not None
        return present

    def _until(self, now_ms: int) -> Iterator[Row]:
        while self._next is not None and self._next[0] <= now_ms:
            yield self._next[1]
            self._next = next(self._rows, None)


@dataclass
class Told:
    """What was told of one incident."""

    kind: str
    seed: int
    rank: int
    """0: not among the first three at its end."""
    delay: int | None
    """Minutes from its start until it was told."""
    minutes: float
    looks: int
    claims: list[str]
    subjects: str
    start: str


def tell(kind: str, seed: int, folder: Path, days: float | None = None) -> Told | None:
    """Make a log with an incident, and look at it each minute from its start; None where nobody is busy enough.

    ``days`` is how long the log has been written; drawn if it is not given.
    """
    for number in range(12):
        rng = random.Random(f"{kind} {seed} {number}")
        programs = world(rng.randrange(10**9))
        now_ms = MONDAY_MS + rng.randrange(7 * 24 * 60) * MINUTE_MS
        hour = list(calls(programs, "drawn", now_ms - HOUR_MS, now_ms))
        if (incident := incidents.drawn(kind, hour, rng)) is not None:
            break
    else:
        return None
    known = days or rng.choice((0.15, 0.5, 1.2, 1.2))
    ordinary = calls(programs, f"{kind} {seed}", now_ms - int(known * DAY_MS), now_ms)
    source = random.Random(seed)
    rows = (each for row in ordinary for each in incident.effect(row, (now_ms - row["started_ms"]) / MINUTE_MS, source))
    looking = Looking(folder, rows)
    try:
        delay, present = None, None
        for minute in range(1, int(incident.minutes) + 1):
            at_ms = now_ms - int(incident.minutes - minute) * MINUTE_MS
            present = looking.look(at_ms)
            if delay is None and incident.told_by(present.changes, now_ms):
                delay = minute
        assert present is not None
        rank = incident.told_by(present.changes, now_ms)
        said = [sentence(each, now_ms) for each in present.changes[:3]]
        start_ms = now_ms - int(incident.minutes * MINUTE_MS)
        subjects = ", ".join(f"{dimension}={value}" for dimension, value in sorted(incident.subjects))
        return Told(
            kind, seed, rank, delay, incident.minutes, len(looking.took_s), said, subjects, clock(start_ms, now_ms)
        )
    finally:
        looking.close()


@dataclass
class Claimed:
    """What was claimed of one ordinary log."""

    kind: str
    seed: int
    days: float = 0.0
    looks: int = 0
    loud: int = 0
    """Looks that claimed something."""
    claims: list[str] = field(default_factory=list)
    look_s: float = 0.0
    rows: int = 0


def watch(kind: str, seed: int, folder: Path, days: float = 1.0) -> Claimed:
    """Make an ordinary log, and look at it each quarter of an hour."""
    quiet = ORDINARY[kind]
    rng = random.Random(f"{kind} {seed}")
    programs = world(rng.randrange(10**9))
    start_ms = MONDAY_MS + rng.randrange(7 * 24 * 60) * MINUTE_MS
    end_ms = start_ms + int(days * DAY_MS)
    effect, source = quiet.make(rng, end_ms), random.Random(seed)
    ordinary = calls(programs, f"{kind} {seed}", start_ms - int(quiet.known_days * DAY_MS), end_ms, quiet.scale)
    rows = (each for row in ordinary for each in effect(row, (end_ms - row["started_ms"]) / MINUTE_MS, source))
    looking, made, last = Looking(folder, rows), Claimed(kind, seed, days), dict[tuple[str, str, str], int]()
    try:
        for now_ms in range(start_ms, end_ms, LOOK_EVERY_MS):
            changes = looking.look(now_ms).changes
            made.looks += 1
            made.loud += bool(changes)
            for each in changes:
                key = each.dimension, each.value, each.figure
                if now_ms - last.get(key, 0) > NEW_AFTER_MS:
                    moment = time.strftime("%a %H:%M", time.gmtime(now_ms / 1000))
                    made.claims.append(f"{moment}  {sentence(each, now_ms)} [{each.dimension} z {each.z:.0f}]")
                last[key] = now_ms
        made.look_s, made.rows = statistics.median(looking.took_s), looking.written
        return made
    finally:
        looking.close()


def main() -> int:
    """Print a line a kind, what was missed or claimed falsely, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--incidents", action="store_true", help="incidents alone")
    parser.add_argument("--ordinary", action="store_true", help="ordinary traffic alone")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not options.ordinary:
            print_told([kind for kind in KINDS if not options.kinds or kind in options.kinds], seeds, folder)
        if not options.incidents:
            print_claimed([kind for kind in ORDINARY if not options.kinds or kind in options.kinds], seeds, folder)
    return 0


def print_told(kinds: list[str], seeds: range, folder: Path) -> None:
    """Make incidents and print what is told of them."""
    found: list[Told] = []
    for kind in kinds:
        of_kind = [told for seed in seeds if (told := tell(kind, seed, folder)) is not None]
        found += of_kind
        delays = [told.delay for told in of_kind if told.delay is not None]
        delay = f"{statistics.median(delays):.0f} min" if delays else "–"
        print(f"{kind:36} told {sum(told.rank > 0 for told in of_kind)} of {len(of_kind)}, after {delay}", flush=True)
        for told in of_kind:
            if not told.rank:
                print(f"    seed {told.seed}, since {told.start} ({told.minutes:.0f} min): {told.subjects}", flush=True)
                print("       ", " | ".join(told.claims) or "nothing", flush=True)
    if found:
        delays = [told.delay for told in found if told.delay is not None]
        first = sum(told.rank == 1 for told in found)
        told_of = f"told {sum(told.rank > 0 for told in found)} of {len(found)}, {first} of them first"
        print(f"{told_of}; median delay {statistics.median(delays):.0f} min", flush=True)


def print_claimed(kinds: list[str], seeds: range, folder: Path) -> None:
    """Watch ordinary traffic and print what is claimed of it."""
    found: list[Claimed] = []
    for kind in kinds:
        of_kind = [watch(kind, seed, folder) for seed in seeds]
        found += of_kind
        claims = [claim for each in of_kind for claim in each.claims]
        loud, looks = sum(each.loud for each in of_kind), sum(each.looks for each in of_kind)
        look_ms = statistics.median(each.look_s for each in of_kind) * 1000
        days, rows = sum(each.days for each in of_kind), sum(each.rows for each in of_kind)
        said = f"{len(claims)} claims in {days:g} days, {loud} of {looks} looks, {rows:,} rows, a look {look_ms:.0f} ms"
        print(f"{kind:28} {said}", flush=True)
        for each in of_kind:
            for claim in each.claims[:8]:
                print(f"    seed {each.seed}  {claim}", flush=True)
    if found:
        days = sum(each.days for each in found)
        print(f"{sum(len(each.claims) for each in found) / days:.2f} false claims a day over {days:g} days", flush=True)


if __name__ == "__main__":
    sys.exit(main())
