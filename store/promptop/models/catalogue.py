"""What is known of a model, from the user's ``prices.toml``, the price table and the model's name, in that order."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from promptop.models import families, overrides, snapshot
from promptop.models.names import near

WATCH_LIST = (
    "gpt-6.1-sol",
    "gpt-6-luna",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "gemini-4-argon",
    "gemini-3.8-flash",
    "deepseek-v4-flash",
    "gpt-4o-mini",
    "gpt-4o",
    "gpt-4-turbo",
    "o1",
)


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens of a request of ordinary size at the moment of asking; None is not priced apart."""

    input: float | None
    output: float | None
    cache_read: float | None = None
    cache_write: float | None = None
    tiered: bool = False
    """Whether large inputs cost more."""


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model."""

    id: str
    provider: str
    """The table's name of the provider; empty where the table does not know the model."""
    name: str
    """Name for people."""
    family: str
    """Key of estimates and chat overhead: openai, claude, gemini, qwen, deepseek, mistral, llama, …; may be empty."""
    context_window: int | None
    max_output: int | None
    encoding: str
    """Tokenizer that is exact for it, or the one an estimate starts from."""
    count_kind: Literal["exact", "estimated"]
    prices: Rates | None
    """Today's rates; None if unpriced."""
    overridden: bool = False
    """Whether the user's ``prices.toml`` says something about it."""
    deprecated: bool = False

    def takes(self, parameter: str) -> bool | None:
        """Return whether the model accepts a request parameter (OpenAI's name for it); None if that is not known."""
        return families.takes(self.id, parameter)


def canonical(name: str, provider: str | None = None) -> str:
    """Return the name that the user's aliases and Azure deployments give to ``name``, or ``name`` itself."""
    known = overrides.current()
    key = name.lower().strip()
    if provider and provider.lower().startswith("azure") and key in known.azure:
        return known.azure[key]
    return known.aliases.get(key, name)


def find(name: str, provider: str | None = None) -> Model | None:
    """Return the model that ``name`` means, by the user's aliases or the table's rules; None if nothing is known of it.

    ``provider`` is the log's ``provider_name`` or the table's id. A model may be known without a price.
    """
    meant = canonical(name, provider)
    said = overrides.current().models.get(meant.lower().strip())
    located = snapshot.locate(meant, provider)
    told = families.traits(meant) or (families.traits(located[1]["id"]) if located else None)
    if said is None and located is None and told is None:
        return None
    model = _from_table(meant, located, told)
    if said is None:
        return model
    rates = model.prices
    if said.priced:
        values = [None if value is None else float(value) for value in rate_values(said)]
        rates = Rates(values[0], values[1], values[2], values[3])
    return replace(
        model,
        prices=rates,
        context_window=said.context_window or model.context_window,
        max_output=said.max_output or model.max_output,
        encoding=said.encoding or model.encoding,
        count_kind=said.count_kind or model.count_kind,
        overridden=True,
    )


def rate_values(said: overrides.Override) -> tuple[Decimal | None, ...]:
    """Return the four prices of an override in the order of :class:`Rates`."""
    return said.input, said.output, said.cache_read, said.cache_write


def _from_table(meant: str, located: tuple[snapshot.Row, snapshot.Row] | None, told: families.Traits | None) -> Model:
    unknown: tuple[snapshot.Row, snapshot.Row] = ({"id": ""}, {"id": meant})
    provider, row = located or unknown
    told = told or families.Traits("", "o200k_base", "estimated")
    return Model(
        id=row["id"],
        provider=provider["id"],
        name=row.get("name", row["id"]),
        family=told.family,
        context_window=row.get("window"),
        max_output=families.max_output(row["id"]) or families.max_output(meant),
        encoding=told.encoding,
        count_kind=told.kind,
        prices=_rates(row) if located else None,
        deprecated=bool(row.get("deprecated")),
    )


def _rates(row: snapshot.Row) -> Rates | None:
    prices = snapshot.prices_at(row, datetime.now(UTC))
    if "i" not in prices and "o" not in prices:
        return None

    def base(key: str) -> float | None:
        value: Any = prices.get(key)
        return None if value is None else float(value[0] if isinstance(value, list) else value)

    tiered = any(isinstance(value, list) for value in prices.values())
    return Rates(base("i"), base("o"), base("r"), base("w"), tiered)


_CHINESE = {
    **dict.fromkeys(("通义", "通义千问", "千问"), "qwen"),
    **dict.fromkeys(("智谱", "智谱清言", "清言"), "glm"),
    **dict.fromkeys(("月之暗面", "暗面"), "moonshot"),
    **dict.fromkeys(("深度求索", "深度"), "deepseek"),
    "豆包": "doubao",
    "文心": "ernie",
    "混元": "hunyuan",
    "百川": "baichuan",
    "星火": "spark",
    "阿里": "alibaba",
    "阿里云": "alibaba",
    "克劳德": "claude",
    "双子座": "gemini",
}
"""What models and providers are called in Chinese → a word of their ids."""


def search(text: str = "", provider: str | None = None) -> tuple[Model, ...]:
    """Return the models whose id, name or provider contain every word of ``text``, in the table's order.

    The user's own models and aliases come first.
    """
    words = [_CHINESE.get(word, word) for word in text.lower().split()]
    out = []
    known = overrides.current()
    for name in (*known.models, *known.aliases):
        model = find(name)
        if model is not None and provider is None and all(word in f"{name} {model.id}" for word in words):
            out.append(replace(model, id=name, overridden=True))
    wanted = snapshot.provider_row(provider) if provider else None
    for row in snapshot.load().providers:
        if provider and row is not wanted:
            continue
        for entry in row["models"]:
            hay = f"{row['id']} {row['name']} {entry['id']} {entry.get('name', '')}".lower()
            if all(word in hay for word in words):
                out.append(_from_table(entry["id"], (row, entry), families.traits(entry["id"])))
    return tuple(out)


def suggest(name: str, limit: int = 3) -> tuple[str, ...]:
    """Return ids of the table that look like ``name``, nearest first."""
    ids = {
        entry["id"].lower(): entry["id"]
        for row in snapshot.load().providers
        if "model" in row
        for entry in row["models"]
    }
    ids.update((own, own) for own in overrides.current().models)
    if slips := near(name, limit):
        return slips
    return tuple(ids[key] for key in difflib.get_close_matches(name.lower(), ids, n=limit, cutoff=0.6))


def watch_list() -> tuple[str, ...]:
    """Return the models whose counts and cost are shown when the user has chosen none."""
    return WATCH_LIST


def as_of() -> str:
    """Return the ISO date that the price table is current to."""
    return snapshot.load().as_of
