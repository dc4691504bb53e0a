"""Names, traits and the user's own prices.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptop.models import families, find, overrides, price, search, suggest, watch_list


@pytest.mark.parametrize(
    ("name", "model", "provider"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o", "openai"),
        ("GPT-4o", "gpt-4o", "openai"),
        ("openai/gpt-4o", "gpt-4o", "openai"),
        ("openrouter/openai/gpt-4o", "openai/gpt-4o", "openrouter"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro", "google"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5", "anthropic"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "regional.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws"),
        ("ft:gpt-4o-mini-2024-07-18:acme::x1", "ft:gpt-4o-mini", "openai"),
        ("gpt-5.4-2026-03-05", "gpt-5.4", "openai"),
        ("text-embedding-3-small", "text-embedding-3-small", "openai"),
    ],
)
def test_a_name_means_a_model(name: str, model: str, provider: str) -> None:
    found = find(name)
    assert found is not None
    assert (found.id, found.provider) == (model, provider)
    assert found.prices is not None


@pytest.mark.parametrize(
    ("name", "encoding", "kind"),
    [
        ("gpt-4o-mini", "o200k_base", "exact"),
        ("o1", "o200k_base", "exact"),
        ("o3-mini", "o200k_base", "exact"),
        ("gpt-4.1-nano", "o200k_base", "exact"),
        ("gpt-5.2", "o200k_base", "exact"),
        ("gpt-oss-120b", "o200k_harmony", "exact"),
        ("openai/gpt-oss-20b", "o200k_harmony", "exact"),
        ("gpt-4", "cl100k_base", "exact"),
        ("gpt-4-turbo", "cl100k_base", "exact"),
        ("gpt-3.5-turbo-0125", "cl100k_base", "exact"),
        ("text-davinci-003", "p50k_base", "exact"),
        ("davinci", "r50k_base", "exact"),
        ("ft:gpt-4o-2024-08-06:org::abc", "o200k_base", "exact"),
        ("gpt-6-sol", "o200k_base", "estimated"),
        ("claude-opus-4-8", "o200k_base", "estimated"),
        ("gemini-2.5-pro", "o200k_base", "estimated"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen", "exact"),
        ("qwen3:8b", "qwen", "exact"),
        ("qwen3-max", "o200k_base", "estimated"),
        ("qwen3.5-plus", "o200k_base", "estimated"),
        ("deepseek-ai/DeepSeek-V3", "deepseek", "exact"),
        ("deepseek-r1", "deepseek", "exact"),
        ("llama-2-70b", "o200k_base", "estimated"),
        ("deepseek-r1-distill-qwen-32b", "qwen", "exact"),
        ("deepseek-chat", "o200k_base", "estimated"),
        ("mistral-nemo", "tekken", "exact"),
        ("mistral-large-latest", "o200k_base", "estimated"),
    ],
)
def test_a_tokenizer_is_called_exact_only_where_it_is_known(name: str, encoding: str, kind: str) -> None:
    found = find(name)
    assert found is not None
    assert (found.encoding, found.count_kind) == (encoding, kind)


@pytest.mark.parametrize(("extra", "told"), [(True, ("llama3", "exact")), (False, ("o200k_base", "estimated"))])
def test_llama_is_exact_with_the_extra_only(
    extra: bool, told: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(families, "has_extra", lambda: extra)
    for name in ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.3-70b-versatile", "deepseek-r1-distill-llama-70b"):
        families.traits.cache_clear()
        found = find(name)
        assert found is not None
        assert (found.encoding, found.count_kind, found.family) == (*told, "llama")
    families.traits.cache_clear()


def test_claudes_two_tokenizers_are_told_apart() -> None:
    old = (
        "claude-3-5-sonnet-20241022",
        "claude-sonnet-4-20250514",
        "claude-opus-4-1",
        "claude-opus-4-6",
        "claude-haiku-4-5",
    )
    new = ("claude-opus-4-7", "claude-opus-4-8", "claude-sonnet-5", "claude-opus-5-5", "claude-haiku-5-5")
    assert {getattr(find(name), "family", None) for name in old} == {"claude-4"}
    assert {getattr(find(name), "family", None) for name in new} == {"claude"}


def test_what_nobody_knows_is_none_with_a_suggestion() -> None:
    assert find("no-such-model") is None
    assert "gpt-4o" in suggest("gpt4o")


def test_a_model_may_be_known_without_a_price() -> None:
    found = find("llama3.1:8b", "ollama")
    assert found is not None
    assert (found.family, found.prices, found.provider) == ("llama", None, "")


def test_parameters() -> None:
    def takes(name: str, parameter: str) -> bool | None:
        found = find(name)
        assert found is not None
        return found.takes(parameter)

    for name in ("o1", "o3-mini", "o4-mini", "gpt-5"):
        assert takes(name, "temperature") is False
        assert takes(name, "max_tokens") is False
        assert takes(name, "max_completion_tokens") is True
    assert takes("o3", "stop") is False
    assert takes("o4-mini", "stop") is False
    assert takes("gpt-4o-mini", "temperature") is True
    assert takes("gpt-4o", "seed") is True
    assert takes("gpt-4o", "reasoning_effort") is False
    assert takes("claude-opus-5-5", "seed") is False
    assert takes("gpt-5.2", "temperature") is None
    assert takes("llama3.1:8b", "temperature") is None


def test_the_watch_list_is_known_and_priced() -> None:
    names = watch_list()
    assert {"gpt-4o-mini", "gpt-4o", "gpt-4-turbo", "o1"} <= set(names)
    for name in names:
        found = find(name)
        assert found is not None
        assert found.prices is not None, name
        assert found.context_window, name
        assert not found.deprecated, name


def test_search_finds_every_word() -> None:
    found = search("4o mini", "openai")
    assert "gpt-4o-mini" in {model.id for model in found}
    assert all("4o" in model.id and "mini" in model.id for model in found)
    assert len(search()) > 2_000


# prices.toml


@pytest.fixture
def prices_toml(private_folders: Path) -> Path:
    path = private_folders / "config" / "prices.toml"
    path.parent.mkdir(parents=True)
    return path


def test_the_users_prices_come_before_the_table(prices_toml: Path) -> None:
    assert price("my-model", input_tokens=1000, output_tokens=500).usd is None
    prices_toml.write_text(
        '[models."My-Model"]\ninput = 0.1\noutput = 0.3\ncache_read = 0.01\ncontext_window = 32768\nmax_output = 999\n'
        'encoding = "cl100k_base"\ncount_kind = "exact"\n[models."gpt-4o"]\ninput = 2\noutput = 8\n'
    )
    found = price("my-model", input_tokens=1000, output_tokens=500, cache_read=500)
    assert (found.usd, found.status, found.model) == (0.000205, "table", "my-model")
    assert price("gpt-4o", input_tokens=1000, output_tokens=500).usd == 0.006
    model = find("my-model")
    assert model is not None
    assert (model.context_window, model.max_output, model.encoding, model.count_kind) == (
        32768,
        999,
        "cl100k_base",
        "exact",
    )
    assert model.overridden
    kept = find("gpt-4o")
    assert kept is not None
    assert (kept.context_window, kept.encoding) == (128_000, "o200k_base")
    assert search("my-model")[0].id == "my-model"
    prices_toml.unlink()
    assert price("gpt-4o", input_tokens=1000, output_tokens=500).usd == 0.0075  # seen without a restart


def test_aliases_and_azure_deployments(prices_toml: Path) -> None:
    prices_toml.write_text('[aliases]\n"prod-chat" = "gpt-4o-mini"\n[azure]\n"chat-east" = "gpt-4o"\n')
    assert price("prod-chat", input_tokens=1000, output_tokens=500).usd == 0.00045
    assert price("chat-east", input_tokens=1000, output_tokens=500, provider="azure.ai.openai").usd == 0.0075
    assert price("chat-east", input_tokens=1000, output_tokens=500).usd is None
    model = find("prod-chat")
    assert model is not None
    assert model.encoding == "o200k_base"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[models", "cannot be read"),
        ("[modles]\n", "unknown table [modles]"),
        ("models.x = 3\n", "must be a table"),
        ('[models.x]\ninput = "cheap"\n', "input cannot be 'cheap'"),
        ("[models.x]\ninput = -1\n", "input cannot be -1"),
        ("[models.x]\ninput = nan\n", "input cannot be"),
        ("[models.x]\ncontext_window = 1.5\n", "context_window cannot be"),
        ('[models.x]\nencoding = "o300k"\n', "encoding cannot be"),
        ("[models.x]\nprice = 1\n", "unknown key 'price'"),
        ("[aliases]\nx = 3\n", "must be the name of a model"),
        ("aliases = 3\n", "must be a table"),
    ],
)
def test_a_mistake_is_told_and_the_rest_holds(prices_toml: Path, text: str, told: str) -> None:
    prices_toml.write_text(f"{text}\n[models.good]\ninput = 1\noutput = 1\n")
    assert any(told in problem for problem in overrides.current().problems)
    if told != "cannot be read":
        assert price("good", input_tokens=1000, output_tokens=1000).usd == 0.002


def test_a_file_that_is_not_utf8_is_told(prices_toml: Path) -> None:
    prices_toml.write_bytes(b"\xff\xfe")
    assert "cannot be read" in overrides.current().problems[0]
    assert price("gpt-4o", input_tokens=1000, output_tokens=500).usd == 0.0075
