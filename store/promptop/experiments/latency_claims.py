"""The claim lab: whether something that people say makes answers faster does so on this endpoint.

Each claim is a pair of arms that differ in one thing; arms that are alike are asked once for all claims. All arms are
asked in turns (:mod:`promptop.experiments.interleaved`). Every difference that is judged in a run has an interval of
1 − 0.05 / their number (Bonferroni), so that trying seven claims does not find one by chance. What an endpoint does not
take, or does not speak, is *not testable* and never "no difference".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.client.request import RunRequest, show_stops
from promptop.client.result import RunResult
from promptop.experiments.interleaved import MOST_REPEATS, Arm, Trial
from promptop.experiments.stats import FEWEST, INPUT, METRICS, Difference, Metric, difference, quantile, values_of

APP = "promptop claims"
"""Name of the program in the log's rows."""
REPEATS = 10
"""Rounds where nothing else is asked for."""
MAX_TOKENS = 128
"""Limit of output tokens where the prompt names none: a limit must be there to be tested, and to be paid."""
LONGER = 2000
"""About so many tokens are put before the prompt to make it long."""
STOPS = ("\n", "。", ". ")
ALPHA = 0.05
_KNOWN = {metric.key: metric for metric in METRICS}


def _seen(result: RunResult) -> float | None:
    return result.ttft_s if result.ttft_s is not None else result.total_s


SEEN = Metric("seen_s", "first text", _seen, units.seconds, True, "earlier", "later")
"""When something can be read: the first token of a stream, else the whole answer."""


@dataclass(frozen=True, slots=True)
class ArmPair:
    """What is held against what: two arms, and how they are called."""

    control: Arm
    variant: Arm


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that is said to change latency."""

    name: str
    question: str
    pair: Callable[[Arm], ArmPair]
    metrics: tuple[Metric, ...]
    """What is judged; the first is what the claim is about."""
    applies: Callable[[Sequence[RunResult], Sequence[RunResult]], str] = lambda control, variant: ""
    """Returns why the results say nothing of the claim; empty if they do."""


@dataclass(frozen=True, slots=True)
class ArmDifference:
    """One judged difference with its effect size."""

    difference: Difference
    superiority: float
    """Share of all pairs in which the variant's value is the higher one, ties counted half: 0.5 is not an effect."""

    def said(self) -> str:
        """Return the effect size in words: ``; slower in 93 % of pairs``."""
        metric, share = self.difference.metric, self.superiority
        word, share = (metric.more, share) if share >= 0.5 else (metric.less, 1 - share)
        return f"; {word} in {units.share(share)} of pairs"

    def to_json(self) -> dict[str, object]:
        """Return the shape of the commands."""
        found = self.difference
        return {
            **found.to_json(),
            "control_p50": found.baseline.p50,
            "variant_p50": found.other.p50,
            "n": [found.baseline.n, found.other.n],
            "superiority": self.superiority,
        }


@dataclass(frozen=True, slots=True)
class ClaimFinding:
    """What a claim came to."""

    claim: str
    question: str
    control: str
    variant: str
    verdict: str
    """``changes``, ``no measurable difference``, ``too few``, or ``not testable``."""
    found: tuple[ArmDifference, ...]
    note: str = ""

    def sentences(self) -> list[str]:
        """Return the verdict in plain words, then what it rests on, a line each."""
        heads = {
            "changes": "yes, measurably",
            "no measurable difference": "no measurable difference",
            "too few": "too few answers to tell",
            "not testable": "not testable here",
        }
        lines = [f"{self.question} {heads[self.verdict]}", f"  {self.control} → {self.variant}"]
        lines += [f"  {one.difference.verdict()}{one.said() if one.difference.interval else ''}" for one in self.found]
        return [*lines, f"  {self.note}"] if self.note else lines

    def to_json(self) -> dict[str, object]:
        """Return the shape of the commands."""
        return {
            "claim": self.claim,
            "question": self.question,
            "control": self.control,
            "variant": self.variant,
            "verdict": self.verdict,
            "note": self.note or None,
            "differences": [each.to_json() for each in self.found],
        }


def _changed(arm: Arm, title: str, **values: Any) -> Arm:
    """Return an arm whose request differs in parameters; what is not among a request's own goes into ``extra``."""
    return replace(arm, title=title, request=replace(arm.request, **values))


def _linked(arm: Arm, title: str, **values: Any) -> Arm:
    return _changed(arm, title, profile=replace(arm.request.profile, **values))


def _temperature(base: Arm) -> ArmPair:
    return ArmPair(_changed(base, "temperature 0", temperature=0.0), _changed(base, "temperature 1", temperature=1.0))


