"""Many prompts from a file, over the playground: what it may cost, how far it is, what it has cost.

The batch runs on a thread with a loop of its own; that thread touches no widget. A timer looks at its tally five times
a second, and its end comes as a message. Answers are kept as they come, so that a stopped batch goes on where it was.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input

from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.batch.input import Item, read_jsonl, read_table
from promptop.batch.journal import Journal
from promptop.batch.provider_runner import HALF
from promptop.batch.provider_state import ProviderState
from promptop.batch.runner import Batch, Tally, estimate, kept_apart
from promptop.cache import open_cache, policy_of, redis_url
from promptop.client.http.endpoints import base_url_of
from promptop.client.targets import Target, parse_target
from promptop.limits.limiter import RateLimits
from promptop.limits.redis_limiter import SharedLimits
from promptop.prompts.reader import prompt_from
from promptop_tui.context import AppContext
from promptop_tui.playground.measure import batch_provider
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.form_modal import FormField, FormModal

APP = "promptop batch"
"""Name of the program in the log's rows."""
LOOKS_PER_SECOND = 5
BAR = 30
LISTED = 5
"""Failures that are named at the end."""


@dataclass(frozen=True, slots=True)
class Job:
    """A batch that was checked: it can be sent."""

    items: list[Item]
    target: Target
    out: Path
    concurrency: int
    cap_usd: float | None
    most_usd: float
    unpriced: int
    per_minute: int | None = None
    at_provider: bool = False
    is_cap_chosen: bool = False
    """Whether the cap was typed, and is not only what session and day leave."""


