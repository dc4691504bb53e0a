"""What the models panel shows, worked out without a widget: counts, shares, cost, change.

A figure is *exact* (``=``) or *estimated* (``≈``); a count that is older than the text is an estimate of it. An
unpriced model costs ``n/a``, never nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from promptop.base import units

if TYPE_CHECKING:
    from promptop.models import Model
    from promptop.prompts.proof import Proof
    from promptop.prompts.receipt import Receipt
    from promptop.tokens.scripts import Chars

DAYS_A_MONTH = 30


@dataclass(frozen=True, slots=True)
class UsageAssumptions:
    """What the user expects of the calls."""

    output_tokens: int
    calls_per_day: float
    budget_tokens: int = 0
    """Tokens that the prompt may have; 0 is not a budget."""


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model's line."""

    model: str
    tokens: int
    is_exact: bool
    window_share: float | None
    """Tokens and expected output over the context window, 0 … 1; None if the window is not known."""
    usd_per_call: float | None
    usd_per_month: float | None
    baseline: int | None
    """Tokens of the baseline."""

    error: float | None = None
    """Half the measured interval of an estimate relative to the count (0.016 is ±1.6%); None where none is known."""
    is_estimate: bool = False
    """Whether the model's tokenizer is not known; a count that the text has left behind is none."""
    usd_per_token: float | None = None
    """Price of one more input token of a call; None if unpriced."""

    @property
    def usd_change(self) -> float | None:
        """What the change against the baseline comes to, dollars a call; None without a baseline or price."""
        if self.baseline is None or self.usd_per_token is None:
            return None
        return (self.tokens - self.baseline) * self.usd_per_token

    @property
    def change(self) -> float | None:
        """Change of tokens against the baseline, −1 …; None without one."""
        return self.tokens / self.baseline - 1 if self.baseline else None


@dataclass(frozen=True, slots=True)
class Reading:
    """Counts as they were last told, and whether the text has moved on since."""

    counts: Mapping[str, int]
    """Encoding → tokens."""
    chars: Chars
    is_current: bool
    tools: Mapping[str, int] = field(default_factory=dict)
    """Model → tokens of the tools, by what is known of how the model is told of them; none where there are no tools."""


def guess(chars: Chars) -> float:
    """Return about how many o200k tokens so many characters are, for the moment before the first count."""
    latin, cjk, code, other = chars
    return latin / 4.4 + cjk / 1.4 + code / 2.2 + other / 2


def figures(
    models: Sequence[tuple[str, Model | None]], reading: Reading, demand: UsageAssumptions, baseline: Mapping[str, int]
) -> tuple[ModelLine, ...]:
    """Work out the lines for ``models`` (the name that is watched, what the catalogue knows of it)."""
    from promptop.models import price
    from promptop.tokens import for_model

    lines = []
    for name, model in models:
        count = for_model(name, reading.counts, reading.chars)
        tools = reading.tools.get(name, 0)
        tokens = count.tokens + tools
        usd = price(name, input_tokens=tokens, output_tokens=demand.output_tokens).usd
        without = price(name, input_tokens=0, output_tokens=demand.output_tokens).usd
        window = model.context_window if model is not None else None
        lines.append(
            ModelLine(
                model=name,
                tokens=tokens,
                is_exact=count.kind == "exact" and reading.is_current and not tools,
                window_share=(tokens + demand.output_tokens) / window if window else None,
                usd_per_call=usd,
                usd_per_month=None if usd is None else usd * demand.calls_per_day * DAYS_A_MONTH,
                baseline=baseline.get(name),
                error=count.error if count.kind == "estimated" and not tools else None,
                is_estimate=count.kind == "estimated" or tools > 0,
                usd_per_token=(usd - without) / tokens if usd is not None and without is not None and tokens else None,
            )
        )
    return tuple(lines)


def margin(error: float | None) -> str:
    """Write how far an estimate may be off: ±1.6%, ±12%; an empty string for None."""
    if not error:
        return ""
    return f"±{error:.1%}" if error < 0.0995 else f"±{error:.0%}"


def receipt_of(figure: ModelLine, rules: Mapping[str, int], proof: Proof | None = None) -> Receipt | None:
    """Return the receipt of a trimming since the baseline; None if no change of a rule is left and none is proven."""
    from promptop.prompts.receipt import Receipt

    if not (rules or proof) or figure.baseline is None:
        return None
    price = figure.usd_per_token
    return Receipt(
        model=figure.model,
        kind="exact" if figure.is_exact else "estimated",
        tokens_before=figure.baseline,
        tokens_after=figure.tokens,
        usd_before=None if price is None else round(price * figure.baseline, 12),
        usd_after=None if price is None else round(price * figure.tokens, 12),
        rules=rules,
        proof=proof,
    )


def usd(amount: float | None) -> str:
    """Write dollars as :func:`dollars` does, with the second currency behind if there is one; n/a for None."""
    return dollars(amount) + units.also(amount or None)


def dollars(amount: float | None) -> str:
    """Write dollars with two significant digits below one cent, in nine cells at most up to $9,999,999; n/a for None.

    $0.000031, $3.1e-06, $0.012, $1.23, $12,345.
    """
    if amount is None:
        return "n/a"
    if amount == 0:
        return "$0"
    if abs(amount) < 0.00001:
        return f"${amount:.1e}"
    digits = max(2, 1 - math.floor(math.log10(abs(amount)))) if abs(amount) < 1000 else 0
    return f"${amount:,.{digits}f}"


def share(part: float | None) -> str:
    """Write a share of the window: <0.01%, 0.96%, 12%, n/a."""
    if part is None:
        return "n/a"
    percent = part * 100
    if 0 < percent < 0.01:
        return "<0.01%"
    return f"{percent:.2f}%" if percent < 10 else f"{percent:.0f}%"


def signed_percent(change: float | None) -> str:
    """Write a change with its sign: −12.3%, +4%, ±0; an empty string for None."""
    if change is None:
        return ""
    percent = change * 100
    if abs(percent) < 0.05:
        return "±0%"
    sign = "−" if percent < 0 else "+"
    return f"{sign}{abs(percent):.1f}%" if abs(percent) < 99.95 else f"{sign}{abs(percent):.0f}%"


def bar(used: int, budget: int, width: int) -> str:
    """Draw how much of a budget is used, in cells of eighths; full when it is exceeded."""
    filled = min(1.0, used / budget) * width * 8
    whole, rest = divmod(round(filled), 8)
    return ("█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width, "░")
