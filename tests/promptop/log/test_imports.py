"""Rows from elsewhere and back: our exports, llm's logs.db, LiteLLM's spend logs, OpenAI objects."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from tests.promptop.log.rows import NOON, append, plain, random_rows

from promptop.base.errors import PromptopError, UsageError
from promptop.log import COLUMNS, Filter, LogReader, Row
from promptop.log.transfer import exports
from promptop.log.transfer.external_formats import time_ms
from promptop.log.transfer.imports import import_file, undo_import


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def rows_in(path: Path) -> list[dict[str, object]]:
    with LogReader(path) as reader:
        return [plain(row) for row in reader.after(0, 1000)]


def brought_in(log: Path, name: str, text: str) -> list[dict[str, object]]:
    source = log.with_name(name)
    source.write_text(text, encoding="utf-8")
    first = import_file(log, source)
    again = import_file(log, source)
    assert (again.rows, again.known) == (0, first.rows)
    return rows_in(log)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_brought_in_again_is_the_same(log: Path, tmp_path: Path, form: str) -> None:
    rows = random_rows(60, seed=1)
    rows[0].tags = '{"env": "生产"}'
    rows[1].error_message = "=cmd()|'/c calc'!A0, \"quoted\"\nsecond line"
    rows[2].usage_raw = '{"prompt_tokens": 5}'
    for number, row in enumerate(rows):
        row.request_id = f"req-{number}"
        if row.cost_usd is None:
            row.cost_status = "unpriced"
    append(log, rows)
    target = tmp_path / f"rows.{form}"
    with LogReader(log) as reader, target.open("w", encoding="utf-8", newline="") as file:
        write = exports.write_csv if form == "csv" else exports.write_jsonl
        found = exports.rows_of(reader, Filter(), 0, NOON * 2)
        assert write(found, file, exports.chosen_columns(None)) == 60
    if form == "csv":
        assert "'=cmd()" in target.read_text()
    other = tmp_path / "other.db"
    assert import_file(other, target).kind == "promptop export"
    assert rows_in(other) == sorted(rows_in(log), key=itemgetter("started_ms"))  # an export is in order of time
    assert import_file(tmp_path / "third.db", log).kind == "promptop log"


def test_columns_and_times_of_an_export_are_chosen(log: Path) -> None:
    append(log, [Row(started_ms=NOON + n, app=f"a{n}") for n in range(5)])
    out = io.StringIO()
    with LogReader(log) as reader:
        exports.write_csv(exports.rows_of(reader, Filter(), NOON + 1, NOON + 3), out, exports.chosen_columns("id, app"))
    assert list(csv.reader(io.StringIO(out.getvalue()))) == [["id", "app"], ["2", "a1"], ["3", "a2"]]
    with pytest.raises(UsageError, match="no column 'cots_usd'"):
        exports.chosen_columns("cots_usd")


def test_parquet_needs_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PromptopError, match="pyarrow") as caught:
        exports.require_parquet()
    assert "promptop[parquet]" in caught.value.remedy


def test_parquet_has_the_columns_types(log: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    append(log, random_rows(30, seed=2))
    with LogReader(log) as reader:
        exports.write_parquet(exports.rows_of(reader, Filter(), 0, NOON * 2), tmp_path / "x.parquet", ("id", *COLUMNS))
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.num_rows == 30
    assert str(table.schema.field("cost_usd").type) == "double"
    in_order = sorted(rows_in(log), key=itemgetter("started_ms"))
    assert [row["app"] for row in table.to_pylist()] == [row["app"] for row in in_order]


def llm_database(path: Path) -> None:
    """Create what llm 0.36 creates, as far as it is read: the older table and the newer one."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT,
             options_json TEXT, response TEXT, response_json TEXT, conversation_id TEXT, duration_ms INTEGER,
             datetime_utc TEXT, input_tokens INTEGER, output_tokens INTEGER, token_details TEXT, schema_id TEXT,
             resolved_model TEXT);
            CREATE TABLE turns (id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT, tip_message_hash TEXT,
             model TEXT, resolved_model TEXT, options_json TEXT, schema_id TEXT, input_tokens INTEGER,
             output_tokens INTEGER, token_details TEXT, duration_ms INTEGER, datetime_utc TEXT, response_json TEXT);
            INSERT INTO responses (id, model, prompt, response, options_json, duration_ms, datetime_utc, input_tokens,
             output_tokens, token_details, conversation_id) VALUES
             ('01old', 'gpt-4o-mini', 'the secret question', 'the secret answer', '{"temperature": 0.2}', 1500,
              '2026-11-20T10:00:00.250000+00:00', 1000, 500, '{"prompt_tokens_details": {"cached_tokens": 128}}', 'c1'),
             ('02none', 'local', 'q', 'a', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
            INSERT INTO turns (id, thread_id, model, resolved_model, duration_ms, datetime_utc, input_tokens,
             output_tokens) VALUES ('03new', 't1', 'gpt-4o', 'gpt-4o-2024-08-06', 900, '2026-11-21T10:00:00', 10, 5);
            """
        )
        connection.commit()


def test_llms_database_is_brought_in(log: Path, tmp_path: Path) -> None:
    llm_database(tmp_path / "logs.db")
    done = import_file(log, tmp_path / "logs.db")
    assert (done.kind, done.rows, done.causes) == ("llm logs.db", 2, {"an entry has no time": 1})
    old, new = rows_in(log)
    assert (old["started_ms"], old["total_s"], old["request_temperature"]) == (1_795_168_800_250, 1.5, 0.2)
    assert (old["usage_cache_read_input_tokens"], old["usage_source"], old["conversation_id"]) == (
        128,
        "reported",
        "c1",
    )
    assert old["cost_status"] == "table"
    assert (new["request_model"], new["response_model"], new["request_id"]) == ("gpt-4o", "gpt-4o-2024-08-06", "03new")
    assert import_file(log, tmp_path / "logs.db").known == 2
    assert b"secret" not in log.read_bytes()


SPEND: dict[str, Any] = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
    "spend": 0.0123,
    "total_tokens": 150,
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "startTime": "2026-11-20T10:00:00.000Z",
    "endTime": "2026-11-20T10:00:03.000Z",
    "completionStartTime": "2026-11-20T10:00:00.500Z",
    "model": "gpt-4o-2024-08-06",
    "model_group": "gpt-4o",
    "api_base": "https://api.openai.com/v1/",
    "custom_llm_provider": "openai",
    "user": "team-a",
    "cache_hit": "False",
    "cache_key": "Cache OFF",
    "request_tags": ["prod"],
    "status": "success",
    "metadata": {"usage_object": {"prompt_tokens_details": {"cached_tokens": 64}}, "user_api_key": "sk-secret"},
}


@pytest.mark.parametrize("form", ["json list", "json object", "lines", "csv"])
def test_litellms_spend_logs_are_brought_in(log: Path, form: str) -> None:
    failed = {**SPEND, "request_id": "2", "status": "failure", "spend": 0, "completion_tokens": 0, "prompt_tokens": 0}
    failed["metadata"] = {"error_information": {"error_code": "429", "error_message": "slow down"}}
    hit = {**SPEND, "request_id": "3", "cache_hit": "True", "spend": 0.0, "completionStartTime": SPEND["endTime"]}
    free = {**SPEND, "request_id": "4", "spend": 0.0}
    entries = [SPEND, failed, hit, free]
    if form == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, list(SPEND))
        writer.writeheader()
        for entry in entries:
            writer.writerow({k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in entry.items()})
        rows = brought_in(log, "spend.csv", out.getvalue())
    elif form == "lines":
        rows = brought_in(log, "spend.jsonl", "".join(json.dumps(entry) + "\n" for entry in entries))
    else:
        rows = brought_in(
            log, "spend.json", json.dumps(entries if form == "json list" else {"data": entries}, indent=2)
        )
    first, second, third, fourth = rows
    assert (first["cost_usd"], first["cost_status"], first["ttft_s"], first["total_s"]) == (
        0.0123,
        "reported",
        0.5,
        3.0,
    )
    assert (first["request_model"], first["response_model"]) == ("gpt-4o", "gpt-4o-2024-08-06")
    assert (first["usage_cache_read_input_tokens"], first["server_address"], first["app"]) == (
        64,
        "api.openai.com",
        "litellm",
    )
    assert first["tags"] == '{"user": "team-a", "prod": true}'
    assert (second["error_type"], second["http_response_status_code"]) == ("429", 429)
    assert (third["cache_level"], third["cost_usd"], third["ttft_s"]) == ("other", 0.0, None)
    assert fourth["cost_status"] == "table"  # tokens at no cost: LiteLLM had no price
    whole = b"".join(path.read_bytes() for path in log.parent.glob("log.db*"))
    assert b"sk-secret" not in whole
    assert b"88dc28d0" not in whole


def test_openai_objects_are_brought_in(log: Path) -> None:
    answer = {
        "id": "chatcmpl-9",
        "object": "chat.completion",
        "created": 1_795_168_800,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"finish_reason": "stop", "message": {"content": "private"}}],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 500,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
    }
    responses = {"id": "resp_1", "object": "response", "created_at": 1_795_168_801, "model": "gpt-4o"}
    responses["usage"] = {"input_tokens": 10, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 4}}
    entries: list[Any] = [
        answer,
        {
            "custom_id": "job-1",
            "response": {"status_code": 200, "body": {**answer, "id": "chatcmpl-10"}},
            "error": None,
        },
        {
            "request": {"model": "gpt-4o-mini", "temperature": 0.3, "messages": []},
            "response": answer,
            "duration_ms": 1200,
        },
        responses,
        {"timestamp": 1_795_168_802_000, "request": {"model": "m"}, "response": {"error": {"code": "rate_limit"}}},
        {"note": "no call"},
        {**answer, "created": None},
        7,
    ]
    source = log.with_name("calls.jsonl")
    source.write_text("\n".join(json.dumps(entry) for entry in entries) + "\n{broken\n", encoding="utf-8")
    done = import_file(log, source)
    assert (done.kind, done.rows, done.refused, done.dated_by_file) == ("OpenAI objects", 6, 3, 1)
    first, batch, pair, response, failed, undated = rows_in(log)
    assert undated["started_ms"] == source.stat().st_mtime_ns // 1_000_000
    assert batch["cost_usd"] == pytest.approx(0.000225), "half the price"
    assert first["cost_usd"] == pytest.approx(0.00045)
    assert (first["usage_reasoning_output_tokens"], first["response_finish_reasons"]) == (7, '["stop"]')
    assert (batch["request_id"], batch["http_response_status_code"]) == ("job-1", 200)
    assert (pair["request_model"], pair["request_temperature"], pair["total_s"]) == ("gpt-4o-mini", 0.3, 1.2)
    assert (response["openai_api_type"], response["usage_cache_read_input_tokens"]) == ("responses", 4)
    assert failed["error_type"] == "rate_limit"
    assert b"private" not in log.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("nothing.jsonl", b"", "holds no call"),
        ("other.json", b'{"a": 1}', "holds no call"),
        ("broken.json", b"[1, 2", "is not JSON"),
        ("binary.csv", b"\xff\xfe\x00a,b", "is not the text it should be"),
        ("notes.txt", b"hello there", "is not JSON"),
    ],
)
def test_files_of_other_kinds_are_refused(log: Path, name: str, content: bytes, cause: str) -> None:
    log.with_name(name).write_bytes(content)
    with pytest.raises(PromptopError) as caught:
        import_file(log, log.with_name(name))
    assert cause in caught.value.cause
    with pytest.raises(PromptopError, match="There is no file"):
        import_file(log, log.with_name("missing.csv"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T10:00:00Z", 1_795_168_800_000),
        ("2026-11-20 10:00:00", 1_795_168_800_000),
        ("2026-11-20T12:00:00+02:00", 1_795_168_800_000),
        (1_795_168_800, 1_795_168_800_000),
        (1_795_168_800.25, 1_795_168_800_250),
        ("1795168800123", 1_795_168_800_123),
        ("yesterday", None),
        (None, None),
        (True, None),
        (-5, None),
        (float("nan"), None),
    ],
)
def test_times_are_read_in_the_forms_that_logs_have(text: Any, expected: int | None) -> None:
    assert time_ms(text) == expected


def answers(*names: str) -> str:
    return "".join(
        json.dumps(
            {
                "id": name,
                "object": "chat.completion",
                "created": 1_795_168_800 + number,
                "model": "gpt-4o-mini",
                "choices": [{"finish_reason": "stop", "message": {"content": "private"}}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 10},
            }
        )
        + "\n"
        for number, name in enumerate(names)
    )


def test_a_look_writes_nothing(log: Path) -> None:
    source = log.with_name("a.jsonl")
    source.write_text(answers("a", "b"), encoding="utf-8")
    seen = import_file(log, source, dry_run=True)
    assert (seen.rows, seen.known, seen.input_tokens, seen.output_tokens) == (2, 0, 200, 20)
    assert seen.cost_usd == pytest.approx(0.000042)
    assert not log.exists()
    import_file(log, source)
    assert import_file(log, source, dry_run=True).known == 2


def test_the_latest_import_is_taken_back(log: Path) -> None:
    first, second = log.with_name("a.jsonl"), log.with_name("b.jsonl")
    first.write_text(answers("a", "b"), encoding="utf-8")
    second.write_text(answers("c", "d", "e"), encoding="utf-8")
    import_file(log, first)
    import_file(log, second)
    undone = undo_import(log)
    assert (undone.source, undone.rows) == ("b.jsonl", 3)
    assert [row["response_id"] for row in rows_in(log)] == ["a", "b"]
    assert undo_import(log).rows == 2
    with pytest.raises(PromptopError, match="No import"):
        undo_import(log)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(
            {
                "traceId": "t",
                "type": "GENERATION",
                "startTime": "2026-11-01T10:00:00Z",
                "model": "claude-sonnet-4-5",
                "usageDetails": {"input": 10, "cache_read_input_tokens": 5000, "output": 20, "total": 5030},
            },
            (5010, 20, 5000),
            id="langfuse",
        ),
        pytest.param(
            {
                "request_id": "h",
                "request_created_at": "2026-11-01T10:00:00Z",
                "response_status": 200,
                "request_model": "gpt-4o",
                "delay_ms": 5,
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "prompt_cache_read_tokens": 80,
            },
            (100, 20, 80),
            id="helicone",
        ),
        pytest.param(
            {
                "timestamp": "2026-11-01T10:00:00Z",
                "response": {
                    "type": "message",
                    "model": "claude-haiku-4-5",
                    "stop_reason": "end_turn",
                    "usage": {"input_tokens": 10, "cache_read_input_tokens": 5000, "output_tokens": 20},
                },
            },
            (5010, 20, 5000),
            id="anthropic",
        ),
        pytest.param(
            {
                "datetime_utc": "2026-11-01T10:00:00",
                "model": "gemini-2.5-flash",
                "input_tokens": 10,
                "output_tokens": 5,
                "token_details": {"thoughtsTokenCount": 30},
            },
            (10, 35, None),
            id="llm",
        ),
    ],
)
def test_other_programs_are_recognised_by_shape(log: Path, entry: Any, expected: tuple[int | None, ...]) -> None:
    source = log.with_name("x.json")
    source.write_text(json.dumps({"data": [entry]}), encoding="utf-8")
    import_file(log, source)
    (row,) = rows_in(log)
    columns = ("usage_input_tokens", "usage_output_tokens", "usage_cache_read_input_tokens")
    assert tuple(row[name] for name in columns) == expected
    assert row["cost_usd"] is not None
