from __future__ import annotations

import asyncio
import selectors
import statistics
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptop.base.errors import PromptopError
from promptop.client.call import run
from promptop.client.http.endpoints import Endpoints
from promptop.client.request import RunRequest
from promptop.client.result import CAP, CallProgress, RunError, RunResult, failed
from promptop.experiments.bench import load_generator
from promptop.experiments.bench.arrivals import load_of
from promptop.experiments.bench.baselines import Baselines
from promptop.experiments.bench.gates import parse_objective
from promptop.experiments.bench.load_generator import Bench, Load, MeasuredRequest
from promptop.experiments.bench.runner import BenchRun
from promptop.log import Writer
from promptop.log.row import Row
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint

Ask = Callable[..., RunRequest]


class SkippingSelector(selectors.DefaultSelector):
    """Instead of waiting, moves the loop's clock to the next timer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


def in_virtual_time(main: Callable[[Callable[[], float]], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine on a loop whose hours take no time; it is given the clock."""
    selector = SkippingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        loop.run_until_complete(main(loop.time))
    finally:
        loop.close()


class Server:
    """Answers calls one after the other, each in ``service_s``: those that come meanwhile wait."""

    def __init__(self, clock: Callable[[], float], service_s: float, *, one_by_one: bool = False) -> None:
        self.clock = clock
        self.service_s = service_s
        self.queue = asyncio.Semaphore(1 if one_by_one else 10_000)
        self.began: list[float] = []
        self.under_way = self.most = 0

    async def __call__(self, number: int, progress: CallProgress) -> RunResult:
        began = self.clock()
        self.began.append(began)
        progress._note = SimpleNamespace(calls=[SimpleNamespace(started_s=began, ttft_s=None)])
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        async with self.queue:
            await asyncio.sleep(self.service_s)
        self.under_way -= 1
        took = self.clock() - began
        assert progress.on_streamed is not None
        progress.on_streamed()
        await asyncio.sleep(100.0)  # the row comes late: that must hold up nothing
        return RunResult(str(number), "m", "m", "", "done", ttft_s=took, ttfo_s=took, total_s=took)


def test_a_closed_loop_keeps_so_many_under_way_and_drops_the_warm_up() -> None:
    async def main(clock: Callable[[], float]) -> None:
        server = Server(clock, 2.0)
        found = await Bench(server, clock=clock).measure(0, "m", Load(12, concurrency=4, warm_ups=4))
        assert (found.calls, found.well, len(server.began), server.most) == (12, 12, 16, 4)
        assert found.wall_s == pytest.approx(6.0)
        assert found.scalar("throughput") == pytest.approx(2.0)
        assert found.in_flight == pytest.approx(4.0) == found.in_flight_expected
        assert found.values["ttft"] == pytest.approx([2.0] * 12)

    in_virtual_time(main)


def test_an_open_loop_starts_calls_when_they_are_due_whatever_becomes_of_the_others() -> None:
    async def main(clock: Callable[[], float]) -> None:
        load = Load(400, rate=5.0, warm_ups=0, seed=7)
        server = Server(clock, 3.0)
        found = await Bench(server, clock=clock).measure(0, "m", load, lambda values: (values["ttft"] or 0) < 3.5)
        assert server.began == pytest.approx(load.arrivals())
        gaps = [after - before for before, after in zip(server.began, server.began[1:], strict=False)]
        assert statistics.mean(gaps) == pytest.approx(0.2, rel=0.15)
        assert statistics.stdev(gaps) == pytest.approx(0.2, rel=0.2)  # Poisson: the gaps spread as wide as their mean
        assert max(found.values["lag"]) < 1e-6
        assert found.good == 400
        assert found.in_flight == pytest.approx(found.in_flight_expected)
        assert found.in_flight == pytest.approx(5.0 * 3.0, rel=0.15)

    in_virtual_time(main)


def test_latency_counts_from_when_a_call_was_due_not_from_when_it_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_generator, "OPEN_AT_ONCE", 100)

    async def main(clock: Callable[[], float]) -> None:
        # 300 calls are due in about 3 s, 100 may be under way, each takes 10 s: the last hundred leave 20 s late.
        load = Load(300, rate=100.0, warm_ups=0)
        server = Server(clock, 10.0)
        found = await Bench(server, clock=clock).measure(0, "m", load)
        assert server.most == 100
        last_due = load.arrivals()[-1]
        assert found.values["total"][-1] == pytest.approx(30.0 - (last_due - load.arrivals()[99]), abs=0.5)
        assert found.values["lag"][-1] == pytest.approx(found.values["total"][-1] - 10.0)
        assert found.values["total"][0] == pytest.approx(10.0)

    in_virtual_time(main)