class BatchDialog(FormModal[float]):
    """Asks for IN and OUT, prices, sends, and shows how far it is; its result is what was spent, USD."""

    HELP = """
    `IN` is OpenAI's batch format (JSON lines), or a table (`.csv`) whose columns fill the `{{placeholders}}` of the
    playground's prompt. The first `F5` reads and prices it and sends nothing; the second one sends. `Esc` stops; the
    same batch then goes on where it was and pays for nothing twice. Answers that the cache has come from there.
    With `yes` at provider the requests go as one batch of the provider's own: about half the price, within a day. It
    goes on there when the page is closed: the same fields and `F5` twice collect it, `F8` stops it.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "run", "Check, send", id="batch.run", tooltip="Read and price IN; then send it", priority=True),
        Binding("f8", "cancel", "Cancel there", id="batch.cancel", tooltip="Stop OUT's batches at the provider"),
        Binding("escape", "close", "Stop, close", id="dialog.close", tooltip="Stop what runs, else close"),
    ]

    @dataclass
    class Checked(Message):
        """The input was read, on a thread."""

        job: Job | None
        problem: str = ""

    @dataclass
    class Ended(Message):
        """The batch is over, on its thread; ``again``: something is left to be sent."""

        text: str
        again: bool = True

    def __init__(self, context: AppContext, prompt: str, model: str, cap_usd: float | None) -> None:
        """Take what the fields begin with; ``model`` as it is written in the playground's list."""
        cap = "" if cap_usd is None else f"{cap_usd:.4g}"
        super().__init__(
            "batch",
            [
                FormField("in", "in", hint=tr("requests.jsonl, or a table.csv")),
                FormField("out", "out", hint="answers.jsonl"),
                FormField("model", "model", model),
                FormField("at_once", "at a time", "10"),
                FormField("rpm", "rpm", hint=tr("requests a minute: no limit")),
                FormField("provider", "provider", hint=tr("yes: its batch API, half the price, within 24 h")),
                FormField("cap", "cap $", cap, tr("no cap")),
            ],
        )
        self._shared = context
        self._prompt = prompt
        self._left_usd = cap_usd
        self._job: Job | None = None
        self._tally: Tally | None = None
        self._stop: Callable[[], object] | None = None
        self._timer: Timer | None = None
        self._busy = False
        self._read_values: dict[str, str] = {}
        self._spent_usd = 0.0

    def on_mount(self) -> None:
        """Prepare the timer; it rests until the batch runs."""
        self._timer = self.set_interval(1 / LOOKS_PER_SECOND, self._look, pause=True)

    def on_unmount(self) -> None:
        """Stop what runs: the journal has every answer that came."""
        if self._stop is not None:
            self._stop()

    @on(Input.Changed)
    def _changed(self) -> None:
        if not self._busy and self.values() != self._read_values:  # fields tell their first value, too
            self._job = None
            self.say("")

    # Check, then send

    def action_run(self) -> None:
        """Read and price the input; or send what was priced."""
        if self._busy:
            self.notify(
                tr("Still running: {key_name} stops it.", key_name=key_name(self, "dialog.close")), severity="warning"
            )
            return
        self._busy = True
        if self._job is not None:
            self._tally = None
            self._send(self._job)
            if self._timer is not None:
                self._timer.resume()
            return
        self.say("reading …")
        self._read_values = self.values()
        self._check(self._read_values)

    @work(thread=True, exclusive=True, group="batch", description="read a batch's input")
    def _check(self, values: dict[str, str]) -> None:
        try:
            self.post_message(self.Checked(self._read(values)))
        except PromptopError as error:
            self.post_message(self.Checked(None, str(error)))

    def _read(self, values: dict[str, str]) -> Job:
        """Return the job that the fields mean; raise :class:`PromptopError` with what is wrong."""
        self._shared.settings.require_valid()
        source, out = (Path(values[name]).expanduser() for name in ("in", "out"))
        if not values["in"] or not values["out"]:
            raise UsageError("IN or OUT is missing.", "Name the file of requests and the file for answers.")
        concurrency = _number(values["at_once"], "at a time", 1)
        typed = _number(values["cap"], "cap", 0) if values["cap"] else None
        cap = self._allowed(typed)
        settings = self._shared.settings
        target = parse_target(values["model"], settings)
        if source.suffix.lower() == ".csv":
            prompt = prompt_from(self._prompt)
            if prompt.is_empty:
                raise UsageError("A table fills the playground's prompt, which is empty.", "Write it there first.")
            items = read_table(source, prompt, model=target.model)
        else:
            items = read_jsonl(source, model=target.model)
        found = estimate(items, target.profile)
        most, unpriced = found.usd or 0.0, len(found.open)
        per_minute = int(_number(values["rpm"], "rpm", 1)) if values["rpm"] else None
        at_provider = values["provider"].lower() in ("yes", "y", "是")
        if not at_provider and values["provider"].lower() not in ("", "no", "n", "否"):
            raise UsageError(f"provider cannot be {values['provider']!r}.", "Write yes, or leave it empty.")
        if at_provider:
            most *= HALF
        return Job(
            items, target, out, int(concurrency), cap, most, unpriced, per_minute, at_provider, typed is not None
        )

    def _allowed(self, typed_usd: float | None) -> float | None:
        """Return the lower of the cap that was typed and what session and day leave; None where there is no cap."""
        left = None if self._left_usd is None else max(0.0, self._left_usd - self._spent_usd)
        return min((usd for usd in (typed_usd, left) if usd is not None), default=None)

    @on(Checked)
    def _checked(self, event: Checked) -> None:
        self._busy = False
        self._job = job = event.job
        if job is None:
            self.say(f"✗ {event.problem}", bad=True)
            return
        without = tr("; {unpriced:,} of them without a price", unpriced=job.unpriced) if job.unpriced else ""
        send = key_name(self, "batch.run")
        if job.unpriced and job.is_cap_chosen:
            without += tr(", which the cap refuses")
        over = job.cap_usd is not None and job.most_usd > job.cap_usd
        capped = tr("\nThe cap will stop it before the end if answers are as long as they may be.") if over else ""
        self.say(
            tr(
                "{n:,} requests, at most ≈ {most_usd}{without}. {send} sends them.{capped}",
                n=len(job.items),
                most_usd=units.usd(job.most_usd),
                without=without,
                send=send,
                capped=capped,
            )
        )

    @work(thread=True, exclusive=True, group="batch", description="send a batch")
    def _send(self, job: Job, *, cancelled: bool = False) -> None:
        try:
            if job.at_provider:
                self.post_message(self._at_provider(job, cancelled))
            else:
                self.post_message(asyncio.run(self._until_the_end(job)))
        except PromptopError as error:
            self.post_message(self.Ended(f"✗ {error}"))

    def _at_provider(self, job: Job, cancelled: bool) -> BatchDialog.Ended:
        """Send or take up the batch through the provider's own API, on this thread, and say how it ended."""
        stop = threading.Event()
        profile = job.target.profile
        journal, state = Journal(job.out), ProviderState(job.out, base_url_of(profile))
        self._stop = stop.set

        def began(tally: Tally) -> None:
            self._tally = tally

        finished = False
        try:
            tally = batch_provider.send(
                self._shared,
                job.items,
                profile,
                journal,
                state,
                app=APP,
                gate=self._shared.purse.gate_for(job.cap_usd, is_strict=job.is_cap_chosen),
                stop=stop,
                cancelled=cancelled,
                began=began,
            )
            written, failures = journal.write_output(job.items), journal.failures(job.items, LISTED)
            finished = not state.parts and not tally.left and not tally.failed
        finally:
            self._stop = None
            journal.close(remove=finished)
        text = _ending(tally, job, written, failures, stopped=False)
        if state.parts:
            text += tr("\nThe batch goes on at the provider: run it again to wait for it, or cancel it there.")
        return self.Ended(text, again=not finished)

    async def _until_the_end(self, job: Job) -> BatchDialog.Ended:
        """Run the batch on this thread's loop, and say how it ended."""
        settings, profile = self._shared.settings, job.target.profile
        limits = RateLimits(job.concurrency, job.per_minute, None)
        redis = redis_url(settings.cache)
        journal = Journal(job.out)
        cache = open_cache(settings.cache, self._shared.log_path)
        batch = Batch(
            job.items,
            profile,
            journal,
            limits=limits,
            gate=self._shared.purse.gate_for(job.cap_usd, is_strict=job.is_cap_chosen),
            transport={
                "log": self._shared.log_path,
                "app": APP,
                "bodies": settings.log.bodies,
                "simulated": self._shared.simulated,
            },
            cache=cache,
            policy=policy_of(settings.cache),
            shared=(
                lambda model: SharedLimits(
                    redis, f"{profile.base_url} {model}", limits, prefix=settings.cache.redis_prefix
                )
            )
            if redis
            else None,
        )
        self._tally = tally = batch.tally
        loop, task = asyncio.get_running_loop(), asyncio.create_task(batch.run())
        self._stop = lambda: None if loop.is_closed() else loop.call_soon_threadsafe(task.cancel)
        finished = False
        try:
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
            written, failures = journal.write_output(job.items), journal.failures(job.items, LISTED)
            finished = not task.cancelled() and not tally.left and not tally.failed
        finally:
            self._stop = None
            cache.close()
            journal.close(remove=finished)
        text = _ending(tally, job, written, failures, stopped=task.cancelled())
        for why, count in kept_apart(job.items, profile, policy_of(settings.cache)):
            text += tr("\nThe cache keeps no answer of {count:,} of them: {why}.", count=count, why=why)
        return self.Ended(text, again=not finished)

    @on(Ended)
    def _ended(self, event: Ended) -> None:
        self._busy = False
        if not event.again:
            self._job = None
        if self._timer is not None:
            self._timer.pause()
        lines = []
        if self._tally is not None:
            self._spent_usd += self._tally.spent_usd
            lines.append(line_of(self._tally))
        self.say("\n".join([*lines, event.text]))

    def _look(self) -> None:
        if self._tally is not None:
            self.say(line_of(self._tally))

    def action_cancel(self) -> None:
        """Ask the provider to stop the batches of OUT, and collect what they have answered."""
        job = self._job
        if self._busy or job is None or not job.at_provider:
            self.notify(tr("This stops a batch at the provider: check it first, with yes at provider."))
            return
        self._busy = True
        self._tally = None
        self._send(job, cancelled=True)

    def action_close(self) -> None:
        """Stop what runs; with nothing running, close the page."""
        if self._stop is not None:
            self._stop()
        elif not self._busy:
            self.dismiss(self._spent_usd)


