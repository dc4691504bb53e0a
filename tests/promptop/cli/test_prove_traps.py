"""``promptop prove`` and ``compare --cases`` as commands, against endpoints that play traps.

Where the wire is not the point the traps answer in the place of the call: a proof makes a hundred calls, and each takes
fifteen milliseconds of HTTP. Refusals, waits, caps and kills go over real sockets.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.offline_calls import NOWHERE, answering
from tests.support.trap_endpoint import Said, Trap, Traps, asked_of, honest, playing, system_of
from tests.support.waits import until

from promptop.cli.main import main

BASE = "system:\nAdd every number. Keep to the form. Be nice to us all.\nuser:\n{{a}} and {{b}}\n"
TRIM = "system:\nAdd every number. Keep to the form.\nuser:\n{{a}} and {{b}}\n"
SUM = '{"type": "json-path", "path": "$.sum"}'
PROMPTOP = (sys.executable, "-c", "import sys; from promptop.cli.main import main; sys.exit(main())")
Prove = Callable[..., tuple[int, dict[str, Any], Traps]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROMPTOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    (tmp_path / "base.md").write_text(BASE)
    (tmp_path / "trim.md").write_text(TRIM)
    rows = [
        {"id": f"c{n}", "vars": {"a": str(n), "b": str(n * 7)}, "expected": str(n * 8), "checks": [json.loads(SUM)]}
        for n in range(1, 31)
    ]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "plain.jsonl").write_text("".join(json.dumps({"vars": row["vars"]}) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def prove_wire(folder: Path, capsys: pytest.CaptureFixture[str]) -> Prove:
    def call(
        trap: Trap, *options: str, cases: str = "cases.jsonl", model: str = "m"
    ) -> tuple[int, dict[str, Any], Traps]:
        with playing(trap) as traps:
            capsys.readouterr()
            code = main(command(folder, traps.url, cases, options, model))
        return code, said_by(capsys), traps

    return call


@pytest.fixture
def prove(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Prove:
    """Prove with answers that never were on a wire; ``url`` is asked for anything else."""

    def call(
        trap: Trap,
        *options: str,
        cases: str = "cases.jsonl",
        model: str = "m",
        url: str = NOWHERE,
    ) -> tuple[int, dict[str, Any], Traps]:
        traps = answering(monkeypatch, trap, url)
        capsys.readouterr()
        code = main(command(folder, traps.url, cases, options, model))
        return code, said_by(capsys), traps

    return call


def said_by(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    out, err = capsys.readouterr()
    return {"verdict": None, **(json.loads(out) if out.startswith("{") else {}), "err": err}


def command(folder: Path, url: str, cases: str, options: tuple[str, ...], model: str = "m") -> list[str]:
    files = [str(folder / name) for name in ("base.md", "trim.md")]
    rest = ["--base-url", url, "--log", str(folder / "log.db"), "--cases", str(folder / cases), "--json"]
    return ["prove", *files, "-m", model, *rest, *options]


def is_after(body: dict[str, Any]) -> bool:
    return "nice" not in system_of(body)


def is_judge(body: dict[str, Any]) -> bool:
    return "Criterion:" in system_of(body)


def test_clean_is_proven_and_every_answer_stands_in_json(prove: Prove) -> None:
    code, found, traps = prove(honest)
    assert (code, found["verdict"], len(traps.bodies)) == (0, "proven", 80)
    assert len(found["answers"]) == 60 and len(found["warm_up"]) == 20
    assert all(each["text"] for each in (*found["answers"], *found["warm_up"]))


def test_reversed_answers_without_a_check_are_changed(prove: Prove) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        said.text = f"The refund is {'not ' if is_after(body) else ''}possible for {asked_of(body)}."
        return said

    code, found, _ = prove(trap, cases="plain.jsonl")
    assert (code, found["verdict"]) == (1, "changed")
    assert "negations" in found["why"] and all(each["state"] != "same" for each in found["cases"])


@pytest.mark.parametrize("check", ["contains:never said", "lacks:\u2603"])
def test_a_check_that_tells_nothing_ends_it_after_the_warm_up(prove: Prove, check: str) -> None:
    code, found, traps = prove(honest, "--check", check)
    assert (code, found["verdict"], len(traps.bodies)) == (1, "undecided", 20)
    assert check in found["why"]


def test_copies_of_one_answer_prove_nothing(prove: Prove) -> None:
    code, found, _ = prove(lambda body, number, said: Said("The sum is 8.", id="one"), cases="plain.jsonl")
    assert (code, found["verdict"]) != (0, "proven")
    assert any("same answer" in line for line in found["lines"])


def test_a_cached_answer_is_no_second_answer(prove: Prove) -> None:
    known: dict[str, Said] = {}

    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        return known.setdefault(json.dumps(body["messages"]), said)

    _, found, _ = prove(trap, "-n", "3")
    assert found["verdict"] != "proven" or found["n_cases"] == 30
    assert any("copies out of a cache" in line for line in found["lines"]), found["lines"]


def test_refusals_and_truncations_are_named(prove: Prove) -> None:
    def refuses(body: dict[str, Any], number: int, said: Said) -> Said:
        return Said("I'm sorry, but I can't help with that.") if is_after(body) else said

    code, found, _ = prove(refuses)
    assert (code, found["verdict"]) == (1, "worse")
    assert found["counts"]["refused after"] and any("refused after" in line for line in found["lines"])

    def cuts(body: dict[str, Any], number: int, said: Said) -> Said:
        return Said(said.text[:5], finish="length") if is_after(body) else said

    _, found, _ = prove(cuts)
    assert found["verdict"] == "worse" and found["counts"]["cut after"]


def test_a_key_refused_half_way_ends_it(prove_wire: Prove) -> None:
    code, found, traps = prove_wire(lambda body, number, said: Said("", status=401) if number >= 40 else said)
    assert (code, found["verdict"], len(traps.bodies)) == (1, "undecided", 41)
    assert "refused" in found["why"] and len(found["answers"]) >= 18


def test_copies_of_a_case_are_one_case(prove: Prove, folder: Path) -> None:
    lines = (folder / "cases.jsonl").read_text().splitlines()
    copies = [json.dumps(json.loads(lines[0]) | {"id": f"copy{n}"}) for n in range(30)]
    (folder / "cases.jsonl").write_text("\n".join([*lines[:3], *copies]))
    code, found, _ = prove(honest)
    assert (code, found["verdict"], found["n_cases"], found["folded_cases"]) == (1, "undecided", 3, 30)
    assert any("30 of 33 cases ask what another asks" in line for line in found["lines"])
    (folder / "cases.jsonl").write_text("\n".join([lines[0], json.dumps(json.loads(copies[0]) | {"expected": "9"})]))
    code, found, traps = prove(honest)
    assert (code, traps.bodies) == (2, []) and "expects another answer" in found["err"]


def test_near_duplicates_and_equal_prompts_are_named(prove: Prove, folder: Path) -> None:
    (folder / "trim.md").write_text(BASE)
    _, found, _ = prove(honest)
    assert any("near-duplicates" in line for line in found["lines"])
    assert any("both prompts send the same" in line for line in found["lines"])


def test_a_refusal_field_is_a_refusal_whatever_its_words(prove: Prove) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        return Said(said.text, headers={"refused": "yes"}, id=said.id) if is_after(body) else said

    code, found, _ = prove(trap)
    assert (code, found["verdict"]) == (1, "worse") and found["counts"]["refused after"]


def test_another_model_behind_one_side_is_no_comparison_of_prompts(prove: Prove) -> None:
    rng = random.Random(1)

    def swaps(body: dict[str, Any], number: int, said: Said) -> Said:
        said.headers["model"] = rng.choice(["m-2025", "m-2026"])
        return said

    code, found, _ = prove(swaps)
    assert (code, found["verdict"]) == (0, "proven")
    assert "asked for m; answered by m-202" in json.dumps(found["lines"])

    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        said.headers["model"] = "small" if is_after(body) else "big"
        return said

    code, found, traps = prove(trap)
    assert (code, found["verdict"]) == (1, "undecided") and len(traps.bodies) < 50
    assert "big the baseline and small the trimmed prompt" in found["why"]


@pytest.mark.parametrize("mark", [{"critical": True}, {"weight": 10_000}])
def test_what_must_not_be_lost_is_asked_before_anything_is_proven(
    prove: Prove, folder: Path, mark: dict[str, Any]
) -> None:
    rows = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    rows += [row | {"id": f"{row['id']}b", "vars": {"a": row["vars"]["b"], "b": row["vars"]["a"]}} for row in rows]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, found, _ = prove(honest)
    asked = {each["id"] for each in found["cases"]}
    last = next(row for row in rows if row["id"] not in asked)
    (folder / "cases.jsonl").write_text("\n".join(json.dumps(row | mark if row is last else row) for row in rows))

    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        is_last = asked_of(body) == f"{last['vars']['a']} and {last['vars']['b']}"
        return Said("no form", id=said.id) if is_last and is_after(body) else said

    code, found, _ = prove(trap, *(["--most-lost", "5"] if "critical" in mark else []))
    assert (code, found["verdict"], found["lost"]) == (1, "worse", [last["id"]])


def test_weights_are_shown_beside_the_count_of_cases(prove: Prove, folder: Path) -> None:
    rows = [
        json.loads(line) | {"weight": 500 if number == 3 else 1}
        for number, line in enumerate((folder / "cases.jsonl").read_text().splitlines())
    ]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, found, _ = prove(honest)
    assert any(line.startswith("by weight: ") for line in found["lines"])
    assert any(line.startswith("c4 stands for ") for line in found["lines"])


def test_the_check_that_is_always_made_is_no_check_of_its_own(prove: Prove) -> None:
    code, found, _ = prove(honest, "--check", "answered", cases="plain.jsonl")
    assert (code, found["verdict"]) == (1, "alike")


def test_calls_that_fail_on_one_side_are_named_by_side(prove: Prove) -> None:
    code, found, _ = prove(
        lambda b, n, s: Said("", status=400) if is_after(b) else s, "--retries", "0", cases="plain.jsonl"
    )
    assert (code, found["verdict"]) == (1, "undecided")
    assert "the trimmed prompt was answered in none of 5 cases" in found["why"]


def test_a_judge_that_is_refused_ends_what_needs_it(prove: Prove) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        return Said("", status=401) if is_judge(body) else said

    code, found, traps = prove(trap, "--judge", "judge", "--check", "rubric:names a sum", "--retries", "0")
    assert (code, found["verdict"], len(traps.bodies)) == (1, "undecided", 2)
    assert "the judge cannot be asked" in found["why"]


def test_a_judge_decides_where_every_answer_has_other_words(prove: Prove) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        if is_judge(body):
            left, right = asked_of(body).split("Answer A:\n")[1].split("\n\nAnswer B:\n")
            bad = [" sum" not in each or not each.endswith((".", "!")) or " not " in each for each in (left, right)]
            return Said(json.dumps({"winner": "same" if bad[0] == bad[1] else "B" if bad[0] else "A"}))
        words = "Here you are: a sum of numbers, as you asked for!" if is_after(body) else "The sum is what it is."
        return Said(words, id=said.id)

    code, found, _ = prove(trap, "--judge", "judge", cases="plain.jsonl")
    assert found["judge"]["evidence"], found["judge"]
    assert (code, found["verdict"]) == (1, "alike"), found["why"]


def test_unfilled_variables_send_nothing(prove: Prove, folder: Path) -> None:
    (folder / "trim.md").write_text(TRIM.replace("{{b}}", "{{c}}"))
    code, found, traps = prove(honest)
    assert (code, len(traps.bodies)) == (2, 0) and "{{c}}" in found["err"]


def test_drift_meets_both_sides_and_blames_neither(prove: Prove) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        return Said("no form at all") if number > 50 else said

    _, found, _ = prove(trap)
    assert found["verdict"] in ("undecided", "proven") and not found["lost"]


@pytest.mark.parametrize("seed", [1, *(pytest.param(each, marks=pytest.mark.world) for each in (2, 3))])
def test_noise_of_ten_percent_is_never_lost_for_sure(prove: Prove, seed: int) -> None:
    rng = random.Random(seed)
    _, found, _ = prove(lambda body, number, said: Said('{"sum": 0}', id=said.id) if rng.random() < 0.1 else said)
    assert found["verdict"] in ("undecided", "proven") and not found["lost"]


def first_wins(body: dict[str, Any], number: int, said: Said) -> Said:
    if is_judge(body):
        return Said('{"reason": "it stands first", "winner": "A"}')
    return Said(said.text.replace("}", " }"), id=said.id) if is_after(body) else said


def test_a_judge_that_takes_the_first_is_no_evidence(prove: Prove) -> None:
    code, found, _ = prove(first_wins, "--judge", "judge", cases="plain.jsonl")
    assert (code, found["verdict"]) == (1, "undecided")
    assert not found["judge"]["evidence"] and found["judge"]["first_share"] == 1.0 and found["judge"]["calls"]
    assert any("took the first answer in 100%" in line for line in found["lines"])


def test_a_judge_that_costs_more_than_the_cap_is_refused_before_a_call(prove_wire: Prove) -> None:
    cheap = ("--max-tokens", "10", "--max-usd", "0.001")
    code, found, traps = prove_wire(first_wins, "--judge", "o1-pro", *cheap, cases="plain.jsonl", model="gpt-4o-mini")
    assert code == 1 and not traps.bodies and "nothing was sent" in found["err"]


def test_a_judge_that_the_cap_ends_is_no_evidence(prove_wire: Prove) -> None:
    options = ("--judge", "o1-pro", "--max-usd", "0.5", "--max-tokens", "10")
    _, found, _ = prove_wire(first_wins, *options, cases="plain.jsonl", model="gpt-4o-mini")
    assert found["cost_usd"] <= 0.5 and found["capped"] and found["verdict"] != "proven"
    assert not found["judge"]["evidence"] and "cap" in found["judge"]["why_not"]


def test_a_rubric_without_a_verdict_fails_no_answer(prove: Prove) -> None:
    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        if is_judge(body):
            good = '"sum"' in asked_of(body) or "sum is" in asked_of(body)
            return Said("", status=429) if number > 70 else Said(json.dumps({"met": good}))
        return said

    code, found, _ = prove(trap, "--judge", "judge", "--check", "rubric:names a sum", "--retries", "0")
    assert (code, found["verdict"]) == (1, "undecided")
    assert found["lost"] == [] and all(each["state"] in ("same", "incomplete", "changed") for each in found["cases"])
    assert "judge" in json.dumps(found["errors"])


def test_rate_limits_are_waited_for(prove_wire: Prove) -> None:
    refused: set[str] = set()

    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        key = json.dumps(body["messages"])
        if number % 7 == 0 and key not in refused:
            refused.add(key)
            return Said("", status=429, headers={"retry-after-ms": "1"})
        return said

    code, found, traps = prove_wire(trap)
    assert (code, found["verdict"]) == (0, "proven"), found.get("why")
    assert len(traps.bodies) == 80 + len(refused)


def test_similarity_asks_the_endpoints_embeddings(prove: Prove) -> None:
    options = ("--embed", "vectors", "--check", "similar(0.6):sum of the numbers is")
    with playing(honest) as server:
        code, found, _ = prove(
            lambda b, n, s: Said(f"The sum of {asked_of(b)} is it.", id=s.id),
            *options,
            cases="plain.jsonl",
            url=server.url,
        )
        assert server.embedded and (code, found["verdict"]) == (0, "proven"), found["why"]
        code, found, _ = prove(
            lambda b, n, s: Said("Bananas grow." if is_after(b) else "the sum is " + asked_of(b)),
            *options,
            cases="plain.jsonl",
            url=server.url,
        )
    assert (code, found["verdict"]) == (1, "worse")


@pytest.mark.parametrize("history", ["metadata", pytest.param("full", marks=pytest.mark.world)])
def test_killed_in_mid_run_it_goes_on_and_pays_for_no_cell_twice(
    folder: Path, capsys: pytest.CaptureFixture[str], history: str
) -> None:
    (folder / "settings.toml").write_text(f'[playground]\nhistory = "{history}"\n')
    options = ("--config", str(folder / "settings.toml"))
    with playing(honest) as traps:
        arguments = [each for each in command(folder, traps.url, "cases.jsonl", options) if each != "--json"]
        environment = {**os.environ, "PROMPTOP_DATA_DIR": str(folder / "data")}
        child = subprocess.Popen(
            [*PROMPTOP, *arguments],
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        assert child.stderr is not None
        until(lambda: len(traps.bodies) >= 37 or child.poll() is not None)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        run = child.stderr.read().decode().partition("--resume ")[2].split()[0]
        child.stderr.close()
        before = len(traps.bodies)
        capsys.readouterr()
        code = main([*arguments, "--json", "--resume", run])
        found = json.loads(capsys.readouterr().out)
        assert (code, found["verdict"]) == (0, "proven")
        assert len(traps.bodies) - 80 in (0, 1)  # the call that was under way
        assert found["calls"] + found["kept"] == 80 and before - found["kept"] <= 1
        assert sum(each["state"] == "same" for each in found["cases"]) == 30 and not found["counts"]


def test_trims_are_also_rule_names_or_the_json_of_trim(
    prove: Prove, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "base.md").write_text(
        BASE.replace("Be nice to us all.", "Please note that it is very important to be nice.")
    )
    assert main(["trim", str(folder / "base.md"), "--all", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["edits"]
    (folder / "trim.md").write_text(json.dumps(made))
    code, found, _ = prove(honest)
    assert (code, found["verdict"]) == (0, "proven")
    assert found["receipt"]["rules"] == made["receipt"]["rules"]
    rules = ",".join(sorted(made["receipt"]["rules"]))
    with playing(honest) as traps:
        arguments = command(folder, traps.url, "cases.jsonl", ())
        arguments[2] = rules
        assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["receipt"]["rules"] == made["receipt"]["rules"]


def run_json(folder: Path, trap: Trap, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, Traps]:
    with playing(trap) as traps:
        capsys.readouterr()
        shared = ["--base-url", traps.url, "--log", str(folder / "log.db"), "--cases", str(folder / "cases.jsonl")]
        code = main([words[0], str(folder / "base.md"), "-m", "m", *shared, "--json", *words[1:]])
    return code, json.loads(capsys.readouterr().out), traps


def seventh_is_wrong(body: dict[str, Any], number: int, said: Said) -> Said:
    return Said('{"sum": 1}', id=said.id) if asked_of(body) == "7 and 49" else said


def test_bench_asks_the_cases_in_turns_and_counts_their_checks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, traps = run_json(folder, seventh_is_wrong, capsys, "bench", "--concurrency", "4")
    assert (code, len(traps.bodies), len({asked_of(body) for body in traps.bodies})) == (0, 30 + 4, 30)
    phase = found["phases"][0]
    assert (phase["calls"], phase["checked"], phase["passed"]) == (30, 30, 29)


def test_compare_repeats_each_cell_and_resumes_without_a_call(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("compare", "--repeat", "2", "--at-once", "4")
    code, found, traps = run_json(folder, seventh_is_wrong, capsys, *options)
    assert (code, len(traps.bodies)) == (1, 60)
    assert found["cases"][0]["id"] == "c7" and len(found["cases"][0]["cells"][0]["answers"]) == 2
    assert (found["columns"][0]["passed"], found["columns"][0]["cases"]) == (29, 30)
    assert found["columns"][0]["checks"]['json-path {"path": "$.sum"}'] == [58, 60]
    again = (*options, "--resume", found["run"], "--base-url")
    with playing(seventh_is_wrong) as traps:
        code = main(
            [
                again[0],
                str(folder / "base.md"),
                "-m",
                "m",
                "--cases",
                str(folder / "cases.jsonl"),
                *again[1:],
                traps.url,
            ]
        )
    assert code == 1 and len(traps.bodies) == 60  # another endpoint: other cells


def test_files_of_a_case_are_sent_as_parts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"cat.png": "image_url", "call.wav": "input_audio", "paper.pdf": "file"}
    for name in names:
        (folder / name).write_bytes(b"\x89PNG" + bytes(20))
    (folder / "cases.jsonl").write_text(
        json.dumps({"id": "f", "vars": {"a": "1", "b": "2"}, "files": list(names)}) + "\n"
    )
    code, _, traps = run_json(folder, lambda body, number, said: Said("seen"), capsys, "compare")
    content = next(each["content"] for each in traps.bodies[0]["messages"] if each["role"] == "user")
    assert code == 0 and [part["type"] for part in content] == ["text", *names.values()]
    assert content[2]["input_audio"]["format"] == "wav" and content[2]["input_audio"]["data"]
