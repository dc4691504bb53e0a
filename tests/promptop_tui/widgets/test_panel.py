"""Panels: what their frame says, at each width, and how it shows the focus without colour."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.content import Content
from textual.style import Style
from textual.widgets import Input

from promptop_tui.app import _HERE
from promptop_tui.shell import theme
from promptop_tui.widgets.panel import Panel, top_line


def line(title: str, state: str, width: int) -> str:
    return top_line(Content(title), Content(state), width, "─", Style.null()).plain


def test_the_state_stands_at_the_right_and_leaves_before_the_title() -> None:
    assert line("Draft", "saved · 213 tokens", 40) == "Draft ───────── saved · 213 tokens"
    assert len(line("Draft", "saved · 213 tokens", 40)) == 34
    assert line("Draft", "saved · 213 tokens", 24) == "Draft ────── saved"
    assert line("Draft", "saved · 213 tokens", 14) == "Draft"


class Panels(App[None]):
    CSS_PATH = _HERE / "app.tcss"

    def __init__(self) -> None:
        self._found = theme.load(theme.shipped_dir())
        super().__init__()
        for each in self._found.themes.values():
            self.register_theme(each)
        self.theme = theme.BRAND

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return theme.defaults()

    def compose(self) -> ComposeResult:
        yield Panel(Input(), heading="One", id="one")
        yield Panel(Input(), heading="Two", id="two")


def upper(app: Panels, name: str) -> str:
    panel = app.query_one(f"#{name}", Panel)
    return "".join(segment.text for segment in panel.render_lines(panel.outer_size.region)[0])


async def test_the_frame_of_the_focus_is_heavy_and_follows_it() -> None:
    app = Panels()
    async with app.run_test(size=(40, 20)) as pilot:
        app.query_one("#one", Panel).state = "here"
        await pilot.pause()
        assert upper(app, "one").startswith("┏━ One ━━")
        assert upper(app, "one").endswith("━ here ━┓")
        assert upper(app, "two").startswith("╭─ Two ──")
        await pilot.press("tab")
        await pilot.pause()
        assert upper(app, "one").startswith("╭─ One ──")
        assert upper(app, "one").endswith("─ here ─╮")
        assert upper(app, "two").startswith("┏━ Two ━━")


async def test_an_alarm_changes_the_colour_of_the_frame_and_nothing_else() -> None:
    app = Panels()
    async with app.run_test(size=(40, 20)) as pilot:
        panel = app.query_one("#two", Panel)
        before, size = panel.styles.border_top, panel.size
        panel.add_class("-alarm")
        await pilot.pause()
        assert panel.styles.border_top[0] == before[0]
        assert panel.styles.border_top[1] != before[1]
        assert panel.size == size
