"""What a proof run found: whether a shorter prompt got the same answers as the one it came from, with its figures.

A proof is of two texts, known by their digests: for any other pair it says nothing. It is plain data that goes into a
receipt, into the library and into exports; :mod:`promptop.experiments.proof` makes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PROVEN = "proven"
ALIKE = "alike"
CHANGED = "changed"
WORSE = "worse"
UNDECIDED = "undecided"
VERDICTS = (PROVEN, ALIKE, CHANGED, WORSE, UNDECIDED)
"""From the best to the worst, but for undecided, which says nothing."""
RULE = "wealth"
"""The rule that verdicts are made by; a proof without it is of an older promptop."""


def digest(text: str) -> str:
    """Return what a text is known by in a proof; the text cannot be read from it."""
    import hashlib

    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Shift:
    """A figure of the calls before and after: medians, and the 95 % interval of their difference."""

    before: float | None
    after: float | None
    interval: tuple[float, float] | None
    said: str
    """In words: ``TTFT: no measurable difference (…)``."""


@dataclass(frozen=True, slots=True)
class CheckCount:
    """How often a check passed: of the baseline's answers and of the trimmed prompt's."""

    check: str
    before: int
    of_before: int
    after: int
    of_after: int

    @property
    def is_equal(self) -> bool:
        """Whether the same share passed."""
        return self.before * self.of_after == self.after * self.of_before


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike answers are, by ROUGE-L F1 over words (Chinese: characters), 0 to 1, means over pairs."""

    across: float
    """A baseline's answer against one of the trimmed prompt."""
    within: float
    """Two answers of the baseline: what chance alone does."""
    interval: tuple[float, float] | None
    """95 % bootstrap interval of ``across − within``; None with too few answers."""


@dataclass(frozen=True, slots=True)
class ModelProof:
    """What one model answered to both prompts. Times are seconds, amounts USD a call."""

    model: str
    verdict: str
    n_before: int
    n_after: int
    failed: int
    input_tokens: Shift
    ttft_s: Shift
    total_s: Shift
    output_tokens: Shift
    cost_usd: Shift
    likeness: Likeness | None
    checks: tuple[CheckCount, ...] = ()

    def sentences(self) -> list[str]:
        """Return what was found, a sentence each."""
        shifts = (self.input_tokens, self.ttft_s, self.total_s, self.output_tokens, self.cost_usd)
        lines = [shift.said for shift in shifts if shift.said]
        for check in self.checks:
            word = "equal" if check.is_equal else "not equal"
            counts = f"{check.before}/{check.of_before} → {check.after}/{check.of_after}"
            lines.append(f"check {check.check}: {counts} passed, {word}")
        if self.likeness is not None:
            found = self.likeness
            if found.interval is None:
                ends = "too few answers for an interval"
            else:
                ends = f"{found.across - found.within:+.2f} [{found.interval[0]:+.2f} … {found.interval[1]:+.2f}]"
            lines.append(
                f"similarity (ROUGE-L): {found.across:.2f} to the baseline's answers, {found.within:.2f} among those"
                f" themselves: {ends}"
            )
        if self.failed:
            lines.append(f"{self.failed} calls failed or were cancelled; they are in no figure")
        return lines


@dataclass(frozen=True, slots=True)
class Proof:
    """One proof run over one or several models."""

    verdict: str
    """One of :data:`VERDICTS`; the worst of the models'."""
    baseline: str
    trimmed: str
    """:func:`digest` of both texts."""
    made_ms: int
    """Unix time."""
    margin: float
    """How much less alike answers may be and still count as held."""
    calls: int
    usd: float | None
    """What the run cost; None if no call had a price."""
    models: tuple[ModelProof, ...]
    why: str = ""
    """What was shown, in a sentence."""
    rule: str = ""
    """:data:`RULE`; empty in a proof of an older promptop, which claimed more than it had shown."""
    cases: int = 0
    """Cases that were judged; 0 for one input alone."""
    test_set: str = ""
    """Digest of the test set."""
    tags: tuple[str, ...] = ()
    claim: float | None = None
    """At most so much smaller is the share of answers that pass, on cases like these."""
    confidence: float = 0.95
    attempt: int = 1
    """Which try at this prompt and test set it was."""
    lost: tuple[str, ...] = ()
    won: tuple[str, ...] = ()
    judge: Mapping[str, Any] | None = None
    host: str = ""
    """Of the endpoint."""
    seed: int = 1

    def said(self) -> str:
        """Return the verdict with what was shown."""
        old = "" if self.rule else " (by the rule of an older promptop)"
        return f"{self.verdict}: {self.why}{old}" if self.why else f"{self.verdict}{old}"

    def is_of(self, before: str, after: str) -> bool:
        """Tell whether this proof is of exactly these two texts."""
        return (self.baseline, self.trimmed) == (digest(before), digest(after))

    def line(self) -> str:
        """Return the proof in one line."""
        each = ", ".join(
            f"{' '.join(one.model.split())} {one.verdict} (n={one.n_before}+{one.n_after})" for one in self.models
        )
        shown = f" on {self.cases} case{'s' * (self.cases != 1)}"
        if not self.cases:
            shown = " before any case was judged" if self.test_set else " on one input"
        rule = shown if self.rule else " by the rule of an older promptop"
        return f"{self.verdict}{rule} by {self.calls} calls: {each}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON and YAML; :func:`proof_from` reads them."""
        return asdict(self)


def worst(verdicts: Sequence[str]) -> str:
    """Return the verdict of several models together: one that is worse or changed decides, then an undecided one."""
    for verdict in (WORSE, CHANGED, UNDECIDED, ALIKE):
        if verdict in verdicts:
            return verdict
    return PROVEN if verdicts else UNDECIDED


def proof_from(fields: Mapping[str, Any]) -> Proof:
    """Read what :meth:`Proof.as_dict` wrote, also after a trip through JSON.

    Raises :class:`ValueError`, :class:`TypeError` or :class:`KeyError` for anything else.
    """
    models = tuple(_model_from(each) for each in fields["models"])
    lists = {name: tuple(fields.get(name) or ()) for name in ("tags", "lost", "won")}
    return Proof(**{**fields, **lists, "models": models})


def _model_from(fields: Mapping[str, Any]) -> ModelProof:
    read: dict[str, Any] = dict(fields)
    for name in ("input_tokens", "ttft_s", "total_s", "output_tokens", "cost_usd"):
        read[name] = Shift(**{**read[name], "interval": _pair(read[name]["interval"])})
    if read["likeness"] is not None:
        read["likeness"] = Likeness(**{**read["likeness"], "interval": _pair(read["likeness"]["interval"])})
    read["checks"] = tuple(CheckCount(**each) for each in read["checks"])
    return ModelProof(**read)


def _pair(ends: Sequence[float] | None) -> tuple[float, float] | None:
    return None if ends is None else (ends[0], ends[1])
