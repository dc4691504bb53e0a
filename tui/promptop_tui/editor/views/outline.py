"""What the draft is made of, under the models: its parts, the beginning that a provider can keep, its variables.

Read on a thread, counted in the worker process; a draft above :data:`LONGEST` characters is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.prompts import fill, parse
from promptop.prompts.complexity import THRESHOLDS, Complexity, read, recommended, score
from promptop.prompts.sections import CACHE_FLOOR, KINDS, Prefix, sections, stable_prefix
from promptop_tui.editor.views.model_figures import bar

if TYPE_CHECKING:
    from promptop.prompts import Prompt
    from promptop.trim.lint import Finding
    from promptop.trim.log_insights import Known

LONGEST = 200_000
_RULER = 10
_REMARKS = 4
_LINTED = 40_000


class LogState(Enum):
    """What asking the log about the prompt came to."""

    UNREAD = "not asked yet"
    UNKNOWN = "the log has no call of this prompt"
    KNOWN = "known"
    UNREADABLE = "it cannot be read (the monitor says why)"


@dataclass(frozen=True, slots=True)
class Outline:
    """A draft's parts as texts to be counted, and what is said of them with the counts."""

    texts: tuple[str, ...]
    """What is to be counted; empty for a draft without a word."""
    roles: tuple[str, ...]
    """Role of each of the first texts; none for a draft of one message."""
    kinds: tuple[str, ...]
    """Purpose of each of the texts behind them."""
    prefix_line: int
    """Line where the equal beginning ends, from 1."""
    volatile: str
    """What ends it; empty if nothing does."""
    warning: str
    """What lint says of text that changes before text that stays."""
    complexity: Complexity | None
    """How hard the task is; None for a draft without a word."""
    model: str
    """The model recommended for it; empty if none has a price."""
    variables: str
    """What is to be said of variables; the count goes before it if one was made."""
    is_filled: bool
    """Whether the last text is the prompt with variables filled in."""
    log: tuple[str, ...] = ()
    """What the log says of the prompt's answers, and what follows for max_tokens and stop."""
    lint: str = ""
    """Lint rules with the lines that they remark on, warnings first; empty if there is no remark."""
    is_known: bool = False
    """Whether the log knows the prompt."""


def outline(
    text: str,
    thresholds: Sequence[float] = THRESHOLDS,
    models: Sequence[str] = (),
    chosen: Sequence[str] = (),
    known: Known | None = None,
    says: LogState = LogState.UNREAD,
) -> Outline | None:
    """Read a draft; ``thresholds`` are those of the tiers, ``chosen`` their models, else some of ``models``.

    ``known`` is what the log knows of it, and ``says`` why that may be None. None is returned while the front matter
    cannot be read.
    """
    from promptop.trim.lint import lint

    try:
        prompt = parse(text)
        # All rules take 1 ms for each 1,000 characters, in which keys wait: a long draft is left to the command.
        remarks = lint(text) if len(text) <= _LINTED else lint(text, ["volatile-prefix"])
    except PromptopError:  # front matter that is being typed
        return None
    missing = [name for name in prompt.variables if name not in prompt.sample]
    filled = len(prompt.variables) - len(missing)
    variables = ""
    if filled:
        lacks = f", none for {', '.join(missing)}" if missing else ""
        variables = f"tokens with {filled} of {len(prompt.variables)} variables filled{lacks}"
    elif missing:
        variables = f"variables without sample values: {', '.join(missing)}"
    roles = [message.role for message in prompt.messages] if len(prompt.messages) > 1 else []
    texts = [message.content for message in prompt.messages] if roles else []
    found = sections(text, prompt) if text[prompt.body_start :].strip() else ()
    texts += [text[part.start : part.end] for part in found]
    prefix = stable_prefix(text, prompt) if found else Prefix(0, 0)
    texts += [text[prefix.start : prefix.end]] if found else []
    if filled:
        texts.append(text[: prompt.body_start] + fill(text[prompt.body_start :], prompt.sample))
    complexity = score(read(text[prompt.body_start :]), thresholds) if found else None
    return Outline(
        texts=tuple(texts),
        roles=tuple(roles),
        kinds=tuple(part.kind for part in found),
        prefix_line=text.count("\n", 0, prefix.end) + 1,
        volatile=prefix.volatile,
        warning=next((f"line {r.line}: {r.message}" for r in remarks if r.rule == "volatile-prefix"), ""),
        lint=_remarks(remarks) if found and len(text) <= _LINTED else "",
        complexity=complexity,
        model=recommended(complexity.tier, models, chosen) if complexity is not None else "",
        variables=variables,
        is_filled=bool(filled),
        log=log_lines(prompt, known, says) if found else (),
        is_known=known is not None,
    )


