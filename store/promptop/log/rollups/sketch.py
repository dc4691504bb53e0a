"""A mergeable distribution of durations: logarithmic buckets, every quantile within 1 %.

A value lies in bucket ``1 + floor(log(µs) / log(γ))`` with γ = (1 + a) / (1 - a), and the bucket's middle is off by at
most ``a``. Counts, sums and maxima are integers, so merging is exact, commutative and associative: a sketch made of
parts equals the sketch of all values. A dict of counts has ddsketch's error, adds twice as fast and takes a third of
its bytes. Parts that came from disk are decoded when a quantile is asked for, which for most groups is never.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence

ACCURACY = 0.0095
"""Largest relative error of a bucket's middle; below 1 % so that rounding to microseconds stays inside it."""

_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
PER_LOG = 1 / math.log(_GAMMA)
_MIDDLE = 2 / (1 + _GAMMA)
LONGEST_US = 10**12
"""Durations above 11 days are clock faults; they are counted as 11 days so that sums fit 64 bits."""
_SWAP = sys.byteorder == "big"
_log = math.log


def bucket_of(microseconds: float) -> int:
    """Return the bucket of a duration in microseconds; 0 holds everything below one microsecond."""
    return 0 if microseconds < 1 else 1 + int(_log(microseconds) * PER_LOG)


def middle_of(bucket: int) -> float:
    """Return the value, in seconds, that stands for every value of a bucket."""
    return 0.0 if bucket == 0 else _GAMMA**bucket * _MIDDLE / 1e6


