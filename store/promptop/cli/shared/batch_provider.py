"""``promptop batch --provider-batch``: the same input and output through the provider's own batch API.

Ctrl-C leaves the batch where it is; the same command waits for it again and collects it, ``--cancel`` stops it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from promptop.base.sanitize import clean_line
from promptop.batch.input import Item
from promptop.batch.journal import Journal
from promptop.batch.provider_api import BatchApi
from promptop.batch.provider_runner import FIRST_POLL_S, ProviderBatch
from promptop.batch.provider_state import ProviderState
from promptop.batch.runner import Tally
from promptop.budget.gate import Gate
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, group, option
from promptop.settings import Settings

INTERRUPTED = 130


def parameters() -> Parameters:
    """Declare the options."""
    return [
        *group(
            "the provider's own batch API (OpenAI's /files and /batches)",
            flag("--provider-batch", help="send it as one batch: about half the price, within 24 hours"),
            flag("--no-wait", help="submit and leave; the same command collects later"),
            flag("--cancel", help="stop the batches of OUT and collect what they answered"),
            option(
                "--poll",
                type=float,
                default=FIRST_POLL_S,
                metavar="S",
                help="first pause between looks, seconds (2; grows to 60)",
            ),
        ),
    ]


def run_provider(
    args: ParsedArguments,
    settings: Settings,
    items: list[Item],
    gate: Gate,
    *,
    show: Callable[[Tally], None],
    end: Callable[[], None],
    report: Callable[..., None],
) -> int:
    """Run, resume or cancel a batch at the provider, and return the exit code."""
    from promptop.cache import open_cache, policy_of
    from promptop.log import writer_for

    def notice(text: str) -> None:
        print(f"\n{clean_line(text, 400)}", file=sys.stderr)

    profile = settings.active_profile()
    api = BatchApi(profile)
    state = ProviderState(args.output, api.base_url)
    journal = Journal(args.output)
    cache = None if args.no_cache else open_cache(settings.cache, settings.log_path(), notice=notice)
    log = writer_for(settings.log_path())
    batch = ProviderBatch(
        items,
        api,
        journal,
        state,
        gate=gate,
        cache=cache,
        policy=policy_of(settings.cache) if cache is not None else None,
        log=log,
        poll_s=args.poll,
        on_progress=show,
        notice=notice,
    )
    stop = threading.Event()
    finished = False
    try:
        with _stopped_by_signals(stop):
            if args.cancel:
                count = batch.cancel()
                print(f"{count} batch{'es' * (count != 1)} asked to stop", file=sys.stderr)
                only = {digest for part in state.parts for digest in part.items.values()}
                batch.items = [item for item in items if item.digest in only]
            tally = batch.run(stop.wait, submit_only=args.no_wait)
        end()
        written = journal.write_output(items)
        interrupted = stop.is_set() and bool(state.parts)
        finished = not state.parts and not tally.left and not tally.failed and not args.cancel
        report(tally, args, written, interrupted, journal.failures(items, 5))
        _tell_parts(state, args.output)
        return INTERRUPTED if interrupted else 0 if finished else 1
    finally:
        if cache is not None:
            cache.close()
        log.flush(5)
        journal.close(remove=finished)
        api.close()


def _tell_parts(state: ProviderState, out: Path) -> None:
    for part in state.parts:
        total, done, failed = (*part.counts, 0, 0, 0)[:3]
        counted = f", {done + failed:,} of {total or len(part.items):,} worked through" if part.counts else ""
        print(f"{part.batch_id}: {part.status or 'sent'}{counted}; it goes on at the provider", file=sys.stderr)
    if state.parts:
        print(f"The same command collects into {clean_line(str(out))}; with --cancel it stops them.", file=sys.stderr)


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C and a termination end the waiting, not the program."""
    before: dict[int, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, lambda *_: stop.set())
    try:
        yield
    finally:
        for known, action in before.items():
            signal.signal(known, action)
