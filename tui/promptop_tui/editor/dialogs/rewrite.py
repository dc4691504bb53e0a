"""A model of the user's endpoint shortens a part of the draft: priced, streamed, and taken change by change.

The call runs in the runner's process. Its pieces are gathered on the runner's thread and drawn by a timer that runs
only while they come; its end is a message. Nothing of a rewrite that did not come to its end is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static

from promptop.base import units as shown
from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop_tui.editor.dialogs.diff_dialog import render, room_in
from promptop_tui.editor.dialogs.rewrite_model import AskLine
from promptop_tui.editor.views.trims_panel import SavingsTarget, cut
from promptop_tui.services.token_counts import CountingFailed, SnippetsReady
from promptop_tui.shell.key_names import with_keys
from promptop_tui.widgets.dialog import Dialog

if TYPE_CHECKING:
    from promptop.client.result import CallProgress, Delta, RunResult
    from promptop.trim.rewrite import Hunk
    from promptop.workers.call_client import Runner
    from promptop_tui.context import AppContext

_FRAMES_PER_SECOND = 10


@dataclass(frozen=True, slots=True)
class RewriteRange:
    """What is to be shortened: characters [start, end) of the draft."""

    text: str
    start: int
    line: int
    """Line of its start, from 1."""
    is_whole: bool


@dataclass(frozen=True, slots=True)
class _Offer:
    hunk: Hunk
    saved: int
    """Tokens."""


class RewriteDialog(Dialog[None]):
    """Asks, shows, and hands each change that is taken to ``take``; it changes nothing itself."""

    HELP = """\
A model of your endpoint rewrites the selection (or the whole draft) with fewer tokens. Enter in the model's line asks
it; what the call may cost at most stands there before. {rewrite.stop} stops it.

