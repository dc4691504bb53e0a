"""Filter expressions mean what they say, become parameters only, and are refused with what could have been meant."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.promptop.log.rows import NOON, append, random_row

from promptop.base.errors import UsageError
from promptop.log import LogReader, Row, parse_filter
from promptop.log.read.filters import FIELDS


def row(**values: object) -> Row:
    return Row(started_ms=NOON, **values)  # type: ignore[arg-type]


ROWS = [
    row(
        app="web", request_model="gpt-4o", response_model="gpt-4o-2024-08-06", ttft_s=1.5, duration_s=3.0, cost_usd=0.02
    ),
    row(
        app="my app", request_model="gpt-4o-mini", ttft_s=0.2, duration_s=0.5, tags='{"env": "production", "odd\'": 1}'
    ),
    row(app="batch", request_model="qwen3-max", error_type="429", http_response_status_code=429, error_message="slow"),
    row(app="batch", request_model="qwen3-max", error_type="cancelled", prompt_name="摘要_1", cache_level="miss"),
    row(error_type="timeout", cache_level="memory", usage_input_tokens=1500, usage_output_tokens=100, tags="no json"),
    row(http_response_status_code=503, error_type="server_error", response_finish_reasons='["length"]', simulated=1),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {0, 1, 2, 3, 4, 5}),
        ("model:gpt-4o", {0}),
        ("model:GPT-4o", {0}),
        ("model:gpt-4o-2024-08-06", {0}),
        ("model:gpt-4o*", {0, 1}),
        ("model:gpt-4o,qwen3-max", {0, 2, 3}),
        ("-model:gpt-4o*", {2, 3, 4, 5}),
        ("model!=qwen3-max app!=web", {1, 4, 5}),
        ('app:"my app"', {1}),
        ("app:none", {4, 5}),
        ("prompt:摘要_1", {3}),
        ("prompt:摘要%1", set()),
        ("status:ok", {0, 1}),
        ("status:error", {2, 4, 5}),
        ("status:error,cancelled", {2, 3, 4, 5}),
        ("status:429", {2}),
        ("status:5xx", {5}),
        ("status>=500", {5}),
        ("-status:5xx", {0, 1, 2, 3, 4}),
        ("error:timeout", {4}),
        ("ttft>1s", {0}),
        ("ttft<=200ms", {1}),
        ("-ttft>1s", {1, 2, 3, 4, 5}),
        ("latency>=0.5 latency<3", {1}),
        ("latency:0.4..0.6", {1}),
        ("cost>$0.01", {0}),
        ("in>=1.5k out:100", {4}),
        ("tokens>1000", {4}),
        ("cache:hit", {4}),
        ("cache:miss,memory", {3, 4}),
        ("cache:none", {0, 1, 2, 5}),
        ("finish:length", {5}),
        ("simulated:yes", {5}),
        ("simulated:no ttft>0", {0, 1}),
        ("tag.env:prod*", {1}),
        ("tag.odd':1", {1}),
        ("-tag.env:production", {0, 2, 3, 4, 5}),
        ("qwen", {2, 3}),
        ("slow", {2}),
        ("100%", set()),
        ("age<1h", {0, 1, 2, 3, 4, 5}),
        ("age>1h", set()),
        ("time>2026-11-21T11:59 time<2026-11-21T12:01", {0, 1, 2, 3, 4, 5}),
        ("id:1,3", {0, 2}),
        ("model:gpt-4o status:ok ttft>1s app:web", {0}),
    ],
)
def test_expressions_choose_rows(tmp_path: Path, text: str, expected: set[int]) -> None:
    append(tmp_path / "log.db", ROWS)
    where = parse_filter(text, now_ms=NOON + 60_000)
    with LogReader(tmp_path / "log.db") as reader:
        assert {found.id - 1 for found in reader.latest(10, where=where)} == expected
        assert {found.id - 1 for found in reader.after(0, 10, where)} == expected
        assert reader.window(NOON, NOON + 1, where=where).total.n == len(expected)


@pytest.mark.parametrize(
    ("text", "cause", "remedy"),
    [
        ("modle:x", "no field 'modle'", "Did you mean model?"),
        ("zzz:1", "no field 'zzz'", "Known: "),
        ("ttft>fast", "a duration is written", "ttft>1s"),
        ("in:many", "a number is written", ""),
        ("model>5", "not a number", ""),
        ("status:broken", "status is ok, error", ""),
        ("stream:perhaps", "yes or no", ""),
        ("age:5", "age is compared", ""),
        ("time>noon", "a time is written", ""),
        ("model:", "has no value", "model:gpt-4o"),
        ("tag:env", "names no tag", "tag.env:production"),
        ('app:"open', "quote is not closed", ""),
    ],
)
def test_mistakes_are_refused_with_a_remedy(text: str, cause: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(text)
    assert cause in caught.value.cause
    assert remedy in caught.value.remedy


@given(
    st.one_of(
        st.text(max_size=30),
        st.tuples(st.sampled_from(FIELDS), st.sampled_from(":><=!"), st.text(max_size=12)).map("".join),
    )
)
def test_whatever_is_typed_is_refused_or_runs(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "typed.db"
    if not path.exists():
        append(path, [random_row(random.Random(n), NOON) for n in range(3)])
    try:
        where = parse_filter(text)
    except UsageError:
        return
    with LogReader(path) as reader:
        assert len(reader.latest(5, where=where)) <= 3


def test_a_value_is_never_sql(tmp_path: Path) -> None:
    append(tmp_path / "log.db", ROWS)
    attack: Callable[[str], str] = lambda name: f'{name}:"x\') OR 1=1; DROP TABLE requests; --"'  # noqa: E731
    with LogReader(tmp_path / "log.db") as reader:
        for name in ("model", "app", "tag.env", "tag.a')--", "finish", "cache"):
            assert reader.latest(9, where=attack(name)) == []
        assert len(reader.latest(9)) == len(ROWS)