def test_arrivals_of_a_log_are_kept_to(tmp_path: Path) -> None:
    base_ms = 1_700_000_000_000
    gaps = [0, 10, 20, 900, 2000, 2005]
    with Writer(tmp_path / "log.db", linger_s=0.001) as writer:
        for offset in gaps:
            writer.put(Row(started_ms=base_ms + offset, app="web", total_s=0.1))
        writer.put(Row(started_ms=base_ms + 500, app="promptop bench", total_s=0.1))  # our own
        writer.put(Row(started_ms=base_ms + 600, app="web", total_s=0.1, attempt=2))  # nobody asked for it
        writer.put(Row(started_ms=base_ms + 700, app="web", total_s=0.0, cache_level="memory"))  # reached no endpoint
        writer.put(Row(started_ms=base_ms + 800, app="other", total_s=0.1))
        assert writer.flush(10)
    found = load_of(tmp_path / "log.db", base_ms, base_ms + 5000, 100, name="log", where="app:web")
    assert found.arrivals() == pytest.approx([gap / 1000 for gap in gaps])
    assert (found.calls, found.is_open, found.title) == (6, True, "log, 2.49/s")
    fast = load_of(tmp_path / "log.db", base_ms, base_ms + 5000, 4, name="log", where="app:web", speed=1.1)
    assert fast.arrivals() == pytest.approx([(gap - 20) / 1100 for gap in gaps[2:]])  # the last four
    assert fast.title == "log ×1.1, 1.66/s"
    with pytest.raises(PromptopError, match="1 calls of other programs"):
        load_of(tmp_path / "log.db", base_ms, base_ms + 5000, 100, name="log", where="app:other")

    async def main(clock: Callable[[], float]) -> None:
        server = Server(clock, 0.5)
        await Bench(server, clock=clock).measure(0, "m", replace(found, warm_ups=0))
        assert server.began == pytest.approx(found.arrivals())

    in_virtual_time(main)


def test_a_bench_ends_where_its_money_does() -> None:
    async def main(clock: Callable[[], float]) -> None:
        server, begun = Server(clock, 1.0), 0

        async def four(request: int, progress: CallProgress) -> RunResult:
            nonlocal begun
            begun += 1
            if begun > 4:
                return failed(RunRequest(profile=Profile(), model="m", messages=()), RunError(CAP, "no money"))
            return await server(request, progress)

        bench = Bench(four, clock=clock)
        found = await bench.measure(0, "m", Load(100, concurrency=8, warm_ups=0))
        assert bench.stopped
        assert (found.calls, found.failed) == (4, 0)  # eight may run at once, but four may cost all there is

    in_virtual_time(main)


async def test_a_whole_benchmark_tells_how_far_it_is(log: Writer, ask: Ask) -> None:
    # Many tokens: what comes in one or two reads, as few do on a busy machine, has no rate, so no time per token.
    requests = [ask(max_tokens=300, label=name, retries=0) for name in ("a", "b")]
    run_all = BenchRun(requests, [Load(3, 1), Load(3, 2)], [parse_objective("ttft<60s")])
    assert (run_all.size, run_all.snapshot().size) == (16, 16)
    assert str(run_all.estimate()).startswith("16 calls, at most $0.00296")
    outcome = await run_all.work({"log": log.path})
    assert [phase.key for phase in outcome.phases] == ["a, 1 at once", "b, 1 at once", "a, 2 at once", "b, 2 at once"]
    assert [phase.good for phase in outcome.phases] == [3] * 4
    assert all(phase.statistic("p50", "tpot") for phase in outcome.phases)
    step = run_all.snapshot()
    assert (step.ended, step.failed, step.in_flight, len(step.over)) == (16, 0, 0, 4)
    assert outcome.spent_usd == pytest.approx(step.spent_usd) and outcome.spent_usd > 0


async def test_a_benchmark_that_is_stopped_before_it_begins_sends_nothing(log: Writer, ask: Ask) -> None:
    never = BenchRun([ask(max_tokens=3)], [Load(3, 1)], [])
    never.stop()
    outcome = await never.work({"log": log.path})
    assert (outcome.phases, outcome.stopped, outcome.spent_usd) == ([], True, 0.0)


def test_a_stopped_bench_keeps_what_came() -> None:
    async def main(clock: Callable[[], float]) -> None:
        bench = Bench(Server(clock, 1.0), clock=clock)
        asyncio.get_running_loop().call_later(3.5, bench.stop)
        found = await bench.measure(0, "m", Load(1000, rate=1.0, warm_ups=0))
        assert found.calls == len([due for due in Load(1000, rate=1.0).arrivals() if due < 3.5])
        assert found.well == found.calls
        closed = Bench(Server(clock, 1.0), clock=clock)
        asyncio.get_running_loop().call_later(3.5, closed.stop)
        assert (await closed.measure(0, "m", Load(1000, concurrency=2, warm_ups=0))).calls == 8

    in_virtual_time(main)


