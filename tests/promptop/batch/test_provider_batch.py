"""The provider's batch API against the simulated endpoint: whole, killed, cancelled, refused, and its price."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.gates import capped
from tests.support.waits import until

from promptop import models
from promptop.base.errors import PromptopError, UsageError
from promptop.batch.input import Item, read_jsonl
from promptop.batch.journal import Journal
from promptop.batch.provider_api import AwayError, BatchApi
from promptop.batch.provider_runner import ProviderBatch, batch_price, chunks
from promptop.batch.provider_state import ProviderState
from promptop.cache import Cache, MemoryLevel, Policy
from promptop.cli import main as cli
from promptop.log import LogReader, Writer
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


def body(text: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "gpt-4o-mini", "messages": messages, "temperature": 0, "max_tokens": 8, **more}


def written(path: Path, bodies: list[dict[str, Any]]) -> Path:
    lines = [
        {"custom_id": f"c{n}", "url": "/v1/embeddings" if "input" in each else "/v1/chat/completions", "body": each}
        for n, each in enumerate(bodies)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def posted(endpoint: SimulatedEndpoint, path: str) -> int:
    return sum(request.method == "POST" and request.path == path for request in endpoint.requests)


def soon(seconds: float) -> bool:
    threading.Event().wait(0.005)
    return False


class Run:
    """One run, its files closed whatever becomes of it."""

    def __init__(self, endpoint: SimulatedEndpoint, source: Path, folder: Path, **options: Any) -> None:
        self.items = read_jsonl(source)
        self.out = folder / "out.jsonl"
        self.api = BatchApi(Profile(base_url=endpoint.base_url), sleep=lambda _: None)
        self.journal = Journal(self.out)
        self.state = ProviderState(self.out, self.api.base_url)
        self.batch = ProviderBatch(self.items, self.api, self.journal, self.state, **options)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.write_output(self.items)
        self.journal.close()
        self.api.close()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text(encoding="utf-8").splitlines()]


def test_a_batch_comes_back_in_order_at_its_price_with_a_row_each_and_failures_are_sent_again(
    endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    bodies: list[dict[str, Any]] = [body(f"问题 {n}") for n in range(6)]
    bodies[2]["model"] = "sim-fault-500"
    bodies[4] = {"model": "text-embedding-3-small", "input": "你好"}
    source = written(tmp_path / "in.jsonl", bodies)
    with Writer(tmp_path / "log.db") as writer:
        with Run(endpoint, source, tmp_path, log=writer) as run:
            tally = run.batch.run(soon)
        assert writer.flush(10)
    assert (tally.done, tally.failed, tally.left) == (5, 1, 0)
    assert posted(endpoint, "/v1/batches") == 3, "one a model and path"
    found = run.lines()
    assert [line["custom_id"] for line in found] == [f"c{n}" for n in range(6)]
    assert found[2]["error"]["code"] == "500"
    assert found[0]["response"]["body"]["choices"][0]["message"]["content"]
    assert len(found[4]["response"]["body"]["data"][0]["embedding"]) == 1536
    usage = found[0]["response"]["body"]["usage"]
    plain = models.price(
        "gpt-4o-mini", input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"]
    ).usd
    with LogReader(tmp_path / "log.db") as reader:
        rows = {json.loads(row.tags or "{}")["custom_id"]: row for row in reader.latest(100)}
    assert len(rows) == 6
    assert rows["c0"].cost_usd == pytest.approx((plain or 0) / 2)
    assert rows["c0"].cost_status == "table"
    assert rows["c4"].operation_name == "embeddings"
    assert rows["c2"].error_type == "500"
    assert tally.spent_usd == pytest.approx(sum(row.cost_usd or 0 for row in rows.values()))
    assert not run.state.path.exists()

    with Run(endpoint, source, tmp_path) as again:
        second = again.batch.run(soon)
    assert (second.resumed, second.failed, second.done) == (5, 1, 0)
    assert posted(endpoint, "/v1/batches") == 4


def test_the_price_is_the_table_s_for_batches_or_half_and_says_which() -> None:
    usd, known = batch_price(["gpt-4o-mini"], given=1_000_000, made=1_000_000)
    assert (usd, known) == (pytest.approx(0.375), "table")
    single = models.price("deepseek-chat", input_tokens=1_000_000, output_tokens=0).usd
    assert single
    assert batch_price(["deepseek-chat"], given=1_000_000, made=0) == (pytest.approx(single / 2), "estimated")
    assert batch_price(["nobody's model"], given=1, made=1) == (None, "unpriced")


def test_a_kill_between_the_creation_and_its_note_creates_nothing_twice(
    endpoint: SimulatedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = written(tmp_path / "in.jsonl", [body("a"), body("b")])
    create = BatchApi.create

    def killed(self: BatchApi, *args: Any) -> Any:
        create(self, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BatchApi, "create", killed)
        with Run(endpoint, source, tmp_path) as run, pytest.raises(KeyboardInterrupt):
            run.batch.run(soon)
    assert run.state.path.stat().st_mode & 0o777 == 0o600
    with Run(endpoint, source, tmp_path) as again:
        tally = again.batch.run(soon)
    assert (tally.done, tally.left) == (2, 0)
    assert posted(endpoint, "/v1/batches") == 1
    assert posted(endpoint, "/v1/files") == 1


def test_a_kill_before_the_upload_leaves_nothing_that_blocks(
    endpoint: SimulatedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = written(tmp_path / "in.jsonl", [body("a")])

    def killed(*args: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BatchApi, "upload", killed)
        with Run(endpoint, source, tmp_path) as run, pytest.raises(KeyboardInterrupt):
            run.batch.run(soon)
    with Run(endpoint, source, tmp_path) as again:
        assert again.batch.run(soon).done == 1


def test_kill_9_while_it_waits_and_the_same_command_collects(tmp_path: Path, private_folders: Path) -> None:
    with SimulatedEndpoint.in_thread(speed=0.4) as endpoint:
        source = written(tmp_path / "in.jsonl", [body(f"q{n}") for n in range(20)])
        out = tmp_path / "out.jsonl"
        environ = {**os.environ, "OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "k"}
        command = [sys.executable, "-m", "promptop_tui", "batch", str(source), "-o", str(out), "--provider-batch"]
        command += ["--poll", "0.05", "--no-cache", "--json"]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        noted = out.with_name("out.jsonl.batches")
        until(lambda: (noted.exists() and "batch_" in noted.read_text()) or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        again = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100)
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["answered"] == 20
        assert posted(endpoint, "/v1/batches") == 1
    assert len(out.read_text().splitlines()) == 20
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith("out")) == ["out.jsonl"]


def test_a_cancelled_batch_gives_what_it_has_and_the_rest_is_sent_again(tmp_path: Path) -> None:
    with SimulatedEndpoint.in_thread(speed=0.2) as endpoint:
        source = written(tmp_path / "in.jsonl", [body(f"q{n}") for n in range(200)])
        with Run(endpoint, source, tmp_path) as run:

            def until_some(seconds: float) -> bool:
                soon(seconds)
                return run.batch.tally.remote >= 3

            run.batch.run(until_some)
            assert run.batch.tally.left == 200, "nothing is collected while it runs"
            assert run.batch.cancel() == 1
            tally = run.batch.run(soon, submit_only=False)
    assert 0 < tally.done < 200
    assert tally.left == 200 - tally.done
    assert len(run.lines()) == tally.done
    assert not run.state.parts


def test_what_the_cache_has_is_not_sent_and_what_comes_is_kept(endpoint: SimulatedEndpoint, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [body("a"), body("b")])
    options: dict[str, Any] = {"cache": Cache([MemoryLevel()]), "policy": Policy()}
    (tmp_path / "one").mkdir()
    with Run(endpoint, source, tmp_path / "one", **options) as run:
        first = run.batch.run(soon)
    (tmp_path / "two").mkdir()
    with Run(endpoint, source, tmp_path / "two", **options) as run:
        second = run.batch.run(soon)
    assert (second.cached, second.done, second.spent_usd) == (2, 2, 0.0)
    assert second.saved_usd == pytest.approx(first.spent_usd)
    assert posted(endpoint, "/v1/batches") == 1


def test_nothing_is_sent_above_the_cap(endpoint: SimulatedEndpoint, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [body("a", max_tokens=10_000)])
    with Run(endpoint, source, tmp_path, gate=capped(0.001)) as run:
        tally = run.batch.run(soon)
    assert (tally.capped, tally.left) == (True, 1)
    assert posted(endpoint, "/v1/files") == 0


def test_a_refused_input_is_named_and_can_be_mended(endpoint: SimulatedEndpoint, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [body("a", stream=True)])
    with Run(endpoint, source, tmp_path) as run, pytest.raises(PromptopError, match="stream_not_supported"):
        run.batch.run(soon)
    with Run(endpoint, written(source, [body("a")]), tmp_path) as again:
        assert again.batch.run(soon).done == 1


def test_batches_hold_one_model_and_path_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [Item(n, f"c{n}", "/v1/chat/completions", body("x", model=f"m{n % 2}"), n) for n in range(10)]
    monkeypatch.setattr("promptop.batch.provider_runner.MOST_LINES", 3)
    made = chunks(items)
    assert [[item.index for item in chunk] for chunk in made] == [[0, 2, 4], [6, 8], [1, 3, 5], [7, 9]]
    monkeypatch.setattr("promptop.batch.provider_runner.MOST_BYTES", 1)
    assert len(chunks(items)) == 10


def test_an_endpoint_without_a_batch_api_is_said_with_the_way_out(
    endpoint: SimulatedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "in.jsonl", [body("a")])
    monkeypatch.setenv("OPENAI_BASE_URL", f"{endpoint.root_url}/elsewhere/v1")
    assert cli.main(["batch", str(source), "-o", str(tmp_path / "o"), "--provider-batch", "--no-cache"]) == 2
    said = capsys.readouterr().err
    assert "has no batch API" in said
    assert "--provider-batch" in said
    with pytest.raises(UsageError, match="another form"):
        BatchApi(Profile(base_url="https://x", api="anthropic"))


def test_another_endpoint_s_batches_and_foreign_files_are_not_touched(tmp_path: Path) -> None:
    state = ProviderState(tmp_path / "o", "http://a/v1")
    state.begin("/v1/chat/completions", {"c": "d"})
    with pytest.raises(PromptopError, match="names batches at http://a/v1"):
        ProviderState(tmp_path / "o", "http://b/v1")
    state.path.write_text("my notes")
    with pytest.raises(PromptopError, match="not a file of promptop"):
        ProviderState(tmp_path / "o", "http://a/v1")
    assert state.path.read_text() == "my notes"


def test_the_command_submits_leaves_and_collects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], private_folders: Path
) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
        source = written(tmp_path / "in.jsonl", [body("a"), body("b")])
        command = ["batch", str(source), "-o", str(tmp_path / "o"), "--poll", "0.01"]
        assert cli.main([*command, "--no-wait"]) == 1
        said = capsys.readouterr().err
        assert "through the batch API" in said
        assert "The same command collects" in said
        assert cli.main([*command, "--provider-batch", "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert (summary["answered"], summary["cost_status"]) == (2, "table")
        assert posted(endpoint, "/v1/batches") == 1


def test_a_look_that_fails_is_made_again(
    endpoint: SimulatedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = written(tmp_path / "in.jsonl", [body("a")])
    look: Callable[..., Any] = BatchApi.batch
    left = [2]

    def shaky(self: BatchApi, batch_id: str) -> Any:
        if left[0]:
            left[0] -= 1
            raise AwayError("The provider is away.")
        return look(self, batch_id)

    monkeypatch.setattr(BatchApi, "batch", shaky)
    notices: list[str] = []
    with Run(endpoint, source, tmp_path, notice=notices.append) as run:
        assert run.batch.run(soon).done == 1
    assert len(notices) == 2
