"""By keys alone: Tab reaches everything, the form of variables sends, two versions are held against each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.promptop_tui.playground.conftest import Open, ask, calls, over, shows
from tests.support.waits import until_shown as until
from textual.widgets import Input, Static

from promptop.client.request import RunRequest
from promptop.client.targets import parse_target
from promptop.client.variants import AS_TYPED, PromptVersion, requests_of
from promptop.experiments.grid.run import GridRun
from promptop.simulator import SimulatedEndpoint
from promptop_tui.playground.dialogs.variables import VariablesDialog
from promptop_tui.playground.dialogs.versions import VersionsDialog
from promptop_tui.playground.measure.grid_dialog import GridMemory, GridView
from promptop_tui.playground.measure.measure_dialog import MeasureDialog
from promptop_tui.widgets.check_list import CheckList
from promptop_tui.widgets.prompt_area.area import PromptArea


@pytest.mark.parametrize("size", [(80, 24), pytest.param((120, 40), marks=pytest.mark.world)])
async def test_tab_reaches_all_that_takes_keys_and_types_nothing(opened: Open, size: tuple[int, int]) -> None:
    app = opened("gpt-4o-mini", "gpt-4o")
    async with app.run_test(size=size) as pilot:
        await ask(app, pilot, "Tell {{name}}.")
        await until(pilot, lambda: over(app))
        wanted = set(app.screen.focus_chain)
        fields = {*app.query(PromptArea), *app.query(CheckList), *app.query("#parameters-scroll Input")}
        assert {*app.query(PromptArea), app.query_one(CheckList)} <= wanted
        assert len(wanted & set(app.query(Input))) >= 5 and wanted & set(app.answers) and fields
        begun, seen = app.screen.focused, []
        for _ in range(len(wanted)):
            await pilot.press("tab")
            seen.append(app.screen.focused)
        assert set(seen) == wanted and app.screen.focused is begun
        for _ in range(3):
            await pilot.press("shift+tab")
        assert app.screen.focused is seen[-4]
        assert app.query_one("#prompt", PromptArea).text == "Tell {{name}}."


async def test_the_form_of_variables_takes_values_and_sends(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o-mini")
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one("#prompt", PromptArea).load_text("Tell {{name}} of {{place}}.")
        app.query_one(CheckList).select_all()
        await pilot.pause()
        app.pane.action_open("variables")
        await shows(app, pilot, VariablesDialog)
        sent = len(calls(endpoint))
        await pilot.press(*"Ada", "tab", *"Rome", "f5")
        await until(pilot, lambda: over(app))
        (asked,) = calls(endpoint)[sent:]
        assert asked.json["messages"][-1]["content"] == "Tell Ada of Rome."
        await until(pilot, lambda: "2 of 2" in str(app.query_one("#open-variables", Static).render()))


async def test_two_chosen_versions_are_held_against_each_other_by_a_key(opened: Open) -> None:
    app = opened("gpt-4o-mini")
    async with app.run_test(size=(120, 40)) as pilot:
        app.query_one("#prompt", PromptArea).load_text("请你帮我总结三个要点，非常感谢。")
        app.query_one(CheckList).select_all()
        await pilot.press("shift+f8")
        assert "two versions" in app.told[-1]
        app.pane.action_open("versions")
        await shows(app, pilot, VersionsDialog)
        await until(pilot, lambda: isinstance(app.screen, VersionsDialog) and bool(app.screen.items))
        await pilot.press("f9", "escape")
        await until(pilot, lambda: not isinstance(app.screen, VersionsDialog))
        app.query_one("#prompt", PromptArea).load_text("总结三个要点。")
        await pilot.press("shift+f8")
        await shows(app, pilot, MeasureDialog)
        state = app.screen.query_one("#form-state", Static)
        await until(pilot, lambda: "22 calls, at most" in str(state.render()))
        assert "One input: at most alike" in "\n".join(str(each.render()) for each in app.screen.query(Static))
        await pilot.press("escape")


def test_the_same_grid_goes_on_in_a_later_app_and_a_judge_is_priced(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTOP_DATA_DIR", str(tmp_path / "data"))
    context = opened("gpt-4o-mini").context
    cases = [{"vars": {"a": str(n)}, "checks": ["rubric:is kind"]} for n in range(3)]
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join(map(json.dumps, cases)))

    def build(values: dict[str, str], _: object) -> list[RunRequest]:
        version = PromptVersion(AS_TYPED, [{"role": "user", "content": values["a"]}], None)
        return requests_of([parse_target("gpt-4o-mini", context.settings)], [version], {"max_tokens": 5})

    def plan(memory: GridMemory, judge: str = "") -> tuple[GridView, float]:
        view = GridView(context, build, ("gpt-4o-mini",), memory)  # type: ignore[arg-type]
        planned = view.plan({"file": str(path), "tags": "", "at_once": "", "cap": "", "judge": judge})
        return view, planned.most.usd or 0.0

    first, other = GridMemory(), GridMemory()
    view, usd = plan(first)
    assert "name a judge" in view._note
    planned = view.plan({"file": str(path), "tags": "", "at_once": "", "cap": "", "judge": ""})
    assert isinstance(planned.measurement, GridRun)
    planned.measurement._store.begin({"kind": "grid"})
    plan(other)
    assert other.run == first.run
    judged, with_judge = plan(GridMemory(), "gpt-4o-mini")
    assert judged._note == "" and with_judge > 2 * usd
