from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from promptop.base.errors import PromptopError
from promptop.client.result import CallUsage, RunError, RunResult
from promptop.client.variants import PromptVersion
from promptop.history import run_history
from promptop.history.run_history import KeptAnswer, KeptRun, RunHistory

SECRET = "秘密的提示"


def result(text: str = "回答 answer", **changes: object) -> RunResult:
    made = RunResult(
        "gpt-4o",
        "gpt-4o-2024",
        "gpt-4o",
        text,
        "done",
        finish_reason="stop",
        reasoning="because",
        tool_calls=(("look", "{}"),),
        ttft_s=0.2,
        duration_s=1.2,
        total_s=1.25,
        usage=CallUsage(10, 21, 4, 1, "reported"),
        cost_usd=0.25,
        cost_status="table",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def a_run(text: str = SECRET, **changes: object) -> KeptRun:
    run = KeptRun(
        started_ms=1_000,
        setup={"models": ["gpt-4o"], "temperature": "0.5", "tools": '[{"name": "look"}]', "checks": "contains:回"},
        answers=(
            KeptAnswer("gpt-4o", "gpt-4o", "", (result(), result(text="x"))),
            KeptAnswer("o3 · v2", "o3", "v2", (result(error=RunError("429", "you said 秘密", "wait", 429)),)),
        ),
        versions=(PromptVersion("", [{"role": "user", "content": text}]), PromptVersion("v2", [], "p", "2")),
        text=text,
        source="request 7",
        digest="abcdef0123456789",
        repeats=2,
    )
    return replace(run, **changes)  # type: ignore[arg-type]


@pytest.fixture
def book(tmp_path: Path) -> RunHistory:
    return RunHistory(tmp_path / "data" / "playground.db")


def test_a_full_run_comes_back_as_it_was(book: RunHistory) -> None:
    number = book.add(a_run(), full=True)
    assert book.load(number) == a_run(id=number)
    assert oct(book.path.stat().st_mode)[-3:] == "600"
    assert oct(book.path.parent.stat().st_mode)[-3:] == "700"


def test_metadata_holds_neither_prompt_nor_answer(book: RunHistory) -> None:
    number = book.add(a_run(), full=False)
    written = b"".join(path.read_bytes() for path in book.path.parent.iterdir())
    for text in (SECRET, "秘密", "回答", "because", '"look"', "contains:"):
        assert text.encode() not in written
        assert json.dumps(text)[1:-1].encode() not in written
    found = book.load(number)
    assert (found.whole, found.text, found.source) == (False, "", "request 7")
    assert found.setup == {"models": ["gpt-4o"], "temperature": "0.5"}
    assert [version.label for version in found.versions] == ["v2"]
    first = found.answers[0].results[0]
    assert (first.text, first.ttft_s, first.output_tps, first.usage.source) == ("", 0.2, 20.0, "reported")
    assert found.cost_usd == 0.75


def test_a_run_is_found_by_words_of_what_is_kept(book: RunHistory) -> None:
    first = book.add(a_run(), full=True)
    second = book.add(a_run("another 100% prompt"), full=True)
    third = book.add(a_run("another"), full=False)
    assert [run.id for run in book.find()] == [third, second, first]
    assert [run.id for run in book.find("秘密 gpt-4o")] == [first]
    assert [run.id for run in book.find("100% another")] == [second]
    assert [run.id for run in book.find("回答")] == [second, first]
    assert book.find("nothing") == []
    assert book.find("秘密")[0].answers[0].results[0].text == ""
    assert len(book.find(limit=1)) == 1
    book.delete(first)
    assert book.find("秘密") == []
    with pytest.raises(PromptopError, match="no longer"):
        book.load(first)
    book.clear()
    assert book.find() == []


def test_growth_is_bounded_and_the_newest_stays(book: RunHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_history, "MOST_RUNS", 3)
    numbers = [book.add(a_run(), full=True) for _ in range(5)]
    assert [run.id for run in book.find()] == numbers[:1:-1]
    monkeypatch.setattr(run_history, "MOST_BYTES", 10)
    last = book.add(a_run(), full=True)
    assert [run.id for run in book.find()] == [last]
    monkeypatch.setattr(run_history, "MOST_OF_A_RUN", 10)
    assert not book.load(book.add(a_run(), full=True)).whole


def test_ratings_are_summed_for_each_model(book: RunHistory) -> None:
    one, two = book.add(a_run(), full=False), book.add(a_run(), full=False)
    book.rate(one, 0, 2, blind=True)
    book.rate(two, 0, 5, blind=False)
    book.rate(two, 1, 4, blind=False)
    book.judge(two, [(1, 3), (3, 3)])
    best, other = book.ratings()
    assert (best.model, best.n, best.mean, best.blind) == ("o3", 1, 4.0, 0)
    assert (other.model, other.n, other.mean, other.blind, other.spread) == ("gpt-4o", 2, 3.5, 1, {2: 1, 5: 1})
    kept = book.load(two).answers[0]
    assert (kept.rating, kept.blind, kept.checks) == (5, False, (1, 3))
    book.rate(two, 0, None, blind=False)
    assert book.load(two).answers[0].rating is None


def test_presets_are_saved_listed_and_removed(book: RunHistory) -> None:
    assert book.presets() == []
    book.save_preset(" short  answers ", {"max_tokens": "50"}, 1)
    book.save_preset("Aged", {}, 1)
    book.save_preset("short answers", {"max_tokens": "60"}, 2)
    assert book.presets() == [("Aged", {}), ("short answers", {"max_tokens": "60"})]
    book.delete_preset("Aged")
    assert [name for name, _ in book.presets()] == ["short answers"]
    with pytest.raises(PromptopError, match="name"):
        book.save_preset(" ", {}, 1)


def test_what_is_to_be_kept_is_remembered(book: RunHistory) -> None:
    assert book.chosen_mode() is None
    book.choose_mode("full")
    assert book.chosen_mode() == "full"


def test_a_file_that_cannot_be_used_says_so(book: RunHistory) -> None:
    book.path.parent.mkdir(parents=True)
    book.path.write_text("no database, that is sure")
    with pytest.raises(PromptopError, match="is not an SQLite file"):
        book.add(a_run(), full=False)
    book.path.unlink()
    with sqlite3.connect(book.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(PromptopError, match="newer"):
        book.presets()
