from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.promptop_tui.conftest import MakeApp
from tests.support.waits import until_shown as wait_until

from promptop.base import texts
from promptop.base.files import config_dir
from promptop.settings import Problem, Profile, Settings
from promptop_tui import messages
from promptop_tui.editor.screen import EditorPane
from promptop_tui.shell import theme
from promptop_tui.shell.footer import KeyFooter, laid_out
from promptop_tui.shell.help import HelpDialog
from promptop_tui.shell.palette import commands
from promptop_tui.shell.settings_banner import SettingsBanner
from promptop_tui.widgets.prompt_area.area import PromptArea


async def test_tabs_are_built_when_first_shown_and_keep_their_focus(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor"))
        assert not app.query("#pane-playground, #pane-monitor")
        for key, tab in (("f3", "playground"), ("f4", "monitor"), ("f2", "editor")):
            await pilot.press(key)
            await wait_until(pilot, lambda tab=tab: app.tab == tab and app.query(f"#pane-{tab}"))
            pane = app.query_one(f"#pane-{tab}")
            assert pane.display
            assert sum(each.display for each in app.query("#panes > *")) == 1
            assert app.query_one(f"#tab-{tab}").has_class("-current")
            await wait_until(pilot, lambda pane=pane: app.focused and pane in app.focused.ancestors_with_self)
        assert len(app.query("#panes > *")) == 3


async def test_the_tab_asked_for_last_is_shown_however_long_another_takes_to_build(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor"))
        for tab in ("playground", "monitor", "editor"):
            app.show_tab(tab)
        await wait_until(pilot, lambda: len(app.query("#panes > *")) == 3)
        await app.workers.wait_for_complete([worker for worker in app.workers if worker.group == "tab"])
        await wait_until(pilot, lambda: app.tab == "editor")
        assert [pane.id for pane in app.query("#panes > *") if pane.display] == ["pane-editor"]


async def test_a_click_on_a_tab_shows_it(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor"))
        await pilot.click("#tab-monitor")
        await wait_until(pilot, lambda: app.tab == "monitor")


async def test_help_shows_what_the_focused_widgets_say_and_the_keys_that_work(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 40)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor"))
        await pilot.press("f1")
        await wait_until(pilot, lambda: isinstance(app.screen, HelpDialog))
        shown = "\n".join(str(each.render()) for each in app.screen.query("Static"))
        assert "promptop closes one loop" in shown
        assert "Editor" in shown
        assert "editor.save" in shown
        assert "app.quit" in shown
        # This tab's keys first, then its field's, then the app's; Textual's own come last, and the prose after them.
        marks = ("editor.save", "app.quit", "Moving and selecting", "The draft is kept on disk")
        assert [shown.index(mark) for mark in marks] == sorted(shown.index(mark) for mark in marks)
        assert "draft." in shown[shown.index("editor.save") : shown.index("app.quit")]
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, HelpDialog))


async def test_frame_footer_and_help_speak_chinese_where_that_is_chosen(make_app: MakeApp) -> None:
    before = texts.use(texts.ENGLISH)
    app = make_app(Settings(language="zh"))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor") and app.query_one(KeyFooter).keys[0])
        tabs = " ".join(str(each.render()) for each in app.query("TabLabel"))
        assert "编辑器" in tabs
        keys, last = app.query_one(KeyFooter).keys
        assert "精简" in [key.label for key in keys]
        assert last is not None
        assert last.label == "帮助"
        assert laid_out(keys, last, 80)[-1][0] + last.cells == 79  # it stands at the right edge, in cells
        await pilot.press("f1")
        await wait_until(pilot, lambda: isinstance(app.screen, HelpDialog))
        shown = "\n".join(str(each.render()) for each in app.screen.query("Static"))
        assert "保存到文件" in shown
        assert "editor.save" in shown  # ids stay
    texts.use(before)


async def test_the_palette_is_computed_from_the_present_state(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor") and app.focused is not None)
        names = [command.name for command in commands(app, app.screen)]
        assert all(": " in name for name in names)
        assert "tab: monitor" in names
        assert "tab: editor" not in names
        assert any(name.startswith("editor: ") for name in names)
        assert "theme: promptop-light" in names
        assert "theme: promptop-dark" not in names
        await pilot.press("f4")
        await wait_until(pilot, lambda: app.tab == "monitor" and app.focused is not None)
        later = [command.name for command in commands(app, app.screen)]
        assert any(name.startswith("monitor: ") for name in later)
        assert not any(name.startswith("editor: ") for name in later)


async def test_a_theme_is_chosen_in_the_palette(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor"))
        await pilot.press("ctrl+p")
        await pilot.press(*"theme light")
        await wait_until(
            pilot, lambda: len(app.screen.query("CommandList")) and app.screen.query_one("CommandList").option_count
        )  # type: ignore[attr-defined]
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.theme == "promptop-light")


async def test_mistakes_in_the_settings_are_told_and_the_app_starts(make_app: MakeApp, tmp_path: Path) -> None:
    problem = Problem(tmp_path / "config.toml", 3, "evil \x1b]52;c;AAAA\x07 setting", "Mend it.")
    settings = Settings(theme="no-such", keys={"app.help": "blah", "typo.x": "f9"}, problems=(problem,))
    app = make_app(settings)
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: len(app._notifications) >= 3)
        told = "\n".join(notice.message for notice in app._notifications)
        banner = str(app.query_one(SettingsBanner).render())
        assert "config.toml:3" in banner
        assert "\x1b" not in banner + told
        assert "no theme 'no-such'" in told
        assert "'blah' is not a key" in told
        assert "typo.x: there is no binding" in told
        assert app.theme == theme.BRAND


async def test_keys_come_from_the_settings_in_every_tab(make_app: MakeApp) -> None:
    app = make_app(Settings(keys={"app.tab.monitor": "f8", "monitor.pause": "x"}))
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor"))
        await pilot.press("f8")
        await wait_until(pilot, lambda: app.tab == "monitor")
        pane = app.query_one("#pane-monitor")
        await wait_until(pilot, lambda: app.focused is not None and pane in app.focused.ancestors_with_self)
        assert app.screen.active_bindings["x"].binding.id == "monitor.pause"
        assert not app._notifications


async def test_a_theme_file_that_changes_is_taken_over_and_a_bad_one_told(
    make_app: MakeApp, private_folders: Path
) -> None:
    folder = config_dir() / "themes"
    folder.mkdir(parents=True)
    brand = (theme.shipped_dir() / "promptop-dark.toml").read_text(encoding="utf-8")
    ground = tomllib.loads(brand)["background"]
    mine = folder / "mine.toml"
    mine.write_text(brand.replace('"promptop-dark"', '"mine"'), encoding="utf-8")
    app = make_app(Settings(theme="mine"))
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: app.theme == "mine")
        mine.write_text(brand.replace('"promptop-dark"', '"mine"').replace(ground, "#000011"), encoding="utf-8")
        app._reload_themes()
        await wait_until(pilot, lambda: app.theme_variables["background"].lower() == "#000011")
        mine.write_text("name = 3", encoding="utf-8")
        app._reload_themes()
        assert app.theme == theme.BRAND
        await wait_until(pilot, lambda: any("mine.toml" in notice.message for notice in app._notifications))


