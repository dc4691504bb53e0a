"""Prices: the compiled snapshot against genai-prices itself, and the rules that are ours."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from genai_prices import Usage
from genai_prices.data import providers
from genai_prices.types import ModelPrice

from promptop.log import Row
from promptop.log.write.row_pricing import price_row
from promptop.models import as_of, find, price, pricing, snapshot, usd_text
from promptop.models.names import near

ROOT = Path(__file__).parents[3]
MOMENTS = (
    datetime(2025, 3, 1, 2, 0, tzinfo=UTC),  # off-peak and peak hours, before and after dated prices
    datetime(2026, 11, 21, 8, 0, tzinfo=UTC),
    datetime(2026, 11, 21, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2027, 2, 1, 6, 0, tzinfo=UTC),
)
CALLS = ((1000, 500, 0, 0), (300_000, 2_000, 120_000, 0), (150_000, 1, 100, 50), (7, 0, 0, 0))
KEPT = {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok", "requests_kcount"}


FINE_TUNED = {"ft:gpt-4.1", "ft:gpt-4.1-mini", "ft:gpt-4.1-nano", "ft:o4-mini"}
"""What tools/compile_prices.py adds to genai-prices."""


def priced_at(prices: ModelPrice, call: tuple[int, int, int, int]) -> float | None:
    """Return genai-prices' cost, None where what it prices is not what a log row knows, or a count has no price."""
    keys = {key for key, value in prices.__dict__.items() if value is not None}
    inputs, outputs, read, written = call
    if not keys & KEPT or (inputs and "input_mtok" not in keys) or (outputs and "output_mtok" not in keys):
        return None
    usage = Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_reasoning_tokens=0,
    )
    kept = ModelPrice(**{key: value for key, value in prices.__dict__.items() if key in KEPT})
    return float(kept.calc_price(usage)["total_price"])


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_every_model_costs_what_genai_prices_says(moment: datetime) -> None:
    """By the table's own rows, so that each of them is held, whatever name leads to it."""
    compared = 0
    rows = {row["id"]: row for row in snapshot.load().providers}
    for provider in providers:
        theirs_only = [row for row in rows[provider.id]["models"] if row["id"] not in FINE_TUNED]
        for model, row in zip(provider.models, theirs_only, strict=True):
            assert model.id == row["id"]
            contexts: list[dict[str, str] | None] = [None, *(variant.when for variant in model.price_variants or ())]
            for context in contexts:
                if not model.prices:
                    assert snapshot.prices_at(row, moment, context) == {}
                    continue
                theirs = model.get_prices(moment, context)
                for call in CALLS:
                    assert _ours(row, moment, context, call) == priced_at(theirs, call), (
                        provider.id,
                        model.id,
                        context,
                    )
                    compared += 1
    assert compared > 9_000


def _ours(
    row: snapshot.Row, moment: datetime, context: dict[str, str] | None, call: tuple[int, int, int, int]
) -> float | None:
    prices = snapshot.prices_at(row, moment, context)
    total = pricing._total(prices, (*call, 0), {}, str(row["id"])) if prices else None
    return None if total is None else float(total)


def test_names_lead_where_genai_prices_leads() -> None:
    """Every id of every provider, asked for at that provider and, where the table knows whose it is, without one."""
    from genai_prices.data_snapshot import get_snapshot

    theirs = get_snapshot()
    compared = 0
    for provider in providers:
        for model in provider.models:
            expected = provider.find_model(model.id, all_providers=providers)
            if provider.id != "openai" and expected is not None:
                found = snapshot.locate(model.id, provider.id)
                assert (found[1]["id"] if found else None) == expected.id, (
                    provider.id,
                    model.id,
                )
                compared += 1
    for name in (
        "gpt-4o-2024-08-06",
        "gpt-5.2-20251211",
        "claude-sonnet-4-5-20250929",
        "gemini-2.5-pro",
        "o3-mini",
        "grok-4.7",
    ):
        provider, model = theirs.find_provider_model(name, None, None, None)
        found = snapshot.locate(name)
        assert found is not None
        assert (found[0]["id"], found[1]["id"]) == (provider.id, model.id)
    assert compared > 2_000


def test_the_snapshot_is_that_of_the_installed_table() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "compile_prices.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("model", "usd"), [("gpt-4o-mini", 0.00045), ("gpt-4o", 0.0075), ("gpt-4-turbo", 0.025), ("o1", 0.045)]
)
def test_a_thousand_in_and_five_hundred_out(model: str, usd: float) -> None:
    found = price(model, input_tokens=1000, output_tokens=500)
    assert (found.usd, found.status, found.model, found.as_of) == (usd, "table", model, as_of())


def test_an_unknown_model_is_unpriced_and_never_free() -> None:
    found = price("no-such-model", input_tokens=1000, output_tokens=500)
    assert (found.usd, found.status, found.model) == (None, "unpriced", None)


