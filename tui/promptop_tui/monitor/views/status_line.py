"""What differs from the plain live view: paused, filtered, replayed, simulated. No line where nothing does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr, tr_n
from promptop_tui.monitor.data.snapshot import LogSnapshot, SnapshotQuery
from promptop_tui.shell.key_names import key_name

if TYPE_CHECKING:
    from textual.geometry import Size

_SHORTEST = 8
"""Cells below which nothing is begun that does not fit."""
_AHEAD_MS = 60_000
"""Clocks of machines differ by less."""


class StatusLine(Widget):
    """One line, or none; what does not fit is cut on the right."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "status--live",
        "status--paused",
        "status--window",
        "status--chosen",
        "status--simulated",
        "status--note",
        "status--alert",
    }

    query_shown: reactive[SnapshotQuery] = reactive(SnapshotQuery, layout=True)
    snapshot: reactive[LogSnapshot] = reactive(LogSnapshot, layout=True)
    simulated: reactive[bool] = reactive(False, layout=True)
    speed: reactive[int] = reactive(0, layout=True)
    """Seconds of the log in a second of a replay; 0: none runs."""
    firing: reactive[int] = reactive(0, layout=True)
    """Alerts that fire."""
    logs: reactive[int] = reactive(1, layout=True)
    """Logs that are read as one."""
    replayed: reactive[str] = reactive("", layout=True)
    """Name of the export that is replayed instead of the log."""
    order: reactive[str] = reactive("", layout=True)
    """Order of the rows, in words; empty for that of time."""

    app_simulates: bool = False
    """Whether the app shows a demo: that its day is in two logs is nothing to know."""

    def show_logs(self, paths: Sequence[object], *, replayed: bool) -> None:
        """Say how many logs are read, and which export is replayed instead of them."""
        self.logs = len(paths)
        self.replayed = clean_line(Path(str(paths[0])).stem, 30) if replayed else ""

    def parts(self) -> list[tuple[str, str]]:
        """Return what is to be said, with its tone."""
        query, snapshot = self.query_shown, self.snapshot
        parts: list[tuple[str, str]] = []
        if query.until_ms is not None:
            moment = datetime.fromtimestamp(query.until_ms / 1000)
            far = snapshot.now_ms - query.until_ms > 43_200_000
            sign = f"{'▶' if self.speed > 0 else '◀'} ×{abs(self.speed)}" if self.speed else "❚❚"
            parts.append(
                (
                    tr("{sign} until {moment:%d %b %H:%M}", sign=sign, moment=moment)
                    if far
                    else tr("{sign} until {moment:%H:%M:%S}", sign=sign, moment=moment),
                    "paused",
                )
            )
            then = "hold" if self.speed else "replay" if self.replayed else "live"
            parts.append((f" {key_name(self, 'monitor.pause')}: {then}", "note"))
        if self.firing:
            parts.append(
                (
                    tr_n("  ▲ {n} alert, a: which", "  ▲ {n} alerts, a: which", self.firing),
                    "alert",
                )
            )
        if snapshot.filled_to_ms is not None:
            back = datetime.fromtimestamp(snapshot.filled_to_ms / 1000)
            parts.append((tr("  older rows are coming in: back to {back:%d %b %H:%M}", back=back), "note"))
        if snapshot.trouble:
            parts.append((f"  {clean_line(snapshot.trouble, 90)}", "alert"))
        if self.simulated:
            parts += [("  ", "note"), (" SIMULATED ", "simulated")]
        if self.replayed:
            parts.append((tr("  replay of {replayed}, g: back", replayed=self.replayed), "chosen"))
        if query.filter:
            parts.append((f"  / {clean_line(query.filter, 60)}", "chosen"))
            if snapshot.unfiltered:
                parts.append((tr(" rows only: too many rows to filter the figures"), "paused"))
        if self.order:
            parts.append((f"  {self.order}", "chosen"))
        if query.view:
            parts.append((tr("  view: {view}", view=query.view), "chosen"))
        if query.moment_ms:
            start, end = (datetime.fromtimestamp(ms / 1000) for ms in query.moment_ms)
            parts.append(
                (tr("  rows of {start:%d %b %H:%M:%S} to {end:%H:%M:%S}, esc: back", start=start, end=end), "chosen")
            )
        left_out = snapshot.window.left_out.n if snapshot.window is not None else 0
        if query.own:
            parts.append((tr("  own calls counted, n: leave out"), "chosen"))
        elif left_out:
            parts.append((tr("  {left_out} own calls left out, n: count", left_out=units.count(left_out)), "note"))
        if self.logs > 1 and not self.app_simulates:
            parts.append((tr("  {logs} logs", logs=self.logs), "note"))
        if snapshot.ahead_ms > _AHEAD_MS and not self.replayed:
            ahead = units.seconds(snapshot.ahead_ms / 1000)
            parts.append((tr("  rows from the future, {ahead} ahead: a writer's clock", ahead=ahead), "paused"))
        return parts

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return no line where there is nothing to say."""
        return 1 if self.parts() else 0

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        parts = self.parts()
        width = self.size.width
        out: list[Segment] = []
        if parts:
            parts[0] = (parts[0][0].lstrip(), parts[0][1])
        for text, name in parts:
            if width < min(cell_len(text), _SHORTEST):
                break
            shown = text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
            width -= cell_len(shown)
            out.append(Segment(shown, self.get_component_rich_style(f"status--{name}")))
        return Strip(out).adjust_cell_length(self.size.width, self.rich_style)
