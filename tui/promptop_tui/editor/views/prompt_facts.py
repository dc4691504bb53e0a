"""What is said of a draft under the models: the beginning that a provider can keep, its variables, what the log knows.

Read on a thread, counted in the worker process; a draft above :data:`LONGEST` characters is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.base.texts import mark, tr
from promptop.prompts import parse
from promptop.prompts.stable_prefix import CACHE_FLOOR, Prefix, stable_prefix
from promptop_tui.editor.views.model_figures import bar

if TYPE_CHECKING:
    from promptop.prompts import Prompt
    from promptop.settings import EditorSettings
    from promptop.trim.log_insights import Known

LONGEST = 200_000
_RULER = 10


class LogState(Enum):
    """What asking the log about the prompt came to."""

    UNREAD = mark("not asked yet")
    UNKNOWN = mark("the log has no call of this prompt")
    KNOWN = "known"
    UNREADABLE = mark("it cannot be read (the monitor says why)")


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """What is known of a draft without its counts."""

    prefix: tuple[int, int] | None
    """Offsets of the beginning that stays the same from call to call; None for a draft without a word."""
    prefix_line: int
    """Line where it ends, from 1."""
    volatile: str
    """What ends it; empty if nothing does."""
    warnings: int
    """Findings of lint that are warnings."""
    hints: int
    variables: str
    """What is to be said of variables."""
    log: tuple[str, ...] = ()
    """What the log says of the prompt's answers, and what follows for max_tokens and stop."""
    is_known: bool = False
    """Whether the log knows the prompt."""
    task: str = ""
    """How hard the task is and the model for it; empty for a draft without a word."""


def facts_of(
    text: str,
    known: Known | None = None,
    says: LogState = LogState.UNREAD,
    lint_off: Sequence[str] = (),
    task_of: Callable[[str], str] = lambda _: "",
) -> PromptFacts | None:
    """Read a draft; ``known`` is what the log knows of it, and ``says`` why that may be None.

    ``task_of`` says of the text without front matter how hard its task is.

    None is returned while the front matter cannot be read.
    """
    from promptop.trim.lint import lint

    try:
        prompt = parse(text)
        findings = lint(text, off=lint_off)
    except PromptopError:  # front matter that is being typed
        return None
    missing = [name for name in prompt.variables if name not in prompt.sample]
    filled = len(prompt.variables) - len(missing)
    variables = ""
    if filled:
        lacks = tr(", none for {missing}", missing=", ".join(missing)) if missing else ""
        variables = tr(
            "figures with {filled} of {n} variables filled{lacks}", filled=filled, n=len(prompt.variables), lacks=lacks
        )
    elif missing:
        variables = tr("variables without sample values: {missing}", missing=", ".join(missing))
    has_words = bool(text[prompt.body_start :].strip())
    prefix = stable_prefix(text, prompt) if has_words else Prefix(0, 0)
    return PromptFacts(
        prefix=(prefix.start, prefix.end) if has_words else None,
        prefix_line=text.count("\n", 0, prefix.end) + 1,
        volatile=prefix.volatile,
        warnings=sum(each.severity == "warning" for each in findings),
        hints=sum(each.severity != "warning" for each in findings),
        variables=variables,
        log=log_lines(prompt, known, says) if has_words else (),
        is_known=known is not None,
        task=task_of(text[prompt.body_start :]) if has_words else "",
    )


def told(found: PromptFacts, prefix_tokens: int, notes: Sequence[str], *, lint_key: str, brief: bool) -> list[str]:
    """Return the lines for a draft and its counts; ``brief`` leaves out what can be seen elsewhere.

    The cacheable beginning is a floor, not a promise: a provider counts in its own way and keeps it for minutes.
    """
    lines = []
    if found.prefix is not None:
        lines.append(ruler(prefix_tokens, found.prefix_line, found.volatile))
    if found.task:
        lines.append(found.task)
    if not brief:
        lines += found.log
    elif found.is_known:
        lines += found.log[:1]
    if found.warnings or found.hints:
        counts = [
            f"{number} {name}{'s' if number > 1 else ''}"
            for number, name in ((found.warnings, "warning"), (found.hints, "hint"))
            if number
        ]
        lines.append(tr("lint     {counts} ({lint_key} lists them)", counts=", ".join(counts), lint_key=lint_key))
    if found.variables:
        lines.append(found.variables)
    lines += notes
    if brief and not found.is_known:  # little room: what is not known comes last
        lines += found.log[:1]
    return lines


