from __future__ import annotations

from pathlib import Path

import pytest

from promptop import settings
from promptop.base.errors import PromptopError, UsageError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_means_defaults_and_no_problem(tmp_path: Path) -> None:
    found = settings.load(tmp_path / "none.toml", {})
    assert found.problems == ()
    assert found.active_profile().base_url == settings.OPENAI_URL
    assert found.active_profile().api_key_env == "OPENAI_API_KEY"


def test_environment_alone_makes_a_profile_and_never_holds_the_key(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-planted", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    found = settings.load(tmp_path / "none.toml", environ)
    profile = found.active_profile()
    assert (profile.name, profile.base_url) == ("env", "http://127.0.0.1:9/v1")
    assert profile.api_key(environ) == "sk-planted"
    assert "sk-planted" not in repr(found)


def test_an_anthropic_key_alone_makes_a_profile_of_its_api_and_stands_back_otherwise(tmp_path: Path) -> None:
    environ = {"ANTHROPIC_API_KEY": "sk-ant-planted"}
    alone = settings.load(tmp_path / "none.toml", environ).active_profile()
    assert (alone.name, alone.api, alone.base_url) == ("anthropic", "anthropic", "https://api.anthropic.com")
    both = settings.load(tmp_path / "none.toml", {**environ, "OPENAI_API_KEY": "k"})
    assert (both.active_profile().name, list(both.profiles)) == ("env", ["env", "anthropic"])
    path = write(tmp_path, 'profile = "anthropic"\n[profiles.mine]\nbase_url = "http://127.0.0.1:1"\n')
    assert settings.load(path, environ).problems == ()
    assert settings.load(path, environ).active_profile().name == "anthropic"
    assert "no profile" in str(settings.load(path, {}).problems[0])


def test_a_file_s_choice_stands_above_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, 'profile = "local"\n[profiles.local]\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["m"]\n')
    found = settings.load(path, {"OPENAI_API_KEY": "k"})
    assert found.active_profile().name == "local"
    assert found.active_profile().models == ("m",)
    assert "env" in found.profiles


@pytest.mark.parametrize(
    ("text", "line", "cause", "remedy"),
    [
        ('profile = "x"\n[log\npath = 1\n', 2, "not valid TOML", "Correct that line"),
        ('[log]\nbodys = "full"\n', 2, "unknown setting 'bodys'", "bodies"),
        ('[log]\nbodies = "all"\n', 2, "'bodies' cannot be 'all'", "off, hash, redacted, full"),
        ("[editor]\ncalls_per_day = -3\n", 2, "cannot be -3", "whole number"),
        ("[editor]\noutput_tokens = true\n", 2, "cannot be True", "whole number"),
        ('[monitor]\n\nwindow = "2h"\n', 3, "cannot be '2h'", "5m, 1h"),
        ("[profiles.a]\nbase_url = 5\n", 2, "cannot be 5", "string"),
        ('[profiles.a]\nmodels = "gpt-4o"\napi_key_env = "K"\n', 2, "cannot be 'gpt-4o'", "list of strings"),
        ('[profiles]\na = "b"\n', 2, "cannot be 'b'", "table"),
        ('profile = "nobody"\n', 1, "no profile 'nobody'", "none"),
        ("theme = 3\n", 1, "cannot be 3", "string"),
        ('[profile.private]\nbase_url = "http://a/v1"\n', 1, "'profile' is not a table", "[profiles.private]"),
        ('profiles.a.base_url = "ftp://a"\n', 1, "cannot be 'ftp://a'", "http://HOST/v1"),
        ('[profiles.a]\nbase_url = "127.0.0.1:80/v1"\n', 2, "cannot be '127.0.0.1:80/v1'", "http://HOST/v1"),
        ('[profiles.a]\nBase-URL = "http://a"\napi_key_env = "K"\n', 2, "unknown setting 'Base-URL'", "'base_url'"),
        ('[profiles.a]\nmodels = ["m"]\n', 1, "no base_url and no key", "base_url"),
        (
            '[profiles.a]\napi_key_env = "sk-1-2"\nbase_url = "http://a"\n',
            2,
            "'api_key_env' cannot be that",
            "name of an environment",
        ),
        ('[cache]\nredis = "localhost"\n', 2, "'redis' cannot be that", "redis://"),
        ("[playground]\ntemperature = 3\n", 2, "cannot be 3", "from 0 to 2"),
        ('x = """\n[log]\n"""\n[log]\nbodis = 1\n', 5, "unknown setting 'bodis'", "bodies"),
    ],
)
def test_a_mistake_is_named_with_line_and_remedy_and_the_rest_is_used(
    tmp_path: Path, text: str, line: int, cause: str, remedy: str
) -> None:
    found = settings.load(write(tmp_path, text), {})
    problem = found.problems[-1]
    assert problem.line == line
    assert "sk-1-2" not in str(problem)
    assert cause in problem.cause
    assert remedy in problem.remedy
    assert found.log.bodies == "off"
    assert found.active_profile().base_url.startswith("http")


def test_what_sends_is_refused_while_a_mistake_stands(tmp_path: Path) -> None:
    text = 'profile = "privat"\n[profiles.private]\nbase_url = "http://127.0.0.1:1/v1"\n[lgo]\n'
    found = settings.load(write(tmp_path, text), {"OPENAI_API_KEY": "k"})
    with pytest.raises(UsageError, match=r"config\.toml:4: unknown setting 'lgo'") as raised:
        found.require_valid()
    assert "'log'" in raised.value.remedy
    assert "1 more" in raised.value.remedy
    assert "'private'" in found.problems[1].remedy
    settings.load(write(tmp_path, '\ufeff[log]\npath = "x.db"\n'), {}).require_valid()


def test_a_profile_of_the_file_stands_before_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, '[profiles.mine]\nbase_url = "http://127.0.0.1:1/v1"\n')
    environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:2/v1"}
    assert settings.load(path, environ).active_profile().name == "mine"
    assert settings.load(write(tmp_path, "[log]\n"), environ).active_profile().name == "env"
    wrong = {"OPENAI_BASE_URL": "localhost:1/v1"}
    (problem,) = settings.load(path, wrong).problems
    assert "$OPENAI_BASE_URL" in str(problem)
    path = write(tmp_path, '[profiles.mine]\nbase_url = "http://127.0.0.1:1/v1"\n')
    assert settings.load(path, wrong).problems == ()


def test_the_log_s_path_and_anthropic_s_address_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path, '[log]\npath = "~/mine.db"\n[profiles.c]\napi = "anthropic"\napi_key_env = "K"\n')
    found = settings.load(path, {})
    assert found.problems == ()
    assert found.log_path() == Path.home() / "mine.db"
    assert found.active_profile().base_url == settings.ANTHROPIC_URL


def test_a_file_that_is_no_utf8_and_a_folder_are_reported(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"\xff\xfe")
    for path in (bad, tmp_path):
        (problem,) = settings.load(path, {}).problems
        assert "cannot be read" in problem.cause


def test_a_key_command_yields_its_first_line_and_its_failure_is_clear() -> None:
    assert settings.Profile(name="p", api_key_command="printf 'sk-1\\nnote'").api_key({}) == "sk-1"
    with pytest.raises(PromptopError, match="key command of profile 'p' failed") as caught:
        settings.Profile(name="p", api_key_command="false").api_key({})
    assert "Run it by hand: false" in str(caught.value)


def test_a_missing_key_variable_names_it() -> None:
    with pytest.raises(PromptopError, match=r"\$THE_KEY, which is not set"):
        settings.Profile(name="p", api_key_env="THE_KEY").api_key({})
