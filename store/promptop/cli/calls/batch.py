"""Send many prompts: OpenAI's batch format in and out, or a prompt file filled from a table.

Answers are written to OUT.journal as they arrive: after Ctrl-C, a kill or a failure the same command continues where it
stopped and pays for nothing twice. The cache is asked first.

Exit codes: 0 all answered, 1 some failed or the cap was reached, 2 usage error, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr_n
from promptop.batch.input import Item, columns_of, crossed, read_jsonl, read_table, routed
from promptop.batch.journal import Journal, journal_of
from promptop.batch.provider_runner import HALF
from promptop.batch.runner import Batch, Tally, estimate, kept_apart
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared import batch_provider
from promptop.cli.shared.confirmation import refuse_existing
from promptop.cli.shared.money import gate_of
from promptop.cli.shared.options import settings_of, settings_options
from promptop.cli.shared.prompt_input import ROLES, notes_of, prompt_given, tell_notes
from promptop.limits.limiter import RateLimits
from promptop.routing.policy import policy_of as routing_policy

INTERRUPTED = 130
LISTED = 5
"""Failures that are named at the end; all of them are in the output."""


EXAMPLES = (
    "promptop batch requests.jsonl -o answers.jsonl",
    "promptop batch table.csv --prompt classify.md -m gpt-4o-mini -o answers.jsonl --max-usd 1",
    "promptop batch table.csv --prompt classify.md -m gpt-4o-mini -o answers.jsonl --dry-run",
)


def parameters() -> Parameters:
    """Declare the options."""
    return [
        argument("input", type=Path, metavar="IN", help="requests (JSONL), or with --prompt a table (CSV, JSONL)"),
        option("-o", "--output", type=Path, required=True, metavar="OUT", help="answers, one JSON line each"),
        option(
            "--prompt",
            many=True,
            type=Path,
            metavar="FILE",
            help="prompt whose {{columns}} are filled from IN; repeatable: each prompt with each row",
        ),
        option("--role", default="", choices=ROLES, help="role of prompts without role lines (user)"),
        flag("--strict", help="refuse a prompt of which anything is unfilled"),
        option("-m", "--model", complete=models_known, default="", help="model of requests that name none"),
        flag("--route", help="ask the models that [routing] of the settings names (also where it is on there)"),
        option("--max-tokens", type=int, metavar="N", help="limit of output tokens for requests that set none"),
        option("--temperature", type=float, metavar="T", help="temperature for requests that set none"),
        option("--concurrency", type=int, default=10, metavar="N", help="requests at a time (default 10)"),
        option("--rpm", type=int, metavar="N", help="requests a minute at most"),
        option("--tpm", type=int, metavar="N", help="tokens a minute at most"),
        option("--max-usd", old=["--cap"], type=float, metavar="USD", help="start no request that could pass this sum"),
        option("--retries", type=int, default=2, metavar="N", help="further attempts of a request (default 2)"),
        flag("--no-cache", help="ask the endpoint even where the answer is known"),
        flag("--force", help="replace a file that exists (an unfinished batch continues without it)"),
        flag("--dry-run", help="check the input and price it; send nothing"),
        flag("--json", help="print the summary as JSON on stdout"),
        *batch_provider.parameters(),
        *settings_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Run the batch and return the exit code."""
    for name in ("concurrency", "rpm", "tpm"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value} is not valid.", "Write a number above 0.")
    if not journal_of(args.output).exists():  # else this goes on with what an earlier run began
        refuse_existing(args.output, force=args.force or args.dry_run)
    settings = settings_of(args, sends=not args.dry_run)
    items = _items(args)
    if args.route or settings.routing.on:
        items = routed(items, routing_policy(settings), "promptop batch")
        for line in _decisions(items):
            print(line, file=sys.stderr)
    profile = settings.active_profile()
    most = estimate(items, profile)
    note = f"; {len(most.open)} of them unpriced" if most.open else ""
    at_provider = args.provider_batch or args.cancel or args.no_wait
    share = HALF if at_provider else 1.0
    known = f"at most ≈ {units.usd(most.usd * share)}" if most.usd is not None else "no known price"
    print(f"{len(items):,} requests, {known}{' through the batch API' if at_provider else ''}{note}", file=sys.stderr)
    if args.dry_run:
        return 0
    gate = gate_of(settings, args.max_usd)
    gate.check(0.0, most.why)
    if at_provider:
        progress = _Progress()
        return batch_provider.run_provider(
            args, settings, items, gate, show=progress.show, end=progress.end, report=_report
        )
    from promptop.cache import open_cache, policy_of, redis_url
    from promptop.limits.redis_limiter import SharedLimits

    def notice(text: str) -> None:
        print(f"\n{text}", file=sys.stderr)

    cache = None if args.no_cache else open_cache(settings.cache, settings.log_path(), notice=notice)
    policy = policy_of(settings.cache)
    for why, count in kept_apart(items, profile, policy) if cache is not None else ():
        print(f"The cache keeps no answer of {count:,} of them: {why}.", file=sys.stderr)
    limits = RateLimits(args.concurrency, args.rpm, args.tpm)
    redis = redis_url(settings.cache)
    journal = Journal(args.output)
    progress = _Progress()
    batch = Batch(
        items,
        profile,
        journal,
        limits=limits,
        shared=(
            lambda model: SharedLimits(
                redis, f"{profile.base_url} {model}", limits, prefix=settings.cache.redis_prefix, notice=notice
            )
        )
        if redis
        else None,
        gate=gate,
        retries=args.retries,
        transport={"log": settings.log_path(), "app": "promptop batch", "bodies": settings.log.bodies},
        cache=cache,
        policy=policy if cache is not None else None,
        on_progress=progress.show,
    )
    try:
        interrupted = not asyncio.run(_until_interrupted(batch))
        progress.end()
        written = journal.write_output(items)
    finally:
        if cache is not None:
            cache.close()
    tally = batch.tally
    finished = not interrupted and not tally.left and not tally.failed
    failures = journal.failures(items, LISTED)
    journal.close(remove=finished)
    _report(tally, args, written, interrupted, failures)
    return INTERRUPTED if interrupted else 0 if finished else 1