def test_the_first_candidate_that_has_a_price_is_taken() -> None:
    found = price(["mystery-1", None, "", "gpt-4o-mini"], input_tokens=1000, output_tokens=500)
    assert (found.usd, found.model) == (0.00045, "gpt-4o-mini")
    assert price(["gpt-4o-2024-05-13", "gpt-4o"], input_tokens=1000, output_tokens=0).usd == 0.005


def test_cached_tokens_leave_the_input_that_they_are_part_of() -> None:
    assert price("gpt-4o", input_tokens=1000, output_tokens=0, cache_read=400).usd == 0.0020  # 600 · 2.5 + 400 · 1.25
    assert price("gpt-4-turbo", input_tokens=1000, output_tokens=0, cache_read=400).usd == 0.01  # no cache price: input
    claude = price("claude-3-haiku-20240307", input_tokens=1000, output_tokens=0, cache_read=100, cache_write=200)
    assert claude.usd == pytest.approx((700 * 0.25 + 100 * 0.03 + 200 * 0.3) / 1e6, rel=1e-12)


def test_counts_that_cannot_be_are_unpriced() -> None:
    assert price("gpt-4o", input_tokens=10, output_tokens=0, cache_read=11).usd is None
    assert price("gpt-4o", input_tokens=None, output_tokens=None).usd is None
    assert price("gpt-4o", input_tokens=10, output_tokens=None).usd is None
    assert price("text-embedding-3-small", input_tokens=1_000_000, output_tokens=None).usd == 0.02
    assert price("text-embedding-3-small", input_tokens=10, output_tokens=5).usd is None


def test_a_tier_applies_to_all_tokens_once_it_is_passed() -> None:
    at, above = (price("gemini-2.5-pro", input_tokens=tokens, output_tokens=0).usd for tokens in (200_000, 200_001))
    assert at == 0.25
    assert above == pytest.approx(200_001 * 2.5 / 1e6, rel=1e-12)


def test_the_time_of_the_call_chooses_the_price() -> None:
    def at(hour: int) -> float | None:
        moment = datetime(2025, 6, 1, hour, tzinfo=UTC)
        return price("deepseek-chat", input_tokens=1_000_000, output_tokens=0, at_ms=int(moment.timestamp() * 1000)).usd

    peak, off_peak = at(5), at(17)
    assert peak is not None
    assert off_peak is not None
    assert {peak, off_peak} == {0.27, 0.135}


def test_the_service_tier_chooses_a_variant() -> None:
    plain = price("gpt-5", input_tokens=1_000_000, output_tokens=0).usd
    flex = price("gpt-5", input_tokens=1_000_000, output_tokens=0, context={"service_tier": "flex"}).usd
    assert (plain, flex) == (1.25, 0.625)


def test_sums_are_not_rounded() -> None:
    assert price("gpt-4o-mini", input_tokens=1, output_tokens=1).usd == 0.00000075
    assert price("gpt-4o-mini", input_tokens=333_333, output_tokens=1).usd == 0.05000055


@pytest.mark.parametrize("provider", ["ollama", "vllm", "llama.cpp"])
def test_what_runs_on_ones_own_machine_has_no_price(provider: str) -> None:
    assert price("gpt-4o", input_tokens=1, output_tokens=1, provider=provider).usd is None
    assert price("deepseek-r1:8b", input_tokens=1, output_tokens=1).usd is None


def test_names_of_the_telemetry_convention_are_understood() -> None:
    for provider in ("openai", "azure.ai.openai", "azure", None):
        assert price("gpt-4o", input_tokens=1000, output_tokens=0, provider=provider).usd == 0.0025
    assert price("gemini-2.5-pro", input_tokens=1000, output_tokens=0, provider="gcp.gemini").usd == 0.00125
    assert price("grok-3", input_tokens=1000, output_tokens=0, provider="x_ai").usd == 0.003


def test_a_model_is_not_priced_at_a_provider_that_does_not_have_it() -> None:
    assert price("gpt-4o", input_tokens=1, output_tokens=1, provider="groq").usd is None
    # every endpoint that speaks OpenAI's dialect calls itself openai
    assert price("deepseek-chat", input_tokens=1_000_000, output_tokens=0, provider="openai").usd is not None


def test_pricing_loads_the_standard_library_alone() -> None:
    code = (
        "import sys, promptop.models as m\n"
        "assert m.price('gpt-4o', input_tokens=1, output_tokens=1).usd\n"
        "bad = {'genai_prices', 'pydantic', 'httpx', 'httpx2', 'tiktoken', 'textual', 'openai'} & set(sys.modules)\n"
        "print(bad or 'light')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "light"


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0.00045, "$0.00045"),
        (0.0075, "$0.0075"),
        (0.025, "$0.025"),
        (12.5, "$12.50"),
        (1234.5, "$1,234.50"),
        (0.0, "$0.00"),
    ],
)
def test_dollars_are_written_without_exponent(usd: float, text: str) -> None:
    assert usd_text(usd) == text
    assert usd_text(None) == "n/a"
    assert usd_text(0.00000075) == "$0.00000075"


