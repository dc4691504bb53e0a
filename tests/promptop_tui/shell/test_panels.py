"""Panels alone, hidden and wider; letters to jump by; the tour."""

from __future__ import annotations

import json

from tests.promptop_tui.conftest import MakeApp
from tests.support.waits import until_shown as wait_until

from promptop.base.files import state_dir
from promptop_tui.app import PromptopApp
from promptop_tui.shell.jump import JumpScreen
from promptop_tui.shell.panel_layout import panel_of
from promptop_tui.shell.tour import TourLine


def shown_panels(app: PromptopApp) -> set[str | None]:
    pane = app.query_one(f"#pane-{app.tab}")
    return {panel.id for panel in pane.query(".panel") if panel.region.area}


async def test_one_key_gives_a_panel_the_tab_and_the_same_key_gives_it_back(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: len(shown_panels(app)) > 1 and panel_of(app.focused))
        before, panel = shown_panels(app), panel_of(app.focused)
        assert panel is not None
        narrow = panel.region.width
        await pilot.press("alt+z")
        await wait_until(pilot, lambda: shown_panels(app) == {panel.id} and panel.region.width == 120 > narrow)
        await pilot.press("alt+z")
        await wait_until(pilot, lambda: shown_panels(app) == before and panel.region.width == narrow)


async def test_a_hidden_panel_and_a_width_are_there_at_the_next_start(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: "outline" in shown_panels(app) and panel_of(app.focused))
        draft = panel_of(app.focused)
        assert draft is not None
        before = draft.region.width
        await pilot.press("alt+comma")
        await wait_until(pilot, lambda: draft.region.width < before)
        narrower = draft.region.width
        app.query_one("#outline-list").focus()
        await wait_until(pilot, lambda: (panel := panel_of(app.focused)) is not None and panel.id == "outline")
        await pilot.press("alt+h")
        await wait_until(pilot, lambda: "outline" not in shown_panels(app))
    assert json.loads((state_dir() / "panels.json").read_text())["editor"]["hidden"] == ["outline"]
    again = make_app()
    async with again.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: again.query("#pane-editor") and again.query_one("#draft").region.area)
        await wait_until(pilot, lambda: "outline" not in shown_panels(again))
        await wait_until(pilot, lambda: again.query_one("#draft").region.width == narrower)
        await pilot.press("alt+u")
        await wait_until(pilot, lambda: "outline" in shown_panels(again))
        await wait_until(pilot, lambda: again.query_one("#draft").region.width == before)


async def test_a_letter_on_each_target_takes_the_focus_there(make_app: MakeApp) -> None:
    app = make_app(tab="playground")
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: app.query("#parameter-seed") and app.query_one("#parameter-seed").region.area)
        await pilot.press("alt+j")
        await wait_until(pilot, lambda: isinstance(app.screen, JumpScreen))
        screen = app.screen
        assert isinstance(screen, JumpScreen)
        letter = next(letter for letter, widget in screen.targets.items() if widget.id == "parameter-seed")
        await pilot.press(letter)
        await wait_until(pilot, lambda: app.focused is not None and app.focused.id == "parameter-seed")


async def test_a_tour_that_was_closed_stays_closed(make_app: MakeApp) -> None:
    app = make_app(simulated=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: "2/3" in str(app.query_one(TourLine).content))
        assert "F8" in str(app.query_one(TourLine).content)
        await pilot.press("alt+q")
        await wait_until(pilot, lambda: not app.query_one(TourLine).display)
    again = make_app(simulated=True)
    async with again.run_test(size=(120, 40)):
        assert not again.query_one(TourLine).display
