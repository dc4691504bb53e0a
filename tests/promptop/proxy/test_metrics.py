from __future__ import annotations

import json
import re
import threading

from promptop.log import Row
from promptop.proxy.metrics import Metrics, merge, render

LINE = re.compile(r'([a-z_][a-z0-9_]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})? ([0-9.e+-]+)\Z')


def row(**values: object) -> Row:
    made = Row(operation_name="chat", provider_name="openai", request_model="gpt-4o", response_model="gpt-4o-2024")
    made.server_address, made.server_port = "api.openai.com", 443
    for name, value in values.items():
        setattr(made, name, value)
    return made


def values_of(text: str) -> dict[str, float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            parts = LINE.match(line)
            assert parts, line
            found[parts[1] + (parts[2] or "")] = float(parts[3])
    return found


def test_a_streamed_call_gives_every_figure_under_its_opentelemetry_name() -> None:
    metrics = Metrics()
    metrics.observe(
        row(
            total_s=1.0,
            response_time_to_first_chunk=0.3,
            ttft_s=0.4,
            duration_s=0.9,
            chunks=11,
            usage_input_tokens=1200,
            usage_output_tokens=51,
            usage_cache_read_input_tokens=1024,
            cost_usd=0.002,
            cost_status="table",
        )
    )
    values = values_of(render(metrics.snapshot()))
    labels = (
        'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",'
        'gen_ai_response_model="gpt-4o-2024",server_address="api.openai.com",server_port="443"'
    )
    duration = "gen_ai_client_operation_duration_seconds"
    assert values[f'{duration}_bucket{{{labels},le="0.64"}}'] == 0
    assert values[f'{duration}_bucket{{{labels},le="1.28"}}'] == 1
    assert values[f'{duration}_bucket{{{labels},le="81.92"}}'] == 1
    assert values[f'{duration}_bucket{{{labels},le="+Inf"}}'] == 1
    assert values[f"{duration}_sum{{{labels}}}"] == values[f"{duration}_count{{{labels}}}"] == 1
    assert values[f"gen_ai_client_operation_time_to_first_chunk_seconds_sum{{{labels}}}"] == 0.3
    assert values[f"gen_ai_client_operation_time_per_output_chunk_seconds_sum{{{labels}}}"] == 0.05
    assert values[f'gen_ai_server_time_to_first_token_seconds_bucket{{{labels},le="0.25"}}'] == 0
    assert values[f'gen_ai_server_time_to_first_token_seconds_bucket{{{labels},le="0.5"}}'] == 1
    assert values[f"gen_ai_server_time_per_output_token_seconds_sum{{{labels}}}"] == 0.01
    usage = f'gen_ai_client_token_usage_bucket{{{labels},gen_ai_token_type="input",le='
    assert (values[usage + '"1024"}'], values[usage + '"4096"}']) == (0, 1)
    assert values[f"gen_ai_client_inference_usage_input_tokens_total{{{labels}}}"] == 1200
    assert values[f"gen_ai_client_inference_usage_cache_read_input_tokens_total{{{labels}}}"] == 1024
    assert values[f"promptop_cost_usd_total{{{labels}}}"] == 0.002


def test_a_failed_call_carries_its_error_and_no_time_per_token() -> None:
    metrics = Metrics()
    metrics.observe(row(total_s=0.1, error_type="429"))
    text = render(metrics.snapshot())
    assert 'error_type="429"' in text
    assert "time_per_output_token_seconds_count" not in text and "token_usage_count" not in text


def test_every_figure_is_described_even_before_the_first_call() -> None:
    text = render({})
    names = re.findall(r"# TYPE (\S+) (histogram|counter|gauge)", text)
    assert len(names) == len(re.findall("# HELP", text)) > 15
    assert all(name.endswith("_total") for name, kind in names if kind == "counter")


def test_labels_are_escaped_and_cut() -> None:
    metrics = Metrics()
    metrics.observe(row(total_s=1.0, request_model='a"b\\c\nd\udc00' + "x" * 1000))
    text = render(metrics.snapshot())
    text.encode("utf-8")
    assert r"a\"b\\c\nd?" in text
    assert all(len(line) < 700 for line in text.splitlines())
    values_of(text)


def test_invented_models_cannot_grow_the_process() -> None:
    metrics = Metrics(max_series=160)
    for number in range(500):
        metrics.observe(row(total_s=1.0, request_model=f"model-{number}"))
    series = metrics.snapshot()["gen_ai_client_operation_duration_seconds"]
    assert len(series) == 11
    assert sum(sum(values[:-1]) for _, values in series) == 500, "what has no series of its own is counted as other"


def test_snapshots_of_workers_add_up_after_json() -> None:
    one, two = Metrics(), Metrics()
    one.observe(row(total_s=0.1, usage_input_tokens=5))
    two.observe(row(total_s=0.2, usage_input_tokens=7))
    two.count("promptop_proxy_refused_total", reason="x")
    merged = merge([json.loads(json.dumps(one.snapshot())), two.snapshot()])
    values = values_of(render(merged))
    assert sum(v for k, v in values.items() if k.startswith("gen_ai_client_inference_usage_input_tokens_total")) == 12
    assert sum(v for k, v in values.items() if k.startswith("gen_ai_client_operation_duration_seconds_count")) == 2
    assert values['promptop_proxy_refused_total{reason="x"}'] == 1


def test_threads_lose_no_count() -> None:
    metrics = Metrics()
    threads = [
        threading.Thread(target=lambda: [metrics.observe(row(total_s=0.1)) for _ in range(300)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((_, values),) = metrics.snapshot()["gen_ai_client_operation_duration_seconds"]
    assert sum(values[:-1]) == 1200


def test_the_caller_is_a_label_and_chosen_tags_within_bounds() -> None:
    metrics = Metrics(tags=("env", "team-1"))
    metrics.observe(row(total_s=1.0, app="web", host_name="h1", tags='{"env": "prod", "user": "u", "team-1": 5}'))
    metrics.observe(row(total_s=1.0, tags="no json"))
    text = render(metrics.snapshot())
    assert 'host_name="h1",promptop_app="web",promptop_tag_env="prod",promptop_tag_team_1="5"' in text
    assert "user" not in text


def test_invented_apps_and_tags_are_counted_as_other() -> None:
    metrics = Metrics(tags=("user",))
    for number in range(300):
        metrics.observe(row(total_s=1.0, app="web", tags=json.dumps({"user": f"u{number}"})))
    series = metrics.snapshot()["gen_ai_client_operation_duration_seconds"]
    assert len(series) == 21
    assert sum(sum(values[:-1]) for labels, values in series if ("promptop_tag_user", "other") in labels) == 280
