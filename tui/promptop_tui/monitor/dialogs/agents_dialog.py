"""The page of coding agents: cost, blocks, limits and contexts, and groups by project, model or session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from promptop.agents.usage_totals import DIMENSIONS
from promptop.base.sanitize import clean
from promptop.base.texts import mark, tr
from promptop.log.read.filters import terms_for
from promptop_tui.monitor.analysis.agent_lines import COLUMNS, PERIODS, cells_of, period_lines, state_lines
from promptop_tui.monitor.data.agent_feed import AgentFeed, AgentLook
from promptop_tui.widgets.panel import Panel
from promptop_tui.widgets.table import Cell, ChoiceTable, VirtualTable

if TYPE_CHECKING:
    from textual import events

    from promptop.agents.blocks import AgentSums

_EMPTY = mark("""\
No calls of coding agents in the last 30 days.

Claude Code keeps session files in ~/.claude/projects, Codex in ~/.codex/sessions. Usage alone is read.
CLAUDE_CONFIG_DIR and CODEX_HOME name other places. `promptop agents doctor` says what was looked at.""")
_FILTERED_BY = {"project": "tag.project", "branch": "tag.branch", "session": "conversation", "model": "model"}


class AgentsDialog(ModalScreen[str | None]):
    """Follows the session files while it is open; returns a filter whose requests are wanted, or None."""

    CSS_PATH = Path(__file__).with_name("agents.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,A", "close", "Back", id="agents.close", tooltip="back to the monitor"),
        Binding("tab,right", "turn(1)", "By …", id="agents.next", tooltip="group by the next dimension"),
        Binding("shift+tab,left", "turn(-1)", "By", show=False, id="agents.before", tooltip="the dimension before"),
        Binding("p", "period", "Period", id="agents.period", tooltip="groups of today, 7 days or 30 days"),
    ]
    HELP = """\
What coding agents on this machine used: Claude Code and Codex, from their session files, at most a second behind. Only
usage is read; texts stay where they are. `enter` shows a group's requests.

A block is five hours from the full hour of its first call: a model, for the vendor alone knows the real start. Burn is
that of the last 30 minutes. Limits are the vendors' own. The context is that of each agent's newest session."""

    dimension: reactive[str] = reactive(DIMENSIONS[0])
    days: reactive[int] = reactive(7)
    look: reactive[AgentLook | None] = reactive(None)

    table = getters.query_one(VirtualTable)

    @dataclass
    class Looked(Message):
        """The thread has another look."""

        look: AgentLook

    def __init__(self, log: Path, now: Callable[[], float], *, simulated: bool) -> None:
        """Bring session files into ``log`` and show what it has; a simulated log is only shown."""
        super().__init__()
        self._simulated = simulated
        self._feed = AgentFeed(log, lambda look: self.post_message(self.Looked(look)), now, imports=not simulated)
        self._rows: tuple[tuple[str, AgentSums], ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out sums, blocks and groups."""
        with Vertical(id="agents-top"):
            with Panel(id="agents-sums", heading=tr("Agents")):
                yield Static("", id="agents-periods")
            with Panel(id="agents-now", heading=tr("Blocks, limits, context")):
                yield Static("", id="agents-state")
        with Panel(id="agents-groups"):
            yield ChoiceTable(COLUMNS, follows=False, id="agents-table")
        yield Static("", id="agents-note", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Start to read."""
        self.table.focus()
        self.run_worker(self._feed.run, thread=True, group="agents", description="read session files of coding agents")
        self._fill()

    def on_unmount(self) -> None:
        """Stop reading."""
        self._feed.stop()

    def on_resize(self, event: events.Resize) -> None:
        """Put sums and blocks side by side where there is room."""
        self.set_class(event.size.width >= 150, "-beside")
        self.call_after_refresh(self._fill)

    @on(Looked)
    def _on_looked(self, message: Looked) -> None:
        self.look = message.look

    def watch_look(self) -> None:
        """Show what was read."""
        if self.is_mounted:
            self._fill()

    def _ask(self) -> None:
        if self.is_mounted:
            self._feed.ask(self.dimension, self.days)

    watch_dimension = watch_days = _ask

    def _fill(self) -> None:
        look = self.look
        sums = self.query_one("#agents-sums", Panel)
        sums.state = self._state(look)
        groups = self.query_one("#agents-groups", Panel)
        by = look.by if look else self.dimension
        groups.heading = f"By {by}"
        period = tr("five weeks") if by == "week" else PERIODS[look.days if look else self.days]
        groups.state = " ".join(f"[{name}]" if name == by else name for name in DIMENSIONS) + f" · {period}"
        nothing = look is not None and look.progress is None and not look.overview.periods[30].calls
        self.set_class(nothing, "-note")
        if nothing:
            why = f"{look.problem}\n\n" if look and look.problem else ""
            self.query_one("#agents-note", Static).update(clean(why + tr(_EMPTY)))
        if look is None:
            self.table.empty = tr("reading …")
            return
        for name, text in (
            ("periods", period_lines(look.overview.periods, self._width("periods"))),
            ("state", state_lines(look.overview, self._width("state"))),
        ):
            self.query_one(f"#agents-{name}", Static).update(text)
        labels = look.overview.labels
        self._rows = tuple(look.overview.groups.items())
        self.table.set_columns((replace(COLUMNS[0], title=by), *COLUMNS[1:]))
        self.table.empty = tr("reading …") if look.progress is not None else tr("no calls in this period")
        chosen = self.table.cursor_row
        self.table.set_rows(len(self._rows), lambda index: self._cells(index, labels))
        self.table.go(min(chosen, max(len(self._rows) - 1, 0)))

    def _width(self, name: str) -> int:
        return self.query_one(f"#agents-{name}", Static).content_size.width or self.size.width - 4

    def _state(self, look: AgentLook | None) -> str:
        if look is None:
            return tr("reading …")
        if look.problem:
            return clean(look.problem.splitlines()[0])
        if look.progress is not None:
            done, of = look.progress
            return (
                tr("reading {done:,} of {of:,} session files", done=done, of=of)
                if of
                else tr("looking for session files")
            )
        if self._simulated:
            return tr("simulated log: session files are not read")
        return "live" if look.has_sources else tr("no session files on this machine: what the log has")

    def _cells(self, index: int, labels: dict[str, str]) -> Sequence[Cell]:
        if index >= len(self._rows):
            return ()
        name, sums = self._rows[index]
        return cells_of(labels.get(name, name), sums)

    def action_turn(self, by: int) -> None:
        """Group by another dimension."""
        self.dimension = DIMENSIONS[(DIMENSIONS.index(self.dimension) + by) % len(DIMENSIONS)]
        self.table.go(0)

    def action_period(self) -> None:
        """Look at another length of time."""
        lengths = list(PERIODS)
        self.days = lengths[(lengths.index(self.days) + 1) % len(lengths)]

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)

    @on(VirtualTable.Chosen)
    def _on_chosen(self) -> None:
        look = self.look
        if look is None or self.table.cursor_row >= len(self._rows):
            return
        name = self._rows[self.table.cursor_row][0]
        apps = "app:claude-code,codex"
        if look.by == "week":
            from datetime import date, timedelta

            end = date.fromisoformat(name) + timedelta(days=7)
            self.dismiss(f"{apps} time>={name} time<{end}")
        elif look.by in ("day", "app"):
            self.dismiss(f"{apps} {terms_for(look.by, name)}" if look.by == "day" else f"app:{name}")
        else:
            self.dismiss(f"{apps} {terms_for(_FILTERED_BY[look.by], '(none)' if name == '–' else name)}")
