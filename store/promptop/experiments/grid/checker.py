"""Holds an answer against its checks, those that a model must be asked for included."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

from promptop.base.errors import PromptopError
from promptop.client.request import RunRequest
from promptop.client.result import RunResult
from promptop.experiments.checks import Check, Checked
from promptop.experiments.checks.judges import Judge, JudgeModel, JudgeRecord
from promptop.experiments.checks.vectors import EmbedModel, cosine, vectors_of
from promptop.experiments.grid.caller import GridCaller, is_refused


def text_of_answer(result: RunResult) -> str:
    """Return all that an answer says: its text, and tool calls with their arguments; reasoning is not part of it."""
    return "\n".join([result.text, *(f"{name}({arguments})" for name, arguments in result.tool_calls)])


def plain(text: str) -> str:
    """Return a text as equality is meant: one form of each character, no white space around it."""
    return unicodedata.normalize("NFC", text).strip()


def answer_digest(result: RunResult) -> str:
    """Return what two answers are compared by where no text is kept: equal for answers that are the same."""
    said = plain(text_of_answer(result)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(said, digest_size=12).hexdigest()


class Checker:
    """Judges the answers of one run."""

    def __init__(self, caller: GridCaller, judge: JudgeModel | None, embed: EmbedModel | None) -> None:
        """``judge`` grades ``rubric``, ``embed`` makes vectors for ``similar`` (the local engine if None)."""
        self._caller = caller
        self._judge = judge
        self._embed = embed
        self._vectors: dict[str, list[float]] = {}
        self.record = JudgeRecord(judge.model if judge is not None else "")
        """What the judge was asked in this run, and what that cost."""
        self.refused = ""
        """Why the judge's endpoint answers no further call; empty while it does."""

    async def judged(self, checks: Sequence[Check], given: str, result: RunResult) -> dict[str, Checked]:
        """Return what every check says of an answer, by its text; ``given`` is what a judge is shown of the case.

        A check whose judge or vectors could not be had is not in it: that says nothing of the answer.
        """
        found = {check.text: await self.said(check, given, result) for check in checks}
        return {text: said for text, said in found.items() if said is not None}

    async def said(self, check: Check, given: str, result: RunResult) -> Checked | None:
        """Return what one check says; None where the judge gave no verdict, or no vectors came."""
        if not check.is_asked:
            return check.judge(result)
        if check.kind == "rubric":
            assert self._judge is not None, "a rubric without a judge is refused before the first call"
            judge = Judge(self._judge, self._ask_judge, record=self.record)
            fault = await judge.met(check.wants, given, text_of_answer(result))
            if fault is None:
                self._caller.errors[f"The judge {self._judge.model} gave no verdict."] = None
                return None
            return check.said(fault)
        try:
            closeness = await self._similarity(check.wants, result.text)
        except PromptopError as error:
            self._caller.tell(error)
            return None
        return check.said("" if closeness >= check.at else f"similarity {closeness:.2f}, below {check.at:g}")

    async def _ask_judge(self, request: RunRequest) -> RunResult:
        result = await self._caller.call(request)
        if is_refused(result.error) and result.error is not None:
            self.refused = f"cannot be asked: {result.error.cause}"
        return result

    async def _similarity(self, left: str, right: str) -> float:
        missing = [text for text in dict.fromkeys((left, right)) if text not in self._vectors]
        if missing:
            made = await vectors_of(missing, self._embed, self._caller)
            self._vectors.update(zip(missing, made, strict=True))
        return cosine(self._vectors[left], self._vectors[right])