Each line of the list is a change that can be taken alone: {rewrite.take} or Enter takes it (one step of undo),
{rewrite.turn_down} turns it down, {rewrite.take_unflagged} takes all that are not flagged. "!" flags a change that
loses or adds what no rule may touch: code, quotes, addresses, variables, numbers, negations. A rewrite counts as
"check" until a proof run in the playground has shown that the answers held; the receipt says so."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "ask", "Ask", id="rewrite.ask", tooltip="Ask the model for a shorter text", priority=True),
        Binding("a", "take", "Take", id="rewrite.take", tooltip="Put this change into the draft"),
        Binding("x", "turn_down", "Turn down", id="rewrite.turn_down", tooltip="Leave this change out"),
        Binding("s", "take_unflagged", "All unflagged", id="rewrite.take_unflagged", tooltip="Take what loses nothing"),
        Binding("escape", "stop", "Stop, back", id="rewrite.stop", tooltip="Stop the call, or go back to the draft"),
    ]

    @dataclass
    class Done(Message):
        """The call is over; sent from the runner's thread."""

        result: RunResult

    @dataclass
    class Compared(Message):
        """The answer was cut into changes, on a thread."""

        hunks: tuple[Hunk, ...]
        pieces: list[str]
        after: str
        result: RunResult

    @dataclass
    class Failed(Message):
        """There is nothing to offer."""

        text: str

    def __init__(
        self,
        context: AppContext,
        runner: Runner,
        part: RewriteRange,
        model: str,
        target: SavingsTarget,
        take: Callable[[int, Hunk], bool],
    ) -> None:
        """``target`` is what savings are measured by; ``take`` gets an offset in the draft and says if it was done."""
        super().__init__(tr("Rewrite by a model · check"))
        self._shared = context
        self._runner = runner
        self._part = part
        self._model = model
        self._target = target
        self._take_hunk = take
        self._frames: Timer | None = None
        self._progress: CallProgress | None = None
        self._pieces: list[str] = []
        self._waiting: tuple[int, RewriteDialog.Compared] | None = None
        self._offers: list[_Offer] = []
        self._cost = ""
        self._is_paid = False
        self._totals = 0, 0, 0

    def compose(self) -> ComposeResult:
        """Lay out model and price, what is offered, and the text."""
        with self.frame():
            yield AskLine(self._shared, self._part.text, self._model)
            yield Static(id="rewrite-head", markup=False)
            yield OptionList(id="rewrite-hunks", markup=False, compact=True)
            with VerticalScroll(id="rewrite-preview", can_focus=False):
                yield Static(clean(self._part.text[:5000]), id="rewrite-text", markup=False)

    def on_mount(self) -> None:
        """Price the call and start the process that would make it."""
        self._frames = self.set_interval(1 / _FRAMES_PER_SECOND, self._draw_stream, pause=True)
        what = tr("the draft") if self._part.is_whole else tr("the selection from line {line}", line=self._part.line)
        self._head(tr("{capitalize}: {n:,} characters.", capitalize=what.capitalize(), n=len(self._part.text)))
        self.query_one("#rewrite-model").focus()
        self._runner.warm()

    def on_unmount(self) -> None:
        """Let nothing run on for a screen that is gone."""
        if self._progress is not None:
            self._progress.cancel()

    def _head(self, text: str | Content) -> None:
        self.query_one("#rewrite-head", Static).update(clean(text) if isinstance(text, str) else text)

    # The call

    @on(Input.Submitted, "#rewrite-model")
    def _submitted(self) -> None:
        self.action_ask()

    def action_ask(self) -> None:
        """Send the request, if its price is known and within the caps."""
        if self._progress is not None:
            self.notify(with_keys(self, tr("Still running: {rewrite.stop} stops it.")), severity="warning")
            return
        try:
            request = self.query_one(AskLine).ready()
        except PromptopError as error:
            self.notify(clean(str(error)), title=tr("Not sent"), severity="error", markup=False)
            return
        if request is None:
            self.notify(tr("It is being priced; ask again in a moment."), markup=False)
            return
        self._pieces.clear()
        self._set_offers([])
        self._head(tr("{title} writes …", title=clean_line(request.title)))
        self._progress = self._runner.start(request, on_delta=self._gather, on_done=self._ended)
        if self._frames is not None:
            self._frames.resume()

    def _gather(self, delta: Delta) -> None:
        """Runs on the runner's thread."""
        if delta.kind == "text":
            self._pieces.append(delta.text)

    def _ended(self, result: RunResult) -> None:
        """Runs on the runner's thread; a call whose screen is gone is still paid for."""
        if not self.post_message(self.Done(result)):
            self._shared.purse.take(result)

    def _draw_stream(self) -> None:
        self.query_one("#rewrite-text", Static).update(clean("".join(self._pieces)))
        self.query_one("#rewrite-preview", VerticalScroll).scroll_end(animate=False)

    @on(Done)
    def _done(self, message: Done) -> None:
        self._progress = None
        if self._frames is not None:
            self._frames.pause()
        self._draw_stream()
        result = message.result
        self._shared.purse.take(result)
        self.query_one(AskLine).show_price()
        self._is_paid = result.cost_usd is not None or bool(result.text)
        self._cost = (
            "cost n/a" if result.cost_usd is None else tr("cost {cost_usd}", cost_usd=shown.usd(result.cost_usd))
        )
        self._compare(result)

    @work(thread=True, exclusive=True, group="hunks", description="cut a rewrite into changes")
    def _compare(self, result: RunResult) -> None:
        from promptop.trim.rewrite import answer_of, hunks

        text = self._part.text
        try:
            after = answer_of(result, text)
        except PromptopError as error:
            self.post_message(self.Failed(str(error)))
            return
        found = hunks(text, after)
        pieces = [text, after]
        for hunk in found:
            head, tail = text[max(0, hunk.start - 80) : hunk.start], text[hunk.end : hunk.end + 80]
            pieces += [head + hunk.before + tail, head + hunk.after + tail]
        self.post_message(self.Compared(found, pieces, after, result))

    @on(Failed)
    def _failed(self, message: Failed) -> None:
        paid = f"  ({self._cost})" if self._is_paid else ""
        self._head(Content.styled(clean_line(message.text) + paid, "$text-error"))

    @on(Compared)
    def _count_offers(self, message: Compared) -> None:
        if not message.hunks:
            self._head(tr("The model found nothing to shorten. ({cost})", cost=self._cost))
            return
        request = self._shared.counting.request_counts(self, message.pieces, [self._target.encoding])
        self._waiting = request, message

    @on(SnippetsReady)
    def _counted(self, message: SnippetsReady) -> None:
        message.stop()
        if self._waiting is not None and message.reply.id == self._waiting[0]:
            (_, found), self._waiting = self._waiting, None
            self._offer(found, message.reply.counts[self._target.encoding])

    @on(CountingFailed)
    def _not_counted(self, message: CountingFailed) -> None:
        message.stop()
        self._waiting = None
        self._head(tr("What the rewrite saves cannot be counted now; ask again."))

    # What is offered

    def _offer(self, found: Compared, counts: Sequence[int]) -> None:
        before, after, *rest = counts
        self._totals = before, after, len(found.hunks)
        self._set_offers([_Offer(hunk, rest[2 * at] - rest[2 * at + 1]) for at, hunk in enumerate(found.hunks)])
        self.query_one("#rewrite-hunks").focus()

    def _sum_up(self) -> None:
        """Say what the whole rewrite saves, and what of it is left to be judged."""
        before, after, changes = self._totals
        flagged = sum(offer.hunk.is_flagged for offer in self._offers)
        month = self._target.usd_per_month(before - after)
        saves = "n/a" if month is None else f"{'−' if month >= 0 else '+'}{shown.usd(abs(month))}"
        sign, style = ("−", "bold $text-success") if after <= before else ("+", "bold $text-error")
        every = tr("{changes} change", changes=changes) + ("s" if changes != 1 else "")
        left = tr("{n} of {every} left", n=len(self._offers), every=every) if len(self._offers) < changes else every
        self._head(
            Content.assemble(
                (tr("{sign}{abs:,} tokens", sign=sign, abs=abs(before - after)), style),
                tr(
                    " ({before:,} → {after:,}), {saves} a month for {model}; {left}",
                    before=before,
                    after=after,
                    saves=saves,
                    model=clean_line(self._target.model),
                    left=left,
                ),
                (tr(", {flagged} flagged", flagged=flagged) if flagged else "", "bold $text-warning"),
                f"; {self._cost}",
            )
        )

    def _set_offers(self, offers: list[_Offer], at: int = 0) -> None:
        self._offers = offers
        listed = self.query_one("#rewrite-hunks", OptionList)
        listed.clear_options()
        width = max(20, self.query_one("#rewrite-head").size.width - 4)  # the list itself has none while it is hidden
        listed.add_options([self._line(offer, width) for offer in offers])
        listed.display = bool(offers)
        if offers:
            listed.highlighted = min(at, len(offers) - 1)
            self._sum_up()

    def _line(self, offer: _Offer, width: int) -> Content:
        hunk = offer.hunk
        room = max(16, width - 14)
        after = clean_line(hunk.after.strip().replace("\n", "⏎"), max(8, room // 2)) or "(removed)"
        before = cut(clean_line(hunk.before.strip().replace("\n", "⏎")) or "(nothing)", room - cell_len(after))
        saved = f"{'−' if offer.saved >= 0 else '+'}{abs(offer.saved)}"
        return Content.assemble(
            (f"{hunk.line + self._part.line - 1:>4} ", "dim"),
            (f"{saved:<5}", "bold"),
            ("! " if hunk.is_flagged else "  ", "bold $text-warning"),
            f"{before} → ",
            (after, "bold"),
        )

    @on(OptionList.OptionHighlighted, "#rewrite-hunks")
    def _show_hunk(self, message: OptionList.OptionHighlighted) -> None:
        from promptop.base.diff import line_diff

        if message.option_index >= len(self._offers):
            return
        hunk = self._offers[message.option_index].hunk
        flags = [tr("loses {each}", each=clean_line(each, 40)) for each in hunk.lost]
        flags += [tr("adds {each}", each=clean_line(each, 40)) for each in hunk.added]
        first = hunk.line + self._part.line - 2
        lines = line_diff(hunk.before.strip("\n"), hunk.after.strip("\n"))
        # Of a text that was nothing, or is nothing now, there is no line to show; numbers are those of the draft.
        kept = [replace(line, before=line.before and line.before + first, after=None) for line in lines if line.text]
        drawn = render(kept, room_in(self.query_one("#rewrite-preview")))
        if flags:
            drawn = Content.assemble(("! " + ", ".join(flags) + "\n", "bold $text-warning"), drawn)
        self.query_one("#rewrite-text", Static).update(drawn)
        self.query_one("#rewrite-preview", VerticalScroll).scroll_home(animate=False)

    @on(OptionList.OptionSelected, "#rewrite-hunks")
    def _selected(self) -> None:
        self.action_take()

    def _current(self) -> int | None:
        at = self.query_one("#rewrite-hunks", OptionList).highlighted
        return at if at is not None and at < len(self._offers) else None

    def action_take(self) -> None:
        """Put the highlighted change into the draft."""
        at = self._current()
        if at is not None and self._apply(self._offers[at]):
            self._set_offers([offer for offer in self._offers if offer is not self._offers[at]], at)
            self._after_last()

    def action_turn_down(self) -> None:
        """Leave the highlighted change out."""
        at = self._current()
        if at is not None:
            self._set_offers([offer for place, offer in enumerate(self._offers) if place != at], at)
            self._after_last()

    def action_take_unflagged(self) -> None:
        """Take every change that loses and adds nothing guarded, each a step of undo."""
        took = False
        while (at := next((n for n, each in enumerate(self._offers) if not each.hunk.is_flagged), None)) is not None:
            if not self._apply(self._offers[at]):
                return
            took = True
            del self._offers[at]
        if took:
            self._set_offers(self._offers)
            self._after_last()

    def _apply(self, offer: _Offer) -> bool:
        hunk = offer.hunk
        if not self._take_hunk(self._part.start + hunk.start, hunk):
            self._set_offers([])
            self._head(Content.styled(tr("The draft has changed meanwhile: ask again."), "$text-error"))
            return False
        moved = len(hunk.after) - (hunk.end - hunk.start)
        self._offers = [
            replace(each, hunk=replace(each.hunk, start=each.hunk.start + moved, end=each.hunk.end + moved))
            if each.hunk.start >= hunk.end and each is not offer
            else each
            for each in self._offers
        ]
        return True

    def _after_last(self) -> None:
        if not self._offers:
            self.query_one("#rewrite-text", Static).update("")
            self._head(with_keys(self, tr("No change is left. {rewrite.stop} goes back to the draft.")))

    def action_stop(self) -> None:
        """Stop the call, or leave."""
        if self._progress is not None:
            self._progress.cancel()
        else:
            self.dismiss(None)
