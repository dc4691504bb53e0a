"""How hard a task is: the fixed points, the bounds, what never falls, and what a prompt says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptop.prompts.complexity import TIERS, Task, read, recommended, score

TASKS = st.builds(
    Task,
    lines=st.integers(0, 10**7),
    files=st.integers(0, 10**4),
    algorithm=st.integers(0, 3),
    domain=st.integers(0, 2),
)


def test_the_fixed_points() -> None:
    basic = score(Task(lines=10))
    assert (basic.score, basic.tier) == (0.0, "simple")
    large = score(Task(lines=1000, files=20, domain=2))
    assert (large.score, large.tier) == (0.7, "complex")
    assert sum(value for _, value, _ in large.terms) == pytest.approx(0.7)
    assert score(Task(10**6, 100, 3, 2)).score == 1.0
    assert [score(Task(lines=1000, algorithm=k, domain=2)).tier for k in range(4)] == [
        "medium", "complex", "complex", "complex",
    ]  # fmt: skip


@settings(max_examples=200, derandomize=True, deadline=None)
@given(TASKS, st.sampled_from(["lines", "files", "algorithm", "domain"]), st.integers(1, 1000))
def test_within_bounds_and_never_falling(task: Task, measure: str, more: int) -> None:
    before = score(task)
    after = score(replace(task, **{measure: getattr(task, measure) + more}))
    assert 0 <= before.score <= after.score <= 1
    assert TIERS.index(before.tier) <= TIERS.index(after.tier)


def test_thresholds_are_settings() -> None:
    task = Task(lines=1000, files=20, domain=2)
    assert score(task, (0.1, 0.2, 0.7)).tier == "expert"
    assert score(task, (0.8, 0.9, 1.0)).tier == "simple"


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Write a 10-line script that prints a list.", Task(lines=10)),
        ("Build a distributed system: 1,000 lines, 20 files.", Task(1000, 20, 0, 2)),
        ("实现一个分布式系统，大约1000行代码，20个文件。", Task(1000, 20, 0, 2)),
        ("用动态规划求解，数据库在本地。", Task(0, 1, 2, 1)),
        ("Fix:\n```py\na = 1\nb = 2\n```\nand\n```py\nc\n```\n", Task(3, 2)),
        ("Prove that this consensus protocol is safe in real-time kernels.", Task(0, 1, 3, 2)),
        ("", Task()),
    ],
)
def test_what_is_read_from_a_prompt(text: str, task: Task) -> None:
    assert read(text) == task


def test_the_recommended_model_is_the_one_that_is_set_or_the_one_at_that_place_by_price() -> None:
    models = ("o1", "gpt-4o-mini", "gpt-4-turbo", "gpt-4o", "no-such-model")
    assert [recommended(tier, models) for tier in TIERS] == ["gpt-4o-mini", "gpt-4o", "gpt-4-turbo", "o1"]
    assert recommended("expert", models, ("", "", "", "mine")) == "mine"
    assert recommended("simple", ("no-such-model",)) == ""
