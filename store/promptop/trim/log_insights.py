"""What the request log knows of a prompt: how often it is called, how long its answers are, and what follows from it.

A prompt is known by its name (column ``prompt_name``), else by its whole text (``prompt_hash``) if that was sent five
times or more, else by the beginning that its calls share (``prefix_hashes``: the system message, or text before the
first variable). Nothing is guessed: a prompt that is none of these is not known, and a figure without enough answers
behind it is None.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from promptop.capture.parse.request_parser import prefix_hashes, prompt_hash
from promptop.log.read.filters import Filter
from promptop.prompts import Prompt
from promptop.prompts.stable_prefix import stable_prefix

if TYPE_CHECKING:
    from promptop.log import LogReader

FEW = 5
"""Answers below which nothing is advised."""
_DAY_MS = 86_400_000
_STRETCHES_MS = (7 * _DAY_MS, _DAY_MS, _DAY_MS // 24)
_LONG_AGO_MS = 30 * _DAY_MS
_MOST_ROWS = 500_000
"""Rows of a stretch that are looked at: half a second on a thread."""
_MOST_ANSWERS = 5_000
_MOST_TEXTS = 100
_LEAST_PREFIX = 60
"""Characters of a shared beginning below which it may be that of other prompts ("You are a helpful assistant.")."""

_REACHED = "error_type IS NULL AND (cache_level IS NULL OR cache_level = 'miss')"
_OTHERS = "coalesce(app, '') NOT LIKE 'promptop%'"
_WHOLE = "usage_output_tokens > 0 AND coalesce(response_finish_reasons, '') NOT LIKE '%\"length\"%'"
_CUT = "usage_output_tokens > 0 AND response_finish_reasons LIKE '%\"length\"%'"


@dataclass(frozen=True, slots=True)
class Known:
    """A prompt's calls in a stretch of the log: the last 7 days, 30 if it has none there, less of a very busy log."""

    how: str
    """What it was known by: ``name``, ``text`` or ``beginning``."""
    calls: int
    """Calls of other programs that reached the provider; promptop's own tries are left out."""
    days: float
    """Days that they were counted in; a log younger than a day counts as one: an hour tells nothing of a day."""
    lengths: tuple[int, ...] = ()
    """Output tokens of whole answers, ascending; reasoning included, as max_tokens has it."""
    cut: tuple[int, ...] = ()
    """Output tokens of answers that the limit cut, ascending."""
    answers: tuple[str, ...] = field(default=(), repr=False)
    """Texts of the newest whole answers, where the log keeps them."""

    @property
    def calls_per_day(self) -> float:
        """Calls a day."""
        return self.calls / self.days

    @property
    def volume(self) -> str:
        """Calls a day, for people."""
        per_day = self.calls_per_day
        return f"{per_day:.2g}" if 0 < per_day < 10 else f"{per_day:,.0f}"

    @property
    def mean_output(self) -> float | None:
        """Mean output tokens of all answers, cut ones included; None below :data:`FEW`."""
        every = (*self.lengths, *self.cut)
        return sum(every) / len(every) if len(every) >= FEW else None

    def percentile(self, share: float) -> int | None:
        """Return the output tokens that this share of whole answers stay within; None below :data:`FEW`."""
        n = len(self.lengths)
        return self.lengths[min(n - 1, math.ceil(share * n) - 1)] if n >= FEW else None


def look(log: LogReader, text: str, prompt: Prompt, name: str = "", *, now_ms: int) -> Known | None:
    """Return what the log knows of ``prompt``, which was parsed from ``text``; None if it does not know it.

    ``name`` is its name in the library, over that of its front matter. Blocks; raises :class:`PromptopError` for a log
    that cannot be read.
    """
    if not text.strip() or (span := log.span()) is None:
        return None
    identities = _identities(text, prompt, name or prompt.name)
    for since, days in _stretches(log, span[0], now_ms):
        best: tuple[int, str, Filter] | None = None
        for how, where in identities:
            calls = log.count(since, now_ms, where)
            if calls and (best is None or calls > best[0]):
                best = calls, how, where
            # A text that was sent a few times is one question of many to the prompt that its calls begin with.
            if best is not None and (best[1] == "name" or best[0] >= FEW):
                break
        if best is not None:
            return _gathered(log, best[1], best[2], since, now_ms, days)
    return None


