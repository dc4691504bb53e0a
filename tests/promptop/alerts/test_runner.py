"""Who judges which log, and what is handed on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from promptop.alerts import runner as runner_module
from promptop.alerts.rules import load, parse_rule
from promptop.alerts.runner import AlertNews, AlertRunner, state_file
from promptop.base.errors import UsageError
from promptop.cli.main import main
from promptop.log import LogReader, Row, Writer
from promptop.settings import MonitorSettings

NOW_MS = 1_795_000_000_000


def write(path: Path, *models: str, seconds: float = 1.0) -> Path:
    with Writer(path, keep_days=0) as writer:
        for number, model in enumerate(models * 25):
            row = Row(started_ms=NOW_MS - 1_000 * number, request_model=model, duration_s=seconds, total_s=seconds)
            row.duration_s = seconds * (5 if model == "slow" else 1)
            writer.put(row)
        assert writer.flush(10)
    return path


def judged(folder: Path, log: Path, *rules: str, **settings: Any) -> list[AlertNews]:
    news: list[AlertNews] = []
    made = AlertRunner(MonitorSettings(alerts=rules, **settings), folder, (log,), news.append)
    with LogReader(log) as reader:
        made.look(reader, NOW_MS)
    made.wait(10)
    return news


def test_a_rule_may_be_of_one_model(tmp_path: Path) -> None:
    log = write(tmp_path / "log.db", "quick", "slow")
    (news,) = judged(tmp_path, log, "p95{model:slow}>2s over 10m", "p95{model:quick}>2s over 10m", "p95>2s")
    assert [alert.firing for alert in news.alerts] == [True, False, True]
    assert news.alerts[0].scope == "model:slow"
    with pytest.raises(UsageError, match="no field"):
        parse_rule("p95{modle:slow}>2s")


def test_state_is_of_a_log_and_a_log_that_is_not_there_is_not_judged(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.db", "m"), write(tmp_path / "other.db", "m")
    assert [len(news.changed) for news in judged(tmp_path, one, "n>0")] == [1]
    assert [len(news.changed) for news in judged(tmp_path, one, "n>0")] == [0]  # told already
    assert [len(news.changed) for news in judged(tmp_path, other, "n>0")] == [1]  # of another log not
    assert judged(tmp_path, tmp_path / "none.db", "n<1") == []
    assert state_file(tmp_path, (one,)).stat().st_mode & 0o777 == 0o600


def test_one_process_judges_and_the_others_show_it(tmp_path: Path) -> None:
    log = write(tmp_path / "log.db", "m")
    settings, news = MonitorSettings(alerts=("n>0",)), []
    first, second = (AlertRunner(settings, tmp_path, (log,), news.append) for _ in range(2))
    with LogReader(log) as reader, first._only_judge() as judge:
        assert judge
        second.look(reader, NOW_MS)
        assert [each.alerts[0].firing for each in news] == [False]  # it is not for this one to say
        assert not state_file(tmp_path, (log,)).exists()
    with LogReader(log) as reader:
        first.look(reader, NOW_MS)
        second._due = 0.0
        second.look(reader, NOW_MS)
    assert [len(each.changed) for each in news] == [0, 1, 0]
    assert load(state_file(tmp_path, (log,)))["n>0"].firing


class Hook(BaseHTTPRequestHandler):
    """Takes messages; the first is refused for now."""

    got: list[dict[str, Any]]
    answers: list[int]

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(self.answers.pop(0))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[tuple[str, type[Hook]]]:
    kind = type("Taken", (Hook,), {"got": [], "answers": []})
    server = HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", kind
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_is_told_once_with_all_that_is_needed(
    tmp_path: Path, hook: tuple[str, type[Hook]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "_POST_WAIT_S", 0.01)
    url, taken = hook
    taken.answers = [503, 200]
    log = write(tmp_path / "log.db", "slow")
    news = judged(tmp_path, log, "p95{model:slow}>2s over 10m", alert_webhook=url)
    assert [each.problems for each in news] == [()]
    assert len(taken.got) == 2  # a 503 is tried again
    message = taken.got[1]
    assert message["state"] == "firing"
    assert message["scope"] == "model:slow"
    assert message["logs"] == [str(log)]
    assert message["open"] == f"promptop --tab monitor --log {log}"
    assert message["host"]
    assert message["text"].startswith("p95{model:slow}>2s over 10m: it is ")


def test_a_webhook_that_refuses_is_said(tmp_path: Path, hook: tuple[str, type[Hook]]) -> None:
    url, taken = hook
    taken.answers = [404]
    news = judged(tmp_path, write(tmp_path / "log.db", "m"), "n>0", alert_webhook=url)
    assert len(taken.got) == 1
    assert [problem for each in news for problem in each.problems if "status 404" in problem]


def test_the_command_lists_tests_and_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log.db", "m")
    config = tmp_path / "config.toml"
    config.write_text('[monitor]\nalerts = ["n>=0 over 1h", "n>1M"]\n')
    common = ["--log", str(log), "--config", str(config)]
    assert main(["alerts", "list", *common]) == 0
    assert "n>=0 over 1h: not judged yet" in capsys.readouterr().out
    assert main(["alerts", "test", *common]) == 1
    out = capsys.readouterr().out
    assert "fires  n>=0 over 1h: 0" in out
    assert "quiet  n>1M: 0" in out
    assert "quiet  unusual: " in out
    assert main(["alerts", "run", "--once", *common]) == 0
    assert "n>=0 over 1h: it is 0" in capsys.readouterr().out
    assert main(["alerts", "run", "--once", *common]) == 0
    assert capsys.readouterr().out == ""  # told already
    assert main(["alerts", "list", *common]) == 0
    assert "n>=0 over 1h: fires since" in capsys.readouterr().out
    assert main(["alerts", "test", "n>", *common]) == 2
    export = tmp_path / "past.jsonl"
    assert main(["log", "export", "--log", str(log), "-o", str(export)]) == 0
    assert main(["alerts", "run", "--once", "--log", str(export)]) == 2
    capsys.readouterr()
    assert main(["alerts", "test", "n>3", "--log", str(export)]) == 1
    assert "fires  n>3: " in capsys.readouterr().out, "the past is judged as of its end"
    assert main(["alerts", "run", "--once", "--log", str(tmp_path / "none.db")]) == 2


def test_rules_are_listed_before_there_is_a_log_and_unusual_is_judged_without_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTOP_DATA_DIR", str(tmp_path / "empty"))
    config = tmp_path / "config.toml"
    config.write_text('[monitor]\nalerts = ["n>1M", "n>"]\n')
    assert main(["alerts", "list", "--config", str(config)]) == 0
    out = capsys.readouterr().out
    assert "n>1M: not judged: the log is not there yet" in out
    assert "n>: cannot be judged: " in out
    config.write_text("")
    now_s = time.time()
    with Writer(log := tmp_path / "log.db", keep_days=0) as writer:
        for number in range(7_200):
            wrong = number < 600
            row = Row(
                started_ms=round((now_s - number) * 1000), app="a", request_model="m", duration_s=1.0, total_s=0.9
            )
            if wrong:
                row.error_type, row.http_response_status_code = "429", 429
            writer.put(row)
            if number % 2_000 == 0:
                writer.flush(30)
    assert main(["alerts", "run", "--once", "--log", str(log), "--config", str(config)]) == 0
    captured = capsys.readouterr()
    assert "no rules in the settings: unusual is judged" in captured.err
    assert "rejected (429) 0 % → " in captured.out  # the first minute of it is not whole
    assert main(["alerts", "run", "--once", "--log", str(log), "--config", str(config)]) == 0
    assert capsys.readouterr().out == ""  # told already, though by another process
