"""What is said of a draft under the models: the beginning that a provider can keep, its variables, what the log knows.

Read on a thread, counted in the worker process; a draft above :data:`LONGEST` characters is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.prompts import parse
from promptop.prompts.stable_prefix import CACHE_FLOOR, Prefix, stable_prefix
from promptop_tui.editor.views.model_figures import bar

if TYPE_CHECKING:
    from promptop.prompts import Prompt
    from promptop.trim.log_insights import Known

LONGEST = 200_000
_RULER = 10


class LogState(Enum):
    """What asking the log about the prompt came to."""

    UNREAD = "not asked yet"
    UNKNOWN = "the log has no call of this prompt"
    KNOWN = "known"
    UNREADABLE = "it cannot be read (the monitor says why)"


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


def facts_of(
    text: str, known: Known | None = None, says: LogState = LogState.UNREAD, lint_off: Sequence[str] = ()
) -> PromptFacts | None:
    """Read a draft; ``known`` is what the log knows of it, and ``says`` why that may be None.

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
        lacks = f", none for {', '.join(missing)}" if missing else ""
        variables = f"figures with {filled} of {len(prompt.variables)} variables filled{lacks}"
    elif missing:
        variables = f"variables without sample values: {', '.join(missing)}"
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
    )


def told(found: PromptFacts, prefix_tokens: int, notes: Sequence[str], *, lint_key: str, brief: bool) -> list[str]:
    """Return the lines for a draft and its counts; ``brief`` leaves out what can be seen elsewhere.

    The cacheable beginning is a floor, not a promise: a provider counts in its own way and keeps it for minutes.
    """
    lines = []
    if found.prefix is not None:
        lines.append(ruler(prefix_tokens, found.prefix_line, found.volatile))
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
        lines.append(f"lint     {', '.join(counts)} ({lint_key} lists them)")
    if found.variables:
        lines.append(found.variables)
    lines += notes
    if brief and not found.is_known:  # little room: what is not known comes last
        lines += found.log[:1]
    return lines


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


def ruler(tokens: int, line: int, volatile: str) -> str:
    """Draw the beginning that stays the same against the fewest tokens that a provider keeps."""
    enough = "cacheable" if tokens >= CACHE_FLOOR else f"{CACHE_FLOOR - tokens:,} short"
    drawn = bar(tokens, CACHE_FLOOR, _RULER)
    ends = f", line {line}: {clean_line(volatile, 18)}" if volatile else ""
    return f"prefix   {drawn} {tokens:,}/{CACHE_FLOOR:,} {enough}{ends}"
