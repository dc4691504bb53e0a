"""A test set is edited as a table by keys: begun, added to, changed, deleted, undone, saved in its form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.waits import until_shown as until
from textual.app import App
from textual.widgets import Input, Static, TextArea

from promptop_tui.playground.dialogs import test_set as module
from promptop_tui.playground.dialogs.test_set import CaseForm, TestSetDialog
from promptop_tui.shell import theme

HERE = Path(module.__file__).parents[1]


class Alone(App[None]):
    """The table without the page below it."""

    CSS_PATH = [HERE.parent / "app.tcss", HERE / "playground.tcss"]  # noqa: RUF012

    def __init__(self, page: TestSetDialog) -> None:
        self._defaults = theme.defaults()
        super().__init__()
        self.page = page
        self.results: list[Any] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._defaults

    def on_mount(self) -> None:
        self.push_screen(self.page, self.results.append)


async def test_cases_are_added_changed_deleted_and_saved(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    app = Alone(TestSetDialog(path, ["question"]))
    async with app.run_test(size=(80, 24)) as pilot:

        async def form() -> CaseForm:
            await until(pilot, lambda: isinstance(app.screen, CaseForm) and app.screen.query("#field-checks"))
            assert isinstance(app.screen, CaseForm)
            return app.screen

        async def closed() -> None:
            await until(pilot, lambda: app.screen is app.page)

        def state() -> str:
            return str(app.page.query_one("#cases-state", Static).render())

        await pilot.press("a")
        case = await form()
        await pilot.press("escape")
        assert "The case has no input." in str(case.query_one("#form-state", Static).render())
        case.query_one("#field-var0", TextArea).load_text("What is 1 + 1?")
        case.query_one("#field-expected", TextArea).load_text("2")
        case.query_one("#field-tags", Input).value = "sums, easy"
        await pilot.press("escape")
        await closed()
        await pilot.press("a")
        case = await form()
        case.query_one("#field-id", Input).value = "second"
        case.query_one("#field-var0", TextArea).load_text("2 + 2?")
        case.query_one("#field-checks", TextArea).load_text('contains:4\n{"type": "max-tokens", "value": 9}')
        case.query_one("#field-weight", Input).value = "3"
        await pilot.press("escape")
        await closed()
        assert "2 cases · not saved" in state()
        await pilot.press("escape")
        assert app.screen is app.page and "Esc again drops the changes" in state()
        await pilot.press("f9")
        assert "2 cases · saved" in state()
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert lines[0]["vars"] == {"question": "What is 1 + 1?"} and lines[0]["expected"] == "2"
        assert app.page.test_set.cases[0].id, "a name that was left empty is made from what the case holds"
        assert lines[0]["tags"] == ["sums", "easy"]
        assert lines[1]["checks"] == ["contains:4", {"type": "max-tokens", "value": 9}] and lines[1]["weight"] == 3
        await pilot.press("d", "z", "home", "enter")
        case = await form()
        case.query_one("#field-checks", TextArea).load_text("no-such-check:1")
        await pilot.press("escape")
        assert "There is no check 'no-such-check'" in str(case.query_one("#form-state", Static).render())
        await pilot.press("f8")
        await closed()
        assert len(app.page.test_set.cases) == 2
        await pilot.press("d", "f9", "escape")
    assert app.results == [path]
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1
