"""Holds an answer against its checks, those that a model must be asked for included."""

from __future__ import annotations

from collections.abc import Sequence

from promptop.client.result import RunResult
from promptop.experiments.checks import Check, Checked
from promptop.experiments.checks.judges import Judge, JudgeModel
from promptop.experiments.checks.vectors import EmbedModel, cosine, vectors_of
from promptop.experiments.grid.caller import Caller


def text_of_answer(result: RunResult) -> str:
    """Return all that an answer says: its text, and tool calls with their arguments; reasoning is not part of it."""
    return "\n".join([result.text, *(f"{name}({arguments})" for name, arguments in result.tool_calls)])


class Checker:
    """Judges the answers of one run."""

    def __init__(self, caller: Caller, judge: JudgeModel | None, embed: EmbedModel | None) -> None:
        """``judge`` grades ``rubric``, ``embed`` makes vectors for ``similar`` (the local engine if None)."""
        self._caller = caller
        self._judge = judge
        self._embed = embed
        self._vectors: dict[str, list[float]] = {}

    async def judged(self, checks: Sequence[Check], given: str, result: RunResult) -> dict[str, Checked]:
        """Return what every check says of an answer, by its text; ``given`` is what a judge is shown of the case."""
        return {check.text: await self.said(check, given, result) for check in checks}

    async def said(self, check: Check, given: str, result: RunResult) -> Checked:
        """Return what one check says."""
        if not check.is_asked:
            return check.judge(result)
        if check.kind == "rubric":
            assert self._judge is not None, "a rubric without a judge is refused before the first call"
            judge = Judge(self._judge, self._caller.call)
            return check.said(await judge.met(check.wants, given, text_of_answer(result)))
        closeness = await self._similarity(check.wants, result.text)
        return check.said("" if closeness >= check.at else f"similarity {closeness:.2f}, below {check.at:g}")

    async def _similarity(self, left: str, right: str) -> float:
        missing = [text for text in dict.fromkeys((left, right)) if text not in self._vectors]
        if missing:
            made = await vectors_of(missing, self._embed, self._caller)
            self._vectors.update(zip(missing, made, strict=True))
        return cosine(self._vectors[left], self._vectors[right])
