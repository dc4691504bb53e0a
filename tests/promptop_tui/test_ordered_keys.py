from __future__ import annotations

import pytest
from tests.promptop_tui.conftest import MakeApp
from tests.support.waits import until_shown as wait_until
from textual import events
from textual.app import ComposeResult
from textual.widgets import Input, TextArea

from promptop_tui.shell import ordered_keys
from promptop_tui.shell.ordered_keys import OrderedKeys
from promptop_tui.widgets.prompt_area.area import PromptArea


class Fields(OrderedKeys):
    """Three fields."""

    def compose(self) -> ComposeResult:
        yield Input(id="one")
        yield Input(id="two")
        yield TextArea(id="three")

    def values(self) -> list[str]:
        one, two = (each.value for each in self.query(Input))
        return [one, two, self.query_one(TextArea).text]


def type_at_once(app: OrderedKeys, *keys: str) -> None:
    """Put keys into the app's queue as a terminal does that sends them faster than they are handled."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def test_keys_behind_a_tab_are_for_the_next_field() -> None:
    app = Fields()
    async with app.run_test() as pilot:
        app.query_one("#one").focus()
        await pilot.pause()
        type_at_once(app, "a", "b", "tab", "c", "tab", "d", "e", "shift+tab", "f")
        app.post_message(events.Paste("好"))
        await wait_until(pilot, lambda: app.values() == ["ab", "f好", "de"])  # coming back selects the field


async def test_a_field_that_goes_away_holds_up_no_key() -> None:
    app = Fields()
    async with app.run_test() as pilot:
        app.query_one("#one").focus()
        await pilot.pause()
        type_at_once(app, "tab", "x")
        await app.query_one("#one").remove()
        type_at_once(app, "y")
        two, three = app.query_one("#two", Input), app.query_one("#three", TextArea)
        await wait_until(pilot, lambda: two.value + three.text == "xy")


async def test_keys_behind_the_key_of_a_tab_are_for_that_tab(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ordered_keys, "LONGEST_S", 30
    )  # a busy machine takes longer to build a tab than a key is held for
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: isinstance(app.focused, PromptArea))
        type_at_once(app, "f3", "x", "y", "f2", "z", "f3", "w")
        await wait_until(pilot, lambda: app.tab == "playground" and app.query("#pane-playground #prompt"))
        prompt = app.query_one("#pane-playground #prompt", PromptArea)
        await wait_until(pilot, lambda: prompt.text == "xyw")
        assert app.query_one("#pane-editor #prompt", PromptArea).text == "z"


async def test_a_letter_with_alt_is_a_command_and_never_text() -> None:
    app = Fields()
    app.bind("alt+o", "app.bell")
    rung: list[bool] = []
    app.bell = lambda: rung.append(True)  # type: ignore[method-assign]
    async with app.run_test() as pilot:
        app.query_one("#three").focus()
        await pilot.pause()
        app.post_message(events.Key("alt+o", "o"))
        type_at_once(app, "a")
        await wait_until(pilot, lambda: rung and app.values() == ["", "", "a"])
