"""The footer: how many keys, where they stand, how they are written."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType

from promptop_tui.shell.footer import MOST, FooterKey, KeyFooter, footer_keys, laid_out


class Keys(App[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "bell", "Help", id="app.help"),
        Binding("ctrl+q", "quit", "Quit", id="app.quit"),
        *(Binding(f"f{n}", f"press({n})", f"Do {n}", id=f"keys.{n}") for n in range(2, 12)),
        Binding("x", "press(0)", "Hidden", id="keys.hidden", show=False),
    ]
    pressed: ClassVar[list[int]] = []

    def compose(self) -> ComposeResult:
        yield KeyFooter()

    def action_press(self, number: int) -> None:
        self.pressed.append(number)


async def test_at_most_seven_keys_with_help_as_they_are_bound() -> None:
    app = Keys()
    async with app.run_test(size=(120, 4)) as pilot:
        keys, last = footer_keys(app.screen)
        assert len(keys) + 1 == MOST
        assert last is not None
        assert (last.name, last.label) == ("F1", "Help")
        assert all(key.name.startswith("F") for key in keys)
        text = "".join(segment.text for segment in app.query_one(KeyFooter).render_line(0))
        assert text.rstrip().endswith("F1 Help")
        assert "Hidden" not in text
        assert "Quit" not in text
        await pilot.click(KeyFooter, offset=(2, 0))
        assert app.pressed == [2], "a click presses the key under the mouse"


def test_keys_are_evenly_apart_and_help_is_the_last_to_go() -> None:
    keys = tuple(FooterKey(f"F{n}", "Act", f"f{n}") for n in range(2, 6))
    last = FooterKey("F1", "Help", "f1")
    wide = laid_out(keys, last, 80)
    assert [column for column, _ in wide] == [1, 10, 19, 28, 72]
    assert [key for _, key in laid_out(keys, last, 24)] == [keys[0], last]
    assert [key for _, key in laid_out(keys, last, 8)] == [last]
    assert laid_out(keys, None, 12) == [(1, keys[0])]
