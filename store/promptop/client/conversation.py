"""A conversation: an answer and the next turn added to it, and the part of it that is worth sending again.

A *round* is a user message and all that answers it: assistant messages, tool calls and their results. Rounds are kept
or left out whole, so that no tool result loses the call that it answers. Instructions (system, developer) and the last
round, which waits for its answer, are always sent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from promptop.client.request import Message, text_of

Older = Literal["dropped", "summary", "keyword"]
"""What becomes of rounds before the last k: left out; told in a sentence each; kept where they share words with the
pending turn, at most k of them."""
OLDER: tuple[Older, ...] = get_args(Older)
SUMMARY_CHARS = 120
"""Longest quotation of a message in a summary."""

_WORD = re.compile(r"[^\W_\u2e80-\u9fff\uac00-\ud7af]+|[\u2e80-\u9fff\uac00-\ud7af]+")
_COMMON = frozenset({"A", "I"})
_SENTENCE = re.compile(r".*?(?:[.!?](?=\s)|[。！？\n]|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Context:
    """What is sent of a conversation."""

    messages: tuple[Message, ...]
    rounds: int
    """Rounds of the conversation, the pending one left out."""
    kept: int
    """Rounds of these that are sent whole."""

    @property
    def shortened(self) -> bool:
        """Whether something is not sent as it was."""
        return self.kept < self.rounds


def rounds_of(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """Return rounds as [first, last) numbers of messages; what stands before the first user message is none."""
    starts = [at for at, message in enumerate(messages) if _begins(message)]
    ends = [*starts[1:], len(messages)] if starts else []
    return list(zip(starts, ends, strict=True))


def _begins(message: Message) -> bool:
    content = message.get("content")
    results = isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") == "tool_result" for part in content
    )
    return message.get("role") == "user" and not results


def context_of(messages: Sequence[Message], keep: int | None, older: Older = "dropped") -> Context:
    """Return the last ``keep`` rounds of a conversation with its instructions and its pending turn; None keeps all."""
    rounds = rounds_of(messages)
    past = rounds[:-1]
    if keep is None or len(past) <= keep:
        return Context(tuple(messages), len(past), len(past))
    gone = past[: len(past) - keep]
    if older == "keyword":
        wanted = _related(messages, gone, rounds[-1], max(1, keep))
        gone = [each for each in gone if each not in wanted]
    left_out = {at for first, last in gone for at in range(first, last) if not _instructs(messages[at])}
    shown = [message for at, message in enumerate(messages) if at not in left_out]
    if older == "summary" and left_out:
        shown = _with_summary(shown, _summary([messages[at] for at in sorted(left_out)]))
    return Context(tuple(shown), len(past), len(past) - len(gone))


def _with_summary(messages: Sequence[Message], told: str) -> list[Message]:
    """Put a summary behind the first instructions: many servers take instructions at the beginning alone."""
    first = messages[0] if messages else None
    if first is not None and _instructs(first) and isinstance(first.get("content"), str):
        return [{**first, "content": f"{first['content']}\n\n{told}"}, *messages[1:]]
    return [{"role": "system", "content": told}, *messages]


def _instructs(message: Message) -> bool:
    return message.get("role") in {"system", "developer"}


def _summary(messages: Sequence[Message]) -> str:
    """Tell messages in the first sentence of each: no model is asked, and nothing is made up."""
    lines = ["Earlier in this conversation, in short:"]
    for message in messages:
        text = " ".join((_SENTENCE.match(text_of([message]).strip()) or [""])[0].split())
        if text:
            cut = text if len(text) <= SUMMARY_CHARS else text[: SUMMARY_CHARS - 1] + "…"
            lines.append(f"- {message.get('role')}: {cut}")
        elif message.get("tool_calls"):
            names = ", ".join(str(call["function"]["name"]) for call in message["tool_calls"] if "function" in call)
            lines.append(f"- {message.get('role')} called {names}")
    return "\n".join(lines)


def words_of(text: str) -> Counter[str]:
    """Return the words of a text that can be looked for: of three letters and more, and pairs of Chinese characters.

    Shorter ones count where they are names: with a capital or a digit (AI, Go, C, v2), but not A and I.
    """
    found: Counter[str] = Counter()
    for word in _WORD.findall(text):
        if word[0] < "\u2e80":
            if len(word) > 2 or (word not in _COMMON and any(each.isupper() or each.isdigit() for each in word)):
                found[word.casefold()] += 1
        else:
            found.update(word[at : at + 2] for at in range(max(1, len(word) - 1)))
    return found


def _related(
    messages: Sequence[Message], rounds: Sequence[tuple[int, int]], pending: tuple[int, int], most: int
) -> list[tuple[int, int]]:
    """Return up to ``most`` rounds that share words with the pending turn, rare words counting for more."""
    asked = words_of(text_of(messages[slice(*pending)]))
    words = [words_of(text_of(messages[slice(*each)])) for each in rounds]
    spread = Counter(word for each in words for word in each)
    scored = []
    # A word of every round tells none of them apart, unless they are few.
    telling = {word for word in asked if spread[word] < len(words) or len(words) < 3}
    for each, said in zip(rounds, words, strict=True):
        score = sum(1 / spread[word] for word in telling if word in said)
        if score:
            scored.append((score, each))
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    return [each for _, each in scored[:most]]


def continued(messages: Sequence[Message], text: str, tool_calls: Sequence[tuple[str, str]] = ()) -> list[Message]:
    """Return a conversation with an answer and an empty next turn: of the user, or a result for each tool call."""
    answer: dict[str, Any] = {"role": "assistant", "content": text}
    if not tool_calls:
        return [*messages, answer, {"role": "user", "content": ""}]
    number = sum(len(message.get("tool_calls") or ()) for message in messages)
    calls = [
        {"id": f"call_{number + at}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for at, (name, arguments) in enumerate(tool_calls, 1)
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": ""} for call in calls]
    return [*messages, {**answer, "content": text or None, "tool_calls": calls}, *results]


def shown(message: Message) -> str:
    """Return the text that stands for a message where it is typed: parts that are no text are named in brackets."""
    content = message.get("content")
    parts = [content] if isinstance(content, str) else []
    for part in content if isinstance(content, list) else ():
        is_text = isinstance(part, dict) and isinstance(part.get("text"), str)
        parts.append(part["text"] if is_text else f"[{part.get('type', 'part') if isinstance(part, dict) else 'part'}]")
    return "\n".join(part for part in [*parts, *_calls(message)] if part)


def _calls(message: Message) -> list[str]:
    functions = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    return [f"[calls {each.get('name')}({each.get('arguments')})]" for each in functions]
