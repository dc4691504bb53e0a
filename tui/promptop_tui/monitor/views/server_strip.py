"""How self-hosted servers stand now, by their own figures: a line each, beside the log's figures, never among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.client.http.server_status import read_status, self_hosted
from promptop.providers.servers.status import ServerStatus
from promptop.settings import Profile
from promptop_tui.widgets.panel import Panel

EVERY_S = 2.0
_FULL, _NEARLY_FULL = 0.95, 0.85
"""Shares of the KV cache from which a server puts requests off, or soon will."""


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One server, and how it stands or why that is not known."""

    name: str
    kind: str
    status: ServerStatus | None
    problem: str = ""


class ServerStrip(Panel):
    """Asks each server every two seconds while it is shown; hidden where no profile names one."""

    HEAD = "Servers"

    @dataclass
    class Looked(Message):
        """All servers were asked."""

        lines: tuple[ServerLine, ...]

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        super().__init__(id="monitor-servers")
        self._profiles = self_hosted(profiles)
        self._before: dict[str, ServerStatus] = {}

    def compose(self) -> ComposeResult:
        """Lay out the lines."""
        yield Static("", id="monitor-server-lines", markup=False)

    def on_mount(self) -> None:
        """Begin to ask, if there is anybody."""
        super().on_mount()
        if self._profiles:
            self.add_class("-some")
            self._ask()
            self.set_interval(EVERY_S, self._ask)

    def _ask(self) -> None:
        # A server that does not answer takes its whole time limit: the next question waits for the answer to the last.
        asking = any(worker.group == "servers" and worker.is_running for worker in self.workers if worker.node is self)
        if self.is_on_screen and not asking:
            self.run_worker(self._look, thread=True, group="servers", description="ask self-hosted servers")

    def _look(self) -> None:
        worker, lines = get_current_worker(), []
        for name, profile in self._profiles.items():
            if worker.is_cancelled:
                return
            try:
                status = read_status(profile, self._before.get(name))
            except PromptopError as error:
                self._before.pop(name, None)
                lines.append(ServerLine(name, profile.server, None, f"{error.cause} {error.remedy}"))
            else:
                self._before[name] = status
                lines.append(ServerLine(name, profile.server, status))
        self.post_message(self.Looked(tuple(lines)))

    @on(Looked)
    def _show(self, message: Looked) -> None:
        message.stop()
        width = max((len(line.name) for line in message.lines), default=0)
        shown = Content("\n").join(line_text(line, width) for line in message.lines)
        self.query_one("#monitor-server-lines", Static).update(shown)
        self.set_class(any(line.problem for line in message.lines), "-alarm")


def line_text(line: ServerLine, width: int) -> Content:
    """Return a server's line; figures that it does not give are left out."""
    parts: list[str | tuple[str, str]] = [f"{clean_line(line.name):{width}} {line.kind:9}"]
    status = line.status
    if status is None:
        return Content.assemble(*parts, (f"  {clean_line(line.problem)}", "$text-error"))
    if status.running is not None:
        parts.append(f"  {tr('running')} {status.running:>4}")
    if status.waiting is not None:
        waiting = f"  {tr('waiting')} {status.waiting:>4}"
        parts.append((waiting, "$text-warning") if status.waiting else waiting)
    if status.kv_cache is not None:
        style = "$text-error" if status.kv_cache >= _FULL else "$text-warning"
        cache = f"  {tr('KV cache')} {status.kv_cache:4.0%}"
        parts.append((cache, style) if status.kv_cache >= _NEARLY_FULL else cache)
    if status.prefix_hits is not None:
        parts.append(f"  {tr('prefix hits')} {status.prefix_hits:4.0%}")
    if status.memory_bytes is not None:
        parts.append(f"  {tr('in memory')} {', '.join(map(clean_line, status.models)) or '–'}")
        if status.memory_bytes:
            parts.append(f"  {status.memory_bytes / 1e9:.1f} GB")
    return Content.assemble(*parts)
