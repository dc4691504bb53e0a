"""What a cache of each TTL and size would have saved of the calls in a log; nothing is sent."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.times import lifetime, moment_ms
from promptop.cache import policy_of
from promptop.cache.simulation import RequestHistory, Variant, VariantOutcome, history, simulate, vectors
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option
from promptop.cli.shared.options import require_logs
from promptop.log import LogReader, StoredRow, parse_filter
from promptop.log.transfer.exports import rows_of
from promptop.settings import Settings

_TTLS = ("5m", "1h", "24h", "none")


def parameters() -> Parameters:
    """Declare the options, without those of the settings."""
    return [
        option("--since", metavar="WHEN", help="24h, 7d, today, 2026-11-21T09:30 … (default: the whole log)"),
        option("--until", default="now", metavar="WHEN", help="end of the window (default: now)"),
        option("--filter", default="", metavar="TERMS", help="only these calls, for example 'app:web'"),
        option("--ttl", many=True, metavar="TIME", help="5m, 1h, none …; repeatable (default: 5m, 1h, 24h, none)"),
        option("--size", many=True, type=int, metavar="N", help="most entries; repeatable (default: no limit)"),
        option(
            "--threshold",
            many=True,
            type=float,
            metavar="T",
            help="similarity from which another wording's answer is given, 0 … 1; repeatable (needs kept prompts)",
        ),
        flag("--any-temperature", help="count sampled answers as cacheable too (default: settings)"),
        flag("--json", help="for programs"),
    ]


def run(args: ParsedArguments, settings: Settings) -> int:
    """Print what each variant would have done."""
    thresholds = _thresholds(args.threshold)
    variants = [
        Variant(lifetime(text, "--ttl"), size, threshold)
        for text in args.ttl or _TTLS
        for size in _sizes(args.size)
        for threshold in thresholds
    ]
    policy = policy_of(settings.cache)
    if args.any_temperature:
        policy = replace(policy, any_temperature=True)
    path = settings.log_path()
    if args.log is not None:
        require_logs([path])
    now_ms = time.time_ns() // 1_000_000
    until = moment_ms(args.until, now_ms) + (args.until == "now")
    since = moment_ms(args.since, until) if args.since else 0
    with LogReader(path) as reader:
        body_of = _bodies(reader) if args.threshold else None
        found = history(rows_of(reader, parse_filter(args.filter), since, until), policy, body_of)
    known = _vectors(found) if args.threshold and found.asked else {}
    outcomes = simulate(found.asked, variants, known)
    print(_json(found, outcomes) if args.json else _table(found, outcomes))
    return 0


def _thresholds(given: list[float] | None) -> list[float | None]:
    for threshold in given or ():
        if not 0 < threshold <= 1:
            raise UsageError(f"--threshold {threshold} is not valid.", "Write a similarity above 0, at most 1.")
    return [None, *given] if given else [None]


def _bodies(reader: LogReader) -> Callable[[StoredRow], str | None]:
    """Return what reads the request of a row, where the log has kept it."""
    from promptop.log.write.bodies import read_body

    def body_of(row: StoredRow) -> str | None:
        body = read_body(reader.paths[row.source], row.id)
        return body.request if body is not None else None

    return body_of


def _vectors(found: RequestHistory) -> dict[str, bytes]:
    """Return the vectors of the prompts that the log has kept, made here; raise for what is missing."""
    from promptop.cache.semantic.embedding import LocalEmbedder

    if not found.worded:
        raise UsageError(
            f"The log has kept the prompt of none of these {len(found.asked):,} calls, so that none can be compared.",
            'Keep prompts from now on: bodies = "full" in [log], or --bodies full of proxy and watch.',
        )

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[Kvectors: {done:,} of {total:,}", end="\n" * (done == total), file=sys.stderr, flush=True)

    return vectors(found.asked, LocalEmbedder(), show)


def _sizes(given: list[int] | None) -> list[int | None]:
    for size in given or ():
        if size < 1:
            raise UsageError(f"--size {size} is not valid.", "Write how many entries the cache may hold, 1 or more.")
    return [*given] if given else [None]


def _json(found: RequestHistory, outcomes: list[VariantOutcome]) -> str:
    asked = found.asked
    values: dict[str, Any] = {
        "window": {"from": _iso(asked[0].at_ms), "to": _iso(asked[-1].at_ms)} if asked else None,
        "requests": len(asked) + found.refused.total(),
        "cacheable": len(asked),
        "exact_keys": found.exact,
        "prompts": found.worded,
        "refused": dict(found.refused.most_common()),
        "cost_usd": found.spent_usd,
        "simulated": found.simulated,
        "variants": [
            {
                "ttl_s": outcome.variant.ttl_s,
                "max_entries": outcome.variant.max_entries,
                "threshold": outcome.variant.threshold,
                "similar": outcome.similar,
                "hits": outcome.hits,
                "misses": outcome.asked - outcome.hits,
                "ratio": outcome.ratio,
                "saved_usd": outcome.saved_usd,
                "unpriced": outcome.unpriced,
                "most_entries": outcome.most_entries,
            }
            for outcome in outcomes
        ],
    }
    return json.dumps(values, indent=2)


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _table(found: RequestHistory, outcomes: list[VariantOutcome]) -> str:
    asked, refused = found.asked, found.refused
    lines = []
    if found.simulated:
        lines.append("Simulated traffic is among these calls.")
    if not asked and not refused:
        return "There are no calls in this window."
    if asked:
        first, last = (datetime.fromtimestamp(each.at_ms / 1000) for each in (asked[0], asked[-1]))
        window = f", {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} (local)"
        lines.append(f"{len(asked):,} calls could be asked of a cache; they cost {units.usd(found.spent_usd)}{window}")
    if refused:
        why = "; ".join(f"{count:,} {reason}" for reason, count in refused.most_common())
        lines.append(f"{refused.total():,} could not: {why}")
    if not asked:
        return "\n".join(lines)
    if found.exact < len(asked):
        lines.append(f"{len(asked) - found.exact:,} are told apart by what is logged of them: an upper bound")
    wordings = any(outcome.variant.threshold is not None for outcome in outcomes)
    if wordings and found.worded < len(asked):
        lines.append(f"{found.worded:,} have their prompt in the log and can be compared by meaning")
    by_meaning = f" {'threshold':>9} {'similar':>8}" if wordings else ""
    lines.append(f"{'ttl':>7} {'size':>9}{by_meaning} {'hits':>9} {'ratio':>7} {'saved':>10} {'entries':>9}")
    for outcome in outcomes:
        variant = outcome.variant
        size = "any" if variant.max_entries is None else f"{variant.max_entries:,}"
        unpriced = f"  ({outcome.unpriced:,} hits unpriced)" if outcome.unpriced else ""
        lines.append(
            f"{_length(variant.ttl_s):>7} {size:>9}{_meaning(outcome, wordings)} {outcome.hits:>9,} "
            f"{units.share(outcome.ratio):>7} {units.usd(outcome.saved_usd):>10} "
            f"{outcome.most_entries:>9,}{unpriced}"
        )
    return "\n".join(lines)


def _meaning(outcome: VariantOutcome, shown: bool) -> str:
    if not shown:
        return ""
    threshold = outcome.variant.threshold
    return f" {'off' if threshold is None else f'{threshold:g}':>9} {outcome.similar:>8,}"


def _length(ttl_s: float | None) -> str:
    """Return a TTL as it would be typed."""
    if ttl_s is None:
        return "none"
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if ttl_s >= size and ttl_s % size == 0 and not (unit == "d" and ttl_s == size):
            return f"{ttl_s / size:g}{unit}"
    return f"{ttl_s:g}s"
