"""``promptop report`` against real logs: the shape, the sums, the checks, the forms."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import sqlite3
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from promptop.alerts.rules import parse_check
from promptop.base.errors import UsageError
from promptop.cli.main import main
from promptop.log import Row, Writer
from promptop.settings import MonitorSettings


def make_row(age_s: float, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "started_ms": int((time.time() - age_s) * 1000),
        "request_model": "gpt-4o-mini",
        "app": "web",
        "ttft_s": 0.5,
        "duration_s": 2.0,
        "usage_input_tokens": 1000,
        "usage_output_tokens": 100,
        "usage_source": "reported",
        "cost_usd": 0.25,
        "cost_status": "table",
        "http_response_status_code": 200,
    }
    return Row(**{**values, **changes})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Ten rows of this hour, two of last week."""
    path = tmp_path / "log.db"
    rows = [make_row(60 + i, duration_s=1.0 + i) for i in range(6)]
    rows.append(make_row(30, request_model="猫 | <b>模型", cost_usd=1.0, simulated=1))
    rows.append(make_row(31, cache_level="memory", ttft_s=None, duration_s=0.001, cost_usd=0.0, saved_usd=0.25))
    rows.append(make_row(32, cache_level="miss", cost_usd=None, cost_status="unpriced"))
    rows.append(make_row(33, error_type="timeout", cost_usd=None, usage_input_tokens=None, usage_output_tokens=None))
    rows += [make_row(8 * 86_400, app="old")] * 2
    with Writer(path) as writer:
        for each in rows:
            writer.put(each)
        assert writer.flush(10)
    return path


def report(capsys: pytest.CaptureFixture[str], log: Path, *options: str) -> tuple[int, str, str]:
    code = main(["report", "--log", str(log), *options])
    done = capsys.readouterr()
    return code, done.out, done.err


