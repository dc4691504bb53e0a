"""Compile the price table of the installed genai-prices into store/promptop/models/snapshot.json.gz.

    python tools/compile_prices.py [--check]

Rows are priced inside other people's services, where genai-prices (pydantic, an HTTP client, 0.25 s) must not be
loaded; so its table is translated once, here, into JSON that the standard library reads in a few milliseconds. Kept
are the prices of what an answer reports: input, output, cached input read and written (for minutes or an hour),
reasoning and citations, audio, images and video, searches, characters and hours of audio, the fee of a request; prices
of pages are left out. A context window that a provider's own row leaves out is taken from OpenRouter's row of the same
model. What genai-prices does not list and OpenAI publishes, fine-tunes, stands in ``FINE_TUNED``.

``--check`` writes nothing and fails if the snapshot is not the one that the installed genai-prices gives (CI).

The table's date is that of the newest dated price that has come into force by the day of compiling: genai-prices states
no date of its own, and its table is at least as recent as that.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import json
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from genai_prices.data import providers
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ModelPrice,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

SNAPSHOT = Path(__file__).parent.parent / "store" / "promptop" / "models" / "snapshot.json.gz"
KEPT = {
    "input_mtok": "i",
    "output_mtok": "o",
    "cache_read_mtok": "r",
    "cache_write_mtok": "w",
    "output_reasoning_mtok": "t",
    "requests_kcount": "q",
    "cache_write_1h_mtok": "h",
    "output_citation_mtok": "c",
    "input_audio_mtok": "ia",
    "input_image_mtok": "ii",
    "input_video_mtok": "iv",
    "cache_audio_read_mtok": "ra",
    "cache_image_read_mtok": "ri",
    "output_audio_mtok": "oa",
    "output_image_mtok": "oi",
    "output_video_mtok": "ov",
    "web_searches_kcount": "s",
    "storage_searches_kcount": "f",
    "input_mchars": "x",
    "input_audio_hours": "a",
}
FINE_TUNED = {
    "ft:gpt-4.1": {"i": "3", "o": "12", "r": "0.75"},
    "ft:gpt-4.1-mini": {"i": "0.8", "o": "3.2", "r": "0.2"},
    "ft:gpt-4.1-nano": {"i": "0.2", "o": "0.8", "r": "0.05"},
    "ft:o4-mini": {"i": "4", "o": "16", "r": "1"},
}
"""OpenAI's models that were fine-tuned, USD a million tokens (its price page)."""


def clause(logic: Any) -> list[Any]:
    """Translate a match clause: [operator, operand]."""
    match logic:
        case ClauseEquals(equals=text):
            return ["=", text.lower()]
        case ClauseStartsWith(starts_with=text):
            return ["^", text.lower()]
        case ClauseEndsWith(ends_with=text):
            return ["$", text.lower()]
        case ClauseContains(contains=text):
            return ["~", text.lower()]
        case ClauseRegex(regex=text):
            return ["/", text]
        case ClauseOr(or_=parts):
            return ["|", [clause(part) for part in parts]]
        case ClauseAnd(and_=parts):
            return ["&", [clause(part) for part in parts]]
    raise SystemExit(f"unknown clause {logic!r}")


def amount(price: Decimal | TieredPrices) -> Any:
    """Translate a price: a string, or [base, [more tokens than this, price], …]."""
    if isinstance(price, TieredPrices):
        return [str(price.base), *([tier.start, str(tier.price)] for tier in price.tiers)]
    return str(price)


def amounts(prices: ModelPrice) -> dict[str, Any]:
    """Translate the kept prices of a model."""
    return {short: amount(value) for key, short in KEPT.items() if (value := getattr(prices, key)) is not None}


def constraint(limit: Any) -> Any:
    """Translate a constraint: null, a date from which it holds, or [start, end] of the day, UTC."""
    match limit:
        case None:
            return None
        case StartDateConstraint(start_date=start):
            return start.isoformat()
        case TimeOfDateConstraint(start_time=start, end_time=end):
            clocks = [datetime.combine(date(2000, 1, 1), clock, clock.tzinfo or UTC) for clock in (start, end)]
            return [clock.astimezone(UTC).strftime("%H:%M:%S") for clock in clocks]
    raise SystemExit(f"unknown constraint {limit!r}")


def compiled(today: date) -> dict[str, Any]:
    """Return the whole table."""
    starts: set[date] = set()
    routed = next(provider for provider in providers if provider.id == "openrouter")
    windows = {model.id.rpartition("/")[2].lower(): model.context_window for model in routed.models}
    table: list[dict[str, Any]] = []
    for provider in providers:
        models = []
        for model in provider.models:
            dated = model.prices if isinstance(model.prices, list) else None
            prices = [[constraint(p.constraint), amounts(p.prices)] for p in dated] if dated else None
            if prices is None:
                prices = [[None, amounts(model.prices)]] if isinstance(model.prices, ModelPrice) else []
            entry: dict[str, Any] = {"id": model.id, "match": clause(model.match), "prices": prices}
            if model.name:
                entry["name"] = model.name
            if window := model.context_window or windows.get(model.id.rpartition("/")[2].lower()):
                entry["window"] = window
            if model.deprecated:
                entry["deprecated"] = 1
            if model.price_variants:
                entry["variants"] = [
                    [v.when, constraint(v.constraint), amounts(v.prices)] for v in model.price_variants
                ]
            limits = [p.constraint for p in dated or ()] + [v.constraint for v in model.price_variants or ()]
            starts.update(limit.start_date for limit in limits if isinstance(limit, StartDateConstraint))
            models.append(entry)
        if provider.id == "openai":
            listed = {entry["id"] for entry in models}
            models += [
                {
                    "id": name,
                    "match": ["|", [["=", name], ["^", f"{name}:"], ["^", f"{name}-20"]]],
                    "prices": [[None, kept]],
                }
                for name, kept in FINE_TUNED.items()
                if name not in listed
            ]
        row: dict[str, Any] = {"id": provider.id, "name": provider.name, "api": provider.api_pattern, "models": models}
        if provider.model_match:
            row["model"] = clause(provider.model_match)
        if provider.provider_match:
            row["provider"] = clause(provider.provider_match)
        if provider.fallback_model_providers:
            row["fallback"] = provider.fallback_model_providers
        table.append(row)
    return {
        "source": f"genai-prices {importlib.metadata.version('genai-prices')}",
        "as_of": max(start for start in starts if start <= today).isoformat(),
        "providers": table,
    }


def main(arguments: list[str]) -> int:
    """Write or check the snapshot."""
    parser = argparse.ArgumentParser(description="Compile the price table.")
    parser.add_argument("--check", action="store_true", help="fail if the snapshot is not current")
    options = parser.parse_args(arguments)
    table = compiled(datetime.now(UTC).date())
    if options.check:
        shipped = json.loads(gzip.decompress(SNAPSHOT.read_bytes()))
        table["as_of"] = shipped["as_of"]  # it moves with the day of compiling alone
        if shipped != table:
            sys.stderr.write("snapshot.json.gz is not what the installed genai-prices gives: compile it again\n")
            return 1
        return 0
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
    SNAPSHOT.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    sys.stdout.write(f"{table['source']}, as of {table['as_of']}: {len(text)} → {SNAPSHOT.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
