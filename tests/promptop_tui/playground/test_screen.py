from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.promptop_tui.playground.conftest import Open, ask, calls, over
from tests.support.waits import until_shown as until
from textual.color import Color
from textual.widgets import Input, SelectionList, Static

from promptop.log import LogReader, writer_for
from promptop.simulator import SimulatedEndpoint
from promptop_tui.messages import OpenInPlayground
from promptop_tui.playground.controllers.cost.estimate import PriceLine
from promptop_tui.playground.controllers.endpoint_models import EndpointModels
from promptop_tui.playground.dialogs.inspect_dialogs import DetailsDialog, DiffDialog
from promptop_tui.playground.measure.batch_dialog import BatchDialog
from promptop_tui.playground.views.comparison_table import ComparisonTable
from promptop_tui.playground.views.parameters import CacheSwitch, CheckList, ParameterColumn
from promptop_tui.widgets.panel import Panel
from promptop_tui.widgets.prompt_area.area import PromptArea

ASK = EndpointModels.ask
"""As it is: a playground that is opened for these tests does not ask by itself."""


async def test_two_models_answer_side_by_side_and_are_compared(opened: Open) -> None:
    app = opened("gpt-4o-mini", "gpt-4o", own=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        for pane in app.answers:
            assert pane.state == "done"
            assert pane.has_class("-done")
            assert pane.result is not None
            assert "".join(pane.rows).replace(" ", "") == pane.result.text.replace("\n", "").replace(" ", "")
            assert "✓" in str(pane.border_title)
            assert "→12" in str(pane.border_subtitle)
            assert str(pane.border_title).endswith("length")
        table = app.query_one(ComparisonTable)
        assert table.row_count == 2
        first = [str(cell) for cell in table.get_row_at(0)]
        assert first[0].startswith("✓ gpt-4o-mini")
        assert first[-1].endswith("*")  # the cheaper one
        assert "spent $0.000" in str(app.query_one("#spent").render())
        assert app.told == []
    with LogReader(app.context.log_path) as reader:
        rows = reader.latest(10)
    assert {row.request_model for row in rows} == {"gpt-4o-mini", "gpt-4o"}
    assert {(row.app, row.simulated, row.attempt) for row in rows} == {("promptop playground", 1, 1)}


async def test_the_endpoints_models_join_the_list_and_the_highlight_stays(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened("gpt-4o-mini", "gpt-4o")
    async with app.run_test(size=(120, 40)) as pilot:
        listed = app.query_one(CheckList)
        await until(pilot, lambda: listed.values == ["gpt-4o-mini", "gpt-4o"])
        listed.highlighted = 1
        monkeypatch.setattr(EndpointModels, "ask", ASK)
        app.pane.models.ask()
        await until(pilot, lambda: "sim-fast" in listed.values)
        assert listed.values[:2] == ["gpt-4o-mini", "gpt-4o"]
        assert listed.highlighted == 1
        assert str(app.query_one("#models", Panel).state) == f"{len(listed.values)} · endpoint"


async def test_escape_cancels_and_keeps_what_came(opened: Open) -> None:
    app = opened("sim-fault-endless")
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(app, pilot)
        endless = lambda: app.answers[0]  # noqa: E731
        await until(pilot, lambda: app.answers and len("".join(endless().rows)) > 100)
        assert endless().has_class("-running")
        await pilot.press("f5")
        assert "Esc" in app.told[-1]
        await pilot.press("escape")
        await until(pilot, lambda: over(app))
        assert endless().state == "cancelled"
        assert endless().has_class("-cancelled")
        assert not endless().has_class("-running")
        result = endless().result
        assert result is not None
        text = "".join(endless().rows)
        assert result.text.split()[-1] in text
        assert "cancelled" in text


async def test_an_error_stands_in_its_pane_with_its_remedy(opened: Open) -> None:
    app = opened("sim-fault-401", "sim-fault-cut")
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        refused, cut = app.answers
        assert refused.has_class("-failed")
        assert "refuses the key" in " ".join(refused.rows)
        assert "→ " in " ".join(refused.rows)
        assert cut.result is not None
        assert cut.rows[0].startswith(cut.result.text.split()[0])
        assert "✗" in str(cut.border_title)


async def test_messages_from_another_tab_are_sent_as_they_came_until_they_are_edited(
    opened: Open, endpoint: SimulatedEndpoint
) -> None:
    app = opened("gpt-4o-mini")
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]
    given = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    message = OpenInPlayground(given, models=["gpt-4o"], parameters={"max_tokens": 3, "stop": ["\n"]}, source="row 7")
    async with app.run_test(size=(120, 40)) as pilot:
        app.pane.open_prompt(message)
        await pilot.pause()
        area = app.query_one("#prompt", PromptArea)
        assert "row 7" in str(app.pane.prompt.border_title)
        assert "What is this?" in area.text
        assert app.query_one("#parameter-stop", Input).value == r"\n"
        assert app.query_one("#parameter-temperature", Input).value == ""
        assert app.query_one(SelectionList).selected == ["gpt-4o"]
        await pilot.press("f5")
        await until(pilot, lambda: over(app))
        body = calls(endpoint)[-1].json
        assert body["messages"] == given
        assert (body["model"], body["max_tokens"], body["stop"]) == ("gpt-4o", 3, ["\n"])
        assert "temperature" not in body
        assert (app.pane.prompt.system.text, area.text.split("\n")[0]) == ("Be brief.", "What is this?")
        app.pane.prompt.put("user:\nAnother question")
        await pilot.press("f5")
        await until(pilot, lambda: over(app) and calls(endpoint)[-1].json["messages"] != given)
        assert calls(endpoint)[-1].json["messages"] == [{"role": "user", "content": "Another question"}]


async def test_what_cannot_be_meant_is_said_and_nothing_is_sent(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o-mini")
    async with app.run_test(size=(120, 40)) as pilot:
        sent = len(calls(endpoint))
        await pilot.press("f5")
        assert "prompt is empty" in app.told[-1]
        temperature = app.query_one("#parameter-temperature", Input)
        temperature.value = "hot"
        await ask(app, pilot)
        assert "temperature cannot be 'hot'" in app.told[-1]
        assert temperature.has_class("-bad")
        assert "0 to 2" in str(app.query_one("#hint").render())
        temperature.value = "0.5"
        app.query_one("#parameter-stop", Input).value = r"\q"
        await pilot.press("f5")
        assert r"\q" in app.told[-1]
        app.query_one("#parameter-stop", Input).value = ""
        app.query_one(CheckList).deselect_all()
        await pilot.press("f5")
        assert "No model" in app.told[-1]
        assert app.answers == []
        assert len(calls(endpoint)) == sent


async def test_the_cap_of_a_session_stops_the_next_run(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o", cap=0.0004)  # one run may cost 0.000265
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        sent = len(calls(endpoint))
        await pilot.press("f5")
        assert "spent $0.000" in app.told[-1]
        assert "cap" in app.told[-1]
        assert len(calls(endpoint)) == sent


async def test_a_run_is_priced_before_it_starts_and_the_cap_stops_it(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o", "gpt-4o-mini", cap=0.01)
    app.count()
    async with app.run_test(size=(120, 40)) as pilot:
        price = app.query_one(PriceLine)
        app.query_one(CheckList).select_all()
        app.query_one("#prompt", PromptArea).load_text("What is prompt engineering? {{话题}}")
        await until(pilot, lambda: price.ceiling is not None)
        assert price.ceiling is not None and price.ceiling.usd is not None
        assert "2 calls, at most $0.000" in str(price.render())
        assert str(app.query_one("#unfilled", Static).render()) == "! unfilled: 话题"
        app.query_one("#parameter-max_tokens", Input).value = "5000"
        await until(pilot, lambda: price.ceiling is not None and (price.ceiling.usd or 0) > 0.05)
        sent = len(calls(endpoint))
        await pilot.press("f5")
        assert "may cost $0.05" in app.told[-1]
        assert "max_tokens" in app.told[-1]
        assert len(calls(endpoint)) == sent
        app.query_one("#parameter-max_tokens", Input).value = "12"
        await until(pilot, lambda: price.ceiling is not None and (price.ceiling.usd or 1) < 0.01)
        await pilot.press("f5")
        await until(pilot, lambda: over(app))
        assert len(calls(endpoint)) == sent + 2
        assert ["{{话题}}" in told and "sample: {话题:" in told for told in app.told].count(True) == 1
        app.query_one("#prompt", PromptArea).load_text("What is it?")
        await until(pilot, lambda: not app.query_one("#unfilled").display)


async def test_what_a_model_does_not_take_is_marked_before_it_is_sent(opened: Open) -> None:
    app = opened("o3", "gpt-4o")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert app.query_one("#row-temperature").has_class("-refused")
        assert "temperature: not for o3" in str(app.query_one("#hint").render())
        top_p = app.query_one("#parameter-top_p", Input)
        assert (top_p.value, top_p.placeholder) == ("", "not taken")
        assert "o3: the model does not take it" in str(top_p.tooltip)
        app.query_one(CheckList).select_all()
        await pilot.pause()
        assert not app.query_one("#row-temperature").has_class("-refused")
        assert "temperature: not for o3" in str(app.query_one("#hint").render())
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        assert "temperature not sent" in "".join(app.answers[0].rows)


async def test_a_typed_model_joins_the_list_chosen_and_an_empty_prompt_has_a_pale_hint(opened: Open) -> None:
    app = opened("gpt-4o")
    async with app.run_test(size=(80, 24)) as pilot:
        field = app.query_one("#model-new", Input)
        app.screen.set_focus(field)
        await pilot.press("a", "1", "enter")
        field.value = "b2"
        await field.action_submit()
        field.insert_text_at_cursor("c")  # before the list was told
        await pilot.pause()
        assert field.value == "c"
        area = app.pane.prompt.area
        hint = next(each.style for each in area.render_line(0) if "prompt here" in each.text)
        assert hint is not None and hint.color is not None
        ground, typed, shown = (
            each.brightness
            for each in (area.background_colors[1], area.styles.color, Color.from_rich_color(hint.color))
        )
        assert abs(shown - ground) < 0.6 * abs(typed - ground)  # paler than what is typed
        targets = app.query_one(ParameterColumn).targets()
        assert [target.model for target in targets] == ["gpt-4o", "a1", "b2"]
        assert app.query_one(CheckList).highlighted == 2


async def test_at_80_columns_answers_are_shown_one_at_a_time(opened: Open) -> None:
    app = opened("gpt-4o-mini", "gpt-4o", "sim-fast")
    async with app.run_test(size=(80, 22)) as pilot:  # the app's own two lines are not here
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        await pilot.pause()
        seen = []
        for _ in range(4):
            (visible,) = [pane.title_text for pane in app.answers if pane.display]
            seen.append(visible)
            await pilot.press("f6")
            await pilot.pause()
        assert seen == ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o", "sim-fast"]
        app.query_one(ComparisonTable).focus()
        await pilot.press("down")
        await pilot.pause()
        assert app.answers[1].display or app.answers[2].display


@pytest.mark.parametrize("size", [(40, 10), (20, 5), (200, 60)])
async def test_any_size_runs_and_every_key_works(opened: Open, size: tuple[int, int]) -> None:
    app = opened("gpt-4o-mini", "gpt-4o", "sim-fast", "sim-smart", "sim-reasoner")
    async with app.run_test(size=size) as pilot:
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        for key in ("f6", "f7", "f7", "f8", "f8", "f9", "f9", "f6", "t"):
            await pilot.press(key)
        if size == (200, 60):
            assert sum(pane.display for pane in app.answers) == 5
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert app.is_running


async def test_controls_of_an_answer_are_pictured(opened: Open) -> None:
    app = opened("sim-fault-controls")
    async with app.run_test(size=(80, 24)) as pilot:
        await ask(app, pilot)
        app.query_one("#parameter-max_tokens", Input).value = ""
        await until(pilot, lambda: over(app))
        assert all(char.isprintable() for row in app.answers[0].rows for char in row)


def test_the_sdk_is_loaded_by_the_first_call_and_not_before() -> None:
    code = (
        "import sys, promptop_tui.playground.screen as s; from promptop.workers.call_client import Runner; Runner();"
        "late = ('openai', 'httpx2', 'httpx', 'tiktoken', 'pydantic', 'numpy');"
        "print([m for m in late if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_repeats_are_interleaved_and_judged(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o-mini", "gpt-4o")
    async with app.run_test(size=(120, 40)) as pilot:
        repeats = app.query_one("#parameter-repeats", Input)
        repeats.value = "0"
        await ask(app, pilot)
        assert "repeats cannot be '0'" in app.told[-1]
        repeats.value = "5"
        sent = len(calls(endpoint))
        await pilot.press("f5")
        await until(pilot, lambda: app.pane.results.has_class("-judged"))
        asked = [request.json["model"] for request in calls(endpoint)[sent:]]
        assert len(asked) == 12
        assert all(set(asked[at : at + 2]) == {"gpt-4o-mini", "gpt-4o"} for at in range(0, 12, 2))
        table = app.query_one(ComparisonTable)
        assert str(table.get_row_at(0)[0]) == "✓ 5× gpt-4o-mini"
        assert "medians" in str(table.border_title)
        assert "5/5" in str(app.answers[0].border_title)
        assert [pane.first_call and pane.first_call[1] for pane in app.answers] == [5, 5]
        verdict = str(app.query_one("#verdict").render())
        assert "gpt-4o against gpt-4o-mini" in verdict
        assert "dearer" in verdict
        assert "n=5+5" in verdict


async def test_escape_ends_repeats_and_keeps_those_that_came(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o-mini", "sim-fault-hang")
    async with app.run_test(size=(120, 40)) as pilot:
        app.query_one("#parameter-repeats", Input).value = "30"
        await ask(app, pilot)
        await until(pilot, lambda: any(pane.result for pane in app.answers) or app.answers)
        await until(pilot, lambda: app.answers[1].has_class("-running"))
        sent = len(calls(endpoint))
        await pilot.press("escape")
        await until(pilot, lambda: app.answers[1].state == "cancelled")
        await pilot.press("f5")
        await until(pilot, lambda: app.answers[1].has_class("-running"))
        assert "Still running" not in app.told
        assert len(calls(endpoint)) - sent <= 3  # the rest of the sixty was given up
        await pilot.press("escape")
        await until(pilot, lambda: app.answers[1].state == "cancelled")


async def test_a_call_in_full_and_the_difference_of_two_answers(opened: Open) -> None:
    app = opened("gpt-4o-mini", "gpt-4o")
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one("#parameter-max_tokens", Input).value = "80"
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        app.answers[1].focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DetailsDialog))
        text = str(app.screen.query_one("#dialog-text").render())
        assert '"model": "gpt-4o"' in text
        assert '"max_tokens": 80' in text
        assert "first token" in text
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, DetailsDialog))
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DiffDialog))
        await until(pilot, lambda: "{+" in str(app.screen.query_one("#dialog-text").render()))
        assert "in common" in str(app.screen.query_one("#dialog").border_title)
        await pilot.press("q")
        await until(pilot, lambda: not isinstance(app.screen, DiffDialog))


