"""From a request, in whatever dialect it came, to an answer with its tokens, usage and finish reason."""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptop.simulator.answers import text
from promptop.simulator.answers.profiles import ModelProfile
from promptop.simulator.answers.tokenizer import TokenPiece, cut, encode, pieces
from promptop.simulator.server.apis.rewriting import rewritten
from promptop.simulator.server.faults import Faults

CACHE_FLOOR = 1024
"""Shortest prefix that is cached, tokens; longer ones count in steps of :data:`CACHE_STEP`."""
CACHE_STEP = 128

CONTROLS = "\x1b]52;c;cHJvbXB0b3A=\x07 \x9b31m red \u202e reversed \u2066 \x1b[2J \x00 end"
"""What the fault ``controls`` puts into an answer: OSC 52, C1, bidi overrides, erase display, NUL."""


@dataclass(frozen=True, slots=True)
class AskedMessage:
    """One message with its text parts joined."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(slots=True)
class Question:
    """A request without its dialect."""

    model: str
    messages: Sequence[AskedMessage]
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    temperature: float | None = None
    seed: int | None = None
    n: int = 1
    tools: Sequence[Tool] = ()
    tool_choice: str = "auto"
    """``auto``, ``none``, ``required`` or a function's name."""
    json: bool = False
    schema: Mapping[str, Any] | None = None
    stream: bool = False
    include_usage: bool = False
    caching: str = "automatic"
    """``automatic`` (long prefixes are cached unasked), ``explicit`` (asked for, writes are counted) or ``none``."""

    @property
    def asked(self) -> str:
        """The last thing said that is not the assistant's."""
        return next((m.text for m in reversed(self.messages) if m.role not in ("assistant", "system", "developer")), "")

    @property
    def system(self) -> str:
        """The text of the system messages."""
        return "\n".join(m.text for m in self.messages if m.role in ("system", "developer"))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function that the answer consists of."""

    id: str
    name: str
    pieces: tuple[TokenPiece, ...]

    @property
    def arguments(self) -> str:
        """The arguments, JSON."""
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class SimulatedChoice:
    """One of ``n`` answers."""

    pieces: tuple[TokenPiece, ...]
    finish: str
    """``stop``, ``length``, ``tool_calls`` or ``content_filter``."""
    call: ToolCall | None = None

    @property
    def text(self) -> str:
        """The visible text."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def tokens(self) -> int:
        """Tokens of the visible text or of the call."""
        return sum(piece.tokens for piece in (self.call.pieces if self.call else self.pieces))


@dataclass(frozen=True, slots=True)
class SimulatedUsage:
    """Tokens of a call; ``cached`` and ``written`` are part of ``input``, ``reasoning`` is part of ``output``."""

    input: int
    output: int
    cached: int = 0
    written: int = 0
    reasoning: int = 0


@dataclass(slots=True)
class SimulatedAnswer:
    """What comes back, before it has a dialect."""

    id: str
    model: str
    profile: ModelProfile
    choices: tuple[SimulatedChoice, ...]
    thoughts: tuple[TokenPiece, ...]
    """Shown reasoning; empty where it is hidden or there is none."""
    usage: SimulatedUsage
    first_s: float
    """Seconds until the first generated token."""
    tps: float
    created: int = field(default_factory=lambda: int(time.time()))