def told(found: Outline, tokens: Sequence[int], encoding: str, *, brief: bool) -> list[str]:
    """Return the lines for a draft and its counts; ``brief`` leaves out the totals by role if there are those by part.

    The cacheable beginning is a floor, not a promise: a provider counts in its own way and keeps it for minutes.
    """
    lines = []
    behind = len(found.roles)
    by_kind = _sum(found.kinds, tokens[behind:])
    by_role = _sum(found.roles, tokens)
    if len(by_role) > 1 and not brief:
        lines.append("by role  " + _totals(by_role))
    if by_kind:
        ordered = {kind: by_kind[kind] for kind in KINDS if kind in by_kind}
        lines.append("by part  " + _totals(ordered))
        lines.append(ruler(tokens[behind + len(found.kinds)], found.prefix_line, found.volatile))
    if not brief:
        lines += found.log
    elif found.is_known:
        lines += found.log[:1]
    if found.warning:
        lines.append("! " + clean_line(found.warning))
    if found.lint and not brief:
        lines.append(f"lint     {found.lint}")
    if found.complexity is not None:
        lines.append(advice(found.complexity, found.model))
    if found.variables:
        lines.append(f"{tokens[-1]:,} {encoding} {found.variables}" if found.is_filled else found.variables)
    if brief and not found.is_known:  # little room: what is not known comes last
        lines += found.log[:1]
    return lines


def _remarks(remarks: Sequence[Finding]) -> str:
    """Write rules and lines, warnings first: ``no-length-limit 1, vague-quantity 5 (hint)``."""
    ordered = sorted(remarks, key=lambda remark: remark.severity != "warning")
    shown = [f"{each.rule} {each.line}" + (" (hint)" if each.severity == "hint" else "") for each in ordered[:_REMARKS]]
    more = f", +{len(ordered) - _REMARKS}" if len(ordered) > _REMARKS else ""
    return ", ".join(shown) + more


def log_lines(prompt: Prompt, known: Known | None, says: LogState) -> tuple[str, ...]:
    """Write what the log knows: the answers' lengths, then the limit and the stop sequences that would fit them."""
    if says is LogState.UNREAD:
        return ()
    if known is None:
        return (f"log      unknown: {says.value}",)
    from promptop.client.request import show_stops
    from promptop.trim.log_insights import limit_advice, stop_advice

    marks = [(name, known.percentile(share)) for name, share in (("p50", 0.5), ("p99", 0.99))]
    sizes = " ".join(f"{name} {tokens:,}" for name, tokens in marks if tokens is not None) or "n/a"
    n = len(known.lengths) + len(known.cut)
    lines = [f"log      by {known.how}: {known.volume}/day · answers {sizes} tokens, n {n:,}"]
    limit = limit_advice(known, prompt.parameters.get("max_tokens"))
    if limit.tokens is None:
        lines.append(f"limit    {limit.reason}")
    else:
        lines.append(f"limit    max_tokens {limit.tokens:,}: {limit.reason}")
    stops = stop_advice(prompt, known)
    if not stops:
        none = f"none would end {len(known.answers):,} kept answers earlier"
        lines.append(f"stop     {none if known.answers else 'unknown: the log keeps no answers'}")
    for found in stops:
        shown = clean_line(show_stops([found.stop]), 20)
        seen = f"{found.hits} of {found.answers} answers go on, ≈{found.tokens:,.0f} tokens a call"
        lines.append(f"stop     {shown}: {seen if found.tokens is not None else found.reason}")
    return tuple(lines)


def advice(complexity: Complexity, model: str) -> str:
    """Write score, tier and recommended model, then the terms."""
    which = f" → {clean_line(model, 32)}" if model else ""
    terms = ", ".join(f"{name} {value:.2f}" for name, value, _ in complexity.terms if value)
    return f"task     {complexity.score:.2f} {complexity.tier}{which}" + (f"  ({terms})" if terms else "")


def ruler(tokens: int, line: int, volatile: str) -> str:
    """Draw the beginning that stays the same against the fewest tokens that a provider keeps."""
    enough = "cacheable" if tokens >= CACHE_FLOOR else f"{CACHE_FLOOR - tokens:,} short"
    drawn = bar(tokens, CACHE_FLOOR, _RULER)
    ends = f", line {line}: {clean_line(volatile, 18)}" if volatile else ""
    return f"prefix   {drawn} {tokens:,}/{CACHE_FLOOR:,} {enough}{ends}"


def _sum(names: Sequence[str], tokens: Sequence[int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for name, number in zip(names, tokens, strict=False):
        total[name] = total.get(name, 0) + number
    return total


def _totals(by_name: Mapping[str, int]) -> str:
    return " · ".join(f"{name} {number:,}" for name, number in by_name.items())
