from __future__ import annotations

from promptop.base.diff import word_diff
from promptop.client.request import RunRequest
from promptop.client.result import Attempt, CallUsage, RunError, RunResult
from promptop.log import Row
from promptop.settings import Profile
from promptop_tui.playground.dialogs.inspect_dialogs import diff_content
from promptop_tui.playground.views.call_details import details

REQUEST = RunRequest(profile=Profile(base_url="http://here/v1"), model="m", messages=[])


def test_everything_known_of_a_call_is_shown_and_nothing_unknown_is_zero() -> None:
    error = RunError("429", "Too many requests", "Wait", 429)
    text = details(
        REQUEST,
        RunResult(
            "m",
            "m-2024",
            "m",
            "answer",
            "done",
            "stop",
            connect_s=0.1,
            tls_s=0.1,
            ttfb_s=0.3,
            ttft_s=0.5,
            ttfo_s=0.5,
            duration_s=0.9,
            total_s=1.0,
            connection_reused=False,
            usage=CallUsage(12, 34, source="reported"),
            cost_usd=0.001,
            cost_status="table",
            attempts=(Attempt(1, error, 2.0), Attempt(2, None)),
            changes=("seed not sent: \x1b[31mno",),
            request_body={"model": "m", "messages": [{"role": "user", "content": "你好\n\x1b]52;x"}]},
        ),
    )
    for part in ("m → m-2024", "34 tokens, – reasoning", "$0.001 (table)", "new connection", "1  Too many requests"):
        assert part in text
    assert "next after 2.0 s" in text
    assert '"content": "你好\\n' in text
    assert "\x1b" not in text
    bars = [line for line in text.splitlines() if "━" in line]
    assert [line.split()[0] for line in bars] == ["connect", "TLS", "headers", "first", "last", "closed"]
    assert bars[3].index("━") - bars[2].index("━") == 4  # 0.1 of a second is four of forty cells


def test_a_call_that_never_was_sent() -> None:
    result = RunResult("m", "m", "m", "", "failed", error=RunError("key", "No key", "Set one"))
    text = details(REQUEST, result)
    assert "nothing was sent" in text
    assert "→ Set one" in text


def test_differences_carry_signs_and_not_only_colour() -> None:
    assert diff_content(word_diff("a [b] c", "a x c")).plain == "a [-[b]-]{+x+} c"
    assert "the same" in diff_content(word_diff("a", "a")).plain


def test_an_answer_to_another_wording_names_it_and_how_near_it_is() -> None:
    row = Row(cache_level="semantic", cache_key="mine", cache_match="theirs", cache_score=0.937, saved_usd=0.25)
    result = RunResult("m", "m", "m", "answer", "done", row=row, cost_usd=0.0, cache_prompt="写一个函数\x1b[31m")
    text = details(REQUEST, result)
    for part in ("semantic, saved $0.250", "0.937 to the prompt whose answer this is", "写一个函数", "theirs"):
        assert part in text
    assert "\x1b" not in text
    assert "our cache" not in details(REQUEST, RunResult("m", "m", "m", "answer", "done", row=Row()))


def test_what_the_first_of_repeated_calls_cost_is_told_with_its_n() -> None:
    result = RunResult("m", "m", "m", "a", "done")
    assert "First call" not in details(REQUEST, result)
    assert "took 1.50 s longer than the median of the later ones (n=5)" in details(REQUEST, result, (), (1.5, 5))
    assert "no longer than the median" in details(REQUEST, result, (), (0.0, 5))