def test_a_length_of_time_counts_from_the_end_of_the_window(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    until = f"{datetime.fromtimestamp(time.time() - 8 * 86_400 + 300):%Y-%m-%dT%H:%M:%S}"
    code, out, _ = report(capsys, log, "--json", "--since", "10m", "--until", until)
    found = json.loads(out)
    assert code == 0
    assert found["n"] == 2
    assert found["total"]["n"] == 2 and found["total"]["cost_usd"] == found["cost_usd"]


def test_json_has_the_fixed_shape_and_true_sums(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = report(capsys, log, "--json", "--since", "1h")
    found = json.loads(out)
    assert code == 0
    assert set(found) >= {
        "window",
        "n",
        "errors",
        "error_rate",
        "duration_s",
        "ttft_s",
        "cache",
        "usage",
        "cost_usd",
        "unpriced",
        "groups",
        "rejected",
        "in_flight",
        "newest_row_age_s",
    }
    assert set(found["window"]) == {"from", "to"}
    assert set(found["duration_s"]) == {"n", "p50", "p95", "p99", "mean", "max"} == set(found["ttft_s"])
    assert (found["n"], found["errors"]) == (10, 1)
    assert found["error_rate"] == pytest.approx(1 / 9)  # without the hit
    assert (found["rejected"], found["in_flight"]) == (0, 0)
    assert found["newest_row_age_s"] > 0
    assert found["duration_s"]["n"] == 8  # neither the hit nor the failed call
    assert found["duration_s"]["max"] == pytest.approx(6.0)
    assert found["duration_s"]["p50"] == pytest.approx(2.5, rel=0.25)
    assert found["cache"] == {
        "hits": 1,
        "misses": 1,
        "ratio": 0.5,
        "by_level": {"memory": 1},
        "saved_usd": pytest.approx(0.25),
    }
    assert found["usage"]["input_tokens"] == 9000
    assert found["cost_usd"] == pytest.approx(2.5)
    assert found["unpriced"] == 1
    assert [group["group"] for group in found["groups"]] == ["gpt-4o-mini", "猫 | <b>模型"]
    assert sum(group["n"] for group in found["groups"]) == 10


def test_unknown_is_null_and_never_zero(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(report(capsys, log, "--json", "--filter", "model:nothing-like-it")[1])
    assert found["n"] == 0
    assert found["error_rate"] is found["duration_s"]["p95"] is found["cache"]["ratio"] is None
    unpriced = json.loads(report(capsys, log, "--json", "--filter", "price:unpriced")[1])
    assert unpriced["cost_usd"] is None


def test_a_log_that_is_not_there_yet_is_an_empty_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 0


@pytest.mark.parametrize(("by", "first"), [("app", "web"), ("error", "(none)"), ("cache", "(none)")])
def test_groups(log: Path, capsys: pytest.CaptureFixture[str], by: str, first: str) -> None:
    found = json.loads(report(capsys, log, "--json", "--by", by, "--since", "1h")[1])
    assert found["groups"][0]["group"] == first


def test_one_of_the_callers_tags_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tags.db"
    with Writer(path) as writer:
        for team in ("red", "red", "蓝", None):
            writer.put(make_row(5, tags=json.dumps({"team": team}) if team else None))
        assert writer.flush(10)
    groups = json.loads(report(capsys, path, "--json", "--by", "tag.team")[1])["groups"]
    assert {group["group"]: group["n"] for group in groups} == {"red": 2, "蓝": 1, "(none)": 1}
    assert report(capsys, path, "--by", "tag.")[0] == 2


def test_days_are_local_and_add_up(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(report(capsys, log, "--json", "--by", "day", "--since", "10d")[1])
    assert sum(group["n"] for group in found["groups"]) == found["n"] == 12
    assert found["groups"][0]["group"] == f"{datetime.fromtimestamp(time.time() - 8 * 86_400):%Y-%m-%d}"


def test_top_keeps_the_dearest_and_the_rest_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "many.db"
    with Writer(path) as writer:
        for i in range(50):
            writer.put(make_row(60, request_model=f"m{i}", cost_usd=float(i)))
        assert writer.flush(10)
    found = json.loads(report(capsys, path, "--json", "--top", "3")[1])
    assert [group["group"] for group in found["groups"]] == ["m49", "m48", "m47", "(other 47)"]
    assert sum(group["cost_usd"] for group in found["groups"]) == pytest.approx(found["cost_usd"])


def test_several_logs_are_added_up(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.db"
    with Writer(other) as writer:
        writer.put(make_row(10))
        assert writer.flush(10)
    found = json.loads(report(capsys, log, "--log", str(other), "--json", "--since", "1h")[1])
    assert found["n"] == 11


def test_forms_for_people(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = report(capsys, log, "--since", "1h")[1]
    assert "gpt-4o-mini" in table
    assert "Simulated traffic" in table
    assert "no known price" in table
    assert "4.00 s?" in table or "?" in table  # few samples
    line = report(capsys, log, "--since", "1h", "--format", "line")[1]
    assert line.count("\n") == 1
    assert line.startswith("SIMULATED · p95 ")
    markdown = report(capsys, log, "--since", "1h", "--format", "md")[1]
    assert "猫 \\| <b>模型" in markdown
    rows = list(csv.DictReader(io.StringIO(report(capsys, log, "--since", "1h", "--format", "csv")[1])))
    assert [row["group"] for row in rows] == ["gpt-4o-mini", "猫 | <b>模型", "(total)"]
    assert rows[-1]["n"] == "10"


def test_csv_cells_are_no_formulas_and_text_no_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.db"
    with Writer(path) as writer:
        writer.put(make_row(10, request_model="=cmd()\x1b]52;c;x\x07"))
        assert writer.flush(10)
    rows = list(csv.DictReader(io.StringIO(report(capsys, path, "--format", "csv")[1])))
    assert rows[0]["group"].startswith("'=")
    for form in ("table", "md", "line"):
        assert "\x1b" not in report(capsys, path, "--format", form)[1]


class Page(html.parser.HTMLParser):
    """Collects tags, and links that leave the page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href") and value]


@pytest.mark.parametrize("by", ["model", "day"])
def test_html_stands_alone_and_escapes(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], by: str) -> None:
    out = tmp_path / "report.html"
    assert report(capsys, log, "--since", "10d", "--by", by, "--format", "html", "-o", str(out), "--force")[1] == ""
    text = out.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert "script" not in page.tags
    assert not page.links
    assert "b" not in page.tags
    assert page.tags.count("figure") == 3
    assert ("&lt;b&gt;模型" in text) == (by == "model")
    assert "NaN" not in text


def test_checks_decide_the_exit_code(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = report(capsys, log, "--since", "1h", "--fail-on", "p95>1h", "--fail-on", "cost>$2.40")
    assert code == 2
    assert "not a check" in err
    code, out, err = report(capsys, log, "--since", "1h", "--fail-on", "p95>60s", "--fail-on", "cost>2.40")
    assert code == 1
    assert "cost>2.40: it is 2.5" in err
    assert out
    assert report(capsys, log, "--since", "1h", "--fail-on", "p95>60s", "--fail-on", "hit_ratio<10%")[0] == 0
    code, _, err = report(capsys, log, "--filter", "model:nothing", "--fail-on", "p95>1ms")
    assert code == 0
    assert "not judged" in err
    assert report(capsys, log, "--filter", "model:nothing", "--fail-on", "n<1")[0] == 1


def test_rules_with_their_own_lengths_are_judged_for_cron(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = report(capsys, log, "--fail-on", "errors>=1 over 15m", "--fail-on", "odd_p95>4 over 1h")
    assert code == 1
    assert "errors>=1 over 15m: it is 1" in err
    assert "odd_p95>4 over 1h: not known, not judged" in err
    assert report(capsys, log, "--fail-on", "errors>=9 over 15m", "--fail-on", "month_cost>$1M")[0] == 0
    assert report(capsys, log, "--fail-on", "errors>1 over soon")[0] == 2
    assert report(capsys, log, "--fail-on", "alerts")[0] == 0  # without rules: what is unusual now
    config = tmp_path / "config.toml"
    config.write_text('[monitor]\nalerts = ["burn>14.4 over 1h,5m", "n>1M"]\n')
    code, _, err = report(capsys, log, "--config", str(config), "--fail-on", "alerts")
    assert code == 1
    assert "burn>14.4 over 1h,5m: it is" in err
    assert report(capsys, log, "--before", "1h", "--fail-on", "errors>=1 over 15m")[0] == 1


def test_slo_stands_for_the_targets_of_the_settings() -> None:
    checks = parse_check("slo", MonitorSettings(slo_latency_s=10.0, slo_error_rate=0.001, slo_cache_hits=0.8))
    assert [check.metric for check in checks] == ["p95", "error_rate", "hit_ratio"]
    assert parse_check("p95_ttft >= 1500ms", MonitorSettings())[0].limit == 1.5
    assert parse_check("error_rate>1%", MonitorSettings())[0].limit == 0.01
    with pytest.raises(UsageError):
        parse_check("p95=1", MonitorSettings())
    with pytest.raises(UsageError, match="none is set"):
        parse_check("slo", MonitorSettings())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--since", "soon"], "not a moment"),
        (["--since", "2026-11-22", "--until", "2026-11-21"], "is empty"),
        (["--filter", "modle:x"], "modle"),
        (["--since", "1900-01-01", "--by", "day"], "ten years"),
    ],
)
def test_what_cannot_be_meant(log: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    code, out, err = report(capsys, log, *options)
    assert code == 2
    assert words in err
    assert "→" in err
    assert not out


def test_what_is_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"\x00\x01" * 4096)
    assert report(capsys, noise)[0] == 1
    assert report(capsys, tmp_path / "nothing.db")[0] == 2
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as connection:
        connection.execute("CREATE TABLE requests (id INTEGER PRIMARY KEY)")
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    code, _, err = report(capsys, newer)
    assert code == 1
    assert "newer" in err


def test_before_and_after_are_windows_of_one_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "change.db"
    with Writer(path) as writer:
        for i in range(30):
            writer.put(make_row(5400 + i, cost_usd=0.02, usage_input_tokens=2000, duration_s=4.0))
            writer.put(make_row(600 + i, cost_usd=0.01, usage_input_tokens=500, duration_s=2.0))
        writer.put(make_row(9000, cost_usd=9.0))  # before both windows
        assert writer.flush(10)
    code, out, _ = report(capsys, path, "--before", "1h", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["before"]["n"], found["after"]["n"]) == (30, 30)
    assert found["before"]["window"]["to"] == found["after"]["window"]["from"]
    assert found["change"]["cost_a_call"] == pytest.approx(-0.5)
    assert found["change"]["input_a_call"] == pytest.approx(-0.75)
    assert "cost a call" in report(capsys, path, "--before", "60d", "--after", "59d", "--until", "58d")[1]
    assert json.loads(report(capsys, path, "--until", "20m", "--json")[1])["n"] == 31
    table = report(capsys, path, "--before", "80m", "--after", "1h")[1]
    assert "cost a call" in table
    assert "−50 %" in table
    assert "a call, gpt-4o-mini" in table
    assert report(capsys, path, "--before", "1h", "--fail-on", "cost>0.2")[0] == 1
    assert report(capsys, path, "--before", "30m", "--after", "1h")[0] == 2
    for form, words in (
        ("md", "| cost a call | $0.02 | $0.01 | −50 % |"),
        ("csv", "cost a call,0.02,0.01,-0.5"),
        ("line", "cost a call $0.02 → $0.01 (−50 %)"),
        ("html", "<td>cost a call</td><td>$0.02</td><td>$0.01</td><td>−50 %</td>"),
    ):
        code, out, _ = report(capsys, path, "--before", "1h", "--format", form)
        assert code == 0
        assert words in out
    assert out.count('<svg viewBox="0 0 720 200"') == 6  # the charts of both windows


def test_a_file_that_cannot_be_written_is_said(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = report(capsys, log, "-o", str(tmp_path))
    assert code == 1
    assert "cannot be written" in err


def test_an_export_is_reported_as_its_log_would_be(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = tmp_path / "period.csv"
    assert main(["log", "export", "-o", str(export), "--log", str(log)]) == 0
    capsys.readouterr()
    whole = json.loads(report(capsys, log, "--json", "--since", "30d")[1])
    again = json.loads(report(capsys, export, "--json", "--since", "30d")[1])
    assert again["n"] == 12  # two of them are equal, and two calls
    moving = {"window": None, "newest_row_age_s": None}
    assert {**again, **moving} == {**whole, **moving}
    assert json.loads(report(capsys, export, "--json")[1])["n"] == 12  # all of it, eight days as it has
    assert report(capsys, tmp_path / "typo.jsonl")[0] == 2
    assert not (tmp_path / "typo.jsonl").exists()
    (tmp_path / "noise.json").write_text("[]")
    code, _, err = report(capsys, tmp_path / "noise.json")
    assert code == 1
    assert "holds no call" in err


def test_prometheus_has_the_names_of_the_proxys_metrics(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = report(capsys, log, "--since", "1h", "--format", "prometheus")
    assert code == 0
    name = "gen_ai_client_operation_duration_seconds"
    assert f'{name}_count{{gen_ai_request_model="gpt-4o-mini"}} 7' in out
    assert f'{name}_bucket{{gen_ai_request_model="gpt-4o-mini",le="2.56"}} 3' in out  # 1, 2 and 2 s
    assert 'promptop_cost_usd_total{gen_ai_request_model="猫 | <b>模型"} 1' in out
    assert 'promptop_proxy_cache_total{gen_ai_request_model="gpt-4o-mini",level="memory"} 1' in out
    helped = [line.split(" ")[2] for line in out.splitlines() if line.startswith("# TYPE")]
    assert all(any(line.startswith(each) for line in out.splitlines()) for each in helped)
    assert "promptop_proxy_calls_active" not in out  # what the log does not know
    assert 'promptop_app="web"' in report(capsys, log, "--format", "prometheus", "--by", "app")[1]
    assert report(capsys, log, "--before", "1h", "--format", "prometheus")[0] == 2


def test_own_benchmarks_miss_no_target_and_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.db"
    with Writer(log) as writer:
        for at in range(6):
            writer.put(make_row(60 + at, app="promptop bench", ttft_s=9.0, duration_s=99.0, cost_usd=0.5))
        assert writer.flush(10)
    code, out, _ = report(capsys, log, "--fail-on", "p95_ttft>1s")
    assert code == 0
    assert "Left out: 6 benchmark, proof and batch calls of promptop, $3.00 (--own)." in out
    assert report(capsys, log, "--fail-on", "p95_ttft>1s", "--own")[0] == 1
    found = json.loads(report(capsys, log, "--json")[1])
    assert (found["n"], found["left_out"]) == (0, {"n": 6, "cost_usd": 3.0})
    assert json.loads(report(capsys, log, "--json", "--filter", 'app:"promptop bench"')[1])["n"] == 6


def test_the_table_says_what_the_cache_saved(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = report(capsys, log)
    head, total = (line.split() for line in out.splitlines() if line.startswith(("model", "total")))
    assert "saved" in head and "$0.250" in total
