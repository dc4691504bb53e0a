"""Batches against the simulated endpoint: order, limits, cache, resuming, caps, and every kind of bad input."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.gates import capped

from promptop.base.errors import UsageError
from promptop.batch.input import read_jsonl, read_table
from promptop.batch.journal import Journal
from promptop.batch.runner import Batch, Tally, estimate, kept_apart
from promptop.cache import Cache, MemoryLevel, Policy
from promptop.cli import main as cli
from promptop.limits.limiter import RateLimits
from promptop.log import LogReader, Writer, writer_for
from promptop.prompts import compose, fill, parse
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


def chats(endpoint: SimulatedEndpoint) -> int:
    return sum("/chat/completions" in request.path for request in endpoint.requests)


def body(text: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "gpt-4o-mini", "messages": messages, "temperature": 0, "max_tokens": 8, **more}


def written(path: Path, bodies: list[dict[str, Any]]) -> Path:
    lines = [
        {"custom_id": f"c{n}", "method": "POST", "url": "/v1/chat/completions", "body": each}
        for n, each in enumerate(bodies)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


async def done(endpoint: SimulatedEndpoint, source: Path, out: Path, log: Path, **options: Any) -> Tally:
    items = read_jsonl(source)
    journal = Journal(out)
    writer = Writer(log)
    try:
        batch = Batch(items, Profile(base_url=endpoint.base_url), journal, transport={"log": writer}, **options)
        tally = await batch.run()
        journal.write_output(items)
        return tally
    finally:
        journal.close()
        writer.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def test_answers_come_in_the_order_of_the_questions_and_one_failure_loses_nothing_else(
    endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    bodies = [body(f"问题 {n}") for n in range(30)]
    bodies[7]["model"] = "sim-fault-401"
    source = written(tmp_path / "in.jsonl", bodies)
    tally = await done(endpoint, source, tmp_path / "out.jsonl", tmp_path / "log.db")
    assert (tally.done, tally.failed, tally.left) == (29, 1, 0)
    found = lines(tmp_path / "out.jsonl")
    assert [line["custom_id"] for line in found] == [f"c{n}" for n in range(30)]
    assert found[7]["error"]["code"] == "401"
    assert all(line["error"] is None for n, line in enumerate(found) if n != 7)
    assert found[0]["response"]["body"]["choices"][0]["message"]["content"]
    assert tally.spent_usd > 0
    with LogReader(tmp_path / "log.db") as reader:
        assert reader.latest(100)[0].request_model is not None
        assert len(reader.latest(100)) == 30


async def test_a_hundred_prompts_at_concurrency_ten_take_a_tenth_of_the_time(tmp_path: Path) -> None:
    """S06, as a ratio in one run: the wall time beside the sum of what the endpoint took."""
    with SimulatedEndpoint.in_thread(speed=0.3) as endpoint:
        source = written(tmp_path / "in.jsonl", [body(f"q{n}", model="sim-fast") for n in range(100)])
        started = time.monotonic()
        await done(endpoint, source, tmp_path / "o", tmp_path / "l", limits=RateLimits(10, None))
        wall = time.monotonic() - started
    with LogReader(tmp_path / "l") as reader:
        rows = reader.latest(200)
    assert len(rows) == 100
    assert sum(row.total_s or 0 for row in rows) / wall > 5


async def test_what_was_answered_is_not_asked_again_and_what_failed_is(
    endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    bodies = [body(f"q{n}") for n in range(6)]
    source = written(tmp_path / "in.jsonl", [*bodies[:5], {**bodies[5], "model": "sim-fault-401"}])
    out = tmp_path / "out.jsonl"
    first = await done(endpoint, source, out, tmp_path / "l")
    assert first.failed == 1
    asked = chats(endpoint)
    bodies[2] = body("another question under the same id")
    written(source, [*bodies[:5], {**bodies[5], "model": "sim-fault-401"}])
    second = await done(endpoint, source, out, tmp_path / "l")
    assert (second.resumed, second.done, second.failed) == (4, 1, 1)
    assert chats(endpoint) == asked + 2, "the changed one and the failed one"
    assert len(lines(out)) == 6


async def test_duplicates_are_folded_by_the_cache(endpoint: SimulatedEndpoint, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [body("the same") for _ in range(40)])
    out = tmp_path / "out.jsonl"
    tally = await done(endpoint, source, out, tmp_path / "l", cache=Cache([MemoryLevel()]))
    assert chats(endpoint) == 1
    assert tally.cached == 39
    assert tally.saved_usd == pytest.approx(tally.spent_usd * 39)
    contents = {line["response"]["body"]["choices"][0]["message"]["content"] for line in lines(out)}
    assert len(contents) == 1


async def test_no_request_is_started_that_could_pass_the_cap(endpoint: SimulatedEndpoint, tmp_path: Path) -> None:
    bodies = [body(f"q{n}", model="gpt-4o", max_tokens=100) for n in range(50)]
    source = written(tmp_path / "in.jsonl", bodies)
    most = estimate(read_jsonl(source), Profile(base_url=endpoint.base_url))
    assert most.usd is not None and not most.open
    cap = most.usd / 5
    tally = await done(endpoint, source, tmp_path / "o", tmp_path / "l", gate=capped(cap))
    assert tally.capped
    assert 0 < tally.spent_usd <= cap
    assert tally.left > 0


async def test_a_429_is_tried_again_after_what_the_server_asks_and_each_attempt_is_a_row(tmp_path: Path) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        source = written(tmp_path / "in.jsonl", [body("q", model="sim-fault-500")])
        tally = await done(endpoint, source, tmp_path / "o", tmp_path / "l", retries=1)
    assert tally.failed == 1
    with LogReader(tmp_path / "l") as reader:
        assert [row.attempt for row in reversed(reader.latest(10))] == [1, 2]


def test_a_killed_batch_goes_on_where_it_was(tmp_path: Path, private_folders: Path) -> None:
    with SimulatedEndpoint.in_thread(speed=0.2) as endpoint:
        source = written(tmp_path / "in.jsonl", [body(f"q{n}", model="sim-fast") for n in range(60)])
        out = tmp_path / "out.jsonl"
        environ = {**os.environ, "OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "k"}
        command = [sys.executable, "-m", "promptop_tui", "batch", str(source), "-o", str(out), "--concurrency", "4"]
        command += ["--no-cache", "--json"]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        journal = out.with_name("out.jsonl.journal")
        end = time.monotonic() + 60
        while not (journal.exists() and journal.read_bytes().count(b"\n") >= 10):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept = journal.read_bytes().count(b"\n")
        asked = chats(endpoint)
        again = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100)
        assert again.returncode == 0, again.stderr
        summary = json.loads(again.stdout)
        assert summary["resumed"] >= kept >= 10
        assert summary["answered"] == 60
        assert chats(endpoint) == asked + 60 - summary["resumed"], "none of the answered ones was asked again"
    assert [line["custom_id"] for line in lines(out)] == [f"c{n}" for n in range(60)]
    assert not journal.exists()


def test_ctrl_c_keeps_what_came_and_says_how_to_go_on(tmp_path: Path, private_folders: Path) -> None:
    with SimulatedEndpoint.in_thread(speed=1) as endpoint:
        source = written(tmp_path / "in.jsonl", [body(f"q{n}", model="sim-fast") for n in range(200)])
        out = tmp_path / "out.jsonl"
        environ = {**os.environ, "OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "k"}
        command = [sys.executable, "-m", "promptop_tui", "batch", str(source), "-o", str(out), "--no-cache"]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        journal = out.with_name("out.jsonl.journal")
        end = time.monotonic() + 60
        while not (journal.exists() and journal.stat().st_size):
            assert time.monotonic() < end
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from here" in error
    assert "Traceback" not in error
    assert 0 < len(lines(out)) < 200


def test_half_a_line_of_a_killed_process_is_dropped_and_another_file_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [body("a"), body("b")])
    items = read_jsonl(source)
    out = tmp_path / "out.jsonl"
    journal = Journal(out)
    from promptop.batch.journal import ItemOutcome

    journal.add(items[0], ItemOutcome({"custom_id": "c0"}, ok=True, usd=0.25))
    journal.close()
    path = tmp_path / "out.jsonl.journal"
    path.write_bytes(path.read_bytes() + b'{"digest": "half')
    again = Journal(out)
    assert again.finished(items[0])
    assert not again.finished(items[1])
    assert again.spent_usd == 0.25
    again.add(items[1], ItemOutcome({"custom_id": "c1"}, ok=True, usd=None))
    assert list(again.results(items)) == [{"custom_id": "c0"}, {"custom_id": "c1"}]
    again.close()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("my notes\n")
    with pytest.raises(Exception, match="not a journal"):
        Journal(out)
    assert path.read_text() == "my notes\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no request"),
        ("{\n", "in.jsonl:1: not JSON"),
        ("[]\n", "in.jsonl:1: a line must be a JSON object"),
        ('{"body": 3}\n', "in.jsonl:1: body must be"),
        ('{"custom_id": "a"}\n', "no body, no messages and no prompt"),
        ('{"prompt": "x"}\n', "names no model"),
        ('\n{"url": "/v1/images", "body": {}}\n', "in.jsonl:2: url"),
        ('{"custom_id":"a","body":{"model":"m"}}\n{"custom_id":"a","body":{"model":"m"}}\n', "stands in line 1 too"),
    ],
)
def test_a_bad_line_is_named_before_anything_is_sent(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=says.replace(".", r"\.")):
        read_jsonl(path)


def test_bytes_that_are_no_text_and_a_missing_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_jsonl(path)
    with pytest.raises(Exception, match="cannot be read"):
        read_jsonl(tmp_path / "nowhere")


def test_a_prompt_is_filled_from_a_table_and_a_value_is_never_a_template(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text('id,city,what\na,北京,{{city}}\nb,"Paris, TX",food\n', encoding="utf-8")
    prompt = parse(compose([{"role": "user", "content": "In {{ city }}: {{what}} {{city}}"}]))
    items = read_table(table, prompt, model="m", defaults={"max_tokens": 5})
    assert [item.body["messages"][0]["content"] for item in items] == [
        "In 北京: {{city}} 北京",
        "In Paris, TX: food Paris, TX",
    ]
    assert [item.custom_id for item in items] == ["a", "b"]
    with pytest.raises(UsageError, match=r"no value for \{\{nope\}\}"):
        read_table(table, parse("{{nope}}"), model="m")
    table.write_text("a,b\n1\n")
    with pytest.raises(UsageError, match=r"t\.csv:2: the row has not as many fields"):
        read_table(table, prompt, model="m")
    assert fill("{{a}}{{b}}", {"a": "{{b}}"}) == "{{b}}{{b}}"


def test_several_prompts_are_filled_with_every_row(
    endpoint: SimulatedEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    table = tmp_path / "t.csv"
    table.write_text("id,text\nx,你好\ny,two\n", encoding="utf-8")
    for name, text in (("short", "Sum up: {{text}}"), ("long", "Explain {{text}}")):
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
    prompts = ["--prompt", str(tmp_path / "short.md"), "--prompt", str(tmp_path / "long.md")]
    out = tmp_path / "out.jsonl"
    command = ["batch", *prompts, str(table), "-o", str(out), "-m", "gpt-4o-mini", "--max-tokens", "4", "--no-cache"]
    assert cli.main(command) == 0
    assert [line["custom_id"] for line in lines(out)] == ["short/x", "long/x", "short/y", "long/y"]
    assert chats(endpoint) == 4
    assert cli.main(command) == 2  # done: it would be asked and written again
    assert "--force" in capsys.readouterr().err
    assert cli.main([*command, "--force", "--prompt", str(tmp_path / "short.md")]) == 2
    assert "Two prompts are called 'short'" in capsys.readouterr().err


def test_the_command_prices_checks_and_reports(
    endpoint: SimulatedEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    source = written(tmp_path / "in.jsonl", [body("x"), body("x"), body("y")])
    out = str(tmp_path / "out.jsonl")
    assert cli.main(["batch", str(source), "-o", out, "--dry-run"]) == 0
    assert "3 requests, at most ≈ $0.0000" in capsys.readouterr().err
    assert chats(endpoint) == 0
    assert cli.main(["batch", str(source), "-o", out, "--json"]) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert (summary["answered"], summary["cached"]) == (3, 1)
    assert "3 results in" in captured.err
    assert cli.main(["batch", str(source), "-o", out, "--rpm", "0"]) == 2


def test_ten_thousand_queued_items_are_a_list_and_not_ten_thousand_tasks(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"custom_id": str(n), "body": body("q")}) + "\n" for n in range(10_000)))
    items = read_jsonl(source)

    async def most_tasks() -> int:
        journal = Journal(tmp_path / "o")
        batch = Batch(items, Profile(base_url="http://127.0.0.1:1/v1"), journal, limits=RateLimits(10, None), retries=0)
        batch._transport = {"log": Writer(tmp_path / "l")}
        task = asyncio.create_task(batch.run())
        for _ in range(50):
            await asyncio.sleep(0)
        count = len(asyncio.all_tasks())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        batch._transport["log"].close()
        journal.close()
        return count

    assert asyncio.run(most_tasks()) < 50


def test_answers_that_the_cache_does_not_keep_are_counted_by_reason(tmp_path: Path) -> None:
    source = written(
        tmp_path / "in.jsonl",
        [body("a", temperature=0), body("b", temperature=0.5), body("c", temperature=1), body("d", temperature=0, n=2)],
    )
    found = kept_apart(read_jsonl(source), Profile(base_url="http://127.0.0.1:1/v1"), Policy())
    assert [count for _, count in found] == [2, 1]
    assert "any_temperature = true in [cache]" in found[0][0] and found[1][0].startswith("n > 1")
    assert not kept_apart(read_jsonl(source)[:3], Profile(), Policy(any_temperature=True))


def test_requests_are_routed_before_they_are_priced_and_rows_say_so(
    endpoint: SimulatedEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, log = tmp_path / "config.toml", tmp_path / "log.db"
    rules = 'rules = ["model=gpt-4o complexity<0.3 -> gpt-4o-mini"]'
    config.write_text(f'[profiles.sim]\nbase_url = "{endpoint.base_url}"\n[routing]\n{rules}\n', encoding="utf-8")
    hard = "实现分布式缓存系统: 1000 lines of code, 20 files."
    source = written(tmp_path / "in.jsonl", [body("Hi", model="gpt-4o"), body(hard, model="gpt-4o"), body("Hello")])
    words = ["batch", str(source), "-o", str(tmp_path / "out"), "--config", str(config), "--log", str(log)]
    assert cli.main([*words, "--route", "--no-cache"]) == 0
    said = capsys.readouterr().err
    assert "1 request: gpt-4o → gpt-4o-mini" in said
    assert "1 request: gpt-4o\n" in said
    writer_for(log).flush()
    with sqlite3.connect(log) as rows:
        told = dict(rows.execute("SELECT routed_from, route_rule FROM requests WHERE request_model = 'gpt-4o-mini'"))
    assert told["gpt-4o"] == "model=gpt-4o complexity<0.3 -> gpt-4o-mini"
    assert sorted(json.loads(each.body)["model"] for each in endpoint.requests) == [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4o-mini",
    ]
