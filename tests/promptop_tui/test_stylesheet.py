"""What the kept stylesheet gives each node is what Textual's own gives it, in every state."""

from __future__ import annotations

from typing import Any

from tests.promptop_tui.conftest import MakeApp
from tests.support.waits import until_shown as until
from textual.css.styles import RenderStyles
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.widget import Widget
from textual.widgets import OptionList

from promptop_tui.app import PromptopApp
from promptop_tui.shell.help import HelpDialog
from promptop_tui.stylesheet import KeptStylesheet


def _rules(node: DOMNode) -> dict[str, Any]:
    given: dict[str, Any] = {"": dict(node._css_styles._rules)}
    for name, styles in node._component_styles.items():
        assert isinstance(styles, RenderStyles)
        given[name] = dict(styles.base._rules)
    return given


def _differences(app: PromptopApp) -> tuple[int, list[tuple[DOMNode, dict[str, Any], dict[str, Any]]]]:
    """Return the number of nodes of the screen, and those to which Textual's stylesheet gives other rules."""
    plain = Stylesheet(variables=app.get_css_variables())
    plain.source = dict(app.stylesheet.source)
    plain.parse()
    nodes = [app, *app.screen.walk_children(with_self=True)]
    app.stylesheet.update_nodes(nodes)
    given = {node: _rules(node) for node in nodes}
    plain.update_nodes(nodes)
    return len(nodes), [(node, given[node], now) for node in nodes if (now := _rules(node)) != given[node]]


async def test_every_node_has_the_rules_that_textual_gives_it(make_app: MakeApp) -> None:
    app = make_app(simulated=True)
    assert isinstance(app.stylesheet, KeptStylesheet)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.query("#pane-editor *"))
        focused = {app.focused}
        for _ in range(3):
            focused.add(app.screen.focus_next())
            await pilot.pause()
        assert len(focused) > 2
        app.theme = next(name for name in app.available_themes if name != app.theme)
        await pilot.pause()
        for tab in ("editor", "playground", "monitor"):
            app.show_tab(tab)
            await until(pilot, lambda tab=tab: app.tab == tab and app.query(f"#pane-{tab} *"))
            count, differing = _differences(app)
            assert count > 40 and not differing
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpDialog))
        assert not _differences(app)[1]


async def test_a_state_that_comes_back_and_one_that_differs_below_are_told_apart(make_app: MakeApp) -> None:
    app = make_app(simulated=True, tab="playground")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.query("#pane-playground OptionList"))
        listed = app.query(OptionList).first()
        before = _rules(listed)
        frame = app.query_one("#frame", Widget)
        frame.disabled = True
        await pilot.pause()
        disabled = _rules(listed)
        assert disabled != before and not _differences(app)[1]
        frame.disabled = False
        await pilot.pause()
        assert _rules(listed) == before and not _differences(app)[1]
        listed.set_class(True, "-invented")
        app.stylesheet.add_source(
            "OptionList.-invented { width: 7; } .-invented > .option-list--option { color: red; }", ("here", "")
        )
        app.refresh_css(animate=False)
        assert _rules(listed)[""]["width"].value == 7
        assert not _differences(app)[1]