def _stretches(log: LogReader, first_ms: int, now_ms: int) -> list[tuple[int, float]]:
    """Return (start, days) of the stretches to look in: the longest whose rows can all be looked at, then a longer."""

    def rows(stretch: int) -> int:
        return log.last_id() - max(log.at(now_ms - stretch), default=0)

    chosen = [next((each for each in _STRETCHES_MS if rows(each) <= _MOST_ROWS), _STRETCHES_MS[-1])]
    if rows(_LONG_AGO_MS) <= _MOST_ROWS:
        chosen.append(_LONG_AGO_MS)
    found = []
    for stretch in chosen:
        covered = min(stretch, now_ms - first_ms)
        is_young = covered < stretch and covered < _DAY_MS
        found.append((now_ms - stretch, 1.0 if is_young else covered / _DAY_MS))
    return found


def _identities(text: str, prompt: Prompt, name: str) -> list[tuple[str, Filter]]:
    found = []
    if name:
        found.append(("name", Filter("", "prompt_name = ?", (name,))))
    texts = [(message.role, message.content) for message in prompt.filled()]
    found.append(("text", Filter("", "prompt_hash = ?", (prompt_hash(texts),))))
    for characters, digest in reversed(prefix_hashes([(m.role, m.content) for m in prompt.messages])):
        if _LEAST_PREFIX <= characters <= _stable_characters(text, prompt):
            pattern = f'%[{characters},"{digest}"]%'
            # Rows of the simulated traffic have a blank behind the comma.
            found.append(("beginning", Filter("", "replace(prefix_hashes, ' ', '') LIKE ?", (pattern,))))
    return found


def _stable_characters(text: str, prompt: Prompt) -> int:
    """Return how much of the messages, written as :func:`prefix_hashes` writes them, is the same in each call."""
    end = stable_prefix(text, prompt).end
    size = 0
    for message in prompt.messages:
        head = len(message.role) + 1
        if end < message.end:
            return size + head + max(0, end - message.start)
        size += head + len(message.content) + 1
    return size


def _gathered(log: LogReader, how: str, where: Filter, since: int, now_ms: int, days: float) -> Known:
    def also(*conditions: str) -> Filter:
        return Filter("", " AND ".join([f"({where.sql})", *conditions]), where.parameters)

    lengths = sorted(out or 0 for _, out in log.tokens(since, now_ms, _MOST_ANSWERS, also(_REACHED, _WHOLE)))
    cut = sorted(out or 0 for _, out in log.tokens(since, now_ms, _MOST_ANSWERS, also(_REACHED, _CUT)))
    calls = log.count(since, now_ms, also(_REACHED, _OTHERS))
    return Known(how, calls, days, tuple(lengths), tuple(cut), _texts(log, also(_REACHED, _WHOLE)))


def _texts(log: LogReader, where: Filter) -> tuple[str, ...]:
    from promptop.log.write.bodies import read_body

    rows, _ = log.back(_MOST_TEXTS, None, where, budget_s=0.2)
    texts: list[str] = []
    for row in rows:
        body = read_body(log.paths[row.source], row.id)
        if body is None or body.response is None:
            if not texts:  # a log keeps bodies or does not: the first row tells
                break
            continue
        texts.append(body.response)
    return tuple(texts)


@dataclass(frozen=True, slots=True)
class LimitAdvice:
    """What ``max_tokens`` should be."""

    tokens: int | None
    """The limit; None if there are too few answers to say."""
    reason: str