async def test_a_hit_of_the_cache_says_its_level_and_costs_nothing(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o-mini", own=True)
    async with app.run_test(size=(120, 40)) as pilot:
        app.query_one("#parameter-temperature", Input).value = "0"
        switch = app.query_one(CacheSwitch)
        assert str(switch.render()) == "off"
        sent = len(calls(endpoint))
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        switch.focus()
        await pilot.press("space")
        assert str(switch.render()) == "on"
        for _ in range(2):
            await pilot.press("f5")
            await until(pilot, lambda: over(app))
        assert len(calls(endpoint)) == sent + 2, "off: asked; on: asked and kept, then found"
        (pane,) = app.answers
        assert "memory hit" in str(pane.border_title)
        assert "hit · TTFT" in str(pane.border_subtitle)
        assert str(pane.border_subtitle).endswith("$0")
        row = [str(cell) for cell in app.query_one(ComparisonTable).get_row_at(0)]
        assert any(cell.strip() == "memory $0" for cell in row)
    with LogReader(app.context.log_path) as reader:
        assert [row.cache_level for row in reader.latest(10)] == ["memory", "miss", None]


async def test_a_cache_that_will_not_be_asked_says_why(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o-mini", own=True)
    async with app.run_test(size=(120, 40)) as pilot:
        app.query_one("#parameter-temperature", Input).value = "0.7"
        app.query_one(CacheSwitch).active = True
        await pilot.pause()
        assert "only at temperature 0" in str(app.query_one("#hint").render())
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        assert "cache was not asked" in "".join(app.answers[0].rows)
        app.query_one("#parameter-repeats", Input).value = "3"
        await pilot.pause()
        assert "not with repeats" in str(app.query_one("#hint").render())
        assert not app.query_one(ParameterColumn).cached()


async def test_a_batch_is_reached_by_a_key_and_counts_with_the_session(opened: Open, tmp_path: Path) -> None:
    app = opened("gpt-4o-mini", own=True)
    source = tmp_path / "in.jsonl"
    source.write_text('{"prompt": "x", "max_tokens": 4}\n')
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f12")
        await until(pilot, lambda: isinstance(app.screen, BatchDialog))
        page = app.screen
        assert page.query_one("#field-model", Input).value == "gpt-4o-mini"
        assert page.query_one("#field-cap", Input).value == "1"
        page.query_one("#field-in", Input).value = str(source)
        page.query_one("#field-out", Input).value = str(tmp_path / "out.jsonl")
        for wanted in ("F5 sends", "1 results in"):
            await pilot.press("f5")
            await until(pilot, lambda wanted=wanted: wanted in str(page.query_one("#form-state").render()))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, BatchDialog))
        assert "spent $0.0000" in str(app.query_one("#spent").render())
    writer_for(app.context.log_path).close()


async def test_the_search_begins_at_the_answer_that_is_looked_at_and_turns_the_page(opened: Open) -> None:
    app = opened("gpt-4o-mini", "gpt-4o", "gpt-4.1")
    async with app.run_test(size=(80, 24)) as pilot:
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        grid = app.pane.results.grid
        app.pane.results.look_at(1, focus=True)
        await pilot.press("slash", "e")
        await until(pilot, lambda: all(pane.matches for pane in app.answers))
        await pilot.pause()
        first, second, _ = (len(pane.matches) for pane in app.answers)
        count = app.query_one("#find-count", Static)
        assert str(count.render()).startswith(f"{first + 1} of ")
        await pilot.press(*["enter"] * second)
        assert grid.current == 2, "a match of an answer on another page is not shown"
        assert [pane.display for pane in app.answers] == [False, False, True]
        await pilot.press("escape")
        await until(pilot, lambda: app.focused is app.answers[2])
