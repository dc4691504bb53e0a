"""The larger part of the tab: what will be sent, then the answers, and how they compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable, Static

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.base.texts import mark, tr
from promptop.budget.traffic_volume import Volume
from promptop.client.result import RunResult
from promptop_tui.playground.dialogs.inspect_dialogs import DiffDialog
from promptop_tui.playground.views.answer_grid import AnswerGrid
from promptop_tui.playground.views.answer_pane import AnswerPane
from promptop_tui.playground.views.comparison_table import ComparisonTable, Shown
from promptop_tui.playground.views.find_line import FindLine
from promptop_tui.shell.key_names import key_name
from promptop_tui.shell.ordered_keys import OrderedKeys

FIRST_KEYS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("playground.run", mark("send to the chosen models")),),
    (
        ("playground.versions", mark("versions")),
        ("playground.options", mark("options")),
        ("playground.checks", mark("checks")),
        ("playground.blind", mark("blind")),
    ),
    (
        ("playground.history", mark("history")),
        ("playground.presets", mark("presets")),
        ("playground.lab", mark("claim lab")),
    ),
    (
        ("playground.grid", mark("test set")),
        ("playground.bench", mark("benchmark")),
        ("playground.batch", mark("batch")),
    ),
)
"""Bindings that an empty tab names, a line each: id, and what the key does."""


class SendView(VerticalScroll, can_focus=True):
    """What F5 will send, in full; what the tab can do, while there is nothing to send."""

    HELP = """
    The request as it will be sent: every message with its role, what is not text as `▣`, tools, answer format and
    parameters. `{{names}}` that have no value stand out, and so does what will not be sent.
    """

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        yield Static(id="send-text", markup=False)
        yield Static(id="send-keys", markup=False)

    def on_mount(self) -> None:
        """Name the keys, whatever they are bound to."""
        self.border_title = tr("Will be sent")
        self.show_keys()
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.show_keys())

    def show_keys(self) -> None:
        """Name the keys that work here."""
        lines = [
            " · ".join(f"{key_name(self, identifier)} {tr(text)}" for identifier, text in line) for line in FIRST_KEYS
        ]
        self.query_one("#send-keys", Static).update("\n".join(lines))

    def show(self, text: str | Content) -> None:
        """Show a request, or what is missing."""
        self.query_one("#send-text", Static).update(text)


class Results(Vertical):
    """Holds the answers and does what concerns them alone: which one is looked at, how they compare."""

    @dataclass
    class Rated(Message):
        """An answer was rated, or the names of blind answers are shown now."""

    def __init__(self) -> None:
        super().__init__(id="results")
        self.grid = AnswerGrid()
        self.table = ComparisonTable(id="comparison")
        self.sending = SendView(id="sending", classes="panel")
        self.find = FindLine(lambda: self.grid.panes, lambda: self.grid.current, self.look_at)
        self.blind = False
        """Whether answers of the next runs are shown in any order and without names until they are rated."""
        self._shown = Shown()
        self._markdown = False

    def compose(self) -> ComposeResult:
        """Lay out preview, answers and comparison."""
        yield self.sending
        yield self.grid
        yield self.find
        yield self.table
        yield Static(id="verdict", markup=False)

    # What will be sent

    def show_preview(self, content: Content) -> None:
        """Show the request that would be sent now."""
        self.sending.remove_class("-problem")
        self.sending.show(content)

    def show_problem(self, error: PromptopError, *, is_blank: bool) -> None:
        """Say what is missing; before anything was typed, that nothing is."""
        self.sending.set_class(not is_blank, "-problem")
        self.sending.show(tr("Nothing has run yet.") if is_blank else clean(str(error)))

    # Which one is looked at

    def look_at(self, number: int, *, focus: bool = False) -> None:
        """Show an answer and mark its row."""
        pane = self.grid.look_at(number)
        if pane is None:
            return
        self.table.mark(number)
        if focus:
            pane.focus()

    def look_at_next(self) -> None:
        """Look at the next answer; from elsewhere, go back to the one last looked at."""
        grid = self.grid
        if grid.panes:
            inside = isinstance(self.screen.focused, AnswerPane)
            self.look_at((grid.current + 1) % len(grid.panes) if inside else grid.current, focus=True)

    def leave_fields(self) -> None:
        """Go to an answer, or to what is shown before there is one: letters are keys there."""
        pane = self.grid.look_at(self.grid.current)
        # At once: keys that are typed behind this one are no text any more.
        self.screen.set_focus(pane or self.sending)

    def hold_focus(self) -> None:
        """Give the focus to something that is shown, if nothing has it: the keys of this tab work from inside it."""
        if isinstance(self.app, OrderedKeys) and self.app.is_holding:
            return  # on the way to this tab: the app gives the focus back to who had it here
        if self.screen.focused is None and self.is_on_screen:
            pane = self.grid.look_at(self.grid.current)
            (pane or self.sending).focus()

    @on(DataTable.RowHighlighted, "#comparison")
    def _row_chosen(self, event: DataTable.RowHighlighted) -> None:
        if event.data_table.has_focus:
            self.look_at(event.cursor_row)

    @on(DataTable.RowSelected, "#comparison")
    def _row_entered(self, event: DataTable.RowSelected) -> None:
        self.look_at(event.cursor_row, focus=True)

    @on(AnswerPane.Chosen)
    def _pane_chosen(self, event: AnswerPane.Chosen) -> None:
        grid = self.grid
        if event.pane in grid.panes:
            grid.current = grid.panes.index(event.pane)
            self.table.mark(grid.current)

    async def show_panes(self, names: Sequence[str]) -> list[AnswerPane]:
        """Have a pane for each answer of a run that begins, and return them."""
        panes = await self.grid.show(list(names), letters=self.blind)
        self.name_panes(panes, names)
        if self.screen.focused is self.sending:  # which is hidden now: the keys go on to work
            self.screen.set_focus(panes[0])
        self.show_verdict([])
        return panes

    async def show_past(self, names: Sequence[str]) -> list[AnswerPane]:
        """Have a pane for each answer of a run of the history, and return them, to be filled."""
        self.reveal()
        self.show_verdict([])
        panes = await self.grid.show(list(names))
        self.dress(panes)
        return panes

    # How they compare

    def show_table(self, kept: Sequence[Sequence[RunResult]] | None) -> None:
        """Show the figures of all answers; of repeated calls those that were ``kept``."""
        self.set_class(bool(self.grid.panes), "-answered")
        best: dict[str, int] | None = None if kept is None else {}
        self._shown = replace(self._shown, panes=self.grid.panes, kept=kept, intervals=(), best=best)
        self.refresh_table()

    def show_judgement(
        self, lines: Sequence[str], intervals: Sequence[dict[str, str]], best: Mapping[str, int]
    ) -> None:
        """Show how repeated calls differ, how sure their medians are, and which are the best beyond chance."""
        if len(intervals) == len(self._shown.panes):
            self._shown = replace(self._shown, intervals=intervals, best=best)
            self.refresh_table()
        self.show_verdict(lines)

    def show_volume(self, volume: Volume, calls_per_day: float | None) -> None:
        """Show what the answers' costs come to at the volume of the log, or of this prompt where that is known."""
        self._shown = replace(self._shown, volume=volume, calls_per_day=calls_per_day)
        self.refresh_table()

    def refresh_table(self) -> None:
        """Show the table anew: something of the panes is another."""
        if all(pane.is_attached for pane in self._shown.panes):
            self.table.show(self._shown)

    def show_verdict(self, lines: Sequence[str]) -> None:
        """Say how repeated calls differ, below the table; nothing for no lines."""
        self.set_class(bool(lines), "-judged")
        self.query_one("#verdict", Static).update("\n".join(lines))

    @on(AnswerPane.Asked)
    def _asked(self, event: AnswerPane.Asked) -> None:
        """Do what concerns the answers alone; going on with one is the tab's."""
        if event.what == "go on":
            return
        event.stop()
        if event.what == "find":
            self.find.open()
        elif event.what == "diff":
            self._diff(event.pane)
        elif event.what == "base":
            for pane in self.grid.panes:
                pane.hold(base=pane is event.pane and not pane.is_base)
        elif event.what == "markdown":
            self._markdown = not self._markdown
            self.dress(self.grid.panes)
        else:
            event.pane.rate(event.stars, blind=event.pane.blind)
            self._reveal_if_rated()
            self.refresh_table()
            self.post_message(self.Rated())

    def dress(self, panes: Sequence[AnswerPane]) -> None:
        """Show answers as Markdown, or as text."""
        for pane in panes:
            pane.show_markdown(self._markdown)

    def _diff(self, pane: AnswerPane) -> None:
        """Compare an answer with the one that is held, else with the first one; the first with the second."""
        panes = self.grid.panes
        base = next((each for each in panes if each.is_base), panes[0])
        other = base if base is not pane else next((each for each in panes if each is not pane), None)
        if other is None or other.result is None or pane.result is None:
            self.notify(tr("A difference needs two finished answers."), severity="warning")
            return
        silent = next((each for each in (other, pane) if each.gave_nothing), None)
        if silent is not None:
            self.notify(
                tr(
                    "{title_text} gave no answer. Press a on another one to compare with that.",
                    title_text=silent.title_text,
                ),
                severity="warning",
                markup=False,
            )
            return
        before, after = (pane, other) if pane is base else (other, pane)
        assert before.result is not None and after.result is not None
        self.app.push_screen(DiffDialog(before.title_text, before.result.text, after.title_text, after.result.text))

    # Blind

    def name_panes(self, panes: Sequence[AnswerPane], names: Sequence[str]) -> None:
        """Call the panes by their names, or by letters while they are to be rated blind."""
        for number, (pane, name) in enumerate(zip(panes, names, strict=True)):
            pane.show_name(tr("answer {letter}", letter=_letter(number)) if self.blind else name, blind=self.blind)
        self.set_class(self.blind, "-blind")

    def turn_blind(self) -> bool:
        """Show the next answers without names, or show the names now; return which."""
        self.blind = not self.blind
        if not self.blind:
            self.reveal()
        return self.blind

    def _reveal_if_rated(self) -> None:
        panes = self.grid.panes
        if all(pane.rating or (pane.result is not None and pane.result.state != "done") for pane in panes):
            self.reveal()

    def reveal(self) -> None:
        """Show the names of all answers."""
        if not self.has_class("-blind"):
            return
        self.remove_class("-blind")
        for pane in self.grid.panes:
            pane.show_name(pane.request.title if pane.request is not None else pane.title_text, blind=False)
        self.refresh_table()


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else str(number + 1)
