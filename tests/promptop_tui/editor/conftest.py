"""A small app around the editor's pane, with the real counter behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from tests.support.waits import until_shown
from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot

from promptop.settings import EditorSettings, Settings
from promptop.workers.call_client import Runner
from promptop_tui.context import AppContext
from promptop_tui.editor.screen import SHEET, EditorPane
from promptop_tui.services.token_counts import Counting
from promptop_tui.shell import theme

WATCHED = EditorSettings(watch=("gpt-4o", "gpt-4-turbo"))


class EditorApp(App[None]):
    CSS_PATH = [SHEET.parents[1] / "app.tcss", SHEET]  # noqa: RUF012 (Textual's own form)

    def __init__(
        self, folder: Path, open_path: Path | None, settings: Settings, counts: bool, runner: Runner | None
    ) -> None:
        self._defaults = theme.defaults()
        super().__init__()
        self.counting = Counting(self)
        self.counts = counts
        self.runner = runner
        self.context = AppContext(
            settings=settings,
            log_path=folder / "log.db",
            draft_path=folder / "state" / "draft.md",
            counting=self.counting,
            open_path=open_path,
            now=lambda: 1_800_000_000.0,
        )

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._defaults

    def compose(self) -> ComposeResult:
        yield EditorPane(self.context, self.runner)

    def on_mount(self) -> None:
        if self.counts:
            self.counting.start()

    def on_unmount(self) -> None:
        self.counting.close()

    @property
    def pane(self) -> EditorPane:
        return self.query_one(EditorPane)


class Running:
    """An app under test: its pilot, and the messages that left the pane."""

    def __init__(self, app: EditorApp, pilot: Pilot[None], messages: list[Message]) -> None:
        self.app = app
        self.pilot = pilot
        self.messages = messages

    @property
    def pane(self) -> EditorPane:
        return self.app.pane

    @property
    def text(self) -> str:
        return self.pane.area.text

    @property
    def notices(self) -> str:
        return "\n".join(notice.message for notice in self.app._notifications)

    @property
    def status(self) -> str:
        return f"{self.pane.draft_panel.heading} · {self.pane.draft_panel.state} · {self.pane.draft_panel.hint}"

    @property
    def table(self) -> str:
        return str(self.pane.panel.inner.render())

    async def until(self, predicate: Callable[[], object]) -> None:
        """Let the app run until ``predicate`` holds."""
        await until_shown(self.pilot, predicate, lambda: f"; status: {self.status!r}, table:\n{self.table}")


class Open(Protocol):
    def __call__(
        self,
        open_path: Path | None = None,
        *,
        size: tuple[int, int] = (120, 40),
        settings: EditorSettings = ...,
        counts: bool = False,
        everything: Settings | None = None,
        runner: Runner | None = None,
    ) -> AbstractAsyncContextManager[Running]: ...


@pytest.fixture
def editor(tmp_path: Path) -> Open:
    @asynccontextmanager
    async def run(
        open_path: Path | None = None,
        *,
        size: tuple[int, int] = (120, 40),
        settings: EditorSettings = WATCHED,
        counts: bool = False,
        everything: Settings | None = None,
        runner: Runner | None = None,
    ) -> AsyncIterator[Running]:
        app = EditorApp(tmp_path, open_path, everything or Settings(editor=settings), counts, runner)
        messages: list[Message] = []
        async with app.run_test(size=size, message_hook=messages.append) as pilot:
            running = Running(app, pilot, messages)
            await running.until(lambda: app.pane.draft.has_started)
            yield running

    return run
