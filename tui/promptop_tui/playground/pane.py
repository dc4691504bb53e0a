"""One answer as it comes: the text, its state in the border above, its figures in the border below."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import var

from promptop import figures
from promptop.runs.comparison import ending
from promptop.runs.request import RunRequest
from promptop.runs.result import Progress, RunResult, State
from promptop.safe import clean_line
from promptop_tui.playground.details import details
from promptop_tui.playground.overlay import DetailsPage
from promptop_tui.playground.stream_view import StreamView

MARKS: dict[State, str] = {"waiting": "…", "running": "▶", "done": "✓", "cancelled": "■", "failed": "✗"}
"""State in one cell: colour is not the only carrier."""


class AnswerPane(StreamView):
    """Shows one call: running, done, cancelled or failed, as a CSS class of the same name."""

    HELP = """
    The text of one model as it streams. The border tells its state (`▶` running, `✓` done, `■` cancelled,
    `✗` failed) and why it ended, and below its figures: time to first token, total time, tokens per second after the
    first, tokens in → out, cost. While it streams, `≈` marks figures counted from pieces instead of the server's usage.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "fold", "reasoning", id="playground.fold", tooltip="Fold or unfold the model's reasoning"),
        Binding("y", "copy", "copy", id="playground.copy", tooltip="Copy the answer to the clipboard"),
        Binding("enter", "details", "details", id="playground.details", tooltip="The request as sent, and its time"),
        Binding("d", "diff", "diff", id="playground.diff", tooltip="How this answer differs from the first one"),
    ]

    state: var[State] = var[State]("waiting")

    class DiffWanted(Message):
        """The difference to another answer is asked for."""

        def __init__(self, pane: AnswerPane) -> None:
            super().__init__()
            self.pane = pane

        @property
        def control(self) -> AnswerPane:
            """The pane."""
            return self.pane

    class Chosen(Message):
        """The pane got the focus."""

        def __init__(self, pane: AnswerPane) -> None:
            super().__init__()
            self.pane = pane

        @property
        def control(self) -> AnswerPane:
            """The pane."""
            return self.pane

    def __init__(self, name: str) -> None:
        super().__init__(classes="-waiting")
        self.title_text = clean_line(name)
        self.request: RunRequest | None = None
        self.progress: Progress | None = None
        self.result: RunResult | None = None
        self._shown_changes = 0
        self._turn = ""

    def on_mount(self) -> None:
        """Show the name before anything runs."""
        self._show_title()

    def watch_state(self, before: State, state: State) -> None:
        """Carry the state as a CSS class."""
        self.remove_class(f"-{before}")
        self.add_class(f"-{state}")
        self._show_title()

    def on_focus(self) -> None:
        """Tell which pane is looked at."""
        self.post_message(self.Chosen(self))

    # The call

    def begin(self, request: RunRequest, turn: str = "") -> None:
        """Empty the pane for a new call; ``turn`` says which of several it is."""
        self.clear()
        self._turn = turn
        self.request, self.result, self.progress = request, None, None
        self._shown_changes = 0
        self.state = "waiting"
        self._show_title()
        self.border_subtitle = ""

    def tick(self) -> bool:
        """Show what came since the last frame, and the figures so far; return whether the call goes on."""
        progress = self.progress
        if progress is not None and self.result is None:
            self._show_changes(progress.changes)
            self.state = progress.state if not progress.over else self.state
        self.flush()
        self._show_figures()
        return self.result is None

    def _show_changes(self, changes: Sequence[str]) -> None:
        """Say what was sent otherwise than asked for, once each."""
        for change in changes[self._shown_changes :]:
            self.feed("note", f"[{change}]\n")
        self._shown_changes = max(self._shown_changes, len(changes))

    def finish(self, result: RunResult) -> None:
        """Show the end of the call: the last token, the error if there is one, the final figures."""
        self.result = result
        self._show_changes(result.changes)
        if result.cache_refusal:
            self.feed("note", f"[the cache was not asked: {result.cache_refusal}]\n")
        if result.error is not None and result.state == "failed":
            lead = "\n\n" if result.text or result.reasoning else ""
            self.feed("error", f"{lead}✗ {result.error.cause}")
            if result.error.remedy:
                self.feed("error", f"\n→ {result.error.remedy}")
        elif result.state == "cancelled":
            self.feed("note", "\n■ cancelled; what came is kept")
        elif not result.text and not result.tool_calls:
            self.feed("note", _why_empty(result))
        self.state = result.state
        self._show_title()
        self.tick()

    # The borders

    def _show_title(self) -> None:
        ended = f" · {ending(self.result)}" if self.result is not None else ""
        turn = f" · {self._turn}" if self._turn else ""
        self.border_title = Content(f"{MARKS[self.state]} {self.title_text}{turn}{ended}")

    def _show_figures(self) -> None:
        width = self.outer_size.width - 6  # corners, a line and a blank on either side
        below = len(self._rows) - self.scroll_offset.y - self.size.height
        behind = f"↓{below} · " if not self.following and below > 0 else ""
        pieces = result_figures(self.result) if self.result is not None else live_figures(self.progress)
        self.border_subtitle = Content(behind + fit(pieces, width - cell_len(behind)))

    def on_resize(self, event: events.Resize) -> None:
        """Choose the figures that fit. (Textual calls the base class's handler too.)"""
        self._show_figures()

    # Keys

    def action_fold(self) -> None:
        """Fold or unfold the reasoning."""
        if self.has_reasoning:
            self.fold(unfolded=not self.unfolded)
        else:
            self.notify("This answer has no reasoning.")

    def action_details(self) -> None:
        """Show the call in full."""
        if self.request is None or self.result is None:
            self.notify("The call is not over yet.", severity="warning")
            return
        self.app.push_screen(DetailsPage(self.title_text, details(self.request, self.result)))

    def action_diff(self) -> None:
        """Ask for the difference to the first answer."""
        self.post_message(self.DiffWanted(self))

    def action_copy(self) -> None:
        """Copy the answer as it came."""
        if self.result is None or not self.result.text:
            self.notify("There is no finished answer to copy yet.", severity="warning")
            return
        self.app.copy_to_clipboard(self.result.text)
        self.notify(f"Copied {len(self.result.text):,} characters.")


