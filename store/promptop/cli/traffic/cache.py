"""The response cache: what it holds, one entry, clearing it, and what a cache would save on the calls of a log.

The memory level lives inside each process and cannot be seen from here; these commands read Redis and the file.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from promptop.base import units
from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.cache import Cache, CacheKey, MemoryLevel, open_cache
from promptop.cli.command_line.command import Command, verb
from promptop.cli.command_line.declare import ParsedArguments, argument, flag, option
from promptop.cli.shared.confirmation import confirm
from promptop.cli.shared.options import settings_of, settings_options
from promptop.cli.traffic import cache_simulate

EXAMPLES = (
    "promptop cache stats",
    "promptop cache get 3f2a --json",
    "promptop cache clear --model gpt-4o-mini",
    "promptop cache expire",
    "promptop cache simulate --since 7d --ttl 1h",
)


def verbs() -> list[Command]:
    """Declare the sub-commands."""
    return [
        verb(
            "stats", "entries, bytes and state of each level", flag("--json", help="for programs"), *settings_options()
        ),
        verb(
            "get",
            "print an answer by its key (column cache_key of the log)",
            argument("key", help="the key, hex"),
            flag("--json", help="with what is known about it"),
            *settings_options(),
        ),
        verb(
            "clear",
            "forget what matches every option; without one, everything",
            option("--key", default="", help="one entry"),
            option("--model", default="", help="answers of this model"),
            option("--prompt", default="", metavar="HASH", help="answers to this prompt"),
            option("--tag", default="", help="answers with this tag"),
            flag("--yes", help="do not ask before everything is forgotten"),
            *settings_options(),
        ),
        verb("expire", "forget what has expired", *settings_options()),
        verb(
            "simulate",
            "what a cache would have saved of the log's calls; sends nothing",
            *cache_simulate.parameters(),
            *settings_options(),
        ),
    ]


def run(args: ParsedArguments) -> int:
    """Run one sub-command; a level that is out of use makes ``stats`` exit with 1."""
    # What the file says of Redis must hold: with another address in its place, clear would clear nothing and say so.
    settings = settings_of(args, sends=args.verb != "simulate")
    if args.verb == "simulate":
        return cache_simulate.run(args, settings)
    kept = settings.cache.semantic_keep != "memory"
    only = replace(settings.cache, memory_mb=0, semantic=settings.cache.semantic if kept else "off")
    cache = open_cache(only, settings.log_path())
    try:
        if args.verb == "stats":
            return _stats(cache, settings.log_path(), args.json)
        if args.verb == "get":
            return _get(cache, settings.log_path(), args.key, args.json)
        if args.verb == "expire":
            print(f"{cache.expire()} expired entries removed")
            return 0
        chosen = args.key or args.model or args.prompt or args.tag
        if not chosen and not confirm("Forget every answer of the cache?", yes=args.yes):
            return 1
        count = cache.remove(digest=args.key, model=args.model, prompt=args.prompt, tag=args.tag)
        print(f"{count} entries removed")
        return 0
    finally:
        cache.close()


def _stats(cache: Cache, log: Path, as_json: bool) -> int:
    found = cache.stats()
    lookups, hits = _logged(log)
    names = [level.name for level in found]
    others = [name for name in hits if name not in names]
    if as_json:
        values: list[dict[str, Any]] = [
            {**asdict(level), "hits": hits.get(level.name, 0), "misses": lookups - hits.get(level.name, 0)}
            for level in found
        ]
        unseen = dict.fromkeys(("total", "active", "expired", "bytes"))
        values += [
            {"name": name, **unseen, "hits": hits[name], "misses": lookups - hits[name], "state": _UNSEEN}
            for name in others
        ]
        for value in values:
            value["ratio"] = value["hits"] / lookups if lookups else None
        print(json.dumps(values, indent=2))
    else:
        print(f"{'level':8} {'entries':>9} {'active':>9} {'expired':>9} {'bytes':>13} {'hits':>9} {'ratio':>7}  state")
        for level in found:
            counts = f"{level.total:9,} {level.active:9,} {level.expired:9,} {level.bytes:13,}"
            print(f"{level.name:8} {counts} {_hits(hits.get(level.name, 0), lookups)}  {clean(level.state)}")
        for name in others:
            blank = f"{units.UNKNOWN:>9} {units.UNKNOWN:>9} {units.UNKNOWN:>9} {units.UNKNOWN:>13}"
            print(f"{name:8} {blank} {_hits(hits[name], lookups)}  {_UNSEEN}")
        if not found:
            print("no level that outlives a process is configured ([cache] redis, disk)")
        print(f"hits and ratio: of the {lookups:,} look-ups in the log")
    return 1 if any(level.state != "ok" for level in found) else 0


_UNSEEN = "lies in each process"


def _logged(log: Path) -> tuple[int, dict[str, int]]:
    """Return the look-ups that the log holds and the hits of each level."""
    if not log.exists():
        return 0, {}
    from promptop.log import LogReader

    with LogReader(log) as reader:
        total = reader.window(0, time.time_ns() // 1_000_000 + 1, by=()).total
    return total.lookups, total.hits_by_level


def _hits(count: int, lookups: int) -> str:
    return f"{count:9,} {units.share(count / lookups if lookups else None):>7}"


def _get(cache: Cache, log: Path, digest: str, as_json: bool) -> int:
    # The levels alone: a look through the cache itself would copy what it finds.
    levels = Cache([MemoryLevel(), *cache.levels])
    hit, match = levels.look(CacheKey(digest=digest, model="", prompt="")), _matched(log, digest)
    if hit is None and match is not None:
        hit = levels.look(CacheKey(digest=match[0], model="", prompt=""))
    if hit is None:
        raise PromptopError(f"The cache has no answer under {digest!r}.", "Keys stand in column cache_key of the log.")
    entry = hit.entry
    text = entry.body.decode("utf-8", "replace")
    found = match[0] if match is not None else digest
    asked = cache.semantic.memory.text_of(found) if cache.semantic is not None else ""
    if as_json:
        known = {name: value for name, value in asdict(entry).items() if name not in ("body", "marks")}
        more = {"match": match[0], "score": match[1]} if match is not None else {"match": None, "score": None}
        values = {"level": hit.level, **known, **more, "prompt_text": asked or None, "body": text}
        print(json.dumps(values, ensure_ascii=False, indent=2))
        return 0
    if match is not None:
        print(f"The answer to another wording: key {match[0]}, similarity {match[1]:.3f}", file=sys.stderr)
    if asked:
        print(f"asked: {clean(asked)}", file=sys.stderr)
    print(clean(text) if sys.stdout.isatty() else text, end="" if text.endswith("\n") else "\n")
    return 0


def _matched(log: Path, digest: str) -> tuple[str, float] | None:
    """Return the key and similarity of the other wording that answered a logged request; None if none did."""
    if not log.exists() or not digest.isalnum():
        return None
    from promptop.log import LogReader

    with LogReader(log) as reader:
        rows = reader.latest(1, where=f"key:{digest} cache:semantic")
    if not rows or rows[0].cache_match is None:
        return None
    return rows[0].cache_match, rows[0].cache_score or 0.0