def _number(text: str, name: str, least: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value < float("inf"):
        raise UsageError(f"{name} cannot be {text!r}.", f"Write a number from {least:g} up.")
    return value


def line_of(tally: Tally) -> str:
    """Return how far a batch is: bar, counts, cost, and the time that is left."""
    ended = tally.total - tally.left + tally.remote
    filled = ended * BAR // tally.total
    pieces = [f"{'█' * filled}{'░' * (BAR - filled)} {ended:,}/{tally.total:,}"]
    if tally.failed:
        pieces.append(tr("✗ {failed:,} failed", failed=tally.failed))
    if tally.cached:
        pieces.append(
            tr(
                "{cached:,} from the cache, saved {saved_usd}",
                cached=tally.cached,
                saved_usd=units.usd(tally.saved_usd),
            )
        )
    if tally.resumed:
        pieces.append(tr("{resumed:,} from an earlier run", resumed=tally.resumed))
    if tally.state:
        pieces.append(
            tr("at the provider: {state}, {remote:,} done", state=clean_line(tally.state, 40), remote=tally.remote)
        )
    pieces.append(
        "≈ " * tally.estimated
        + units.usd(tally.spent_usd)
        + (tr(" + {unpriced:,} unpriced", unpriced=tally.unpriced) if tally.unpriced else "")
    )
    if tally.left and tally.eta_s is not None:
        pieces.append(tr("{eta_s} left", eta_s=units.seconds(tally.eta_s)))
    return " · ".join(pieces)


def _ending(tally: Tally, job: Job, written: int, failures: list[str], *, stopped: bool) -> str:
    lines = [tr("{written:,} results in {out}", written=written, out=job.out)]
    if stopped:
        lines.append(tr("■ stopped; sent again, it goes on from here and pays for nothing twice"))
    if tally.capped:
        lines.append(
            tr(
                "A cap ended it with {left:,} to go. {over_cap}",
                left=tally.left,
                over_cap=clean_line(tally.over_cap, 200),
            )
        )
    if tally.failed:
        lines += [f"✗ {clean_line(line, 120)}" for line in failures]
        lines.append(
            tr(
                "{failed:,} failed: field error of their lines says why; sending again tries them again.",
                failed=tally.failed,
            )
        )
    if tally.estimated:
        lines.append(tr("The cost is half the table's price, which lists none for batches."))
    return "\n".join(lines)