def _why_empty(result: RunResult) -> str:
    if result.finish_reason == "length" and result.reasoning:
        return "[no visible text: reasoning used up max_tokens]"
    if result.finish_reason == "content_filter":
        return "[no text: the provider's filter stopped it]"
    return f"[the answer is empty; finish reason: {clean_line(result.finish_reason or 'none', 40)}]"


# Each figure in a long and a short form; a narrow border drops forms, then figures, from the end.
Pieces = list[tuple[str, str]]


def result_figures(result: RunResult) -> Pieces:
    """Return the figures of a finished call, the most wanted first."""
    usage = result.usage
    about = "≈" if usage.source == "estimated" else ""
    ttft, total = figures.seconds(result.ttft_s), figures.seconds(result.total_s)
    pieces = [(f"TTFT {ttft}", ttft), (f"total {total}", total)]
    if result.output_tps is not None:
        shown = about + figures.rate(result.output_tps)
        pieces.append((f"{shown} tok/s", f"{shown}/s"))
    if usage.input_tokens is not None or usage.output_tokens is not None:
        tokens = f"{about}{figures.count(usage.input_tokens)}→{figures.count(usage.output_tokens)}"
        pieces.append((f"{tokens} tok", tokens))
    if result.cache_hit:
        pieces.insert(0, (f"{clean_line(result.cache_hit, 12)} hit", "hit"))
    cost = cost_text(result)
    pieces.append((cost, cost))
    if len(result.attempts) > 1:
        pieces.append((f"{len(result.attempts)} attempts", f"×{len(result.attempts)}"))
    return pieces


def live_figures(progress: Progress | None) -> Pieces:
    """Return the figures of a call in progress: stamps from the transport, the rest from the pieces so far."""
    if progress is None:
        return []
    if progress.retry_at is not None:
        left = max(0.0, progress.retry_at - time.perf_counter())
        text = f"attempt {progress.attempt + 1} in {left:.0f} s"
        return [(f"{text}: {clean_line(progress.retry_cause, 60)}", text)]
    ttft = progress.ttft_s
    elapsed = progress.elapsed_s
    shown = "…" if ttft is None else figures.seconds(ttft)
    pieces = [(f"TTFT {shown}", shown)]
    if elapsed is not None:
        pieces.append((figures.seconds(elapsed), figures.seconds(elapsed)))
    if ttft is not None and elapsed is not None and elapsed > ttft and progress.chunks > 1:
        rate = figures.rate(progress.chunks / (elapsed - ttft))
        pieces.append((f"≈{rate} tok/s", f"≈{rate}/s"))
        pieces.append((f"≈{progress.chunks} tok", f"≈{progress.chunks}"))
    if progress.attempt > 1:
        pieces.append((f"attempt {progress.attempt}", f"×{progress.attempt}"))
    return pieces


def cost_text(result: RunResult) -> str:
    """Return the cost with its kind: plain is reported or from the table, ``≈`` estimated, ``n/a`` unpriced."""
    if result.cost_usd is None:
        return "$ n/a"
    about = "≈" if result.cost_status == "estimated" or result.usage.source == "estimated" else ""
    return about + figures.usd(result.cost_usd)


def fit(pieces: Pieces, width: int) -> str:
    """Join figures so that they fit into ``width`` cells: all long, all short, all tight, or the first few tight."""
    tight = [short.replace(" ", "") for _, short in pieces]
    for text in (" · ".join(long for long, _ in pieces), " · ".join(short for _, short in pieces), "·".join(tight)):
        if cell_len(text) <= width:
            return text
    text = ""
    for piece in tight:
        longer = f"{text}·{piece}" if text else piece
        if cell_len(longer) > width:
            break
        text = longer
    return text
