"""What is going to be asked of a test set: every case of every version and model, with its checks."""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.client.http.endpoints import RefusedFields
from promptop.client.request import RunRequest
from promptop.client.request_body import body_of, find_model
from promptop.experiments.checks import ANSWERED, Check, Spec, answered, parse_check, takes_expected
from promptop.experiments.checks.judges import JudgeModel
from promptop.experiments.checks.vectors import EmbedModel, check_engine
from promptop.experiments.test_sets.case import Case, Message, TestSet

_AUDIO = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """A case with its checks and its two requests to each model."""

    case: Case
    specs: tuple[tuple[Spec, bool], ...]
    """Checks as written, and whether they hold for all cases."""
    requests: tuple[tuple[RunRequest, ...], ...]
    """For each model: one of each version; in a proof of the baseline, and of the trimmed prompt."""
    given: str
    """What a judge is shown of the case: never the prompts."""


@dataclass(frozen=True, slots=True)
class GridPlan:
    """Everything that a run over a test set needs; it can be pickled."""

    cases: tuple[PlannedCase, ...]
    """In the order in which they are begun."""
    models: tuple[str, ...]
    folder: Path | None = None
    python: bool = False
    at_once: int = 1
    seed: int = 1
    judge: JudgeModel | None = None
    embed: EmbedModel | None = None
    set_digest: str = ""
    tags: tuple[str, ...] = ()

    @property
    def has_checks(self) -> bool:
        """Whether anything beside :data:`ANSWERED` is checked."""
        return any(not _is_answered(spec) for planned in self.cases for spec, _ in planned.specs)


def _is_answered(spec: Spec) -> bool:
    """Whether a check says what is checked anyway."""
    if isinstance(spec, str):
        return spec.strip() == ANSWERED
    return spec.get("type") == ANSWERED and not spec.get("not")


def checks_for(planned: PlannedCase, plan: GridPlan) -> list[Check]:
    """Return the checks of a case, :data:`ANSWERED` first unless the case itself says something of it."""
    found: list[Check] = []
    for spec, shared in planned.specs:
        try:
            found.append(
                parse_check(spec, python=plan.python, expected=planned.case.expected, folder=plan.folder, shared=shared)
            )
        except UsageError as error:
            where = "" if shared else f"{planned.case.where or planned.case.id}: "
            raise UsageError(f"{where}{error.cause}", error.remedy) from None
    if any(check.kind == ANSWERED for check in found):
        return found
    return [answered(), *found]


def require_models(plan: GridPlan) -> None:
    """Raise :class:`UsageError` before any call where a check needs a model that was not named."""
    kinds = {check.kind for planned in plan.cases for check in checks_for(planned, plan)}
    if "rubric" in kinds and plan.judge is None:
        raise UsageError("A rubric: check needs a judge.", "Name a model that judges (--judge MODEL).")
    if "similar" in kinds:
        check_engine(plan.embed)


Build = Callable[[Mapping[str, str], Sequence[Message]], list[list[RunRequest]]]
"""Takes the values and messages of a case; returns the requests of each version, by model."""


def planned_cases(test_set: TestSet, shared: Sequence[Spec], build: Build, *, seed: int = 1) -> tuple[PlannedCase, ...]:
    """Return the cases of a set in the order in which they are begun, with what is asked in each."""
    found = []
    for case in test_set.ordered(seed):
        values, parts = _filled(test_set, case)
        both = build(values, case.messages)
        pairs = tuple(tuple(_with_parts(each, parts) for each in row) for row in zip(*both, strict=True))
        common = [*test_set.checks, *shared]
        # What is expected is compared as a whole, unless a check of all cases says how it is compared.
        own = list(case.checks) if any(map(takes_expected, common)) else case.specs()
        specs = [(spec, True) for spec in common] + [(spec, False) for spec in own]
        found.append(PlannedCase(case, tuple(specs), pairs, _given(case, values)))
    return tuple(found)