class PrefixCache:
    """Which prompt prefixes a provider still knows: hashes of growing token prefixes, each kept for five minutes."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, keep_s: float = 300.0, entries: int = 8192
    ) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._entries = entries
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def look_up(self, model: str, tokens: Sequence[int]) -> int:
        """Return how many leading tokens are cached, and remember all prefixes of ``tokens``."""
        now = self._clock()
        digest = hashlib.blake2b(model.encode(), digest_size=12)
        cached, hit, done = 0, True, 0
        for end in range(CACHE_FLOOR, len(tokens) + 1, CACHE_STEP):
            digest.update(repr(tokens[done:end]).encode())
            done = end
            key = digest.digest()
            hit = hit and now - self._seen.get(key, -math.inf) <= self._keep_s
            cached = end if hit else cached
            self._seen[key] = now
            self._seen.move_to_end(key)
        while len(self._seen) > self._entries:
            self._seen.popitem(last=False)
        return cached


class Composer:
    """Makes answers; keeps what a server keeps between requests: the prefix cache and a counter."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.cache = PrefixCache()
        self._count = 0

    def pace(self) -> random.Random:
        """Return the generator of the next request's latencies, the same in each run."""
        self._count += 1
        return text.seeded(self.seed, "pace", self._count)

    def compose(
        self, question: Question, profile: ModelProfile, faults: Faults, prompt: Sequence[int]
    ) -> SimulatedAnswer:
        """Answer a question whose :func:`prompt_tokens` are ``prompt``.

        The same seed, or temperature 0, gives the same answer to the same question.
        """
        pace = self.pace()
        if question.temperature == 0:
            nonce: object = "greedy"
        elif question.seed is not None:
            nonce = question.seed
        else:
            nonce = ("turn", self._count)
        cached = self.cache.look_up(question.model, prompt) if question.caching != "none" else 0
        written = 0
        if question.caching == "explicit" and len(prompt) >= CACHE_FLOOR:
            written = len(prompt) // CACHE_STEP * CACHE_STEP - cached
        ask = text.read(question.asked, question.system)
        if question.json or question.schema:
            ask = text.as_json(ask)
        thoughts, hidden = self._think(ask, profile, faults, pace)
        factor = profile.token_factor
        budget = math.inf if question.max_tokens is None else math.floor(question.max_tokens / factor)
        shown, _ = cut(thoughts, int(min(budget, 1 << 30)))
        spent = sum(piece.tokens for piece in shown) + int(min(hidden, budget))
        left = budget - spent
        choices = tuple(
            self._choice(question, ask, profile, faults, left, (self.seed, question.model, nonce, index))
            for index in range(question.n)
        )
        input_tokens = math.ceil(len(prompt) * factor)
        output_tokens = math.ceil((spent + sum(choice.tokens for choice in choices)) * factor)
        usage = SimulatedUsage(
            input_tokens, output_tokens, int(cached * factor), int(written * factor), math.ceil(spent * factor)
        )
        # Reasoning that is not shown takes its time before the first token.
        first_s = profile.first_token_delay(pace, len(prompt) - cached)
        return SimulatedAnswer(
            id=f"{self._count:06x}{pace.getrandbits(72):018x}",
            model="sim-elsewhere" if "other-model" in faults else profile.snapshot or question.model,
            profile=profile,
            choices=choices,
            thoughts=tuple(shown),
            usage=usage,
            first_s=first_s,
            tps=profile.speed(pace),
        )

    def _think(
        self, ask: text.Ask, profile: ModelProfile, faults: Faults, rng: random.Random
    ) -> tuple[list[TokenPiece], int]:
        """Return shown thoughts and the number of hidden reasoning tokens."""
        if profile.reasoning == "hidden":
            return [], round(profile.reasoning_tokens * math.exp(rng.gauss(0.0, 0.4)))
        if profile.reasoning == "shown" or "reasoning" in faults or "reasoning-field" in faults:
            size = max(2, (profile.reasoning_tokens or 40) // 18)
            return pieces(text.reasoning(ask, rng, size), profile.encoding), 0
        return [], 0

    def _choice(
        self,
        question: Question,
        ask: text.Ask,
        profile: ModelProfile,
        faults: Faults,
        left: float,
        key: tuple[object, ...],
    ) -> SimulatedChoice:
        rng = text.seeded(*key, ask)
        if "empty" in faults:
            return SimulatedChoice((), "stop")
        if tool := pick_tool(question, ask):
            arguments = json.dumps(text.from_schema(tool.schema, ask, rng), ensure_ascii=False)
            kept, short = cut(pieces(arguments, profile.encoding), int(min(left, 1 << 30)))
            call = ToolCall(f"call_{rng.getrandbits(96):024x}", tool.name, tuple(kept))
            return SimulatedChoice((), "length" if short else "tool_calls", call)
        written = rewritten(question.system, question.asked) or text.answer(ask, rng, question.schema)
        if "controls" in faults:
            written = f"{CONTROLS} {written}"
        if "split-utf8" in faults and written.isascii():
            written = f"Größe – 大小: {written}"
        ends = [at for stop in question.stop if stop and (at := written.find(stop)) >= 0]
        if ends:
            written = written[: min(ends)]
        found = pieces(written, profile.encoding)
        limit = left
        if "length" in faults or "filter" in faults:
            limit = min(left, max(1, sum(piece.tokens for piece in found) // 2))
        kept, short = cut(found, int(min(limit, 1 << 30)))
        finish = "content_filter" if "filter" in faults else "length" if short else "stop"
        return SimulatedChoice(tuple(kept), finish)


def prompt_tokens(question: Question, encoding: str) -> list[int]:
    """Return the input's tokens by the known recipe of chat models: 3 a message, its role and text, 3 at the end."""
    tokens: list[int] = []
    for tool in question.tools:
        tokens += encode(f"{tool.name}: {tool.description} {json.dumps(tool.schema)}", encoding)
    for message in question.messages:
        tokens += (-1, *encode(message.role, encoding), -2, *encode(message.text, encoding), -3)
    return [*tokens, -1, -2, -3]


def pick_tool(question: Question, ask: text.Ask) -> Tool | None:
    """Choose the function to call: the forced one, else one that shares a word with what was asked, else None."""
    if not question.tools or question.tool_choice == "none":
        return None
    for tool in question.tools:
        if tool.name == question.tool_choice:
            return tool
    if question.tool_choice == "required":
        return question.tools[0]
    if question.messages and question.messages[-1].role == "tool":
        return None
    words = {topic.lower() for topic in ask.topics}
    for tool in question.tools:
        told = f"{tool.name.replace('_', ' ')} {tool.description}".lower()
        if any(word in told for word in words):
            return tool
    return None
