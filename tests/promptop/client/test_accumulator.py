"""What has come of an answer so far."""

from __future__ import annotations

from promptop.client.accumulator import AnswerAccumulator
from promptop.client.result import Delta


def test_a_character_in_two_halves_is_joined_and_a_half_alone_is_replaced() -> None:
    told: list[Delta] = []
    answer = AnswerAccumulator(told.append)
    for piece in ("Hel\ud83d", "\ude00", "lo \ud83d", "x"):
        answer.add("text", piece)
    assert "".join(answer.text) == "Hel😀lo \ufffdx"
    assert all(delta.text.encode() for delta in told)