def test_a_row_is_priced_by_the_tier_that_served_it() -> None:
    costs = []
    for tier in (None, "default", "flex"):
        row = Row(
            started_ms=1_795_262_400_000,
            provider_name="openai",
            request_model="gpt-5",
            usage_input_tokens=1000,
            usage_output_tokens=500,
            response_service_tier=tier,
        )
        price_row(row)
        costs.append((row.cost_usd, row.cost_status))
    assert costs == [(0.00625, "table"), (0.00625, "table"), (0.003125, "table")]


def test_kinds_of_tokens_have_their_own_prices() -> None:
    claude = "claude-sonnet-4-5"
    hour = price(claude, input_tokens=100_010, output_tokens=2, cache_write=100_000, kinds={"cache_write_1h": 100_000})
    assert hour.usd == pytest.approx(0.60006)
    mixed = price(claude, input_tokens=100_000, output_tokens=0, cache_write=100_000, kinds={"cache_write_1h": 60_000})
    assert mixed.usd == pytest.approx(0.51)
    heard = price("gemini-2.5-flash", input_tokens=1_000_000, output_tokens=0, kinds={"input_audio": 1_000_000})
    assert heard.usd == pytest.approx(1.0)
    drawn = price("gemini-2.5-flash-image", input_tokens=10, output_tokens=1300, kinds={"output_image": 1290})
    assert drawn.usd == pytest.approx(0.038728)


def test_a_kind_without_a_price_is_not_priced_as_text() -> None:
    audio = price("gpt-4o-audio-preview", input_tokens=520, output_tokens=30, kinds={"input_audio": 500})
    assert (audio.usd, audio.status) == (None, "unpriced")
    image = price("gpt-4o", input_tokens=520, output_tokens=0, kinds={"input_image": 500})
    assert image.usd == pytest.approx(520 * 2.5 / 1e6)  # OpenAI charges images in a prompt as text


def test_what_is_no_token_is_charged_each() -> None:
    searched = price("claude-sonnet-4-5", input_tokens=0, output_tokens=1, kinds={"web_searches": 100})
    assert searched.usd == pytest.approx(1.000015)
    assert price("deepseek-chat", input_tokens=9, output_tokens=1, kinds={"web_searches": 1}).usd is None
    assert price("tts-1", input_tokens=None, output_tokens=None, kinds={"characters": 1000}).usd == 0.015
    assert price("whisper-1", input_tokens=None, output_tokens=None, kinds={"audio_seconds": 1800}).usd == 0.18
    assert price("gpt-4o", input_tokens=None, output_tokens=None, kinds={"characters": 1000}).usd is None


@pytest.mark.parametrize(
    ("name", "usd"),
    [
        ("vertex_ai/claude-sonnet-4@20250514", 18.0),
        ("azure_ai/gpt-4o", 12.5),
        ("azure/eu/gpt-4o-2024-08-06", 12.5),
        ("together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo", 1.76),
        ("fireworks_ai/accounts/fireworks/models/deepseek-v3", 1.8),
        ("openai:chat:gpt-4o", 12.5),
        ("openrouter/openai/gpt-4o:floor", 12.5),
        ("ft:gpt-4.1-mini-2025-04-14:acme:name:Ab12", 4.0),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0", 1.5),
        ("litellm_proxy/gpt-4o", 12.5),
    ],
)
def test_names_of_routers_and_clouds_lead_to_a_price(name: str, usd: float) -> None:
    assert price(name, input_tokens=1_000_000, output_tokens=1_000_000).usd == pytest.approx(usd)


@pytest.mark.parametrize("name", ["gpt-4oo", "gpt-5-mni", "gpt-4 o", "deepseek-chatt", "claude-sonet-4-5"])
def test_a_mistyped_name_has_no_price_and_no_exact_count(name: str) -> None:
    found = find(name)
    assert price(name, input_tokens=10, output_tokens=10).usd is None
    assert found is None or found.count_kind == "estimated"
    assert near(name)


@pytest.mark.parametrize(
    "name",
    ["gpt-4o", "azure/gpt-4o", "gpt-35-turbo", "GPT-4o", "gpt-4o-mini-2024-07-18", "o4-mini", "gpt-5.1-codex-max"],
)
def test_names_that_openai_gives_count_exactly(name: str) -> None:
    found = find(name)
    assert found is not None
    assert found.count_kind == "exact"
    assert near(name) == ()


def test_prices_change_at_whole_minutes_only() -> None:
    """What was looked up is kept by the minute."""
    models = [model for provider in snapshot.load().providers for model in provider["models"]]
    limits = [limit for model in models for limit, _ in model["prices"] or ()]
    limits += [limit for model in models for _, limit, _ in model.get("variants", ())]
    hours = [clock for limit in limits if isinstance(limit, list) for clock in limit]
    assert hours
    assert all(clock[5:].strip(":0.Z") == "" for clock in hours)
