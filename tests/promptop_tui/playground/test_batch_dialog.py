"""The batch page: check, price, send, stop, go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.waits import until_shown as until
from textual.app import App
from textual.widgets import Input, Static

from promptop.log import LogReader, writer_for
from promptop.settings import Profile, Settings
from promptop.simulator import SimulatedEndpoint
from promptop_tui.context import AppContext
from promptop_tui.playground.measure import batch_dialog
from promptop_tui.playground.measure.batch_dialog import BatchDialog
from promptop_tui.shell import theme

HERE = Path(batch_dialog.__file__).parents[1]


class Alone(App[None]):
    """The page without the app below it."""

    CSS_PATH = [HERE.parent / "app.tcss", HERE / "playground.tcss"]  # noqa: RUF012

    def __init__(self, page: BatchDialog) -> None:
        self._defaults = theme.defaults()
        super().__init__()
        self.page = page

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._defaults

    def on_mount(self) -> None:
        self.push_screen(self.page)

    @property
    def state(self) -> str:
        return str(self.page.query_one("#form-state", Static).render())

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.page.query_one(f"#field-{name}", Input).value = value


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture
def opened(endpoint: SimulatedEndpoint, tmp_path: Path) -> Iterator[Callable[..., Alone]]:
    log = tmp_path / "log.db"

    def build(prompt: str = "", model: str = "gpt-4o-mini", cap: float | None = 1.0) -> Alone:
        profile = Profile(name="demo", base_url=endpoint.base_url, models=("gpt-4o-mini", "sim-fault-endless"))
        context = AppContext(
            settings=Settings(profiles={"demo": profile}, profile="demo"),
            log_path=log,
            draft_path=tmp_path / "draft",
            counting=cast(Any, None),
            simulated=True,
        )
        return Alone(BatchDialog(context, prompt, model, cap))

    yield build
    writer_for(log).close()


def requests(path: Path, count: int, **values: Any) -> Path:
    with path.open("w") as file:
        for number in range(count):
            body = {"messages": [{"role": "user", "content": f"Say {number}"}], "max_tokens": 4, **values}
            file.write(json.dumps({"custom_id": f"r{number}", "body": body}) + "\n")
    return path


async def test_a_batch_is_priced_first_and_then_sent(
    opened: Callable[..., Alone], endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    app = opened()
    out = tmp_path / "out.jsonl"
    async with app.run_test(size=(80, 24)) as pilot:
        app.fill(**{"in": str(requests(tmp_path / "in.jsonl", 30)), "out": str(out)})
        await pilot.press("f5")
        await until(pilot, lambda: "F5 sends" in app.state)
        assert "30 requests, at most ≈ $0.0" in app.state
        assert endpoint.requests == []
        await pilot.press("f5")
        await until(pilot, lambda: "30 results in" in app.state)
        assert "30/30" in app.state
        assert len(endpoint.requests) == 30
        answers = [json.loads(line) for line in out.read_text().splitlines()]
        assert [answer["custom_id"] for answer in answers] == [f"r{number}" for number in range(30)]
        assert not (tmp_path / "out.jsonl.journal").exists()
        await pilot.press("f5")  # all are answered: it is read again, not sent again
        await until(pilot, lambda: "F5 sends" in app.state)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not app.page)
    assert writer_for(tmp_path / "log.db").flush(10)
    with LogReader(tmp_path / "log.db") as reader:
        assert {(row.app, row.simulated) for row in reader.latest(100)} == {("promptop batch", 1)}


async def test_what_is_wrong_is_said_and_nothing_is_sent(
    opened: Callable[..., Alone], endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        await until(pilot, lambda: "IN or OUT is missing" in app.state)
        app.fill(**{"in": str(tmp_path / "none.jsonl"), "out": str(tmp_path / "out.jsonl")})
        await pilot.press("f5")
        await until(pilot, lambda: "cannot be read" in app.state)
        app.fill(**{"in": str(requests(tmp_path / "in.jsonl", 2)), "at_once": "none"})
        await pilot.press("f5")
        await until(pilot, lambda: "at a time cannot be" in app.state)
        app.fill(at_once="2", cap="0.0000001")
        await pilot.press("f5")
        await until(pilot, lambda: "The cap will stop it" in app.state)
        await pilot.press("f5")
        await until(pilot, lambda: "A cap ended it with 2 to go" in app.state)
        assert endpoint.requests == []


async def test_a_table_fills_the_prompt_of_the_playground(
    opened: Callable[..., Alone], endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    app = opened("system:\nBe brief.\nuser:\nTranslate {{word}}")
    table = tmp_path / "words.csv"
    table.write_text("id,word\na,猫\nb,dog\n")
    async with app.run_test(size=(80, 24)) as pilot:
        app.fill(**{"in": str(table), "out": str(tmp_path / "out.jsonl")})
        await pilot.press("f5")
        await until(pilot, lambda: "2 requests" in app.state)
        await pilot.press("f5")
        await until(pilot, lambda: "2 results in" in app.state)
    said = {request.json["messages"][1]["content"].strip() for request in endpoint.requests}
    assert said == {"Translate 猫", "Translate dog"}


async def test_a_stopped_batch_goes_on_and_pays_for_nothing_twice(
    opened: Callable[..., Alone], endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    app = opened()
    source = tmp_path / "in.jsonl"
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 4}
    endless = {**body, "stream": True, "model": "sim-fault-endless"}
    with source.open("w") as file:
        for number, each in enumerate([body, {**body, "seed": 1}, endless]):
            file.write(json.dumps({"custom_id": str(number), "body": each}) + "\n")
    async with app.run_test(size=(80, 24)) as pilot:
        app.fill(**{"in": str(source), "out": str(tmp_path / "out.jsonl"), "at_once": "1", "cap": ""})
        await pilot.press("f5")
        await until(pilot, lambda: "F5 sends" in app.state)
        await pilot.press("f5")
        await until(pilot, lambda: "2/3" in app.state)
        await pilot.press("f5")
        assert "2/3" in app.state
        await pilot.press("escape")
        await until(pilot, lambda: "stopped" in app.state)
        assert "2 results in" in app.state
        sent = len(endpoint.requests)
        await pilot.press("f5")
        await until(pilot, lambda: "2 from an earlier run" in app.state)
        await until(pilot, lambda: len(endpoint.requests) == sent + 1)
        await pilot.press("escape")
        await until(pilot, lambda: "stopped" in app.state)
        assert len(endpoint.requests) == sent + 1


async def test_the_provider_s_own_batch_is_sent_left_collected_and_its_failures_are_named(
    opened: Callable[..., Alone], endpoint: SimulatedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptop.batch.provider_runner.FIRST_POLL_S", 0.01)
    source, out = requests(tmp_path / "in.jsonl", 4), tmp_path / "out.jsonl"
    with source.open("a") as file:
        failing = {"model": "sim-fault-500", "messages": [{"role": "user", "content": "x"}], "max_tokens": 4}
        file.write(json.dumps({"custom_id": "bad", "body": failing}) + "\n")
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        app.fill(**{"in": str(source), "out": str(out), "provider": "maybe", "cap": ""})
        await pilot.press("f5")
        await until(pilot, lambda: "provider cannot be" in app.state)
        app.fill(provider="yes")
        await pilot.press("f5")
        await until(pilot, lambda: "F5 sends" in app.state)
        await pilot.press("f5")
        await until(pilot, lambda: "5 results in" in app.state)
        assert "✗ bad: 500" in app.state
        assert sum(request.path == "/v1/batches" and request.method == "POST" for request in endpoint.requests) == 2
        assert not any("/chat/completions" in request.path for request in endpoint.requests)
    assert not (tmp_path / "out.jsonl.batches").exists()


async def test_an_empty_or_higher_cap_does_not_lift_that_of_session_and_day(
    opened: Callable[..., Alone], endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    app = opened(cap=0.000001)
    async with app.run_test(size=(80, 24)) as pilot:
        for typed in ("", "100"):
            app.fill(
                **{"in": str(requests(tmp_path / "in.jsonl", 3)), "out": str(tmp_path / "out.jsonl"), "cap": typed}
            )
            await pilot.pause()
            await pilot.press("f5")
            await until(pilot, lambda: "The cap will stop it" in app.state)
        await pilot.press("f5")
        await until(pilot, lambda: "A cap ended it with 3 to go" in app.state)
    assert not endpoint.requests
