"""What self-hosted servers say of themselves, in the forms that each has or had."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from promptop.base.errors import PromptopError
from promptop.cli.main import main
from promptop.client.http.server_status import read_status, self_hosted, status_url
from promptop.providers.servers.status import ServerStatus, parse_metrics, parse_ollama
from promptop.settings import Profile, config_path

VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b"} 3.0
vllm:num_requests_running{engine="1",model_name="a b"} 2.0
vllm:num_requests_waiting{engine="0",model_name="a b"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="a b"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a b"} 0.9
vllm:prefix_cache_queries_total{engine="0",model_name="a b"} 1000.0
vllm:prefix_cache_hits_total{engine="0",model_name="a b"} 400.0
vllm:request_success_total{finished_reason="stop"} NaN
"""
OLDER = """vllm:num_requests_running{model_name="m"} 1.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.5
vllm:gpu_prefix_cache_hit_rate{model_name="m"} 0.125
"""
SGLANG = """sglang:num_running_reqs{model_name="m",tp_rank="0",pp_rank="0"} 4.0
sglang:num_running_reqs{model_name="m",tp_rank="1",pp_rank="0"} 4.0
sglang:num_queue_reqs{model_name="m",tp_rank="0",pp_rank="0"} 1.0
sglang:token_usage{model_name="m",tp_rank="0",pp_rank="0"} 0.28
sglang:cache_hit_rate{model_name="m",tp_rank="0",pp_rank="0"} 0.75
"""
LLAMA = """llamacpp:requests_processing 2
llamacpp:requests_deferred 0
"""


@pytest.mark.parametrize(
    ("server", "text", "figures"),
    [
        ("vllm", VLLM, (5, 7, 0.9, 0.4)),
        ("vllm", OLDER, (1, None, 0.5, 0.125)),
        ("sglang", SGLANG, (4, 1, 0.28, 0.75)),
        ("llama.cpp", LLAMA, (2, 0, None, None)),
        ("vllm", "nothing 1\nvllm:num_requests_running{ 3\n", (None, None, None, None)),
    ],
)
def test_figures_are_read_and_what_is_not_given_is_unknown(
    server: str, text: str, figures: tuple[float | None, ...]
) -> None:
    found = parse_metrics(server, text)
    assert (found.running, found.waiting, found.kv_cache, found.prefix_hits) == figures


def test_prefix_hits_are_those_since_the_look_before() -> None:
    first = parse_metrics("vllm", VLLM)
    later = parse_metrics("vllm", VLLM.replace(" 1000.0", " 1100.0").replace(" 400.0", " 490.0"))
    assert later.since(first).prefix_hits == pytest.approx(0.9)
    assert first.since(later.since(first)).prefix_hits == pytest.approx(0.4)  # counters fell: it was started anew
    assert later.since(later.since(first)).prefix_hits == pytest.approx(0.9)  # no request since


def test_ollama_tells_what_is_loaded() -> None:
    found = parse_ollama({"models": [{"name": "qwen3:8b", "size_vram": 5_000}, {"model": "x"}, 3]})
    assert (found.models, found.memory_bytes, found.running) == (("qwen3:8b", "x"), 5_000, None)
    assert parse_ollama({"models": []}).is_known
    assert not parse_ollama([]).is_known
    assert parse_ollama(None) == ServerStatus()


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, tuple[int, bytes]], list[dict[str, str]]]]:
    pages: dict[str, tuple[int, bytes]] = {}
    asked: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            status, body = pages.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *ignored: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", pages, asked
    server.shutdown()
    server.server_close()


def test_a_server_is_asked_beside_its_version_and_without_a_key(
    served: tuple[str, dict[str, tuple[int, bytes]], list[dict[str, str]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, pages, asked = served
    pages["/metrics"] = (200, VLLM.encode())
    pages["/api/ps"] = (200, b'{"models": []}')
    monkeypatch.setenv("SERVER_KEY", "hunter2")
    profile = Profile("local", base_url=f"{url}/v1", server="vllm", api_key_env="SERVER_KEY", endpoints=(f"{url}/v1",))
    assert status_url(profile) == f"{url}/metrics"
    assert list(self_hosted({"local": profile, "openai": Profile("openai")})) == ["local", "local 2"]
    assert read_status(profile).waiting == 7
    assert not any("hunter2" in value for headers in asked for value in headers.values())
    assert read_status(Profile(base_url=url, server="ollama")).models == ()
    for answer, says in (((404, b""), "answers 404"), ((200, b"<html>"), "no figures of vllm")):
        pages["/metrics"] = answer
        with pytest.raises(PromptopError, match=says):
            read_status(profile)
    with pytest.raises(PromptopError, match="does not answer"):
        read_status(Profile(base_url="http://127.0.0.1:9/v1", server="vllm"))
    config_path().parent.mkdir(parents=True, exist_ok=True)
    config_path().write_text(f'[profiles.local]\nbase_url = "{url}/v1"\nserver = "ollama"\n')
    assert main(["fleet", "servers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["models"] == []
    config_path().write_text(f'[profiles.local]\nbase_url = "{url}/v1"\nserver = "sglang"\n')
    assert main(["fleet", "servers"]) == 1
    assert "no figures of sglang" in capsys.readouterr().out
