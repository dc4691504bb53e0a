"""The wires of the conformance cases, each through a watched SDK in this process.

``make conformance`` runs all cases whole, through the commands, the proxy and a terminal; that takes minutes.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import openai
import pytest

import promptop
from promptop.capture import include_usage
from promptop.log import Writer

FOLDER = Path(__file__).parent / "cases"


def _runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conformance_run", FOLDER / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["conformance_run"] = module
    spec.loader.exec_module(module)
    return module


runner = _runner()
KNOWN = {
    line.split()[0]
    for line in (FOLDER / "known-failures.txt").read_text(encoding="utf-8").splitlines()
    if line[:1].isdigit()
}
CASES = [
    case
    for case in runner.load(FOLDER)
    if "wire" in case.spec and "observe" in case.spec["wire"].get("channels", ["observe"])
]


def asked(client: openai.OpenAI, model: str, extra: dict[str, Any]) -> dict[str, Any]:
    """Make the call that the case asks for; what the SDK makes of the wire is not the matter here."""
    extra = dict(extra)
    streamed = extra.pop("stream", True)
    said: dict[str, Any] = {"text": "", "error": None}
    try:
        answer: Any = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "hi"}], stream=streamed, **extra
        )
        if streamed:
            for event in answer:
                for choice in event.choices or []:
                    if choice.delta and isinstance(choice.delta.content, str):
                        said["text"] += choice.delta.content
        else:
            said["text"] = answer.choices[0].message.content or ""
    except Exception as error:  # noqa: BLE001 - a broken wire may raise anything in the SDK
        said["error"] = f"{type(error).__name__}: {error}"
    return said


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.folder.name)
def test_a_watched_call_logs_the_expected_row(
    case: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if case.folder.name in KNOWN:
        request.applymarker(pytest.mark.xfail(strict=True))
    monkeypatch.setenv("PROMPTOP", sys.executable)
    include_usage._refused.clear()
    wire = case.spec["wire"]
    split = wire.get("splits", {}).get("observe", "bytes")
    answer = {"file": "wire.bin", "type": wire.get("type", "text/event-stream"), "split": split, "method": "POST"}
    run = runner.Run(case, [answer | {name: wire[name] for name in ("status", "headers", "cut") if name in wire}])
    try:
        with Writer(Path(run.names["log"]), linger_s=0.001) as log:
            inner = openai.OpenAI(base_url=run.names["base"], api_key="sk-test-key", max_retries=0)
            with promptop.observe(inner, app="case", log=log) as client:
                said = asked(client, wire.get("model", "gpt-4o-mini"), wire.get("request", {}))
            assert log.flush(10)
        wrong: list[str] = []
        for wants in (case.spec.get("row", {}), case.spec.get("row_observe", {})):
            if wants:
                wrong += run.differs({"row": wants})
        if "rows" in case.spec and len(run.rows()) != case.spec["rows"]:
            wrong.append(f"{len(run.rows())} rows")
        if wants := case.spec.get("answer_observe"):
            wrong += runner.compare(wants, {**said, "rc": 0, "err": ""}, "answer")
        assert wrong == []
    finally:
        run.close()
