"""The files of docs/deploy name metrics that the proxy gives, and are rules and a dashboard to others' readers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptop.proxy.metrics import Metrics, render

FOLDER = Path(__file__).parents[2] / "docs" / "deploy"
METRIC = re.compile(r"\b((?:gen_ai_(?:client|server)|promptop)_[a-z_]+)\b(?!\s*=)")
LABELS = {"gen_ai_request_model"}
NOT_SHOWN = {
    # The totals beside it say the same for rates, in less room.
    "gen_ai_client_token_usage",
    # As a client sees them; the panels show the server's, which hold for calls that do not stream too.
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "gen_ai_client_operation_time_per_output_chunk_seconds",
    # Parts of the totals that few providers report.
    "gen_ai_client_inference_usage_cache_write_input_tokens_total",
    "gen_ai_client_inference_usage_reasoning_output_tokens_total",
    # Of the cache and the limiter, where they are switched on.
    "promptop_saved_usd_total",
    "promptop_proxy_waited_seconds_total",
    # Of the proxy itself: looked at when an alert on the log or on refused requests has come.
    "promptop_proxy_replays_total",
    "promptop_proxy_cut_total",
    "promptop_proxy_held_body_bytes",
    "promptop_log_queued",
}
"""Metrics that have neither a rule nor a panel, with the reason."""


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / "prometheus-rules.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in dashboard()["panels"] for target in panel["targets"])


def test_the_metrics_are_those_that_the_proxy_gives_and_all_of_them_but_few() -> None:
    given = dict(re.findall(r"# TYPE (\S+) (\S+)", render(Metrics().snapshot())))
    named = set()
    for text in expressions():
        for name in set(METRIC.findall(text)) - LABELS:
            metric = name if name in given else re.sub(r"_(bucket|count|sum)$", "", name)
            assert metric in given, name
            assert (given[metric] == "histogram") == (name != metric), name
            named.add(metric)
    assert named == given.keys() - NOT_SHOWN
    assert given.keys() >= NOT_SHOWN


def test_panels_have_places_of_their_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard()["panels"]]
    assert len(set(places)) == len(places)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_the_rules_and_the_panels_expressions(tmp_path: Path) -> None:
    checked = tmp_path / "panels.yml"
    panels = [
        {"record": f"panel:{n}", "expr": text.replace("$__rate_interval", "5m").replace("$model", ".*")}
        for n, text in enumerate(expressions())
    ]
    checked.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}), encoding="utf-8")
    for file in (FOLDER / "prometheus-rules.yml", checked):
        done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_firing_and_quiet() -> None:
    document = yaml.safe_load((FOLDER / "prometheus-test.yml").read_text(encoding="utf-8"))
    cases = [case for test in document["tests"] for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_alerts_fire_as_promtool_is_told(tmp_path: Path) -> None:
    def told(folder: Path) -> subprocess.CompletedProcess[str]:
        command = ["promtool", "test", "rules", str(folder / "prometheus-test.yml")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    done = told(FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copy(FOLDER / "prometheus-test.yml", tmp_path)
    text = (FOLDER / "prometheus-rules.yml").read_text(encoding="utf-8")
    (tmp_path / "prometheus-rules.yml").write_text(text.replace("> 0.0144", "> 0.144"), encoding="utf-8")
    done = told(tmp_path)  # a rule that was spoilt is noticed
    assert done.returncode and "PromptopErrors" in done.stdout + done.stderr
