"""Hands the panels what they show: the cards, the present, and what stands in the frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from promptop.base import units
from promptop_tui.monitor.analysis.question_cards import cards_of
from promptop_tui.monitor.analysis.tile_figures import spent
from promptop_tui.monitor.data.snapshot import SPANS
from promptop_tui.monitor.views.question_card import QuestionCard
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.panel import Panel

if TYPE_CHECKING:
    from promptop.alerts.watch import Present
    from promptop_tui.monitor.screen import MonitorPane

_SLOW_S = 10.0
"""Seconds from which a call in flight is late where no latency is known."""
_AGE = {"dim": ("●", "$good"), "warn": ("◐", "$warn"), "bad": ("▲", "$bad")}
"""Tone of the newest row's age → its sign and colour."""


class Panels:
    """Shows the last snapshot and the present, on the UI thread."""

    def __init__(self, pane: MonitorPane) -> None:
        self._pane = pane

    def take_present(self, present: Present) -> None:
        """Show what is unusual, and what is in flight."""
        self._pane.triage.present = present
        self.show_cards()
        self.show_present()

    def show_cards(self) -> None:
        """Answer the three questions."""
        pane = self._pane
        for card in cards_of(pane.shown, pane.settings, pane.triage.present):
            pane.query_one(f"#monitor-{card.key}", QuestionCard).card = card

    def show_present(self) -> None:
        """Hand the panels what belongs to the present, with the window beside it."""
        pane = self._pane
        shown, triage = pane.shown, pane.triage
        total = shown.window.total if shown.window is not None else None
        slowest = total.latency.quantile(0.99) if total is not None else None
        triage.slow_s = max(slowest or _SLOW_S, 1.0)
        if total is not None:
            seconds = max((min(shown.until_ms, shown.now_ms) - shown.since_ms) / 1000, 1.0)
            triage.beside = f"{units.rate(total.n / seconds)}/s over {shown.query.span.name}, {spent(total)}"
        pane.lower.take(triage.present, shown, pane.time.now_ms(), triage.slow_s)
        self.show_now()

    def show_now(self) -> None:
        """Say in the frame of Now whether it is live, how old the newest row is, and which window is shown."""
        pane = self._pane
        panel = pane.query_one("#monitor-now", Panel)
        asked = pane.view.asked
        age, tone = pane.triage.age
        panel.set_class(asked.until_ms is None and pane.triage.is_alarming, "-alarm")
        sign, colour = _AGE[tone]
        if asked.until_ms is not None:
            parts = [("❚❚ held" if not pane.time.speed else "▶ replay", "$warn")]
        elif tone == "dim":
            parts = [(f"{sign} live", colour), (f" · {age}" if age else "", "$dim")]
        else:
            parts = [(f"{sign} {age}", colour)]
        panel.state = Content.assemble(*parts)
        windows: list[tuple[str, str]] = []
        for name in SPANS:
            if name == asked.span.name:
                windows.append((f" {name} ", "$background on $accent bold"))
            else:
                windows += [(f" {key_name(pane, f'monitor.window.{name}')}", "$accent"), (f" {name} ", "$dim")]
        panel.hint = Content.assemble(*windows)

    def show_following(self) -> None:
        """Say beside the requests' title whether the newest are followed."""
        pane, table = self._pane, self._pane.table
        if table.following and pane.view.asked.tails:
            state = Content.assemble(("● ", "$good"), ("following", "$dim"))
        else:
            newer = f"+{units.count(table.unseen)} new" if table.unseen else "not following"
            state = Content.styled(f"{newer} · {key_name(pane, 'table.follow')} newest", "$dim")
        pane.lower.requests.state = state
