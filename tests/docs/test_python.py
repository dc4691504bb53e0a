"""The Python of docs/python.md is run, block after block, against the simulated endpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from promptop.log import writer_for
from promptop.pytest_plugin import observed_calls, simulated_endpoint  # noqa: F401 - fixtures
from promptop.simulator import SimulatedEndpoint

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_examples_run(
    simulated_endpoint: SimulatedEndpoint,  # noqa: F811
    observed_calls: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", simulated_endpoint.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    known: dict[str, Any] = {}
    *examples, tested = BLOCKS
    assert len(examples) == 3
    for block in examples:
        exec(compile(block, PAGE.name, "exec"), known)
        assert writer_for().flush()
        said = "".join(
            f"assert ({line.split('#')[0].strip()}) == {found[1]}\n"
            for line in block.splitlines()
            if (found := re.search(r"# ([0-9.]+|\(.*\))(?:;|$)", line))
        )
        exec(compile(said, PAGE.name, "exec"), known)
    assert known["prompt"].variables == ("thing",)
    assert "gpt-4o-mini" in capsys.readouterr().out

    def summarise(client: Any, text: str) -> None:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": text}])

    known["summarise"] = summarise
    exec(compile(tested, PAGE.name, "exec"), known)
    known["test_a_summary_costs_less_than_a_cent"](simulated_endpoint, observed_calls)
