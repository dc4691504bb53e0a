"""What is asked: versions side by side, options, presets, and conversations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.promptop_tui.playground.conftest import Alone, Open, ask, calls, over, shows
from tests.support.waits import until_shown as until
from textual.widgets import Input, OptionList, TextArea

from promptop.client.result import RunResult
from promptop.client.variants import AS_TYPED
from promptop.prompts.library import Library
from promptop.simulator import SimulatedEndpoint
from promptop_tui.messages import OpenInPlayground
from promptop_tui.playground.controllers.prompt_versions import TYPED, PromptVersions, SavedVersion
from promptop_tui.playground.dialogs.options import TextsDialog
from promptop_tui.playground.dialogs.presets import PresetsDialog
from promptop_tui.playground.dialogs.versions import VersionsDialog
from promptop_tui.playground.views.fields import Choice, Opener
from promptop_tui.widgets.check_list import CheckList
from promptop_tui.widgets.prompt_area.area import PromptArea


def bodies(endpoint: SimulatedEndpoint, since: int) -> list[dict[str, Any]]:
    return [request.json for request in calls(endpoint)[since:]]


async def test_versions_are_asked_side_by_side(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o-mini", "gpt-4o")
    Library().save("问候", "system:\nBe kind.\n\nuser:\n你好", now_ms=1)
    app.context.draft_path.write_text("A draft.")
    async with app.run_test(size=(160, 48)) as pilot:
        app.query_one("#prompt", PromptArea).load_text("As typed.")
        app.query_one(CheckList).select_all()
        app.pane.action_open("versions")
        await shows(app, pilot, VersionsDialog)
        dialog = app.screen
        assert isinstance(dialog, VersionsDialog)
        await until(pilot, lambda: [each.label for each in dialog.items] == [AS_TYPED, "draft", "问候 v1"])
        dialog.query_one(CheckList).select("2")
        await pilot.pause()
        await pilot.press("f9", "escape")
        await until(pilot, lambda: not isinstance(app.screen, VersionsDialog))
        assert str(app.query_one("#open-versions", Opener).render()) == "as typed + 2"
        app.query_one("#prompt", PromptArea).load_text("Typed anew.")
        sent = len(calls(endpoint))
        await pilot.press("f5")
        await until(pilot, lambda: over(app))
        titles = [pane.title_text for pane in app.answers]
        assert titles[:3] == [f"gpt-4o-mini · {label}" for label in (TYPED, "问候 v1", "variant A")]
        assert len(titles) == 6
        asked = {body["messages"][-1]["content"] for body in bodies(endpoint, sent)}
        assert asked == {"Typed anew.", "As typed.", "你好"}
        rows = {(pane.request.prompt_name, pane.request.prompt_version) for pane in app.answers if pane.request}
        assert rows == {(None, None), ("问候", "1")}


async def test_options_go_into_the_request_and_presets_bring_them_back(
    opened: Open, endpoint: SimulatedEndpoint
) -> None:
    app = opened("gpt-4o-mini", "gpt-4o")
    async with app.run_test(size=(120, 40)) as pilot:
        app.pane.action_open("options")
        await shows(app, pilot, TextsDialog)
        app.screen.query_one("#field-tools", TextArea).load_text("[")
        await pilot.press("escape")
        await until(pilot, lambda: "cannot be read as JSON" in str(app.screen.query_one("#form-state").render()))
        app.screen.query_one("#field-tools", TextArea).load_text('{"name": "look", "parameters": {}}')
        app.screen.query_one("#field-format", TextArea).load_text("json")
        app.screen.query_one("#field-overrides", TextArea).load_text("[gpt-4o]\ntemperature = 0\ntop_k = 4")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, TextsDialog))
        assert str(app.query_one("#open-options", Opener).render()) == "1 tool · object · 1 model"
        app.query_one("#parameter-reasoning_effort", Input).value = "low"
        app.query_one("#parameter-system", Choice).action_turn()
        app.query_one("#parameter-at_once", Input).value = "1"
        sent = len(calls(endpoint))
        await ask(app, pilot, "system:\nBe brief.\n\nuser:\nHi")
        most = 0

        def ended() -> bool:
            nonlocal most
            most = max(most, sum(pane.progress is not None and pane.result is None for pane in app.answers))
            return over(app)

        await until(pilot, ended)
        assert most <= 1
        first, second = sorted(bodies(endpoint, sent), key=lambda body: str(body["model"]), reverse=True)
        assert first["tools"][0]["function"]["name"] == "look"
        assert first["response_format"] == {"type": "json_object"}
        assert first["messages"] == [{"role": "user", "content": "Hi"}]
        assert (first["temperature"], second["temperature"], second["top_k"]) == (1.0, 0, 4)

        app.pane.action_open("presets")
        await shows(app, pilot, PresetsDialog)
        app.screen.query_one(Input).value = "mine"
        await pilot.press("enter")
        names = app.screen.query_one(OptionList)
        await until(pilot, lambda: names.option_count == 1)
        await pilot.press("escape")
        column = app.pane.column
        saved = column.setup()
        column.restore({"models": ["gpt-4o"]})
        assert column.setup() != saved
        app.pane.action_open("presets")
        await shows(app, pilot, PresetsDialog)
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count)
        app.screen.query_one(OptionList).action_select()
        await until(pilot, lambda: column.setup() == saved)


async def test_an_answer_is_gone_on_from_and_old_rounds_are_left_out(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o-mini")
    app.count()
    area: PromptArea
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(app, pilot, "system:\nBe brief.\n\nuser:\n第一个问题")
        await until(pilot, lambda: over(app))
        area = app.query_one("#prompt", PromptArea)
        for question in ("第二个问题", "third question"):
            app.answers[0].focus()
            await pilot.press("c")
            await until(pilot, lambda: area.has_focus)
            area.insert(question)
            sent = len(calls(endpoint))
            await pilot.press("f5")
            await until(pilot, lambda sent=sent: len(calls(endpoint)) > sent and over(app))
        messages = bodies(endpoint, sent)[-1]["messages"]
        assert [message["role"] for message in messages] == ["system", *("user", "assistant") * 2, "user"]
        assert [message["content"] for message in messages[1::2]] == ["第一个问题", "第二个问题", "third question"]
        assert "round 3 with gpt-4o-mini" in str(app.pane.prompt.border_title)

        app.query_one("#parameter-rounds", Input).value = "1"
        await until(pilot, lambda: "1 of 2 rounds: ≈−" in str(app.query_one("#price").render()))
        assert app.query_one("#row-older").display
        sent = len(calls(endpoint))
        await pilot.press("f5")
        await until(pilot, lambda: len(calls(endpoint)) > sent and over(app))
        messages = bodies(endpoint, sent)[-1]["messages"]
        assert [message["content"] for message in messages if message["role"] != "assistant"] == [
            "Be brief.",
            "第二个问题",
            "third question",
        ]
        assert len(app.answers[0].conversation) == 6, "going on from here starts from the whole conversation"


async def test_a_logged_request_brings_its_parameters_tools_and_endpoint(opened: Open) -> None:
    app = opened("gpt-4o-mini")
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    message = OpenInPlayground(
        [{"role": "user", "content": "Hi"}],
        models=["gpt-4o"],
        parameters={"max_tokens": 9, "reasoning_effort": "low", "tools": tools, "top_k": 3},
        source="request 7",
        server=app.context.settings.profiles["demo"].base_url.split("/")[2],
        versions=[("baseline", "Hello there")],
        prompt_name="greeting",
        prompt_version="3",
    )
    async with app.run_test(size=(120, 40)) as pilot:
        app.pane.open_prompt(message)
        await pilot.pause()
        (request,) = app.pane.builder.plan().requests
        assert (request.model, request.max_tokens, request.reasoning_effort) == ("gpt-4o", 9, "low")
        assert request.extra == {"tools": tools, "top_k": 3}
        assert (request.prompt_name, request.prompt_version) == ("greeting", "3")
        app.pane.versions.choose([AS_TYPED, "baseline"])
        asked = app.pane.builder.plan().requests
        assert [request.title for request in asked] == ["gpt-4o · as typed", "gpt-4o · baseline"]
        assert [(request.prompt_name, request.prompt_version) for request in asked] == [
            ("greeting", "3"),
            ("greeting", None),
        ]
        app.pane.draft.put("Hi!")
        changed = app.pane.builder.plan().requests[0]
        assert (changed.prompt_name, changed.prompt_version) == ("greeting", None), "another text is not a version"


def test_the_desk_keeps_variants_and_falls_back_to_the_field() -> None:
    desk = PromptVersions()
    assert [desk.keep(text).label for text in ("one", "two")] == ["variant A", "variant B"]
    desk.put(SavedVersion("p v1", "three", "p", "1"))
    desk.choose(["variant B", "gone", AS_TYPED])
    found = desk.versions("typed")
    assert [(version.label, version.messages[0]["content"]) for version in found] == [
        ("variant B", "two"),
        (TYPED, "typed"),
    ]
    desk.choose([])
    assert [version.label for version in desk.versions("typed")] == [AS_TYPED]
    text = desk.go_on(
        [{"role": "user", "content": "go"}],
        RunResult("m", "m", "m", "", "done", tool_calls=(("look", "{}"),)),
    )
    assert '"name": "look"' in text and text.partition("tool:\n")[2].startswith("@message {")
    sent = desk.messages(text.rstrip("\n") + "\nseen")
    assert sent[-1]["tool_call_id"] == sent[-2]["tool_calls"][0]["id"]
    assert sent[-1]["content"] == "seen"


def test_variables_without_a_value_are_named_where_they_are_asked() -> None:
    desk = PromptVersions()
    text = "---\nsample: {tone: dry}\n---\nuser:\n{{tone}} {{order_id}}\n\nassistant:\n{{说明}}\n\nuser:\nWhy?"
    assert desk.unfilled(text) == ("order_id", "说明")
    desk.put(SavedVersion("greeting v1", "{{name}} {{order_id}}"), SavedVersion("other", "{{never}}"))
    desk.choose([AS_TYPED, "greeting v1"])
    assert desk.unfilled(text) == ("order_id", "说明", "name")
    desk.choose([AS_TYPED])
    assert desk.unfilled(
        desk.take([{"role": "user", "content": "{{a}}"}, {"role": "assistant", "content": "{{b}}"}], "")
    ) == ("a",)


async def test_every_page_opens_and_closes_at_every_size(opened: Open, tmp_path: Path) -> None:
    app: Alone = opened("gpt-4o-mini")
    async with app.run_test(size=(40, 10)) as pilot:
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        for action in ("versions", "options", "checks", "presets", "history"):
            app.pane.action_open(action)
            await until(pilot, lambda: len(app.screen_stack) == 2)
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 1)
