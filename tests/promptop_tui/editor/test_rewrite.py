"""A rewrite by keys: priced, streamed, taken change by change, held to the caps, counted in the receipt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from tests.promptop_tui.editor.conftest import Open, Running
from textual.widgets import Input, OptionList

from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, Delta, RunResult
from promptop.settings import EditorSettings, PlaygroundSettings, Profile, Settings
from promptop.workers.call_client import Runner
from promptop_tui.editor.dialogs.rewrite import RewriteDialog

TEXT = """\
system:
You are a helpful assistant. Please answer in the language of the customer.
请你帮我总结文章，非常感谢。Never invent {{order}}.
"""
SHORT = """\
system:
Answer in the customer's language.
总结文章。Invent nothing.
"""


class Script:
    """Stands in for the runner: answers when told to."""

    def __init__(self) -> None:
        self.asked: list[RunRequest] = []
        self.progress = CallProgress()
        self.say: Callable[[Delta], None] = lambda delta: None
        self.end: Callable[[RunResult], None] = lambda result: None

    def warm(self) -> None: ...

    def close(self) -> None: ...

    def start(self, request: RunRequest, *, on_done: Any, on_delta: Any = None) -> CallProgress:
        self.asked.append(request)
        self.say, self.end, self.progress = on_delta, on_done, CallProgress()
        return self.progress

    def answer(self, text: str, state: str = "done", cost: float | None = 0.0005) -> None:
        self.say(Delta("text", text))
        self.end(
            RunResult("m", "m", "m", text, state, "stop", cost_usd=cost, cost_status="table")  # type: ignore[arg-type]
        )


@asynccontextmanager
async def opened(
    editor: Open, path: Path, *, cap: float = 1.0, text: str = TEXT
) -> AsyncIterator[tuple[Running, Script]]:
    path.write_text(text)
    script = Script()
    everything = Settings(
        profiles={"p": Profile(name="p", models=("gpt-4o-mini",))},
        editor=EditorSettings(watch=("gpt-4o",)),
        playground=PlaygroundSettings(session_cap_usd=cap),
    )
    runner = cast(Runner, script)
    async with editor(path, counts=True, size=(110, 36), everything=everything, runner=runner) as running:
        pane = running.pane
        await running.until(lambda: pane.counts.live.is_current)
        yield running, script


async def asked(running: Running, script: Script) -> RewriteDialog:
    await running.pilot.press("f8", "r")
    await running.until(lambda: isinstance(running.app.screen, RewriteDialog))
    screen = cast(RewriteDialog, running.app.screen)
    await running.until(lambda: "at most $" in str(screen.query_one("#rewrite-price").render()))
    await running.pilot.press("enter")
    await running.until(lambda: script.asked)
    return screen


async def test_changes_are_taken_one_by_one_each_undone_and_in_the_receipt(editor: Open, tmp_path: Path) -> None:
    async with opened(editor, tmp_path / "p.md") as (running, script):
        screen = await asked(running, script)
        assert script.asked[0].messages[1]["content"] == f"<prompt>\n{TEXT}\n</prompt>"
        head, shown = screen.query_one("#rewrite-head"), screen.query_one("#rewrite-text")
        script.say(Delta("text", "system:\nAnsw"))
        await running.until(lambda: "Answ" in str(shown.render()))
        script.answer(SHORT)
        hunks = screen.query_one("#rewrite-hunks", OptionList)
        await running.until(lambda: hunks.option_count == 4)
        assert "4 changes, 1 flagged; cost $0.0005" in str(head.render())
        assert running.pane.context.purse.spent_usd == 0.0005
        await running.pilot.press("down", "down", "down")
        await running.until(lambda: "! loses {{order}}, loses never, adds nothing" in str(shown.render()))
        await running.pilot.press("home", "a")
        assert running.text == TEXT.replace("You are a helpful assistant. ", "")
        await running.until(lambda: "3 of 4 changes left" in str(head.render()))
        await running.pilot.press("s")
        assert running.text == SHORT.replace("Invent nothing", "Never invent {{order}}")
        await running.pilot.press("x")
        await running.until(lambda: "No change is left" in str(head.render()))
        await running.pilot.press("escape", "escape")
        receipt = running.pane.trims.receipt()
        assert receipt is not None
        assert receipt.rules == {"rewrite": 3}
        assert receipt.line().endswith("; rewrite not proven")
        for _ in range(3):
            await running.pilot.press("ctrl+z")
        assert running.text == TEXT


async def test_a_selection_alone_is_sent(editor: Open, tmp_path: Path) -> None:
    async with opened(editor, tmp_path / "p.md") as (running, script):
        await running.pilot.press("down", "down", "home", "shift+end")
        screen = await asked(running, script)
        line = TEXT.splitlines()[2]
        assert script.asked[0].messages[1]["content"] == f"<prompt>\n{line}\n</prompt>"
        script.answer("总结文章。Never invent {{order}}.")
        await running.until(lambda: screen.query_one("#rewrite-hunks", OptionList).option_count == 1)
        running.pane.area.edit_whole("another text")  # a change from outside, under the dialog
        await running.pilot.press("a")
        assert running.text == "another text"
        assert "has changed meanwhile" in str(screen.query_one("#rewrite-head").render())


async def test_what_is_cancelled_or_too_dear_changes_nothing(editor: Open, tmp_path: Path) -> None:
    async with opened(editor, tmp_path / "p.md", cap=0.001) as (running, script):
        screen = await asked(running, script)
        cancelled = script.progress
        await running.pilot.press("escape")
        assert cancelled._cancelled
        script.answer("half a", state="cancelled", cost=0.001)
        head = screen.query_one("#rewrite-head")
        await running.until(lambda: "stopped before its end" in str(head.render()))
        assert screen.query_one("#rewrite-hunks", OptionList).option_count == 0
        await running.pilot.press("f5")
        await running.until(lambda: "of its cap of" in running.notices)
        assert len(script.asked) == 1
        screen.query_one("#rewrite-model", Input).value = " "
        await running.until(lambda: "No model was named" in str(screen.query_one("#rewrite-price").render()))
        await running.pilot.press("escape")
        await running.until(lambda: not isinstance(running.app.screen, RewriteDialog))
        assert running.text == TEXT