async def test_figures_agree_with_the_servers_own_clock(log: Writer) -> None:
    with SimulatedEndpoint.in_thread(speed=0.1) as endpoint:
        endpoints = Endpoints(log=log, app="tests", simulated=True)
        profile = Profile(name="demo", base_url=endpoint.base_url)
        asked = RunRequest(
            profile=profile, model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}], max_tokens=12
        )
        sent: dict[str | None, float] = {}

        async def call(_: int, progress: CallProgress) -> RunResult:
            result = await run(asked, endpoints, progress=progress)
            assert progress.sent_at is not None and result.ttft_s is not None and result.duration_s is not None
            sent[result.response_id] = progress.sent_at
            results.append(result)
            return result

        results: list[RunResult] = []
        found = await Bench(call).measure(0, "m", Load(12, concurrency=2, warm_ups=2))
        await endpoints.aclose()
        assert found.values["ttft"] == sorted(found.values["ttft"])
        assert len(found.values["ttft"]) == 12
        late = []
        for result in results[2:]:
            assert result.response_id is not None
            record = next(each for each in endpoint.requests if result.response_id.encode() in each.sent)
            first = record.first("content")
            assert first is not None and result.ttft_s is not None
            began = sent[result.response_id]
            assert began <= record.received_s
            late.append((began + result.ttft_s - first) / result.ttft_s)
        assert min(late) >= 0  # nothing is stamped before the server sent it
        assert statistics.median(late) < 0.5


async def test_failed_calls_are_counted_and_stay_out_of_the_percentiles(endpoints: Endpoints, ask: Ask) -> None:
    requests = [ask("sim-fault-401"), ask(max_tokens=3)]

    async def call(number: int, progress: CallProgress) -> RunResult:
        return await run(requests[number], endpoints, progress=progress)

    failed = await Bench(call).measure(0, "bad", Load(3, concurrency=3, warm_ups=0))
    assert (failed.well, failed.failed, failed.scalar("errors"), failed.values["ttft"]) == (0, 3, 1.0, [])
    assert failed.statistic("p95", "ttft") is None
    well = await Bench(call).measure(1, "good", Load(5, rate=200.0, warm_ups=1), lambda _: True)
    assert (well.well, well.good, well.scalar("errors")) == (5, 5, 0.0)
    assert well.cost_usd and well.scalar("cost") == well.cost_usd / 5


def test_percentiles_are_inclusive() -> None:
    hundred = MeasuredRequest("m", "1 at once", calls=100, values={"ttft": [float(n) for n in range(1, 101)]})
    assert hundred.statistic("p95", "ttft") == pytest.approx(95.05)
    assert hundred.statistic("mean", "ttft") == 50.5
    assert (hundred.statistic("min", "ttft"), hundred.statistic("max", "ttft")) == (1, 100)


def test_baselines_are_kept_by_name(tmp_path: Path) -> None:
    kept = Baselines(tmp_path / "data" / "bench.db", now_s=lambda: 12.5)
    with pytest.raises(PromptopError, match="no baseline 'a'"):
        kept.load("a")
    phase = MeasuredRequest("gpt-4o", "2 at once", calls=1, values={"ttft": [0.5]}, wall_s=1.0, good=1)
    kept.save("a", "digest", [phase])
    kept.save("b", "digest", [])
    kept.save("a", "digest2", [phase])
    found = kept.load("a")
    assert (found.saved_ms, found.asked, found.phases) == (12500, "digest2", (phase,))
    assert found.find("gpt-4o, 2 at once") == phase
    assert found.find("gpt-4o, 3 at once") is None
    assert kept.path.stat().st_mode & 0o777 == 0o600
    assert kept.path.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(PromptopError) as raised:
        kept.load("c")
    assert "a, b" in raised.value.remedy


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    path = tmp_path / "bench.db"
    path.write_text("this is a text, and a rather long one\n" * 40)
    with pytest.raises(PromptopError, match="is not an SQLite file"):
        Baselines(path).load("a")


def test_many_at_once_have_a_connection_each_or_are_told_what_that_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from promptop.base import descriptors
    from promptop.base.errors import PromptopError
    from promptop.experiments.bench.load_generator import Load
    from promptop.experiments.bench.runner import BenchRun
    from promptop.settings import Profile

    request = RunRequest(profile=Profile(base_url="http://127.0.0.1:1/v1"), model="m", messages=[])
    wide = BenchRun([request], [Load(1000, 1000, warm_ups=0)], []).requests[0].profile
    assert (wide.max_connections, wide.keep_alive) == (1000, 1000)
    assert BenchRun([request], [Load(10, 4)], []).requests[0].profile.max_connections == 100
    unlimited = replace(request, profile=replace(request.profile, max_connections=0))
    assert BenchRun([unlimited], [Load(1000, 1000)], []).requests[0].profile.max_connections == 0
    monkeypatch.setattr(descriptors, "raise_limit", lambda: 1024)
    with pytest.raises(PromptopError, match="need 1,064 open files, and this process may open 1,024") as caught:
        descriptors.require(1000)
    assert "ulimit -n 1064" in caught.value.remedy
    descriptors.require(900)
