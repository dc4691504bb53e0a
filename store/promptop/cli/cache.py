"""Show what the response cache holds, look into an entry, forget entries; tell from a log what a cache would save.

The memory level lives inside each process and is not seen from here: these commands reach Redis and the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace

from promptop.cache import Cache, Key, MemoryLevel, open_cache
from promptop.cli import cache_simulate
from promptop.cli.options import add_settings_arguments, settings_of
from promptop.errors import PromptopError
from promptop.safe import clean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="stats|get|clear|expire|simulate")
    stats = verbs.add_parser("stats", help="entries, bytes and state of each level")
    stats.add_argument("--json", action="store_true", help="for programs")
    get = verbs.add_parser("get", help="print an answer by its key (column cache_key of the log)")
    get.add_argument("key", help="the key, hex")
    get.add_argument("--json", action="store_true", help="with what is known about it")
    clear = verbs.add_parser("clear", help="forget what matches every option; without one, everything")
    clear.add_argument("--key", default="", help="one entry")
    clear.add_argument("--model", default="", help="answers of this model")
    clear.add_argument("--prompt", default="", metavar="HASH", help="answers to this prompt")
    clear.add_argument("--tag", default="", help="answers with this tag")
    expire = verbs.add_parser("expire", help="forget what has expired")
    simulate = verbs.add_parser("simulate", help="what a cache would have saved of the log's calls; sends nothing")
    cache_simulate.add_arguments(simulate)
    for verb in (stats, get, clear, expire, simulate):
        add_settings_arguments(verb)


def run(args: argparse.Namespace) -> int:
    """Run one sub-command; a level that is out of use makes ``stats`` exit with 1."""
    settings = settings_of(args)
    if args.verb == "simulate":
        return cache_simulate.run(args, settings)
    cache = open_cache(replace(settings.cache, memory_mb=0), settings.log_path())
    try:
        if args.verb == "stats":
            return _stats(cache, args.json)
        if args.verb == "get":
            return _get(cache, args.key, args.json)
        if args.verb == "expire":
            print(f"{cache.expire()} expired entries removed")
            return 0
        count = cache.remove(digest=args.key, model=args.model, prompt=args.prompt, tag=args.tag)
        print(f"{count} entries removed")
        return 0
    finally:
        cache.close()


def _stats(cache: Cache, as_json: bool) -> int:
    found = cache.stats()
    if as_json:
        print(json.dumps([asdict(level) for level in found], indent=2))
    else:
        print(f"{'level':8} {'entries':>9} {'active':>9} {'expired':>9} {'bytes':>13}  state")
        for level in found:
            counts = f"{level.total:9,} {level.active:9,} {level.expired:9,} {level.bytes:13,}"
            print(f"{level.name:8} {counts}  {clean(level.state)}")
        if not found:
            print("no level that outlives a process is configured ([cache] redis, disk)")
    return 1 if any(level.state != "ok" for level in found) else 0


def _get(cache: Cache, digest: str, as_json: bool) -> int:
    hit = Cache([MemoryLevel(), *cache.levels]).look(Key(digest=digest, model="", prompt=""))
    if hit is None:
        raise PromptopError(f"The cache has no answer under {digest!r}.", "Keys stand in column cache_key of the log.")
    entry = hit.entry
    text = entry.body.decode("utf-8", "replace")
    if as_json:
        known = {name: value for name, value in asdict(entry).items() if name not in ("body", "marks")}
        print(json.dumps({"level": hit.level, **known, "body": text}, ensure_ascii=False, indent=2))
    else:
        print(clean(text) if sys.stdout.isatty() else text, end="" if text.endswith("\n") else "\n")
    return 0
