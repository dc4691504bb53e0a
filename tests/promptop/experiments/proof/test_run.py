"""Proofs against an endpoint that plays traps: no word is said that the answers do not bear out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.trap_endpoint import Said, Trap, asked_of, honest, playing, system_of

from promptop.client.request import RunRequest
from promptop.experiments.checks.judges import JudgeModel
from promptop.experiments.grid.cells import CellStore
from promptop.experiments.grid.plan import planned_cases
from promptop.experiments.proof.plan import ProofPlan
from promptop.experiments.proof.report import ProofReport, report_of
from promptop.experiments.proof.run import ProofRun
from promptop.experiments.test_sets import Case, TestSet
from promptop.log import Writer
from promptop.settings import Profile

BASE = "Add every number. Keep to the form. Be nice to us all."
TRIM = "Add every number. Keep to the form."
NO_FORM = "Add every number."
NO_SUM = "Keep to the form."


def cases(count: int, **values: Any) -> TestSet:
    return TestSet(
        tuple(
            Case(f"c{n}", {"a": str(n), "b": str(n * 7)}, expected=str(n * 8), where=f"cases:{n}", **values)
            for n in range(1, count + 1)
        )
    )


SUM = {"type": "json-path", "path": "$.sum"}


async def proved(
    trap: Trap,
    folder: Path,
    after: str = TRIM,
    *,
    count: int = 30,
    checks: Sequence[Any] = ("json", SUM),
    test_set: TestSet | None = None,
    judge: bool = False,
    store: CellStore | None = None,
    options: dict[str, Any] | None = None,
    **values: Any,
) -> tuple[ProofReport, int]:
    """Prove that ``after`` answers like BASE; returns the report and the number of calls that were made."""
    with playing(trap) as traps:
        profile = Profile(name="trap", base_url=traps.url)

        def request(system: str, case: dict[str, str]) -> RunRequest:
            messages = [
                {"role": "system", "content": system},
                {"role": "user", "content": f"{case['a']} and {case['b']}"},
            ]
            return RunRequest(profile=profile, model="m", messages=messages, retries=0)

        found = planned_cases(
            test_set or cases(count),
            checks,
            lambda case, _: [[request(BASE, case)], [request(after, case)]],  # type: ignore[arg-type]
        )
        plan = ProofPlan(found, ("m",), judge=JudgeModel(profile, "judge") if judge else None, attempt="x", **values)
        run = ProofRun(plan, store or CellStore(path=folder / "p.db", full=True), resumed=store is not None)
        folder.mkdir(exist_ok=True)
        with Writer(folder / "log.db", linger_s=0.001) as writer:
            outcome = await run.work({"log": writer, **(options or {})})
        return report_of(plan, outcome, (BASE, after), 1), len(traps.bodies)


async def test_a_clean_trim_is_proven_by_thirty_cases_and_not_by_twenty_nine(tmp_path: Path) -> None:
    found, calls = await proved(honest, tmp_path / "a")
    assert (found.verdict, calls) == ("proven", 20 + 60)
    assert found.proof.claim is not None and 0.09 < found.proof.claim < 0.1
    assert "at most 9.9 % fewer" in found.why
    shape = found.to_json()
    assert len(shape["answers"]) == 60 and shape["answers"][0]["text"]
    assert {check["check"] for check in shape["checks"]} == {"answered", "json", "json-path $.sum"} or shape["checks"]
    found, _ = await proved(honest, tmp_path / "b", count=29)
    assert found.verdict == "undecided"
    assert "1 more" in found.advice


async def test_a_lost_rule_is_worse(tmp_path: Path) -> None:
    found, calls = await proved(honest, tmp_path, NO_FORM)
    assert found.verdict == "worse"
    assert calls < 80  # it stops when it is sure


async def test_a_rule_that_two_cases_need_is_found_by_the_second_look(tmp_path: Path) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        needs = asked_of(body).startswith(("4 ", "9 "))
        return Said("{}", id=said.id) if needs and "nice" not in system_of(body) else said

    found, _ = await proved(trap, tmp_path)
    assert (found.verdict, sorted(found.proof.lost)) == ("worse", ["c4", "c9"])
    found, _ = await proved(trap, tmp_path / "b", most_lost=2)
    assert found.verdict == "undecided"
    critical = TestSet(tuple(Case(**{**_fields(case), "critical": case.id == "c4"}) for case in cases(30).cases))
    found, _ = await proved(trap, tmp_path / "c", test_set=critical, most_lost=2)
    assert (found.verdict, found.proof.lost) == ("worse", ("c4",))


def _fields(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in ("id", "vars", "expected", "where")}


async def test_answers_that_fail_by_chance_are_not_lost_for_sure(tmp_path: Path) -> None:
    rng = random.Random(4)

    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        return Said("{}", id=said.id) if rng.random() < 0.1 else said

    found, _ = await proved(trap, tmp_path)
    assert found.verdict == "undecided"
    assert found.to_json()["wavers"] and found.to_json()["answers_each"] == [3, 3]


async def test_reversed_answers_without_a_check_are_changed(tmp_path: Path) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        word = "is" if "nice" not in system_of(body) else "is not"
        return Said(f"This customer {word} entitled to a refund of the whole price.", id=said.id)

    found, _ = await proved(trap, tmp_path, checks=(), test_set=_unchecked(12))
    assert found.verdict == "changed"
    assert "negations" in found.why


async def test_rewording_without_a_check_is_undecided_and_says_so(tmp_path: Path) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        word = "gladly" if "nice" not in system_of(body) else "happily"
        return Said(f"We {word} answer what was asked of us today.", id=said.id)

    found, _ = await proved(trap, tmp_path, checks=(), test_set=_unchecked(12))
    assert found.verdict == "undecided"
    assert "12 of 12 answers changed; no check says whether that matters" in found.why


async def test_the_same_answers_without_a_check_are_alike_and_never_proven(tmp_path: Path) -> None:
    found, _ = await proved(honest, tmp_path, checks=(), test_set=_unchecked(30))
    assert found.verdict == "alike"


def _unchecked(count: int) -> TestSet:
    return TestSet(tuple(Case(case.id, case.vars) for case in cases(count).cases))


async def test_a_check_that_never_passes_ends_it_after_the_warm_up(tmp_path: Path) -> None:
    found, calls = await proved(honest, tmp_path, checks=("contains:total",))
    assert (found.verdict, calls) == ("undecided", 20)
    assert "contains:total passes in none of 20 answers" in found.why


async def test_a_check_that_no_broken_answer_fails_ends_it_too(tmp_path: Path) -> None:
    found, calls = await proved(honest, tmp_path, checks=("lacks:error", SUM))
    assert (found.verdict, calls) == ("undecided", 20)
    assert "lacks:error fails none of" in found.why


async def test_a_refused_key_ends_it_after_one_call(tmp_path: Path) -> None:
    found, calls = await proved(lambda body, number, said: Said("", status=401), tmp_path)
    assert (found.verdict, calls) == ("undecided", 1)
    assert "401" in found.why


async def test_a_key_that_is_refused_later_ends_it_then(tmp_path: Path) -> None:
    found, calls = await proved(lambda body, number, said: said if number < 50 else Said("", status=403), tmp_path)
    assert (found.verdict, calls) == ("undecided", 51)


async def test_errors_in_the_middle_leave_it_undecided(tmp_path: Path) -> None:
    found, _ = await proved(
        lambda body, number, said: Said("", status=500) if number > 30 and number % 3 == 0 else said, tmp_path
    )
    assert found.verdict == "undecided"
    assert "have no answer" in found.why


async def test_an_endpoint_that_is_down_is_not_asked_for_ever(tmp_path: Path) -> None:
    found, calls = await proved(lambda body, number, said: Said("", status=500), tmp_path)
    assert found.verdict == "undecided" and calls <= 20


async def test_cut_answers_are_named(tmp_path: Path) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        return said if "nice" in system_of(body) else Said(said.text[:5], "length", id=said.id)

    found, _ = await proved(trap, tmp_path)
    assert found.verdict == "worse"
    assert any("cut after" in line for line in found.lines)
    always, calls = await proved(lambda body, number, said: Said(said.text[:5], "length", id=said.id), tmp_path / "b")
    assert always.verdict == "undecided" and calls == 20
    assert "--max-tokens" in always.advice


async def test_refusals_are_no_answers(tmp_path: Path) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        return said if "nice" in system_of(body) else Said("I'm sorry, but I can't help with that.", id=said.id)

    found, _ = await proved(trap, tmp_path, checks=("regex:.",), test_set=_unchecked(30))
    assert found.verdict == "worse"
    assert any("refused after" in line for line in found.lines)


async def test_a_copy_out_of_a_cache_is_no_second_answer(tmp_path: Path) -> None:
    first: dict[str, Said] = {}

    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        key = system_of(body) + asked_of(body)
        if key not in first:
            failed = asked_of(body).startswith("4 ") and "nice" not in system_of(body)
            first[key] = Said("{}", id=said.id) if failed else said
        return first[key]

    found, _ = await proved(trap, tmp_path)
    assert found.verdict == "undecided"  # one answer that failed, five times over
    assert any("count once" in line for line in found.lines)


async def test_what_comes_second_being_worse_is_no_difference_of_the_prompts(tmp_path: Path) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        return Said("{}", id=said.id) if number >= 20 and number % 2 else said

    found, _ = await proved(trap, tmp_path)
    assert found.verdict == "undecided"


async def test_the_same_answer_to_everything_is_told(tmp_path: Path) -> None:
    found, _ = await proved(
        lambda body, number, said: Said('{"sum": 1}', id=said.id), tmp_path, checks=("json",), test_set=_unchecked(30)
    )
    assert any("does the prompt use its input?" in line for line in found.lines)


async def test_a_judge_that_takes_the_first_is_no_evidence(tmp_path: Path) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        if body["model"] == "judge":
            return Said('{"reason": "it is first", "winner": "A"}', id=said.id)
        word = "gladly" if "nice" not in system_of(body) else "happily"
        return Said(f"We {word} answer {asked_of(body)}.", id=said.id)

    found, _ = await proved(trap, tmp_path, checks=(), test_set=_unchecked(12), judge=True)
    assert found.verdict == "undecided"
    assert any("took the first answer in 100%" in line and "no evidence" in line for line in found.lines)


async def test_a_fair_judge_makes_rewording_alike(tmp_path: Path) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        if body["model"] == "judge":
            shown = asked_of(body)
            request, _, rest = shown.partition("\n\nAnswer A:\n")
            first, _, second = rest.partition("\n\nAnswer B:\n")
            wanted = request.split("a: ")[1].split("\n")[0]
            good = [
                f" {wanted} and" in text and "not" not in text and text.endswith("all.") for text in (first, second)
            ]
            winner = "same" if good[0] == good[1] else "A" if good[0] else "B"
            return Said(f'{{"reason": "x", "winner": "{winner}"}}', id=said.id)
        word = "gladly" if "nice" not in system_of(body) else "happily"
        return Said(f"We can {word} answer {asked_of(body)} and what is more say it all.", id=said.id)

    found, _ = await proved(trap, tmp_path, checks=(), test_set=_unchecked(30), judge=True)
    assert found.verdict in ("alike", "undecided")
    judge = found.runs[0].judge
    assert judge is not None and judge.pairs == 30


async def test_it_goes_on_after_a_kill_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    whole, calls = await proved(honest, tmp_path / "whole")
    store = CellStore(path=tmp_path / "p.db", full=False)
    with playing() as traps:
        profile = Profile(name="trap", base_url=traps.url)

        def request(system: str, case: Any) -> RunRequest:
            text = f"{case['a']} and {case['b']}"
            messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
            return RunRequest(profile=profile, model="m", messages=messages, retries=0)

        found = planned_cases(cases(30), ("json", SUM), lambda case, _: [[request(BASE, case)], [request(TRIM, case)]])
        plan = ProofPlan(found, ("m",), attempt="x")
        run = ProofRun(plan, store)

        async def killed() -> None:
            task = asyncio.ensure_future(run.work({"log": tmp_path / "log.db"}))
            while len(traps.bodies) < 37:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        await killed()
        before = len(traps.bodies)
        again = ProofRun(plan, CellStore(store.run, path=tmp_path / "p.db"), resumed=True)
        outcome = await again.work({"log": tmp_path / "log.db"})
        report = report_of(plan, outcome, (BASE, TRIM), 1)
    assert report.verdict == whole.verdict == "proven"
    assert outcome.kept >= 30
    assert before + outcome.calls <= calls + 2  # at most what was under way is asked again
    assert report.to_json()["answers"][0]["text"] is None or report.to_json()["answers"]


async def test_each_attempt_that_fails_asks_for_more_certainty(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    first, _ = await proved(honest, tmp_path, NO_FORM, store=None)
    assert first.proof.attempt == 1
    second, _ = await proved(honest, tmp_path)
    assert (second.proof.attempt, second.verdict) == (2, "undecided")
    assert any("attempt 2" in line for line in second.lines)
    third, _ = await proved(honest, tmp_path, count=45)
    assert (third.proof.attempt, third.verdict) == (3, "proven")
    fourth, _ = await proved(honest, tmp_path)
    assert (fourth.proof.attempt, fourth.verdict) == (1, "proven")
    assert path.stat().st_mode & 0o077 == 0


async def test_a_cache_that_does_not_read_the_prompt_proves_nothing(tmp_path: Path) -> None:
    first: dict[str, Said] = {}
    found, _ = await proved(lambda body, number, said: first.setdefault(asked_of(body), said), tmp_path, NO_FORM)
    assert found.verdict == "undecided"
    assert "copy of the baseline's" in found.why and "cache" in found.advice


@pytest.mark.parametrize("said", ["", "I'm sorry, but I can't help with that."])
async def test_a_baseline_without_answers_is_like_nothing(tmp_path: Path, said: str) -> None:
    found, calls = await proved(lambda *_: Said(said), tmp_path, checks=(), test_set=_unchecked(30))
    assert (found.verdict, calls) == ("undecided", 20)
    assert "answered passes in none of 20" in found.why


async def test_answers_of_a_warm_up_that_ended_it_are_told(tmp_path: Path) -> None:
    found, calls = await proved(honest, tmp_path, checks=("contains:never said",))
    answers = found.to_json()["answers"]
    assert (found.verdict, calls, len(answers)) == ("undecided", 20, 20)
    assert all(each["text"] and each["version"] == "before" and not each["passed"] for each in answers)
