"""Shortening by a model: what it is asked, what of its answer can be taken, and what the answer lost.

A rule knows what it does; a model does not. So its rewrite is cut into hunks, each of which can be taken alone, and
each says which protected spans (code, quotes, addresses, variables, numbers) and which negations stand in one text and
not in the other. Severity is always *check*: only a proof run tells whether the answers held.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from promptop.base.errors import PromptopError
from promptop.client.request import RunRequest
from promptop.client.result import RunResult
from promptop.client.targets import Target
from promptop.prompts import parse
from promptop.prompts.receipt import REWRITE
from promptop.prompts.structure import Structure, read_structure
from promptop.trim.guards import negations
from promptop.trim.rules.rule import Severity

RULE = REWRITE
"""What a receipt calls it."""
SEVERITY: Severity = "check"
SYSTEM = """\
You shorten prompts that are written for language models. Between <prompt> and </prompt> stands a prompt, or a part of \
one. Rewrite it so that it asks for exactly the same with as few tokens as possible.
Keep its language, the order of its lines, and lines such as "system:" or "user:".
Keep as they stand: code, quoted strings, URLs, {{variables}}, placeholders, tags, numbers, names.
Keep every negation and restriction (not, never, only, unless, 不, 别, 只, 除非) and every demand on form and length.
Do not answer it, and add nothing. Output the rewritten text alone."""
_ANSWER = re.compile(r"\A\s*(?:<prompt>)?[ \t]*\n?(?P<text>.*?)\s*(?:</prompt>\s*)?\Z", re.DOTALL)
_FENCED = re.compile(r"\A```[a-z]*[ \t]*\n(?P<text>.*)\n```\Z", re.DOTALL)
_UNIT = re.compile(r"[^\n]*?(?:[.!?](?=[\s)])|[。！？；]+)[ \t]*|[^\n]+|\n+")
_ALIKE = 0.35
_SLACK = 64
_REASONING = 4096
"""Output tokens left for a model's reasoning, which its limit counts with the answer."""


def request(target: Target, text: str, tokens: int) -> RunRequest:
    """Return the call that asks ``target`` to shorten ``text`` of ``tokens`` tokens; a longer answer is cut.

    Raises :class:`PromptopError` for a text without a word.
    """
    if not re.search(r"\w", text):
        raise PromptopError("There is nothing to shorten.", "Select a part with words in it, or write a prompt.")
    from promptop import models

    model = models.find(target.model, target.profile.provider or None)
    reasons = model is not None and model.takes("reasoning_effort") is True
    return RunRequest(
        profile=target.profile,
        model=target.model,
        label=target.spec,
        messages=[
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"<prompt>\n{text}\n</prompt>"},
        ],
        max_tokens=math.ceil(1.1 * tokens) + _SLACK + (_REASONING if reasons else 0),
        temperature=0.0,
        prompt_name="promptop rewrite",
    )


def answer_of(result: RunResult, text: str) -> str:
    """Return the rewritten text; the white space around it is that of ``text``.

    Raises :class:`PromptopError` for a call that did not end well: what is missing at the end would look like what can
    be left out.
    """
    if result.error is not None:
        raise PromptopError(result.error.cause, result.error.remedy or "Try again, or another model.")
    if result.state != "done":
        raise PromptopError("The rewrite was stopped before its end.", "Run it again.")
    if result.finish_reason == "length":
        raise PromptopError("The rewrite was cut at its limit of tokens.", "Select a smaller part, or another model.")
    found = _ANSWER.match(result.text)
    written = found["text"] if found is not None else result.text
    fenced = _FENCED.match(written.strip())
    if fenced is not None and not text.lstrip().startswith("```"):
        written = fenced["text"]
    written = written.strip()
    if not re.search(r"\w", written):
        raise PromptopError(f"{result.model} answered without a word.", "Try again, or another model.")
    start = len(text) - len(text.lstrip())
    return text[:start] + written + text[len(text.rstrip()) :]


