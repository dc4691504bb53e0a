from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptop.base.errors import UsageError
from promptop.client.request import RunRequest, parse_stops, show_stops
from promptop.client.targets import offered, parse_target
from promptop.settings import Profile, Settings


@pytest.mark.parametrize(
    ("typed", "stops"),
    [
        ("", ()),
        (r"\n\n", ("\n\n",)),
        (r"END|\n|a\|b", ("END", "\n", "a|b")),
        ("。|停", ("。", "停")),
        (r"\x1b\u3002", ("\x1b。",)),
        (r"\\n", (r"\n",)),
        (" a ", (" a ",)),
    ],
)
def test_stop_sequences_are_typed_with_escapes_and_shown_again(typed: str, stops: tuple[str, ...]) -> None:
    assert parse_stops(typed) == stops
    assert parse_stops(show_stops(stops)) == stops


@given(st.lists(st.text(min_size=1), max_size=4))
def test_any_stop_sequence_survives_being_shown_and_typed(stops: list[str]) -> None:
    kept = tuple(stop for stop in stops if not any(ord(char) > 0xFFFF and not char.isprintable() for char in stop))
    assert parse_stops(show_stops(kept)) == kept


@pytest.mark.parametrize("typed", ["a|b|c|d|e", r"\q", "\\"])
def test_stop_sequences_that_cannot_be_meant_are_refused_with_a_remedy(typed: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_stops(typed)
    assert raised.value.remedy


def test_only_parameters_that_are_set_are_sent() -> None:
    request = RunRequest(profile=Profile(), model="m", messages=[], seed=0, temperature=0.0, extra={"top_k": 3})
    assert request.parameters() == {"seed": 0, "temperature": 0.0, "top_k": 3}


def test_a_model_may_name_its_profile() -> None:
    local = Profile(name="local", models=("qwen:7b",))
    cloud = Profile(name="cloud", models=("gpt-4o",))
    settings = Settings(profile="cloud", profiles={"local": local, "cloud": cloud})
    assert parse_target("gpt-4o", settings).profile is cloud
    assert parse_target("qwen:7b@local", settings).profile is local
    assert parse_target("claude@2024", settings).model == "claude@2024"
    assert [target.spec for target in offered(settings)] == ["gpt-4o", "qwen:7b@local"]
    with pytest.raises(UsageError):
        parse_target(" ", settings)