def limit_advice(known: Known | None, current: Any = None) -> LimitAdvice:
    """Return the limit that every whole answer stays a fifth below, and how ``current`` (None: not set) compares."""
    if known is None:
        return LimitAdvice(None, "unknown: the log has no call of this prompt")
    n, cut = len(known.lengths), len(known.cut)
    if n + cut < FEW:
        return LimitAdvice(None, f"unknown: {n + cut} answers in the log are too few")
    longest = max((*known.lengths[-1:], *known.cut[-1:]))
    enough = 10 * math.ceil(longest * (2 if known.cut and known.cut[-1] == longest else 1.2) / 10)
    limit = current if isinstance(current, int) and not isinstance(current, bool) else None
    if cut and (limit is None or limit <= known.cut[-1]):
        return LimitAdvice(enough, f"{cut} of {n + cut} answers were cut at {known.cut[-1]:,} or before")
    if limit is None:
        return LimitAdvice(enough, "not set: an answer that runs away has no end but the model's own")
    if limit < longest:
        return LimitAdvice(enough, f"{limit:,} is less than the longest answer ({longest:,})")
    if limit > 2 * enough:
        return LimitAdvice(enough, f"{limit:,} is far beyond the longest answer ({longest:,})")
    return LimitAdvice(limit, f"{limit:,} fits")


@dataclass(frozen=True, slots=True)
class StopAdvice:
    """A stop sequence that may end answers where what was asked for ends."""

    stop: str
    hits: int
    """Kept answers that go on after it."""
    answers: int
    """Kept answers that were looked at; 0 if the log keeps none."""
    tokens: float | None
    """Output tokens a call that it would save, by the share of characters; None if no answers are kept."""
    reason: str


_ONE_LINE = re.compile(
    r"\b(?:one|a single) (?:word|line|label|sentence)\b|\byes or no\b|\bexactly one of\b"
    r"|一个词|一句话|一行|是或否",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^(?P<label>(?:Q|Question|Input|User|Human|Text|输入|问题|问|用户)[ \t]*[:：])", re.MULTILINE)


def stop_advice(prompt: Prompt, known: Known | None) -> list[StopAdvice]:
    """Return stop sequences that the prompt suggests and its kept answers bear out; those already set are left out.

    Without kept answers a candidate is returned with ``answers`` 0 only if lengths speak for it: the longest twentieth
    of answers is three times the median or more.
    """
    given = prompt.parameters.get("stop")
    have = {given} if isinstance(given, str) else set(given) if isinstance(given, list | tuple) else set()
    found = []
    for stop, reason in _candidates(prompt):
        if stop in have or known is None:
            continue
        if known.answers:
            shares = [_behind(answer, stop) for answer in known.answers]
            hits = [share for share in shares if share > 0]
            mean = known.mean_output
            if len(known.answers) >= FEW and hits and mean is not None:
                saved = mean * sum(hits) / len(shares)
                found.append(StopAdvice(stop, len(hits), len(shares), saved, reason))
            continue
        middle, late = known.percentile(0.5), known.percentile(0.95)
        if middle and late and late >= 3 * middle:
            found.append(StopAdvice(stop, 0, 0, None, f"{reason}, and some answers are {late:,} tokens long"))
    return found


def _candidates(prompt: Prompt) -> list[tuple[str, str]]:
    """Return (stop sequence, why) for what the prompt asks and how it is laid out."""
    said = "\n".join(message.content for message in prompt.messages if message.role != "assistant")
    found = []
    labels = Counter(match["label"] for match in _LABEL.finditer(said))
    for label, count in labels.items():
        if count >= 2:
            found.append((f"\n{label}", f"examples begin with {label}, and a model may write the next one"))
    if _ONE_LINE.search(said):
        found.append(("\n", "one line is asked for"))
    return found


def _behind(answer: str, stop: str) -> float:
    """Return the share of an answer that stands behind ``stop``; white space alone is nothing, 0 if it ends there."""
    start = len(answer) - len(answer.lstrip())
    at = answer.find(stop, start)
    return len(answer[at:].strip()) / len(answer) if at > start and answer[at:].strip() else 0.0
