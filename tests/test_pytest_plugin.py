"""The fixtures that other people's tests get, used by a test session of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path


def test_calls_are_counted_and_priced_and_a_miss_is_explained(tmp_path: Path) -> None:
    (tmp_path / "test_service.py").write_text(
        textwrap.dedent(
            """
            import openai
            import pytest

            def ask(endpoint, calls, model="gpt-4o-mini"):
                client = calls.observe(openai.OpenAI(base_url=endpoint.base_url, api_key="x", max_retries=0))
                client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}], max_tokens=9)

            def test_holds(simulated_endpoint, observed_calls):
                observed_calls.assert_calls(0)
                ask(simulated_endpoint, observed_calls)
                observed_calls.assert_calls(1, request_model="gpt-4o-mini")
                observed_calls.assert_cost_below(0.001)
                assert observed_calls.rows[0].app == "tests"

            def test_too_many(simulated_endpoint, observed_calls):
                ask(simulated_endpoint, observed_calls)
                observed_calls.assert_calls(2)

            def test_too_dear(simulated_endpoint, observed_calls):
                ask(simulated_endpoint, observed_calls)
                observed_calls.assert_cost_below(1e-9)

            def test_another_endpoint(simulated_endpoints, observed_calls):
                strict = simulated_endpoints(speed=0, api_key="right")
                with pytest.raises(openai.AuthenticationError):
                    ask(strict, observed_calls)
                observed_calls.assert_calls(1, error_type="401")
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "promptop.pytest_plugin", "-p", "no:cacheprovider", "-W", "ignore",
         "--rootdir", tmp_path, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
    )  # fmt: skip
    assert "2 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "expected 2 calls, 1 were made" in done.stdout
    assert "the calls cost $0.0000" in done.stdout