class Sketch:
    """Distribution of durations in seconds: ``n``, ``mean`` and ``max`` exact to the microsecond, quantiles in 1 %."""

    __slots__ = ("_counts", "_parts", "max_us", "n", "sum_us")

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.n = 0
        self.sum_us = 0
        self.max_us = 0
        self._counts: dict[int, int] = {}
        self._parts: list[bytes] = []
        for value in values:
            self.add(value)

    @classmethod
    def stored(cls, n: int, sum_us: int, max_us: int, blob: bytes | None) -> Sketch:
        """Return the sketch that :meth:`blob` and the three integers describe, without decoding it yet."""
        sketch = cls()
        if n:
            sketch.n, sketch.sum_us, sketch.max_us = n, sum_us, max_us
            if blob:
                sketch._parts.append(blob)
        return sketch

    @classmethod
    def counted(cls, n: int, sum_us: int, max_us: int, buckets: dict[int, int]) -> Sketch:
        """Return the sketch of three integers and the counts by :func:`bucket_of`."""
        sketch = cls()
        sketch.n, sketch.sum_us, sketch.max_us, sketch._counts = n, sum_us, max_us, buckets
        return sketch

    def add(self, seconds: float) -> None:
        """Count one duration in seconds; NaN is left out, negative ones are clock faults and count as 0."""
        us = seconds * 1e6
        if not 0 <= us <= LONGEST_US:
            if math.isnan(us):
                return
            us = 0.0 if us < 0 else float(LONGEST_US)
        whole = round(us)
        self.n += 1
        self.sum_us += whole
        self.max_us = max(self.max_us, whole)
        counts = self._counts
        bucket = 0 if us < 1 else 1 + int(_log(us) * PER_LOG)
        counts[bucket] = counts.get(bucket, 0) + 1

    def copy(self) -> Sketch:
        """Return an equal sketch."""
        sketch = Sketch.__new__(Sketch)
        sketch.n, sketch.sum_us, sketch.max_us = self.n, self.sum_us, self.max_us
        sketch._counts, sketch._parts = self._counts.copy(), self._parts.copy()
        return sketch

    def merge(self, other: Sketch) -> None:
        """Add everything that ``other`` has counted."""
        if not other.n:
            return
        self.n += other.n
        self.sum_us += other.sum_us
        if other.max_us > self.max_us:  # noqa: PLR1730 - max() takes three times as long
            self.max_us = other.max_us
        if other._parts:
            self._parts.extend(other._parts)
        counts = self._counts
        for bucket, count in other._counts.items():
            counts[bucket] = counts.get(bucket, 0) + count

    def merge_stored(self, n: int, sum_us: int, max_us: int, blob: bytes | None) -> None:
        """Add a stored sketch without decoding it."""
        if n:
            self.n += n
            self.sum_us += sum_us
            self.max_us = max(self.max_us, max_us)
            if blob:
                self._parts.append(blob)

    @property
    def mean(self) -> float | None:
        """Mean in seconds, or None if nothing was counted."""
        return self.sum_us / self.n / 1e6 if self.n else None

    @property
    def max(self) -> float | None:
        """Largest value in seconds, or None if nothing was counted."""
        return self.max_us / 1e6 if self.n else None

    def quantile(self, q: float) -> float | None:
        """Return the ``q``-quantile (0 … 1) in seconds by inclusive linear interpolation, or None if n is 0."""
        return self.quantiles((q,))[0]

    def quantiles(self, qs: Sequence[float]) -> tuple[float | None, ...]:
        """Return several quantiles, given in ascending order, in one pass."""
        if not self.n:
            return (None,) * len(qs)
        counts = self._decoded()
        order = sorted(counts)
        ceiling = (self.max_us + 1) / 1e6
        out: list[float | None] = []
        position, seen = 0, counts[order[0]]
        for q in qs:
            rank = q * (self.n - 1)
            low = math.floor(rank)
            while seen <= low and position + 1 < len(order):
                position += 1
                seen += counts[order[position]]
            value = min(middle_of(order[position]), ceiling)
            if rank > low and seen <= low + 1 and position + 1 < len(order):
                following = min(middle_of(order[position + 1]), ceiling)
                value += (rank - low) * (following - value)
            out.append(value)
        return tuple(out)

    def buckets(self) -> Iterator[tuple[float, int]]:
        """Yield (seconds, count) in ascending order, for a histogram."""
        counts = self._decoded()
        for bucket in sorted(counts):
            yield middle_of(bucket), counts[bucket]

    def blob(self) -> bytes:
        """Return the buckets as bytes: a type code, the bucket numbers (16 bits), the counts (16, 32 or 64 bits)."""
        counts = self._decoded()
        if not counts:
            return b""
        if len(counts) == 1:  # most sums of a minute have one row
            ((bucket, count),) = counts.items()
            if count < 1 << 16:
                return b"H" + bucket.to_bytes(2, "little") + count.to_bytes(2, "little")
        order = sorted(counts)
        numbers = [counts[bucket] for bucket in order]
        largest = max(numbers)
        code = "H" if largest < 1 << 16 else "I" if largest < 1 << 32 else "Q"
        keys, values = array("H", order), array(code, numbers)
        if _SWAP:
            keys.byteswap()
            values.byteswap()
        return code.encode() + keys.tobytes() + values.tobytes()

    def _decoded(self) -> dict[int, int]:
        counts = self._counts
        if not self._parts:
            return counts
        if not counts:
            counts = self._counts = dict(zip(*_arrays(self._parts.pop()), strict=True))
        get = counts.get
        for blob in self._parts:
            keys, values = _arrays(blob)
            for bucket, count in zip(keys, values, strict=True):
                counts[bucket] = get(bucket, 0) + count
        self._parts = []
        return counts

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sketch):
            return NotImplemented
        return (self.n, self.sum_us, self.max_us, self._decoded()) == (
            other.n,
            other.sum_us,
            other.max_us,
            other._decoded(),
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Sketch(n={self.n}, mean={self.mean}, max={self.max})"


def _arrays(blob: bytes) -> tuple[array[int], array[int]]:
    code = chr(blob[0])
    width = {"H": 2, "I": 4, "Q": 8}[code]
    size = (len(blob) - 1) // (2 + width)
    keys, values = array("H"), array(code)
    keys.frombytes(blob[1 : 1 + 2 * size])
    values.frombytes(blob[1 + 2 * size :])
    if _SWAP:
        keys.byteswap()
        values.byteswap()
    return keys, values
