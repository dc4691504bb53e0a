"""One answer as it comes: the text, its state in the border above, its figures in the border below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.cells import cell_len
from textual import events
from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import var

from promptop.base import units
from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop.client.request import Message as ChatMessage
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, RunResult, State
from promptop.client.tools.mocks import ToolResult
from promptop.experiments.checks import Checked
from promptop.experiments.comparison import ending
from promptop.history.run_history import KeptAnswer
from promptop_tui.playground.dialogs.inspect_dialogs import DetailsDialog, RawDialog
from promptop_tui.playground.views.call_details import details
from promptop_tui.playground.views.pane_footer import fit, live_figures, result_figures
from promptop_tui.services.external_editor import command, edit_in
from promptop_tui.widgets.markdown_view import RenderedView

Wish = Literal["go on", "markdown", "diff", "base", "rate", "find"]
MOST_STARS = 5
MOST_OF_A_TOOL = 2_000
"""Characters of what a tool gave that are shown; the model gets all of it."""
MARKS: dict[State, str] = {"waiting": "…", "running": "▶", "done": "✓", "cancelled": "■", "failed": "✗"}
"""State in one cell: colour is not the only carrier."""


class AnswerPane(RenderedView):
    """Shows one call: running, done, cancelled or failed, as a CSS class of the same name."""

    HELP = """
    The text of one model as it streams. The border tells its state (`▶` running, `✓` done, `■` cancelled,
    `✗` failed) and why it ended, and below its figures: time to first token, total time, tokens per second after the
    first, tokens in → out, cost. While it streams, `≈` marks figures counted from pieces instead of the server's usage.

    `c` goes on from this answer: it joins the prompt, and the next turn is typed below it. `d` shows how it differs
    from the first answer, or from the one that `a` holds (`◆`). `1` to `5` rate it, `0` takes that back. `m` shows
    all answers as Markdown once they are complete, `r` the stream as it came, `e` opens the text in `$EDITOR`.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "ask('go on')", "Continue", id="playground.continue", tooltip="Answer it: type the next turn"),
        Binding("enter", "details", "Details", id="playground.details", tooltip="The request as sent, and its time"),
        Binding(
            "m",
            "ask('markdown')",
            "Markdown",
            id="playground.markdown",
            tooltip="Answers as Markdown, or as text",
            show=False,
        ),
        Binding("d", "ask('diff')", "Diff", id="playground.diff", tooltip="How this answer differs from another one"),
        Binding(
            "a", "ask('base')", "Hold", id="playground.hold", tooltip="Hold others against this one (d)", show=False
        ),
        Binding("t", "fold", "Reasoning", id="playground.fold", tooltip="Fold or unfold the reasoning", show=False),
        Binding("y", "copy", "Copy", id="playground.copy", tooltip="Copy the answer to the clipboard", show=False),
        Binding("r", "raw", "Raw", id="playground.raw", tooltip="The stream as it came over the wire", show=False),
        Binding("slash", "ask('find')", "Find", id="playground.find", tooltip="Search all answers", show=False),
        Binding("j", "json", "JSON", id="playground.json", tooltip="As a tree, with schema faults", show=False),
        Binding("e", "external", "In $EDITOR", id="playground.external", tooltip="Open in $EDITOR", show=False),
        *(
            Binding(
                str(stars),
                f"rate({stars})",
                f"Rate {stars}" if stars else "Unrate",
                id=f"playground.rate{stars}",
                tooltip=f"Rate this answer {stars} of {MOST_STARS}" if stars else "Take the rating back",
                show=False,
            )
            for stars in range(MOST_STARS + 1)
        ),
    ]

    state: var[State] = var[State]("waiting")

    @dataclass
    class Asked(Message):
        """Something is to be done with this answer that concerns others, too."""

        pane: AnswerPane
        what: Wish
        stars: int | None = None

        @property
        def control(self) -> AnswerPane:
            """The pane."""
            return self.pane

    @dataclass
    class Chosen(Message):
        """The pane got the focus."""

        pane: AnswerPane

        @property
        def control(self) -> AnswerPane:
            """The pane."""
            return self.pane

    def __init__(self, name: str) -> None:
        super().__init__(classes="panel -waiting")
        self.title_text = clean_line(name)
        self.request: RunRequest | None = None
        self.progress: CallProgress | None = None
        self.result: RunResult | None = None
        self.conversation: Sequence[ChatMessage] = ()
        """The messages that were asked, those too that were not sent of a long conversation."""
        self.checked: Sequence[Checked] = ()
        """What the checks say of the answer."""
        self.check_counts: tuple[int, int] | None = None
        """How many checks passed, of how many, in all calls that count."""
        self.first_call: tuple[float, int] | None = None
        """Of repeated calls: seconds by which the first one's TTFT exceeded the median of how many later ones."""
        self.rating: int | None = None
        self.rated_blind = False
        self.blind = False
        """Whether nothing may be shown that tells whose answer it is."""
        self.is_base = False
        """Whether other answers are held against this one."""
        self._shown_changes = 0
        self._turn = ""
        self._place = ""
        self._text_was_kept = True

    @property
    def finished(self) -> bool:
        """Whether the answer is complete."""
        return self.result is not None

    @property
    def gave_nothing(self) -> bool:
        """Whether the call failed before anything was said."""
        return self.result is not None and self.result.state == "failed" and not self.result.text

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
        self._turn, self._text_was_kept = turn, True
        self.request, self.result, self.progress = request, None, None
        self.checked, self.check_counts, self.rating, self.rated_blind = (), None, None, False
        self._shown_changes, self.first_call = 0, None
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
        if self.blind:  # they name the model
            return
        for change in changes[self._shown_changes :]:
            self.feed("note", f"[{change}]\n")
        self._shown_changes = max(self._shown_changes, len(changes))

    def finish(self, result: RunResult) -> None:
        """Show the end of the call: the last token, the error if there is one, the final figures."""
        self.result = result
        self._show_changes(result.changes)
        if result.cache_refusal and not self.blind:
            self.feed("note", tr("[the cache was not asked: {cache_refusal}]\n", cache_refusal=result.cache_refusal))
        if self.blind and result.state == "failed":
            self.feed("error", tr("✗ failed; Enter says why when the names are shown"))
        elif result.error is not None and result.state == "failed":
            lead = "\n\n" if result.text or result.reasoning else ""
            self.feed("error", f"{lead}✗ {result.error.cause}")
            if result.error.remedy:
                self.feed("error", f"\n→ {result.error.remedy}")
        elif result.state == "cancelled":
            self.feed("note", tr("\n■ cancelled; what came is kept"))
        elif not result.text and not result.tool_calls:
            self.feed(
                "note", _why_empty(result) if self._text_was_kept else tr("[the answer was not kept; its figures are]")
            )
        if result.tool_calls:
            self.flush()
            self.drop("tool")
            self.feed("tool", result.calls_text())
        self.state = result.state
        self._show_title()
        self.tick()
        if self.wants_markdown:
            self.show_markdown(True)

    def step(self, number: int, result: RunResult, results: Sequence[ToolResult]) -> None:
        """Show a step of a tool loop: its figures, what was called, and what each tool gave; the next step follows."""
        self.flush()
        self.drop("tool")
        figures = " · ".join(long for long, _ in result_figures(result))
        self.feed("note", tr("{lead}── step {number} · {figures}\n", lead=self._lead(), number=number, figures=figures))
        for (name, arguments), given in zip(result.tool_calls, results, strict=True):
            took = f" in {units.seconds(given.took_s)}" if given.took_s else ""
            self.feed("called", f"→ {name}({arguments})\n")
            self.feed("error" if given.failed else "given", f"← {given.how}{took}: {given.text[:MOST_OF_A_TOOL]}\n")
        self.tick()

    def _lead(self) -> str:
        """Return what parts a step from what stands above it."""
        return "\n" if self.row_texts() and self.row_texts()[-1] else ""

    def show_past(self, request: RunRequest, answer: KeptAnswer, *, whole: bool) -> None:
        """Show an answer of the history; ``whole``: its text was kept."""
        self.begin(request)
        self._text_was_kept = whole
        self.conversation = request.messages
        if answer.results:
            result = answer.results[-1]
            for kind, text in (("reasoning", result.reasoning), ("text", result.text)):
                if text:
                    self.feed(kind, text)
            if result.tool_calls:
                self.feed("tool", result.calls_text())
            self.finish(result)
        self.rating, self.rated_blind, self.check_counts = answer.rating, answer.blind, answer.checks
        self._show_title()

    def judge(self, each: Sequence[Sequence[Checked]]) -> None:
        """Show what the checks say of each call that counts; in the border those of the last one."""
        self.checked = each[-1] if each else ()
        verdicts = [checked.passed for call in each for checked in call]
        self.check_counts = (sum(verdicts), len(verdicts)) if verdicts else None
        self._show_title()

    def rate(self, stars: int | None, *, blind: bool) -> None:
        """Show what the reader thinks of it."""
        self.rating, self.rated_blind = stars, blind and stars is not None
        self._show_title()

    def hold(self, *, base: bool) -> None:
        """Show whether others are held against this one."""
        self.is_base = base
        self._show_title()

    def show_place(self, number: int, total: int) -> None:
        """Say which of how many answers this is, where not all of them have room; 0: all have."""
        place = f"{number}/{total} " if number else ""
        if place != self._place:
            self._place = place
            self._show_title()

    def show_name(self, name: str, *, blind: bool) -> None:
        """Call it otherwise; ``blind``: figures and ending, which may tell whose it is, are not shown either."""
        self.title_text, self.blind = clean_line(name), blind
        self._show_title()
        self._show_figures()

    # The borders

    def _show_title(self) -> None:
        ended = f" · {ending(self.result)}" if self.result is not None and not self.blind else ""
        turn = f" · {self._turn}" if self._turn else ""
        passed = sum(each.passed for each in self.checked)
        checks = f" {'✓' if passed == len(self.checked) else '✗'}{passed}/{len(self.checked)}" if self.checked else ""
        stars = f" ★{self.rating}" if self.rating else ""
        base = "◆ " if self.is_base else ""
        self.border_title = Content(
            f"{MARKS[self.state]} {self._place}{base}{self.title_text}{checks}{stars}{turn}{ended}"
        )

    def _show_figures(self) -> None:
        if self.blind:
            self.border_subtitle = tr("rate it: 1 to 5") if self.finished and self.rating is None else ""
            return
        width = self.outer_size.width - 6  # corners, a line and a blank on either side
        below = self.virtual_size.height - self.scroll_offset.y - self.size.height
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
            self.notify(tr("This answer has no reasoning."))

    def action_ask(self, what: Wish) -> None:
        """Ask for what concerns other answers, too."""
        self.post_message(self.Asked(self, what))

    def action_rate(self, stars: int) -> None:
        """Say what the answer is worth."""
        if self.result is None or self.result.state != "done":
            self.notify(tr("Only a finished answer can be rated."), severity="warning")
            return
        self.post_message(self.Asked(self, "rate", stars or None))

    def action_details(self) -> None:
        """Show the call in full."""
        if self.blind:
            self.notify(tr("Blind: rate the answers first, or press b."), severity="warning")
        elif self.request is None or self.result is None:
            self.notify(tr("The call is not over yet."), severity="warning")
        else:
            text = details(self.request, self.result, self.checked, self.first_call)
            self.app.push_screen(DetailsDialog(self.title_text, text))

    def action_raw(self) -> None:
        """Show the stream as it came over the wire."""
        if self.blind:
            self.notify(tr("Blind: rate the answers first, or press b."), severity="warning")
        elif self.result is None or self.result.received is None:
            why = (
                tr("The call is not over yet.")
                if self.result is None
                else tr("Nothing of this answer's stream was kept.")
            )
            self.notify(why, severity="warning")
        else:
            self.app.push_screen(RawDialog(self.title_text, self.result.received))

    def action_json(self) -> None:
        """Show an answer that is JSON as a tree."""
        from promptop_tui.playground.dialogs.json_tree import JsonDialog, json_of, schema_of

        if self.blind or self.result is None:
            self.notify(tr("The answer cannot be shown as a tree yet."), severity="warning")
            return
        text = self.result.text or next((arguments for _, arguments in self.result.tool_calls), "")
        try:
            value = json_of(text)
        except (ValueError, RecursionError) as error:
            self.notify(
                tr("The answer is not JSON: {error}", error=clean_line(str(error), 120)),
                severity="warning",
                markup=False,
            )
            return
        schema = schema_of(self.request) if self.result.text else None
        self.app.push_screen(JsonDialog(self.title_text, value, schema))

    def action_external(self) -> None:
        """Open the answer in the user's own editor; what is changed there is left there."""
        if self.result is None or not self.result.text:
            self.notify(tr("There is no finished answer to open yet."), severity="warning")
            return
        try:
            with self.app.suspend():
                edit_in(command(), self.result.text)
        except (PromptopError, SuspendNotSupported) as error:
            self.notify(clean(str(error)), title=tr("In $EDITOR"), severity="error", markup=False)

    def action_copy(self) -> None:
        """Copy the answer as it came."""
        if self.result is None or not self.result.text:
            self.notify(tr("There is no finished answer to copy yet."), severity="warning")
            return
        self.app.copy_to_clipboard(self.result.text)
        self.notify(tr("Copied {n:,} characters.", n=len(self.result.text)))


def _why_empty(result: RunResult) -> str:
    if result.cut_short and (result.reasoning or result.usage.reasoning_output_tokens):
        return tr("[no visible text: reasoning used up max_tokens]")
    if result.is_withheld:
        return tr("[no text: the provider's filter stopped it]")
    return tr(
        "[the answer is empty; finish reason: {clean_line}]", clean_line=clean_line(result.finish_reason or "none", 40)
    )
