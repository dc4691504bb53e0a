from __future__ import annotations

from promptop.client.result import RunResult
from promptop.experiments.proof.broken_answers import broken


def test_the_last_number_is_changed_also_in_a_very_long_answer() -> None:
    text = "7 of " + "12 apples and " * 4000 + "41 pears" + " or more" * 5000
    forms = {kind: form.text for kind, form in broken(RunResult("m", "m", "m", text, "done"))}
    assert forms["number changed"] == text.replace("41 pears", "42 pears")