def _decisions(items: Sequence[Item]) -> list[str]:
    """Tell how many requests go to which model, the most first."""
    counts = Counter((each.decision.asked, each.decision.model) for each in items if each.decision is not None)
    return [
        tr_n(
            "{n:,} request: {models}",
            "{n:,} requests: {models}",
            n,
            models=clean_line(asked if asked == model else f"{asked} → {model}", 120),
        )
        for (asked, model), n in counts.most_common()
    ]


async def _until_interrupted(batch: Batch) -> bool:
    """Run the batch; a first Ctrl-C stops it in order. Returns whether it came to its end."""
    task = asyncio.create_task(batch.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True


def _items(args: ParsedArguments) -> list[Item]:
    defaults: dict[str, Any] = {}
    if args.max_tokens is not None:
        defaults["max_tokens"] = args.max_tokens
    if args.temperature is not None:
        defaults["temperature"] = args.temperature
    if not args.prompt:
        return read_jsonl(args.input, model=args.model, defaults=defaults)
    made: list[list[Item]] = []
    prompts = []
    for path in args.prompt:
        prompt = prompt_given(str(path), role=args.role)
        prompts.append(prompt)
        made.append(read_table(args.input, prompt, model=args.model or prompt.model or "", defaults=defaults))
    columns = dict.fromkeys(columns_of(args.input), "")
    notes = notes_of(prompts, {**columns, **{name: "" for prompt in prompts for name in prompt.variables}})
    tell_notes([note for note in notes if not note.is_about_values], strict=args.strict)
    return made[0] if len(made) == 1 else crossed([path.stem for path in args.prompt], made)


class _Progress:
    """One line on a terminal, rewritten ten times a second at most; a line per tenth of the work elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = 0.0
        self._tenth = 0

    def show(self, tally: Tally) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if self._terminal:
            if now - self._last >= 0.1 or not tally.left:
                self._last = now
                print(f"\r\x1b[K{_line(tally)}", end="", file=sys.stderr, flush=True)
            return
        tenth = (tally.total - tally.left) * 10 // tally.total
        if tenth > self._tenth:
            self._tenth = tenth
            print(_line(tally), file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line as it is."""
        if self._terminal:
            print(file=sys.stderr)


def _line(tally: Tally) -> str:
    ended = tally.total - tally.left + tally.remote
    bar = "█" * (ended * 20 // tally.total)
    eta = f" · {tally.eta_s:.0f} s left" if tally.left and tally.eta_s is not None else ""
    failed = f" · ✗ {tally.failed}" if tally.failed else ""
    cached = f" · {tally.cached} from the cache" if tally.cached else ""
    remote = f" · at the provider: {clean_line(tally.state, 60)}, {tally.remote} done" if tally.state else ""
    spent = f"{'≈ ' * tally.estimated}{units.usd(tally.spent_usd)}"
    return f"{bar:░<20} {ended}/{tally.total}{failed}{cached}{remote} · {spent}{eta}"


def _report(tally: Tally, args: ParsedArguments, written: int, interrupted: bool, failures: list[str]) -> None:
    if args.json:
        values = {
            "total": tally.total,
            "answered": tally.done + tally.resumed,
            "resumed": tally.resumed,
            "failed": tally.failed,
            "left": tally.left,
            "cached": tally.cached,
            "spent_usd": tally.spent_usd,
            "saved_usd": tally.saved_usd,
            "unpriced": tally.unpriced,
            "cost_status": "estimated" if tally.estimated else "table",
            "waited_s": round(tally.waited_s, 3),
            "duration_s": round(time.monotonic() - tally.started_s, 3),
        }
        print(json.dumps(values))
    saved = f", saved {units.usd(tally.saved_usd)}" if tally.saved_usd else ""
    waited = f", waited {tally.waited_s:.1f} s for the limits" if tally.waited_s >= 0.1 else ""
    spent = f"{'≈ ' * tally.estimated}{units.usd(tally.spent_usd)}"
    if tally.estimated:
        spent += " (half the table's price, which lists none for batches)"
    print(f"{written} results in {clean_line(str(args.output))}; {spent}{saved}{waited}", file=sys.stderr)
    if tally.capped:
        print(f"A cap ended it with {tally.left} to go. {clean_line(tally.over_cap, 400)}", file=sys.stderr)
    if tally.failed:
        for line in failures:
            print(f"  ✗ {clean_line(line, 200)}", file=sys.stderr)
        print(f"{tally.failed} failed: field error of their lines says why.", file=sys.stderr)
    if interrupted or tally.left or tally.failed:
        print("The same command goes on from here and pays for nothing twice.", file=sys.stderr)
