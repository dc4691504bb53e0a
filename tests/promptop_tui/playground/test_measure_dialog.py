"""The pages that measure: priced when they open, sent by F5 in a process of their own, stopped and paid for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.waits import until_shown as until
from textual.app import App
from textual.widgets import Input, Static

from promptop.client.request import RunRequest
from promptop.client.result import RunResult
from promptop.experiments.bench.baselines import Baselines, digest
from promptop.experiments.bench.load_generator import MeasuredRequest
from promptop.experiments.latency_claims import ClaimOutcome, chosen, judge
from promptop.log import writer_for
from promptop.settings import PlaygroundSettings, Profile, Settings
from promptop.simulator import SimulatedEndpoint
from promptop_tui.context import AppContext
from promptop_tui.playground.measure import measure_dialog
from promptop_tui.playground.measure.bench_dialog import bench_dialog
from promptop_tui.playground.measure.claims_dialog import claims_dialog
from promptop_tui.playground.measure.measure_dialog import MeasureDialog
from promptop_tui.playground.measure.proof_dialog import ProofSubject, proof_dialog
from promptop_tui.shell import theme
from promptop_tui.widgets.chart import Chart

HERE = Path(measure_dialog.__file__).parents[1]
LONG, SHORT = "请你帮我总结提示工程的三个要点，非常感谢。", "总结提示工程的三个要点。"


class Alone(App[None]):
    """A page without the app below it."""

    CSS_PATH = [HERE.parent / "app.tcss", HERE / "playground.tcss"]  # noqa: RUF012

    def __init__(self, page: MeasureDialog[Any]) -> None:
        self._defaults = theme.defaults()
        super().__init__()
        self.page = page
        self.results: list[Any] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._defaults

    def on_mount(self) -> None:
        self.push_screen(self.page, self.results.append)

    def text(self, selector: str) -> str:
        return str(self.page.query_one(selector, Static).render())

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.page.query_one(f"#field-{name}", Input).value = value


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture
def context(endpoint: SimulatedEndpoint, tmp_path: Path) -> Iterator[Callable[..., AppContext]]:
    log = tmp_path / "log.db"

    def build(cap: float = 1.0) -> AppContext:
        profile = Profile(name="demo", base_url=endpoint.base_url, models=("gpt-4o-mini",))
        return AppContext(
            settings=Settings(
                profiles={"demo": profile}, profile="demo", playground=PlaygroundSettings(40, session_cap_usd=cap)
            ),
            log_path=log,
            draft_path=tmp_path / "draft",
            counting=cast(Any, None),
            simulated=True,
        )

    yield build
    writer_for(log).close()


async def test_a_trim_is_priced_proven_and_handed_back(context: Callable[..., AppContext]) -> None:
    shared = context()
    app = Alone(proof_dialog(shared, ProofSubject(LONG, SHORT)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "22 calls, at most" in app.text("#form-state"))
        app.fill(answers="5", temperature="0", max_tokens="200", checks="contains:提示 && lacks:sorry")
        await until(pilot, lambda: "12 calls, at most" in app.text("#form-state"))
        await pilot.press("f5")
        await until(pilot, lambda: app.page.measure.result() is not None)
        await pilot.pause()
        said = app.text("#proof-text")
        assert said.startswith("alike: 5 + 5 answers are alike on this input")
        assert "check contains:提示: 5/5 → 5/5 passed, equal" in said
        assert "6 (29 %) fewer" in said
        assert "spent $0.00" in app.text("#form-state")
        assert shared.purse.spent_usd > 0
        await pilot.press("escape")
    (proof,) = app.results
    assert proof.is_of(LONG, SHORT)


async def test_nothing_is_sent_beyond_a_cap(context: Callable[..., AppContext], endpoint: SimulatedEndpoint) -> None:
    endpoint.requests.clear()
    app = Alone(proof_dialog(context(cap=0.0001), ProofSubject(LONG, SHORT)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "F5 sends" in app.text("#form-state"))
        await pilot.press("f5")
        assert "the session has spent $0 of its cap of $0.0001" in app.text("#form-state")
        app.fill(cap="0.00001")
        await until(pilot, lambda: "the cap is $0.00001" in app.text("#form-state"))
        app.fill(cap="", checks="regex:(")
        await until(pilot, lambda: "not a regular expression" in app.text("#form-state"))
        await pilot.press("f5", "escape")
    assert app.results == [None]
    assert not endpoint.requests


async def test_a_benchmark_shows_its_distribution_and_holds_it_against_a_baseline(
    context: Callable[..., AppContext], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMPTOP_DATA_DIR", str(tmp_path / "data"))
    shared = context()
    profile = shared.settings.active_profile()
    message = [{"role": "user", "content": "解释缓存。"}]
    asked = [RunRequest(profile=profile, model="gpt-4o-mini", messages=message, max_tokens=5, retries=0)]
    kept = MeasuredRequest("gpt-4o-mini", "1 at once", calls=2, good=2, wall_s=1.0, values={"ttft": [0.5, 0.7]})
    Baselines().save("main", digest(asked), [kept])
    page = bench_dialog(shared, asked)
    app = Alone(page)
    async with app.run_test(size=(120, 40)) as pilot:
        app.fill(load="1, 50/s", calls="6", slo="ttft<60s", baseline="main")
        await until(pilot, lambda: "15 calls, at most" in app.text("#form-state"))
        await pilot.press("f5")
        await until(pilot, lambda: app.text("#form-state").startswith("done"))
        await pilot.pause()
        said = app.text("#bench-text")
        assert said.startswith("gpt-4o-mini, 1 at once (1 of 2, n)")
        assert "6 of 6 answered" in said and "goodput" in said and "against main" in said
        plot = page.query_one(Chart).plot
        assert plot is not None and plot.title == "TTFT" and "n=6" in plot.note
        assert [sum(value or 0 for value in series.values) for series in plot.series] == pytest.approx([1, 1])
        await pilot.press("n", "f")
        assert app.text("#bench-text").startswith("gpt-4o-mini, 50/s (2 of 2, n)")
        assert "The baseline main has no gpt-4o-mini, 50/s." in app.text("#bench-text")
        assert page.query_one(Chart).plot.title == "total"  # type: ignore[union-attr]
        await pilot.press("s")
        await until(pilot, lambda: len(Baselines().load("main").phases) == 2)
        await pilot.press("escape")
    assert app.results == [True]


async def test_a_load_that_cannot_be_meant_is_told(context: Callable[..., AppContext]) -> None:
    shared = context()
    asked = [RunRequest(profile=shared.settings.active_profile(), model="gpt-4o-mini", messages=[], max_tokens=5)]
    app = Alone(bench_dialog(shared, asked))
    async with app.run_test(size=(80, 24)) as pilot:
        for load, said in (("quick", "2/s,5/s (Poisson)"), ("log 1h app:web x10", "0 calls of other programs")):
            app.fill(load=load)
            await until(pilot, lambda said=said: said in app.text("#form-state"))  # type: ignore[misc]


async def test_the_claim_lab_is_priced_and_shows_what_it_found(context: Callable[..., AppContext]) -> None:
    shared = context()
    message = [{"role": "user", "content": "解释缓存。"}]
    asked = RunRequest(profile=shared.settings.active_profile(), model="gpt-4o-mini", messages=message, max_tokens=5)
    page = claims_dialog(shared, asked)
    app = Alone(page)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "110 calls, at most" in app.text("#form-state"))
        app.fill(claims="stop, http2", rounds="5")
        await until(pilot, lambda: "18 calls, at most" in app.text("#form-state"))
        # That a page's calls run elsewhere and come back is seen above; here, how findings read.
        plain = [RunResult("m", "m", "m", "猫", "done", ttft_s=0.2, total_s=0.3)] * 5
        findings = [judge(claim, ("a", "b"), plain, plain, 0.99) for claim in chosen(["stop", "http2"])]
        assert page.measure.ended(ClaimOutcome(findings, 10, 5, [], 0.01, 0, False, False)) == "done"
        await pilot.pause()
        said = app.text("#claims-text")
        assert said.startswith("Does a stop sequence change latency? no measurable difference\n  a → b\n  total: equal")
        assert "Does HTTP/2 change latency? not testable here" in said
        assert said.endswith("Intervals of 99 %, since 5 differences are judged at once.")
        await pilot.press("escape")
    assert app.results == [True]