def _max_tokens(base: Arm) -> ArmPair:
    limit = base.request.max_tokens or MAX_TOKENS
    less = max(8, limit // 4)
    return ArmPair(
        _changed(base, f"max_tokens {limit}", max_tokens=limit), _changed(base, f"max_tokens {less}", max_tokens=less)
    )


def _stop(base: Arm) -> ArmPair:
    stops = base.request.stop or STOPS
    return ArmPair(_changed(base, "no stop", stop=()), _changed(base, f"stop {show_stops(stops)}", stop=stops))


def _streaming(base: Arm) -> ArmPair:
    return ArmPair(replace(base, title="streamed"), replace(base, title="in one piece", streamed=False))


def _prompt(base: Arm) -> ArmPair:
    first, *others = base.request.messages
    content = first.get("content")
    if not isinstance(content, str):
        raise UsageError("A prompt with images cannot be made longer.", "Leave the claim prompt out.")
    # Each line is about nine tokens, and none says what is to be done.
    lines = "\n".join(f"{number}. This line holds no instruction." for number in range(LONGER // 9))
    longer = [{**first, "content": f"{lines}\n\n{content}"}, *others]
    return ArmPair(
        replace(_changed(base, "the prompt"), nonce=True),
        replace(_changed(base, f"the prompt + {LONGER:,} tokens", messages=longer), nonce=True),
    )


def _http2(base: Arm) -> ArmPair:
    return ArmPair(_linked(base, "HTTP/1.1", http2=False), _linked(base, "HTTP/2", http2=True))


def _connection(base: Arm) -> ArmPair:
    return ArmPair(
        replace(base, title="a connection that is kept"), _linked(base, "a connection for each call", keep_alive=0)
    )


def _took(parameter: str) -> Callable[[Sequence[RunResult], Sequence[RunResult]], str]:
    def applies(control: Sequence[RunResult], variant: Sequence[RunResult]) -> str:
        for result in (*control, *variant):
            for change in result.changes:
                if change.startswith(f"{parameter} not sent"):
                    return change
        return ""

    return applies


def _speaks(control: Sequence[RunResult], variant: Sequence[RunResult]) -> str:
    spoken = sorted({result.stages.http_version for result in variant if result.stages.http_version})
    return (
        "" if spoken == ["HTTP/2"] else f"offered HTTP/2, the endpoint answered with {', '.join(spoken) or 'nothing'}"
    )


def _kept(control: Sequence[RunResult], variant: Sequence[RunResult]) -> str:
    reused = [result for result in control if result.connection_reused]
    return "" if reused else "the endpoint closes its connections: none was kept"


_SPEED = (_KNOWN["ttft_s"], _KNOWN["total_s"], _KNOWN["output_tps"])
_ENDS = (_KNOWN["total_s"], _KNOWN["ttft_s"], _KNOWN["output_tps"])
CLAIMS: tuple[Claim, ...] = (
    Claim("temperature", "Does temperature change latency?", _temperature, _SPEED, _took("temperature")),
    Claim("max_tokens", "Does a lower max_tokens change latency?", _max_tokens, _ENDS, _took("max_tokens")),
    Claim("stop", "Does a stop sequence change latency?", _stop, _ENDS, _took("stop")),
    Claim("streaming", "Does streaming show text earlier?", _streaming, (SEEN, _KNOWN["total_s"])),
    Claim("prompt", "Does a longer prompt change latency?", _prompt, _SPEED[:2]),
    Claim("http2", "Does HTTP/2 change latency?", _http2, _SPEED[:2], _speaks),
    Claim("connection", "Does a new connection for each call change latency?", _connection, _SPEED[:2], _kept),
)
NAMES = tuple(claim.name for claim in CLAIMS)


def chosen(names: Sequence[str]) -> list[Claim]:
    """Return claims by name, all for none; raise :class:`UsageError` for a name that is none."""
    for name in names:
        if name not in NAMES:
            raise UsageError(f"There is no claim {name!r}.", f"Claims: {', '.join(NAMES)}.")
    return [claim for claim in CLAIMS if not names or claim.name in names]


@dataclass(frozen=True, slots=True)
class ClaimOutcome:
    """What came of a run of the lab."""

    findings: list[ClaimFinding]
    answered: int
    """Calls that went well."""
    judged: int
    """Differences that were judged at once."""
    errors: list[str]
    spent_usd: float
    unpriced: int
    stopped: bool
    is_capped: bool

    def footnote(self) -> str:
        """Return how sure the intervals are."""
        return (
            f"Intervals of {100 * (1 - ALPHA / self.judged):.4g} %, since {self.judged} differences are judged at once."
        )


class ClaimsRun:
    """Asks the arms of several claims in turns and judges them. It can be pickled until it works."""

    def __init__(
        self,
        request: RunRequest,
        names: Sequence[str],
        repeats: int,
    ) -> None:
        """Plan ``repeats`` rounds. Raises :class:`UsageError` for what is not valid."""
        if not FEWEST <= repeats <= MOST_REPEATS:
            raise UsageError(
                f"{repeats} rounds are not possible.", f"Write {FEWEST} to {MOST_REPEATS}; {REPEATS} is usual."
            )
        limited = replace(request, max_tokens=request.max_tokens or MAX_TOKENS, cache=False, retries=0)
        base = Arm("", limited)
        self.names = [claim.name for claim in chosen(names)]
        arms: list[Arm] = []
        self._places: list[tuple[int, int]] = []
        self._titles: list[tuple[str, str]] = []
        for claim in chosen(names):
            pair = claim.pair(base)
            self._places.append((_place(arms, pair.control), _place(arms, pair.variant)))
            self._titles.append((pair.control.title, pair.variant.title))
        self.trial = Trial(arms, repeats, app=APP)

    def snapshot(self) -> Any:
        """Return how far it is."""
        return self.trial.snapshot()

    def stop(self) -> Sequence[Any]:
        """Begin no further call and cancel the one under way; what came is judged."""
        return self.trial.stop()

    async def work(self, options: Mapping[str, Any]) -> ClaimOutcome:
        """Make the calls and judge them; ``options`` are those of :class:`promptop.client.http.endpoints.Endpoints`."""
        outcome = await self.trial.work(options)
        claims = chosen(self.names)
        judged = sum(len(claim.metrics) for claim in claims)
        findings = [
            judge(claim, titles, outcome.kept[left], outcome.kept[right], 1 - ALPHA / judged)
            for claim, titles, (left, right) in zip(claims, self._titles, self._places, strict=True)
        ]
        errors = dict.fromkeys(str(each.error) for arm in outcome.kept for each in arm if each.error is not None)
        return ClaimOutcome(
            findings,
            sum(each.state == "done" for arm in outcome.kept for each in arm),
            judged,
            list(errors),
            outcome.spent_usd,
            outcome.unpriced,
            outcome.stopped,
            outcome.is_capped,
        )


def _place(arms: list[Arm], wanted: Arm) -> int:
    """Return where an arm of the same request stands, adding it if there is none."""
    for number, arm in enumerate(arms):
        if (arm.request, arm.streamed, arm.nonce) == (wanted.request, wanted.streamed, wanted.nonce):
            return number
    arms.append(wanted)
    return len(arms) - 1


def judge(
    claim: Claim,
    titles: tuple[str, str],
    control: Sequence[RunResult],
    variant: Sequence[RunResult],
    confidence: float,
) -> ClaimFinding:
    """Say what the results of two arms mean for a claim."""
    why = claim.applies(control, variant)
    found: list[ArmDifference] = []
    for metric in claim.metrics:
        differs = difference(control, variant, metric, confidence)
        if differs is not None:
            found.append(ArmDifference(differs, superiority(values_of(control, metric), values_of(variant, metric))))
    if why:
        verdict = "not testable"
    elif not found or any(each.difference.interval is None for each in found):
        verdict = "too few"
    elif any(each.difference.measurable for each in found):
        verdict = "changes"
    else:
        verdict = "no measurable difference"
    note = clean_line(why, 160) if why else _note(claim.name, control, variant)
    if verdict == "not testable":
        found = []
    return ClaimFinding(claim.name, claim.question, *titles, verdict, tuple(found), note)


def superiority(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the share of pairs in which the right value is higher, ties counted half."""
    wins = sum((b > a) + (b == a) / 2 for a in left for b in right)
    return wins / (len(left) * len(right))


def _note(name: str, control: Sequence[RunResult], variant: Sequence[RunResult]) -> str:
    """Return what a reader must know beside the differences."""
    if name == "prompt":
        tokens, times = _medians(control, variant, INPUT), _medians(control, variant, _KNOWN["ttft_s"])
        if tokens is not None and times is not None and tokens[1] > tokens[0]:
            each_ms = (times[1] - times[0]) / (tokens[1] - tokens[0]) * 1e6
            return f"{tokens[0]:,.0f} → {tokens[1]:,.0f} tokens: {each_ms:+.1f} ms of TTFT for each further 1,000"
    if name in {"max_tokens", "stop", "temperature"}:
        lengths = _medians(control, variant, _KNOWN["output_tokens"])
        if lengths is not None:
            return f"output {lengths[0]:,.0f} → {lengths[1]:,.0f} tokens: total follows the length of the answer"
    return ""


def _medians(control: Sequence[RunResult], variant: Sequence[RunResult], metric: Metric) -> tuple[float, float] | None:
    left, right = (sorted(values_of(arm, metric)) for arm in (control, variant))
    return (quantile(left, 0.5), quantile(right, 0.5)) if left and right else None
