"""The pages that measure: priced when they open, sent by F5 in a process of their own, stopped and paid for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, Static

from promptop.demo import SimulatedEndpoint
from promptop.log import writer_for
from promptop.settings import PlaygroundSettings, Profile, Settings
from promptop_tui import theme
from promptop_tui.context import AppContext
from promptop_tui.playground import measuring
from promptop_tui.playground.measuring import MeasurePage
from promptop_tui.playground.proving import ProofPage

HERE = Path(measuring.__file__).parent
LONG, SHORT = "请你帮我总结提示工程的三个要点，非常感谢。", "总结提示工程的三个要点。"


class Alone(App[None]):
    """A page without the app below it."""

    CSS_PATH = [HERE.parent / "app.tcss", HERE / "playground.tcss"]  # noqa: RUF012

    def __init__(self, page: MeasurePage[Any]) -> None:
        self._defaults = theme.defaults()
        super().__init__()
        self.page = page
        self.results: list[Any] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._defaults

    def on_mount(self) -> None:
        self.push_screen(self.page, self.results.append)

    def text(self, selector: str) -> str:
        return str(self.page.query_one(selector, Static).render())

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.page.query_one(f"#measure-{name}", Input).value = value


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture
def context(endpoint: SimulatedEndpoint, tmp_path: Path) -> Iterator[Callable[..., AppContext]]:
    log = tmp_path / "log.db"

    def build(cap: float = 1.0) -> AppContext:
        profile = Profile(name="demo", base_url=endpoint.base_url, models=("gpt-4o-mini",))
        return AppContext(
            settings=Settings(
                profiles={"demo": profile}, profile="demo", playground=PlaygroundSettings(40, session_cap_usd=cap)
            ),
            log_path=log,
            draft_path=tmp_path / "draft",
            counting=cast(Any, None),
            simulated=True,
        )

    yield build
    writer_for(log).close()


async def until(pilot: Pilot[None], predicate: Callable[[], object], seconds: float = 30) -> None:
    for _ in range(int(seconds / 0.02)):
        if predicate():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not come to pass")


async def test_a_trim_is_priced_proven_and_handed_back(context: Callable[..., AppContext]) -> None:
    shared = context()
    app = Alone(ProofPage(shared, LONG, SHORT))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "22 calls, at most" in app.text("#measure-state"))
        app.fill(answers="5", temperature="0", checks="contains:提示 && lacks:sorry")
        await until(pilot, lambda: "12 calls, at most" in app.text("#measure-state"))
        await pilot.press("f5")
        await until(pilot, lambda: app.page.proof is not None)  # type: ignore[attr-defined]
        await pilot.pause()
        said = app.text("#proof-text")
        assert said.startswith("proven: the answers held")
        assert "check contains:提示: 5/5 → 5/5 passed, equal" in said
        assert "6 (29 %) fewer" in said
        assert "spent $0.00" in app.text("#measure-state")
        assert shared.purse.spent_usd > 0
        await pilot.press("escape")
    (proof,) = app.results
    assert proof.is_of(LONG, SHORT)


async def test_nothing_is_sent_beyond_a_cap(context: Callable[..., AppContext], endpoint: SimulatedEndpoint) -> None:
    endpoint.requests.clear()
    app = Alone(ProofPage(context(cap=0.0001), LONG, SHORT))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "F5 sends" in app.text("#measure-state"))
        await pilot.press("f5")
        assert "the session has spent $0 of its cap of $0.0001" in app.text("#measure-state")
        app.fill(cap="0.00001")
        await until(pilot, lambda: "the cap is $0.00001" in app.text("#measure-state"))
        app.fill(cap="", checks="regex:(")
        await until(pilot, lambda: "no regular expression" in app.text("#measure-state"))
        await pilot.press("f5", "escape")
    assert app.results == [None]
    assert not endpoint.requests
