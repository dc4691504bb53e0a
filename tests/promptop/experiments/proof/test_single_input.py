"""One input: its repeated answers must tell noise from change, and promise nothing about other inputs."""

from __future__ import annotations

import difflib
import json
import random

import pytest

from promptop.client.result import CallUsage, RunError, RunResult
from promptop.experiments.checks import parse_check
from promptop.experiments.proof.single_input import prove, prove_model
from promptop.experiments.similarity import common, likeness, rouge_l, words
from promptop.prompts.proof import proof_from, worst


def answer(text: str, tokens: int = 100, ttft: float = 0.2, state: str = "done") -> RunResult:
    usage = CallUsage(tokens, len(text), 0, 0, "reported")
    error = None if state == "done" else RunError("timeout", "late")
    return RunResult(
        "m", "m", "m", text, state, usage=usage, ttft_s=ttft, total_s=ttft * 3, cost_usd=tokens * 1e-6, error=error
    )  # type: ignore[arg-type]


def phrases(seed: int, count: int, pool: str = "the cat sat on a mat and 猫坐在垫子上 while it rained") -> list[str]:
    """Return answers that say the same in other orders, as a model does at temperature 1."""
    rng = random.Random(seed)
    parts = pool.split()
    return [" ".join(rng.sample(parts, len(parts))) for _ in range(count)]


def slow_common(left: list[str], right: list[str]) -> int:
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def test_the_longest_common_subsequence_is_that_of_the_textbook() -> None:
    rng = random.Random(4)
    for _ in range(60):
        left = rng.choices("abcdef猫", k=rng.randrange(90))
        right = rng.choices("abcdef猫", k=rng.randrange(90))
        assert common(left, right) == slow_common(left, right) == common(right, left)
        # difflib finds a common subsequence too, and never a longer one
        blocks = difflib.SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
        assert sum(block.size for block in blocks) <= common(left, right)


def test_rouge_l_counts_words_and_chinese_characters() -> None:
    assert words("The  Cat,\n猫坐") == ["the", "cat", ",", "猫", "坐"]
    assert rouge_l(words("a b c d"), words("a x c d")) == 0.75
    assert rouge_l(words("提示工程"), words("提示词工程")) == pytest.approx(8 / 9)
    assert rouge_l([], []) == 1.0
    assert rouge_l(["a"], []) == 0.0


def test_answers_that_vary_as_the_baseline_does_are_as_alike_as_its_own() -> None:
    same = likeness(phrases(1, 20), phrases(2, 20))
    assert same is not None and same.interval is not None
    assert same.within < 0.9  # they do vary
    assert same.interval[0] < 0 < same.interval[1]
    other = likeness(phrases(1, 20), phrases(2, 20, "quite another story about dogs in the park at night"))
    assert other is not None and other.interval is not None
    assert other.interval[1] < -0.1
    assert likeness(phrases(1, 20), phrases(2, 20)) == same  # the same results, the same interval


def test_few_answers_have_no_interval_and_no_verdict() -> None:
    assert likeness(["one"], ["one"]) is None
    few = likeness(["one", "one"], ["one"])
    assert few is not None and (few.across, few.within, few.interval) == (1.0, 1.0, None)
    found, _ = prove_model("m", [answer("one")] * 4, [answer("one")] * 4, [])
    assert found.verdict == "undecided"
    assert any("too few" in line for line in found.sentences())


def test_the_same_answers_from_fewer_tokens_are_alike_on_this_input() -> None:
    left, right = [answer("yes, it is", 100)] * 6, [answer("yes, it is", 60)] * 6
    found, why = prove_model("m", left, right, [parse_check("contains:yes")])
    assert found.verdict == "alike" and "on this input" in why
    assert (found.input_tokens.before, found.input_tokens.after) == (100, 60)
    assert found.input_tokens.said == "input: 40 (40 %) fewer [40 … 40, n=6+6]"
    assert found.cost_usd.interval is not None and found.cost_usd.interval[1] < 0
    assert "check contains:yes: 6/6 → 6/6 passed, equal" in found.sentences()
    assert any("equal" in line and line.startswith("TTFT") for line in found.sentences())


def test_another_answer_is_changed_even_where_the_checks_pass() -> None:
    checks = [parse_check("max-tokens:500")]
    left, right = [answer(text) for text in phrases(1, 8)], [answer("dogs in the park")] * 8
    assert prove_model("m", left, right, checks)[0].verdict == "changed"


def test_answers_that_turned_into_their_opposite_are_no_proof() -> None:
    long = "A customer who comes within thirty days and has the receipt is {}entitled to a refund of the price."
    before, after = [answer(long.format("not "))] * 5, [answer(long.format(""))] * 5
    found, why = prove_model("m", before, after, [])
    assert (found.verdict, why) == ("changed", "5 of 5 answers changed on this input, in negations")
    reworded = [answer(long.format("not ").replace("comes", "came"))] * 5
    found, why = prove_model("m", before, reworded, [])
    assert (found.verdict, why) == ("undecided", "5 of 5 answers changed; no check says whether that matters")


def test_a_check_that_never_passes_proves_nothing() -> None:
    found, why = prove_model("m", [answer("a b")] * 5, [answer("a b")] * 5, [parse_check("json")])
    assert found.verdict == "undecided" and "json passes in none of 5 answers" in why
    found, why = prove_model("m", [answer("a b")] * 5, [answer("a b")] * 5, [parse_check("lacks:error")])
    assert found.verdict == "undecided" and "tells nothing" in why


def test_a_check_that_fails_more_often_is_worse() -> None:
    checks = [parse_check("contains:yes")]
    well = [answer("yes it is so and so")] * 8
    assert prove_model("m", well, [answer("no it is so and so")] * 8, checks)[0].verdict == "worse"
    once = [*well[:7], answer("no it is so and so")]
    assert prove_model("m", well, once, checks)[0].verdict != "worse"
    assert prove_model("m", once, well, checks)[0].verdict == "alike"  # it passes more often: nothing is lost


def test_failed_calls_are_counted_and_in_no_figure() -> None:
    left = [answer("a")] * 6
    found, _ = prove_model("m", left, [*[answer("a")] * 5, answer("", ttft=9.0, state="failed")], [])
    assert (found.n_after, found.failed, found.ttft_s.after) == (5, 1, 0.2)
    assert "1 calls failed" in found.sentences()[-1]


def test_a_proof_is_of_its_two_texts_and_survives_json() -> None:
    pair = ([answer("a b")] * 5, [answer("a b", 60)] * 5)
    found = prove("long 提示", "short", ["m"], [pair], [parse_check("contains:a")], now_ms=7)
    assert found.is_of("long 提示", "short")
    assert not found.is_of("long 提示", "short ")
    assert (found.calls, found.usd) == (10, pytest.approx(5 * 160e-6))
    assert found.line() == "alike on one input by 10 calls: m alike (n=5+5)"
    assert proof_from(json.loads(json.dumps(found.as_dict()))) == found
    assert "long" not in json.dumps(found.as_dict())


def test_the_worst_verdict_decides() -> None:
    assert worst(["proven", "proven"]) == "proven"
    assert worst(["proven", "alike"]) == "alike"
    assert worst(["proven", "undecided"]) == "undecided"
    assert worst(["undecided", "changed"]) == "changed"
    assert worst(["changed", "worse", "proven"]) == "worse"
    assert worst([]) == "undecided"