async def test_a_subject_goes_from_tab_to_tab(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor"))
        app.post_message(messages.OpenInPlayground([{"role": "user", "content": "问候 hello"}], models=("gpt-4o",)))
        await wait_until(pilot, lambda: app.tab == "playground")
        app.post_message(messages.ShowInMonitor("model:gpt-4o"))
        await wait_until(pilot, lambda: app.tab == "monitor")
        app.post_message(messages.OpenInEditor("user:\n新的 prompt", source="request 7"))
        await wait_until(pilot, lambda: app.tab == "editor")
        editor = app.query_one(EditorPane)
        await wait_until(pilot, lambda: "新的 prompt" in editor.area.text)


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (200, 60)])
async def test_every_tab_stands_at_every_size_and_in_a_resize(make_app: MakeApp, size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        for key, tab in (("f2", "editor"), ("f3", "playground"), ("f4", "monitor")):
            await pilot.press(key)
            await wait_until(pilot, lambda tab=tab: app.tab == tab and app.focused is not None)
            assert app.query_one(KeyFooter).region.bottom == size[1]
        await pilot.resize_terminal(60, 15)
        await pilot.resize_terminal(*size)
        assert app.is_running


async def test_without_colour_everything_is_still_said(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(simulated=True)
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor"))
        update = app.screen._compositor.render_update(full=True)
        text = update.render_segments(app.console)
        assert "SIMULATED" in text
        colors = re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", text)
        assert colors
        assert all(red == green == blue for red, green, blue in colors)


async def test_an_endpoint_that_refuses_is_an_error_in_the_pane_and_a_row_in_the_log(
    make_app: MakeApp, tmp_path: Path
) -> None:
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    profile = Profile(name="gone", base_url=f"http://127.0.0.1:{port}/v1", models=("m",))
    app = make_app(replace(Settings(), profiles={"gone": profile}, profile="gone"))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: app.query("#pane-editor"))
        app.post_message(messages.OpenInPlayground([{"role": "user", "content": "hi"}], models=("m",)))
        # The key belongs to the tab's focus, and the tab is shown before its prompt is taken over and focused.
        prompt = "#pane-playground #prompt"
        await wait_until(
            pilot,
            lambda: (
                app.tab == "playground"
                and any("hi" in area.text for area in app.query(prompt).results(PromptArea))
                and app.focused is not None
                and app.query_one("#pane-playground") in app.focused.ancestors_with_self
            ),
        )
        await pilot.press("f5")

        def said() -> str:
            strips = app.screen._compositor.render_strips()
            return "\n".join("".join(segment.text for segment in strip) for strip in strips)

        expected = (f"Nothing answers at {profile.base_url}", "Is the server running", "✗ m")
        await wait_until(pilot, lambda: all(text in said() for text in expected))
        assert app.is_running


FIRST_PAINT = """
import asyncio, json, sys
from pathlib import Path
from promptop.cli.shared.options import AppOptions
from promptop.settings import Settings
from promptop_tui.app import PromptopApp

async def main():
    folder = Path(sys.argv[1])
    app = PromptopApp(AppOptions(Settings(), folder / "log.db", draft_path=folder / "draft.md"))
    async with app.run_test(size=(100, 30)) as pilot:
        while not app.query("#pane-editor PromptArea"):
            await asyncio.sleep(0.01)
        await pilot.press("a")
        print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))

asyncio.run(main())
"""


def test_the_first_paint_and_the_first_key_need_none_of_the_heavy_libraries(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PAINT, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    heavy = {
        "openai",
        "httpx",
        "httpx2",
        "tiktoken",
        "sqlite_utils",
        "numpy",
        "pydantic",
        "aiohttp",
        "redis",
    }
    assert loaded & heavy == set()


async def test_a_signal_ends_the_app_like_its_own_key(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        app.end_with_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        await wait_until(pilot, lambda: app.return_code == 128 + signal.SIGTERM)
