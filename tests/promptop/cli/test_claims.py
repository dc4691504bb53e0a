from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptop.cli.main import main
from promptop.simulator import SimulatedEndpoint


def test_claims_are_priced_tested_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SimulatedEndpoint.in_thread(speed=0.05) as endpoint:
        base = ["claims", "--base-url", endpoint.base_url, "--log", str(tmp_path / "log.db"), "-m", "gpt-4o-mini"]
        asked = [*base, "--text", "解释缓存。", "--max-tokens", "16", "-n", "5"]
        assert main([*asked, "-c", "stop", "-c", "http2", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [each["claim"] for each in found["claims"]] == ["stop", "http2"]
        assert found["claims"][1]["verdict"] == "not testable"
        assert {each["metric"] for each in found["claims"][0]["differences"]} == {"total_s", "ttft_s", "output_tps"}
        assert main([*asked, "--max-usd", "0.0000001"]) == 1
        assert "nothing was sent" in capsys.readouterr().err
    assert main(["claims", "--list"]) == 0
    assert "Does temperature change latency?" in capsys.readouterr().out
    assert main([*asked, "-c", "magic"]) == 2
