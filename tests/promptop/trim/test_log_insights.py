"""What the log knows of a prompt: by name, text or beginning; volume, limits and stops; and that it invents nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptop.capture.parse.request_parser import prefix_hashes, prompt_hash
from promptop.log import LogReader, Row, Writer
from promptop.log.write.pending import Finished
from promptop.prompts import parse
from promptop.trim import log_insights as room
from promptop.trim.log_insights import Known, limit_advice, look, stop_advice

NOW = 1_800_000_000_000
DAY = 86_400_000
SYSTEM = "你是书店客服。Answer in one line, at most ten words, and never invent an order that was not given to you."
TEMPLATE = f"system:\n{SYSTEM}\n\nuser:\n{{{{question}}}}\n"


def row(
    asked: str = "Where?", *, ago: float = 1.0, out: int | None = 20, finish: str = "stop", **fields: object
) -> Row:
    texts = [("system", SYSTEM), ("user", asked)]
    return Row(
        started_ms=NOW - 1 - round(ago * DAY),
        prompt_hash=prompt_hash(texts),
        prefix_hashes=str([list(each) for each in prefix_hashes(texts)]).replace("'", '"'),
        usage_output_tokens=out,
        response_finish_reasons=f'["{finish}"]',
        **{"app": "web", **fields},  # type: ignore[arg-type]
    )


def log_of(path: Path, rows: list[Row], answers: list[str] | None = None) -> LogReader:
    with Writer(path, bodies="full" if answers else "off") as writer:
        for number, each in enumerate(rows):
            body = answers[number % len(answers)].encode() if answers else None
            writer.put(Finished(each, b"{}" if body else None, body))
        writer.flush(timeout=30)
    return LogReader(path)


def asked(log: LogReader, text: str, name: str = "") -> Known | None:
    return look(log, text, parse(text), name, now_ms=NOW)


def test_a_prompt_is_known_by_name_text_or_the_beginning_that_its_calls_share(tmp_path: Path) -> None:
    rows = [row(f"question {n}", ago=n / 20, prompt_name="books") for n in range(40)]
    rows += [row("question 3", ago=1), row("question 7", ago=1)]
    rows += [row("question 3", ago=1)] * 3
    with log_of(tmp_path / "log.db", rows) as log:
        whole = f"system:\n{SYSTEM}\n\nuser:\nquestion 3\n"
        found = [asked(log, TEMPLATE, "books"), asked(log, whole), asked(log, TEMPLATE)]
        assert [(k.how, k.calls) for k in found if k is not None] == [("name", 40), ("text", 5), ("beginning", 45)]
        assert asked(log, f"---\nname: books\n---\n{whole}").how == "name"  # type: ignore[union-attr]
        filled = "---\nsample: {question: question 3}\n---\n" + TEMPLATE
        assert asked(log, filled).how == "text"  # type: ignore[union-attr]
        rare = asked(log, whole.replace("question 3", "question 7"))  # sent twice: one question of many
        assert rare is not None
        assert (rare.how, rare.calls) == ("beginning", 45)
        for other in ("", "Another prompt.", TEMPLATE.replace("never", "always")):
            assert asked(log, other) is None
        short = "system:\nBe brief.\n\nuser:\n{{question}}\n"
        assert asked(log, short) is None


def test_calls_a_day_are_those_that_were_paid(tmp_path: Path) -> None:
    rows = [row(f"{n}", ago=n / 20) for n in range(100)]  # the last five days
    rows += [row("x", app="promptop playground"), row("x", error_type="500"), row("x", cache_level="memory")]
    rows += [row("old", ago=20)]
    with log_of(tmp_path / "log.db", rows) as log:
        found = asked(log, TEMPLATE)
        assert found is not None
        assert found.calls == 100
        assert found.calls_per_day == pytest.approx(100 / 7)
    with log_of(tmp_path / "young.db", [row(f"{n}", ago=n / 1000) for n in range(30)]) as log:
        assert asked(log, TEMPLATE).calls_per_day == 30  # type: ignore[union-attr]
    with log_of(tmp_path / "old.db", [row(ago=25), row(ago=20)]) as log:
        assert asked(log, TEMPLATE).calls_per_day == pytest.approx(2 / 25)  # type: ignore[union-attr]
    with LogReader(tmp_path / "absent.db") as log:
        assert asked(log, TEMPLATE) is None


def test_a_busy_log_is_looked_at_in_part_and_the_days_are_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_MOST_ROWS", 50)
    rows = [row(f"{n}", ago=7 - 7 * n / 140) for n in range(140)]  # 20 a day
    with log_of(tmp_path / "log.db", rows) as log:
        found = asked(log, TEMPLATE)
        assert found is not None
        assert (found.days, found.calls_per_day) == (1.0, pytest.approx(20, abs=1))


@pytest.mark.parametrize(
    ("lengths", "cut", "current", "tokens", "says"),
    [
        ((), (), None, None, "too few"),
        ((10, 20), (30, 30), None, None, "too few"),
        ((10, 20, 30, 40, 50), (), None, 60, "not set"),
        ((10, 20, 30, 40, 50), (), 60, 60, "fits"),
        ((10, 20, 30, 40, 50), (), 40, 60, "less than the longest"),
        ((10, 20, 30, 40, 50), (), 4096, 60, "far beyond"),
        ((10, 20, 30, 40, 50), (64, 64), 64, 130, "2 of 7 answers were cut"),
        ((10, 20, 30, 40, 50), (64, 64), 200, 200, "fits"),
        ((10, 20, 30, 40, 50), (), True, 60, "not set"),
    ],
)
def test_the_limit_fits_the_answers(
    lengths: tuple[int, ...], cut: tuple[int, ...], current: object, tokens: int | None, says: str
) -> None:
    found = limit_advice(Known("text", 9, 1.0, lengths, cut), current)
    assert found.tokens == tokens
    assert says in found.reason
    assert "unknown" in limit_advice(None, current).reason


def test_lengths_come_from_whole_answers_and_cut_ones_apart(tmp_path: Path) -> None:
    rows = [row(f"{n}", out=n) for n in range(1, 101)]
    rows += [row("cut", out=256, finish="length")] * 3 + [
        row("none", out=None),
        row("hit", out=999, cache_level="disk"),
    ]
    with log_of(tmp_path / "log.db", rows) as log:
        found = asked(log, TEMPLATE)
    assert found is not None
    assert (found.percentile(0.5), found.percentile(0.99), found.lengths[-1], found.cut) == (50, 99, 100, (256,) * 3)
    assert found.mean_output == pytest.approx((5050 + 3 * 256) / 103)
    assert Known("text", 1, 1.0, (5,)).percentile(0.5) is None


def test_a_stop_is_advised_where_kept_answers_go_on_after_it(tmp_path: Path) -> None:
    rows = [row(f"{n}", out=40) for n in range(10)]
    with log_of(tmp_path / "log.db", rows, ["Aisle 3.\nLet me know if you need more!", "Aisle 4.\n"]) as log:
        found = asked(log, TEMPLATE)
    assert found is not None
    (advice,) = stop_advice(parse(TEMPLATE), found)
    assert (advice.stop, advice.hits, advice.answers) == ("\n", 5, 10)
    assert advice.tokens == pytest.approx(40 * 0.5 * len("Let me know if you need more!") / 38, rel=0.02)
    assert stop_advice(parse('---\nparameters: {stop: "\\n"}\n---\n' + TEMPLATE), found) == []
    assert stop_advice(parse("Write a poem."), found) == []
    few_shot = parse("Q: one?\nA: 1\nQ: two?\nA: 2\nQ: {{q}}\nA:")
    runs_on = Known("text", 9, 1.0, (30,) * 9, (), ("3\nQ: four?\nA: 4",) * 9)
    assert [each.stop for each in stop_advice(few_shot, runs_on)] == ["\nQ:"]
    unkept = Known("text", 9, 1.0, (*(5,) * 19, 90))
    assert stop_advice(few_shot, unkept) == []
    spread = Known("text", 9, 1.0, (*(5,) * 15, *(90,) * 5))
    assert [(each.answers, each.tokens) for each in stop_advice(few_shot, spread)] == [(0, None)]
