"""What a process says of the calls that it has open."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.waits import until

from promptop.capture import heartbeat
from promptop.capture.call import Call, Labels
from promptop.log import Writer, in_flight


def test_open_calls_are_said_and_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "FIRST_S", 0.01)
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.01)
    log = tmp_path / "log.db"

    def said() -> list[tuple[str, str, int]]:
        found = in_flight.read([log], int(time.time() * 1000))
        return [(each.app, each.model, each.calls) for each in found]

    with Writer(log, keep_days=0) as writer:
        labels = Labels(writer, app="web")
        calls = [
            Call(labels, method="POST", host="h", port=443, path="/v1/chat/completions", body=b'{"model":"m"}')
            for _ in range(2)
        ]
        until(lambda: said() == [("web", "m", 2)])
        calls[0].failed("connect")
        until(lambda: said() == [("web", "m", 1)])
        calls[1].failed("connect")
        until(lambda: said() == [])
        until(lambda: in_flight.files_of(log) == [])
        again = Call(labels, method="POST", host="h", port=443, path="/", body=b"no json")
        until(lambda: said() == [("web", "", 1)])
        again.failed("connect")
        until(lambda: said() == [])
