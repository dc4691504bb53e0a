"""What is thought of answers, and what is kept of them: checks, blind ratings, history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
from tests.promptop_tui.playground.conftest import Alone, Open, ask, calls, over, shows
from tests.support.waits import until_shown as until
from textual.widgets import Input, OptionList

from promptop.budget.budget import Budget
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, Delta, RunResult
from promptop.client.variants import PromptVersion
from promptop.history.run_history import KeptAnswer, KeptRun, RunHistory
from promptop.prompts.library import Library
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint
from promptop_tui.messages import OpenInPlayground
from promptop_tui.playground.controllers.history_store import HistoryStore
from promptop_tui.playground.controllers.run_controller import RunController
from promptop_tui.playground.dialogs.history import HistoryDialog
from promptop_tui.playground.dialogs.inspect_dialogs import DiffDialog, RawDialog
from promptop_tui.playground.views.comparison_table import ComparisonTable
from promptop_tui.widgets.prompt_area.area import PromptArea
from promptop_tui.widgets.stream_text import StreamView


def heads(app: Alone) -> list[str]:
    return [str(column.label).strip() for column in app.query_one(ComparisonTable).columns.values()]


async def test_answers_are_held_against_checks_in_panes_and_table(opened: Open) -> None:
    app = opened("gpt-4o-mini", "gpt-4o", python_checks=True)
    async with app.run_test(size=(160, 48)) as pilot:
        app.pane.column.texts["checks"] = "max-tokens:12\ncontains:绝无此字\npython:tokens == 12"
        app.pane.column.texts_changed()
        await ask(app, pilot)
        await until(pilot, lambda: over(app) and all(pane.checked for pane in app.answers))
        assert all("✗2/3" in str(pane.border_title) for pane in app.answers)
        assert "checks" in heads(app)
        assert app.answers[0].checked[1].why == "is not in the answer"
        app.pane.column.texts["checks"] = "max-tokens:12"
        app.pane.checks.hold_again()
        await until(pilot, lambda: all("✓1/1" in str(pane.border_title) for pane in app.answers))


async def test_blind_answers_have_no_names_until_all_are_rated(opened: Open) -> None:
    app = opened("gpt-4o-mini", "gpt-4o", "refused-model")
    async with app.run_test(size=(160, 48)) as pilot:
        app.pane.action_blind()
        assert str(app.pane.prompt.border_title) == "Prompt · blind"
        app.query_one("#prompt", PromptArea).load_text("Which one are you?")
        app.pane.column.choose(["gpt-4o-mini", "gpt-4o", "sim-fault-401"])
        await pilot.press("f5")
        await until(pilot, lambda: over(app))
        await pilot.pause()
        assert [pane.title_text for pane in app.answers] == ["answer A", "answer B", "answer C"]
        shown = "".join(f"{pane.border_title} {pane.border_subtitle} {pane.rows}" for pane in app.answers)
        assert "gpt" not in shown and "401" not in shown and "$" not in shown
        assert not app.query_one(ComparisonTable).display
        names = [pane.request.model for pane in app.answers if pane.request is not None]
        rated = [pane for pane in app.answers if pane.state == "done"]
        for stars, pane in zip("42", rated, strict=True):
            pane.focus()
            await pilot.press("enter")  # tells everything: not yet
            await pilot.press(stars)
        await until(pilot, lambda: [pane.title_text for pane in app.answers] == names)
        assert app.query_one(ComparisonTable).display
        assert "★" in heads(app)
        book = RunHistory(app.context.log_path.with_name("playground.db"))
        await until(pilot, lambda: len(book.ratings()) == 2)
        assert sorted((each.mean, each.n, each.blind) for each in book.ratings()) == [(2.0, 1, 1), (4.0, 1, 1)]


async def test_any_two_answers_are_compared_and_the_stream_is_shown_as_it_came(opened: Open) -> None:
    app = opened("gpt-4o-mini", "gpt-4o", "sim-fast")
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(app, pilot, "# Title\n\nSay **it**.")
        await until(pilot, lambda: over(app))
        app.answers[1].focus()
        await pilot.press("a")
        assert "◆" in str(app.answers[1].border_title)
        app.answers[2].focus()
        await pilot.press("d")
        await shows(app, pilot, DiffDialog)
        assert str(app.screen.query_one("#dialog").border_title).startswith("gpt-4o → sim-fast")
        await pilot.press("escape")
        await pilot.press("r")
        await shows(app, pilot, RawDialog)
        await until(pilot, lambda: app.screen.query_one(StreamView).rows)
        rows = app.screen.query_one(StreamView).rows
        assert any(row.startswith("content-type: text/event-stream") for row in rows)
        assert rows[-1] == "data: [DONE]"
        assert "HTTP 200" in str(app.screen.query_one("#dialog").border_title)
        await pilot.press("escape")
        await pilot.press("m")
        await until(pilot, lambda: all(pane.rendered for pane in app.answers))
        await pilot.press("m")
        assert not any(pane.rendered for pane in app.answers)


async def test_an_answer_opens_in_the_users_editor(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened("gpt-4o-mini")
    left = tmp_path / "left"
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\ncat "$1" > {left}\n')
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(editor))
    async with app.run_test(size=(120, 40)) as pilot:
        from contextlib import nullcontext

        monkeypatch.setattr(app, "suspend", nullcontext)
        await ask(app, pilot)
        await until(pilot, lambda: over(app))
        app.answers[0].action_external()
        assert app.answers[0].result is not None
        assert left.read_text() == app.answers[0].result.text


async def test_a_run_is_found_opened_and_asked_again(opened: Open, endpoint: SimulatedEndpoint) -> None:
    app = opened("gpt-4o-mini", "gpt-4o")
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(app, pilot, "什么是缓存?")
        await until(pilot, lambda: over(app))
        text = app.answers[0].result.text if app.answers[0].result else ""
        await ask(app, pilot, "Another question", everyone=False)
        await until(pilot, lambda: over(app))
        app.pane.action_open("history")
        await shows(app, pilot, HistoryDialog)
        runs = app.screen.query_one(OptionList)
        await until(pilot, lambda: runs.option_count == 2)
        assert "as long as the app" in str(app.screen.query_one("#dialog").border_title)
        app.screen.query_one("#picker-search", Input).value = "缓存"
        await until(pilot, lambda: runs.option_count == 1)
        sent = len(calls(endpoint))
        runs.action_select()
        await until(pilot, lambda: not isinstance(app.screen, HistoryDialog))
        await until(pilot, lambda: app.answers and app.answers[0].result and app.answers[0].result.text == text)
        assert app.query_one("#prompt", PromptArea).text == "什么是缓存?"
        assert "".join(app.answers[0].rows).replace(" ", "") == text.replace("\n", "").replace(" ", "")
        assert len(calls(endpoint)) == sent
        app.pane.action_open("history")
        await shows(app, pilot, HistoryDialog)
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count)
        await pilot.press("down", "f5")
        await until(pilot, lambda: len(calls(endpoint)) == sent + 2 and over(app))
        assert calls(endpoint)[-1].json["messages"][0]["content"] == "什么是缓存?"


async def test_a_run_whose_prompt_was_not_kept_is_not_asked_with_another_one(
    opened: Open, endpoint: SimulatedEndpoint
) -> None:
    app = opened("gpt-4o-mini")
    Library().save("问候", "你好", now_ms=1)
    book = RunHistory(app.context.log_path.with_name("playground.db"))
    lost = a_run("gone for good", label="gpt-4o-mini")
    book.add(lost, full=False)
    book.add(replace(lost, versions=(PromptVersion("问候 v1", [], "问候", "1"),)), full=False)
    async with app.run_test(size=(120, 40)) as pilot:
        app.query_one("#prompt", PromptArea).load_text("Something else")
        sent = len(calls(endpoint))
        app.pane.action_open("history")
        await shows(app, pilot, HistoryDialog)
        runs = app.screen.query_one(OptionList)
        await until(pilot, lambda: runs.option_count == 2)
        await pilot.press("down", "f5")
        await until(pilot, lambda: any("not asked again" in text for text in app.told))
        assert "its figures are" in "".join(app.answers[0].rows)
        assert len(calls(endpoint)) == sent
        app.pane.action_open("history")
        await shows(app, pilot, HistoryDialog)
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 2)
        await pilot.press("f5")
        await until(pilot, lambda: len(calls(endpoint)) == sent + 1)
        assert calls(endpoint)[-1].json["messages"][0]["content"] == "你好", "the library has it"
        await until(pilot, lambda: over(app))


def a_run(text: str, *, label: str = "gpt-4o") -> KeptRun:
    result = RunResult(label, label, label, "一个回答", "done", cost_usd=0.1)
    return KeptRun(1_000, {}, (KeptAnswer(label, label, "", (result,)),), text=text, digest="d" * 8)


def test_what_is_kept_is_the_users_choice(tmp_path: Path) -> None:
    book = RunHistory(tmp_path / "playground.db")
    keeper = HistoryStore("metadata", book)
    first = keeper.keep(a_run("secret one"))
    assert keeper.load(first).text == "secret one", "whole, as long as the app is open"
    assert [run.id for run in keeper.find("secret")] == [first]
    later = HistoryStore("metadata", book)
    assert (later.load(first).text, later.find("secret")) == ("", [])
    assert later.turn() == "full"
    second = later.keep(a_run("secret two"))
    keeper.note(first, 2, [(5, True)], [(1, 2)])
    keeper.note(first, 1, [(1, False)], [])  # a thread that came late
    again = HistoryStore("metadata", book)
    assert again.load(second).text == "secret two"
    assert [run.id for run in again.find("回答")] == [second]
    assert (again.load(first).answers[0].rating, again.load(first).answers[0].checks) == (5, (1, 2))
    assert again.ratings() == "gpt-4o: 5.0★ (n=1, 1 blind)  5★×1"
    again.note(first, 1, [(None, False)], [])
    assert again.ratings() == "", "taken back"
    assert again.turn() == "metadata"
    again.delete(second)
    assert [run.id for run in again.find("")] == [first]


def test_with_history_off_nothing_reaches_the_disk(tmp_path: Path) -> None:
    book = RunHistory(tmp_path / "playground.db")
    keeper = HistoryStore("off", book)
    number = keeper.keep(a_run("secret"))
    keeper.note(number, 1, [(3, False)], [])
    assert number < 0
    assert keeper.find("SECRET")[0].answers[0].rating == 3
    assert keeper.turn() == "off"
    keeper.delete(number)
    assert keeper.find("") == []
    assert not book.path.exists()


async def test_the_end_of_the_app_keeps_the_run_and_the_prompt_that_was_typed(opened: Open, tmp_path: Path) -> None:
    app = opened("gpt-4o-mini", "sim-fault-endless")
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(app, pilot, "说吧。")
        await until(pilot, lambda: len(app.answers) == 2 and len("".join(app.answers[1].rows)) > 100)
        await until(pilot, lambda: app.answers[0].result is not None)
    (run,) = RunHistory(tmp_path / "playground.db").find()
    assert [answer.results[0].state for answer in run.answers] == ["done", "cancelled"]
    assert run.answers[1].results[0].usage.output_tokens
    draft = tmp_path / "playground.md"
    assert draft.read_text(encoding="utf-8") == "说吧。"
    assert draft.stat().st_mode & 0o777 == 0o600
    again = opened("gpt-4o-mini")
    async with again.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: again.pane.prompt.area.text == "说吧。")
        again.pane.open_prompt(OpenInPlayground([{"role": "user", "content": "logged"}], source="request 7"))
        await pilot.pause()
    assert draft.read_text(encoding="utf-8") == "说吧。"  # what only came from the log is the log's to keep
    third = opened("gpt-4o-mini")
    async with third.run_test(size=(120, 40)) as pilot:
        third.pane.open_prompt(OpenInPlayground([{"role": "user", "content": "logged"}], source="request 7"))
        await until(pilot, lambda: third.pane.prompt.area.text == "logged")
        await pilot.press("!")
    assert draft.read_text(encoding="utf-8") == "logged!"
    (kept,) = (tmp_path / "kept-drafts").iterdir()
    assert kept.read_text(encoding="utf-8") == "说吧。"
    off = opened("gpt-4o-mini", history="off")
    async with off.run_test(size=(120, 40)) as pilot:
        await pilot.press("x")
    assert draft.read_text(encoding="utf-8") == "logged!"


def test_calls_that_tell_nothing_in_time_are_kept_as_far_as_they_came() -> None:
    class Silent:
        def start(self, request: RunRequest, *, on_delta: Callable[[Delta], None], on_done: object) -> CallProgress:
            on_delta(Delta("reasoning", "嗯"))
            on_delta(Delta("text", "so "))
            on_delta(Delta("text", "far"))
            return CallProgress()

        def cancel_all(self) -> int:
            return 1

    conductor = RunController(cast(Any, Silent()), Budget(1.0, 0.0))
    assert not conductor.end(0.0)
    request = RunRequest(profile=Profile(name="p"), model="m", messages=[{"role": "user", "content": "?"}])
    conductor.begin([request], [cast(Any, Mock())], 1, 1, lambda job, result: None)
    assert conductor.end(0.01) and not conductor.running
    assert conductor.schedule is not None
    ((result,),) = conductor.schedule.kept
    assert (result.state, result.text, result.reasoning) == ("cancelled", "so far", "嗯")
    assert result.usage.output_tokens is None and result.cost_usd is None