def task_line(text: str, settings: EditorSettings, models: Sequence[str]) -> str:
    """Write score, tier and recommended model of a task, then the terms of the score."""
    from promptop.prompts.complexity import read, recommended, score

    found = score(read(text), (settings.tier_medium, settings.tier_complex, settings.tier_expert))
    model = recommended(found.tier, models, settings.tier_models)
    terms = ", ".join(f"{name} {value:.2f}" for name, value, _ in found.terms if value)
    return tr(
        "task     {score:.2f} {tier}{model}{terms}",
        score=found.score,
        tier=found.tier,
        model=f" → {clean_line(model)}" if model else "",
        terms=f"  ({terms})" if terms else "",
    )


def log_lines(prompt: Prompt, known: Known | None, says: LogState) -> tuple[str, ...]:
    """Write what the log knows: the answers' lengths, then the limit and the stop sequences that would fit them."""
    if says is LogState.UNREAD:
        return ()
    if known is None:
        return (tr("log      unknown: {value}", value=tr(says.value)),)
    from promptop.client.request import show_stops
    from promptop.trim.log_insights import limit_advice, stop_advice

    marks = [(name, known.percentile(share)) for name, share in (("p50", 0.5), ("p99", 0.99))]
    sizes = " ".join(f"{name} {tokens:,}" for name, tokens in marks if tokens is not None) or "n/a"
    n = len(known.lengths) + len(known.cut)
    lines = [
        tr(
            "log      by {how}: {volume}/day · answers {sizes} tokens, n {n:,}",
            how=known.how,
            volume=known.volume,
            sizes=sizes,
            n=n,
        )
    ]
    limit = limit_advice(known, prompt.parameters.get("max_tokens"))
    if limit.tokens is None:
        lines.append(tr("limit    {reason}", reason=limit.reason))
    else:
        lines.append(tr("limit    max_tokens {tokens:,}: {reason}", tokens=limit.tokens, reason=limit.reason))
    stops = stop_advice(prompt, known)
    if not stops:
        none = tr("none would end {n:,} kept answers earlier", n=len(known.answers))
        lines.append(tr("stop     {more}", more=none if known.answers else "unknown: the log keeps no answers"))
    for found in stops:
        shown = clean_line(show_stops([found.stop]), 20)
        seen = tr(
            "{hits} of {answers} answers go on, ≈{tokens:,.0f} tokens a call",
            hits=found.hits,
            answers=found.answers,
            tokens=found.tokens,
        )
        lines.append(
            tr("stop     {shown}: {more}", shown=shown, more=seen if found.tokens is not None else found.reason)
        )
    return tuple(lines)


def ruler(tokens: int, line: int, volatile: str) -> str:
    """Draw the beginning that stays the same against the fewest tokens that a provider keeps."""
    enough = "cacheable" if tokens >= CACHE_FLOOR else tr("{cache_floor:,} short", cache_floor=CACHE_FLOOR - tokens)
    drawn = bar(tokens, CACHE_FLOOR, _RULER)
    ends = tr(", line {line}: {volatile}", line=line, volatile=clean_line(volatile, 18)) if volatile else ""
    return tr(
        "prefix   {drawn} {tokens:,}/{cache_floor:,} {enough}{ends}",
        drawn=drawn,
        tokens=tokens,
        cache_floor=CACHE_FLOOR,
        enough=enough,
        ends=ends,
    )
