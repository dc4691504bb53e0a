"""The ledger that processes share: what is reserved, settled, and held by many of them at once."""

from __future__ import annotations

import pickle
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.gates import capped

from promptop.base.errors import PromptopError
from promptop.budget.gate import DAY, Cap, Gate, OverCapError, day_scope
from promptop.budget.ledger import NANO, Ledger, up

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
CHAT = "/chat/completions"
RACER = """
import sys
from pathlib import Path
from promptop.budget.gate import OverCapError
from tests.support.gates import capped
gate = capped(0.01, Path(sys.argv[1]))
body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
passed = 0
sys.stdin.read(1)
for _ in range(5):
    try:
        hold = gate(body, "/chat/completions")
    except OverCapError:
        break
    passed += 1
    hold.settle(0.001 if passed % 2 else None)
print(passed)
"""


@pytest.mark.parametrize("processes", [6, pytest.param(20, marks=pytest.mark.world)])
def test_processes_share_one_cap(tmp_path: Path, processes: int) -> None:
    path = tmp_path / "spending.db"
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    passed = 0
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(b"g")
        racer.stdin.flush()
    for racer in racers:
        said, _ = racer.communicate(timeout=120)
        assert racer.returncode == 0
        passed += int(said)
    assert 8 <= passed <= 10  # each may cost 0.0011 and costs 0.001, or never says so
    assert Ledger(path).sum_of("command of a test").used_usd <= 0.01
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_reserved_is_settled_once() -> None:
    gate = capped(0.0025)
    first, second = gate(BODY, CHAT), gate(BODY, CHAT)
    with pytest.raises(OverCapError, match="under way"):
        gate(BODY, CHAT)
    first.settle(0.0)
    first.settle(5.0)
    assert gate(BODY, CHAT)
    second.settle(None)  # nobody said what it cost: it may have cost its most
    with pytest.raises(OverCapError):
        gate(BODY, CHAT)


def test_every_scope_of_a_call_must_have_room() -> None:
    ledger = Ledger(None)
    number, full = ledger.reserve(0.5, {"a": 1.0, "b": 0.4, "c": None})
    assert (number, full) == (0, "b")
    assert ledger.sum_of("a").used_usd == 0.0
    number, full = ledger.reserve(0.4, {"a": 1.0, "b": 0.4, "c": None})
    assert full is None
    ledger.settle(number, 0.1)
    assert [ledger.sum_of(scope).spent_usd for scope in "abc"] == [0.1, 0.1, 0.1]
    assert [ledger.sum_of(scope).held_usd for scope in "abc"] == [0.0, 0.0, 0.0]


def test_sums_are_exact() -> None:
    ledger = Ledger(None)
    for _ in range(10):
        number, full = ledger.reserve(0.1, {"a": 1.0})
        assert full is None
        ledger.settle(number, 0.1)
    assert ledger.reserve(1 / NANO, {"a": 1.0})[1] == "a"
    assert up(0.1) == 100_000_000 and up(1e-10) == 1


def test_the_log_of_the_day_is_taken_over_and_never_counted_twice(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "s.db")
    today = day_scope(time.time())
    gate = Gate((Cap(DAY, 1.0, "the cap of the day", "raise it"),), ledger)
    gate.know(0.2)
    hold = gate(BODY, CHAT)
    gate.know(0.201)  # the row of the call under way is in the log already
    hold.settle(0.001)
    gate.know(0.201)
    assert ledger.sum_of(today).used_usd == pytest.approx(0.201)
    gate.know(0.5)  # calls that the ledger has not seen
    assert ledger.sum_of(today).used_usd == pytest.approx(0.5)


def test_a_gate_goes_to_another_process_with_its_caps_and_not_with_its_file(tmp_path: Path) -> None:
    gate = capped(0.0025, tmp_path / "s.db")
    gate(BODY, CHAT)
    other = pickle.loads(pickle.dumps(gate))
    other(BODY, CHAT)
    for each in (gate, other):
        with pytest.raises(OverCapError):
            each(BODY, CHAT)
    alone = pickle.loads(pickle.dumps(capped(0.0025)))
    assert alone(BODY, CHAT)


def test_a_ledger_that_cannot_be_used_stops_what_has_a_chosen_cap(tmp_path: Path) -> None:
    (tmp_path / "s.db").mkdir()
    ledger = Ledger(tmp_path / "s.db")
    told: list[str] = []
    chosen = Gate((Cap(DAY, 1.0, "the cap of the day", "raise it"),), ledger)
    with pytest.raises(PromptopError, match="cannot be used"):
        chosen(BODY, CHAT)
    default = Gate((Cap(DAY, 1.0, "the cap of the day", "raise it", strict=False),), ledger, told.append)
    assert default(BODY, CHAT)
    assert "for this command alone" in told[0]
