"""The playground alone under a pilot, against a simulated endpoint, with one process that makes the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.waits import until_shown as until
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen

from promptop.settings import PlaygroundSettings, Profile, Settings
from promptop.simulator import SimulatedEndpoint
from promptop.simulator.server.records import Recorded
from promptop.workers.call_client import Runner
from promptop_tui.context import AppContext
from promptop_tui.playground import screen
from promptop_tui.playground.controllers.endpoint_models import EndpointModels
from promptop_tui.playground.screen import PlaygroundPane
from promptop_tui.playground.views.answer_grid import AnswerGrid
from promptop_tui.playground.views.answer_pane import AnswerPane
from promptop_tui.services.token_counts import Counting
from promptop_tui.shell import theme
from promptop_tui.widgets.check_list import CheckList
from promptop_tui.widgets.prompt_area.area import PromptArea

HERE = Path(screen.__file__).parent


class Alone(App[None]):
    """The playground without the app around it."""

    CSS_PATH = [HERE.parent / "app.tcss", HERE / "playground.tcss"]  # noqa: RUF012
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012

    def __init__(self, context: AppContext, runner: Runner | None) -> None:
        self._defaults = theme.defaults()
        super().__init__()
        self.context = context
        self.runner = runner
        self.told: list[str] = []

    def count(self) -> None:
        """Give the playground a real counter, as the app does."""
        self.counting = Counting(self)
        self.context = replace(self.context, counting=self.counting)

    counting: Counting | None = None

    def on_mount(self) -> None:
        if self.counting is not None:
            self.counting.start()

    def on_unmount(self) -> None:
        if self.counting is not None:
            self.counting.close()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._defaults

    def compose(self) -> ComposeResult:
        yield PlaygroundPane(self.context, self.runner)

    def notify(self, message: str, **_: Any) -> None:
        self.told.append(message)

    @property
    def pane(self) -> PlaygroundPane:
        return self.query_one(PlaygroundPane)

    @property
    def answers(self) -> list[AnswerPane]:
        return self.query_one(AnswerGrid).panes


Open = Callable[..., Alone]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """One process for most tests: starting it takes a second of a core."""
    started = Runner(log=tmp_path_factory.mktemp("log") / "log.db", simulated=True)
    started.warm()
    yield started
    started.close()


@pytest.fixture
def opened(endpoint: SimulatedEndpoint, tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Build playgrounds whose list stays as given: the endpoint's own models would join it at any moment."""
    monkeypatch.setattr(EndpointModels, "ask", lambda _: None)

    def build(*models: str, cap: float = 1.0, own: bool = False, **changes: object) -> Alone:
        profile = Profile(name="demo", base_url=endpoint.base_url, models=models)
        settings = Settings(
            profiles={"demo": profile},
            playground=replace(PlaygroundSettings(max_tokens=12, session_cap_usd=cap), **changes),  # type: ignore[arg-type]
        )
        context = AppContext(
            settings=settings,
            log_path=tmp_path / "log.db",
            draft_path=tmp_path / "draft",
            counting=cast(Any, None),
            simulated=True,
        )
        return Alone(context, None if own else runner)

    return build


def calls(endpoint: SimulatedEndpoint) -> list[Recorded]:
    """Return the calls that an endpoint got; it is asked for its models, too."""
    return [request for request in endpoint.requests if request.method == "POST"]


def over(app: Alone) -> bool:
    return bool(app.answers) and all(pane.result is not None for pane in app.answers)


async def ask(
    app: Alone, pilot: Pilot[None], text: str = "What is prompt engineering?", *, everyone: bool = True
) -> None:
    app.query_one("#prompt", PromptArea).load_text(text)
    if everyone:
        app.query_one(CheckList).select_all()
    await pilot.pause()
    await pilot.press("f5")


async def shows(app: Alone, pilot: Pilot[None], kind: type[Screen[Any]]) -> Screen[Any]:
    """Wait until a page of this kind is shown whole, and return it."""
    await until(pilot, lambda: isinstance(app.screen, kind) and app.screen.query("#dialog *"))
    return app.screen