def asked_once(planned: Sequence[PlannedCase]) -> tuple[tuple[PlannedCase, ...], int]:
    """Fold cases that ask the same of every model and version, whatever they are called; return how many went.

    The same input twice is one case, with the checks of both: copies would make a sample look larger than it is.
    Raises :class:`UsageError` for two that expect different answers.
    """
    kept: dict[tuple[str, ...], PlannedCase] = {}
    for each in planned:
        key = tuple(digest_of(request) for row in each.requests for request in row)
        first = kept.setdefault(key, each)
        if first is each:
            continue
        case, twin = first.case, each.case
        if case.expected is not None and twin.expected is not None and case.expected != twin.expected:
            raise UsageError(
                f"{twin.where or twin.id}: it asks what {case.where or case.id} asks, and expects another answer.",
                "Leave one out: they cannot both be right.",
            )
        expected = twin.expected if case.expected is None else case.expected
        both = replace(
            case,
            expected=expected,
            weight=case.weight + twin.weight,
            tags=tuple(dict.fromkeys((*case.tags, *twin.tags))),
            critical=case.critical or twin.critical,
        )
        specs = first.specs + tuple(spec for spec in each.specs if spec not in first.specs)
        kept[key] = replace(first, case=both, specs=specs)
    return tuple(kept.values()), len(planned) - len(kept)


def _filled(test_set: TestSet, case: Case) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the values of a case and its files as content parts; text files become values."""
    values, parts = case.values(), []
    for name in case.files:
        data = test_set.read(case, name)
        path = Path(name.removeprefix("file://"))
        kind = mimetypes.guess_type(path.name)[0] or ""
        coded = base64.b64encode(data).decode("ascii")
        if kind.startswith("image/"):
            parts.append({"type": "image_url", "image_url": {"url": f"data:{kind};base64,{coded}"}})
        elif kind in _AUDIO:
            parts.append({"type": "input_audio", "input_audio": {"data": coded, "format": _AUDIO[kind]}})
        elif kind == "application/pdf":
            inside = {"filename": path.name, "file_data": f"data:{kind};base64,{coded}"}
            parts.append({"type": "file", "file": inside})
        else:
            try:
                values[path.stem] = data.decode("utf-8-sig")
            except UnicodeDecodeError:
                raise UsageError(
                    f"{case.where}: {clean_line(name, 80)} is neither text, image, PDF nor WAV or MP3.", "Convert it."
                ) from None
    return values, parts


def _with_parts(request: RunRequest, parts: Sequence[Mapping[str, Any]]) -> RunRequest:
    if not parts:
        return request
    messages = [dict(message) for message in request.messages]
    last = next((each for each in reversed(messages) if each.get("role") == "user"), None)
    if last is None:
        last = {"role": "user", "content": ""}
        messages.append(last)
    content = last.get("content")
    text = [{"type": "text", "text": content}] if isinstance(content, str) and content else list(content or [])
    last["content"] = [*text, *parts]
    return replace(request, messages=messages)


def _given(case: Case, values: Mapping[str, str]) -> str:
    if case.messages:
        return "\n".join(f"{each.get('role')}: {_plain(each.get('content'))}" for each in case.messages)
    return "\n".join(f"{name}: {value}" for name, value in values.items())


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)


_LEADING = frozenset({"system", "developer"})


def standing_in(request: RunRequest, messages: Sequence[Message]) -> RunRequest:
    """Put a case's conversation in the place of the prompt's user part; the system part stays the prompt's."""
    if not messages:
        return request
    system = [each for each in request.messages if each.get("role") in _LEADING]
    return replace(request, messages=[*system, *(each for each in messages if each.get("role") not in _LEADING)])


def digest_of(request: RunRequest) -> str:
    """Return what a cell is found by: the request's body as it is sent, and the endpoint."""
    body, _ = body_of(request, find_model(request), RefusedFields())
    text = json.dumps([request.profile.base_url, body], ensure_ascii=True, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def attempt_of(before: str, set_digest: str, models: Sequence[str], hosts: Sequence[str]) -> str:
    """Return what a further attempt is told by: the same baseline, test set, models and endpoints."""
    text = json.dumps([before, set_digest, sorted(models), sorted(hosts)])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