@dataclass(frozen=True, slots=True)
class Hunk:
    """One change that can be taken alone: [start, end) of the text before becomes ``after``."""

    start: int
    end: int
    before: str
    after: str
    line: int
    """Line of its start in the text before, from 1."""
    lost: tuple[str, ...] = ()
    """Protected spans and negations that stand in ``before`` and not in ``after``."""
    added: tuple[str, ...] = ()
    """Those that stand in ``after`` alone: a number or a restriction that nobody asked for."""

    @property
    def is_flagged(self) -> bool:
        """Whether it loses or adds something that no rule may touch."""
        return bool(self.lost or self.added)


def hunks(before: str, after: str) -> tuple[Hunk, ...]:
    """Return the changes from one text to the other, in order: sentences and lines, paired where they are alike.

    All of them together give ``after``, but for blanks that part sentences.
    """
    old, new = _units(before), _units(after)
    old_at, new_at = _offsets(old), _offsets(new)
    structures = read_structure(before), read_structure(after)
    found = []
    for a, b, c, d in _changes(old, new):
        start, end = old_at[a], old_at[b]
        first, last = new_at[c], new_at[d]
        gone = _guarded(structures[0], start, end)
        come = _guarded(structures[1], first, last)
        lost = tuple((gone - come).elements())
        if (
            len(structures[0].roles) > 1
            and _roles(before[:start] + after[first:last] + before[end:]) != structures[0].roles
        ):
            lost = (*lost, "the bounds of a message")
        line = before.count("\n", 0, start) + 1
        old_part, new_part = before[start:end], after[first:last]
        blanks = old_part[len(old_part.rstrip(" \t")) :]
        if new_part and not new_part[-1].isspace():  # what follows may stay, whatever the model did with it
            new_part += blanks
        found.append(Hunk(start, end, old_part, new_part, line, lost, tuple((come - gone).elements())))
    return tuple(found)


def _roles(text: str) -> tuple[str, ...]:
    return tuple(message.role for message in parse(text).messages)


def _units(text: str) -> list[str]:
    """Cut a text into sentences, ends of lines between them; joined, the units are the text.

    Line breaks stand alone, so that a change which is taken alone cannot pull a line into the one before it.
    """
    return _UNIT.findall(text)


def _offsets(units: Sequence[str]) -> list[int]:
    offsets = [0]
    for unit in units:
        offsets.append(offsets[-1] + len(unit))
    return offsets


def _changes(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield [a, b) of ``old`` and [c, d) of ``new`` that stand for each other and differ."""
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield from _paired(old, new, a, b, c, d)


def _paired(
    old: Sequence[str], new: Sequence[str], a: int, b: int, c: int, d: int
) -> Iterator[tuple[int, int, int, int]]:
    """Cut a change at the units of both sides that are alike, in order, so that each can be taken alone."""
    while a < b:
        ratios = [(_likeness(old[a], new[at]), -at) for at in range(c, d)]
        best, place = max(ratios, default=(0.0, 0))
        if best < _ALIKE:  # without a counterpart: it goes with what follows, or is left out
            step = next(
                (at for at in range(a + 1, b) if any(_likeness(old[at], new[k]) >= _ALIKE for k in range(c, d))), b
            )
            if step == b:
                yield a, b, c, d
                return
            yield a, step, c, c
            a = step
            continue
        place = -place
        yield a, a + 1, c, place + 1
        a, c = a + 1, place + 1
    if c < d:
        yield a, b, c, d


def _likeness(one: str, other: str) -> float:
    """Return how alike two units are, 0 … 1: the share of the shorter one's words (characters in Chinese) in both.

    A shortened sentence keeps words of the long one, so it is the shorter one that is asked.
    """
    words = [Counter(re.findall(r"[\u2e80-\u9fff]|[^\W\d_\u2e80-\u9fff]+|\d+", each.lower())) for each in (one, other)]
    if one.isspace() and other.isspace():
        return 1.0
    sizes = [sum(each.values()) for each in words]
    return sum((words[0] & words[1]).values()) / min(sizes) if all(sizes) else 0.0


def _guarded(structure: Structure, start: int, end: int) -> Counter[str]:
    """Return the protected spans and negations inside [start, end)."""
    # An address takes the full stop behind it along.
    text = structure.text
    inside = [
        text[each.start : each.end].strip().rstrip(".,;:!?")
        for each in structure.protected
        if start <= each.start < end
    ]
    return Counter([*inside, *negations(text[start:end])])
