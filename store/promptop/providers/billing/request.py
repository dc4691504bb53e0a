"""What a request body asks to be billed for: texts, images, recordings, the limit of the answer, how many answers.

Read for an upper bound of the cost, so nothing is left out in silence: a field, a part or a tool whose price nobody
here knows is named in :attr:`Billed.unknown`, and one whose size is not in the body in :attr:`Billed.unsized`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_LIMITS: Mapping[str, tuple[str, ...]] = {
    "/chat/completions": ("max_tokens", "max_completion_tokens"),
    "/completions": ("max_tokens",),
    "/responses": ("max_output_tokens",),
    "/messages": ("max_tokens",),
}
"""Fields that limit the answer, by the end of the path: one that an API does not have limits nothing there."""
_ANSWERS: Mapping[str, tuple[str, ...]] = {
    "/chat/completions": ("n", "best_of"),
    "/completions": ("n", "best_of"),
}
_INPUT_NAMES = (
    "messages input instructions system prompt suffix tools functions response_format text output_config tool_choice"
    " function_call documents guided_json guided_grammar guided_regex guided_choice grammar json_schema"
)
_INPUT = frozenset(_INPUT_NAMES.split())
"""Fields whose text is read as input."""
_FREE_NAMES = (
    "model stream stream_options temperature top_p top_k top_a min_p typical_p stop stop_sequences seed user metadata"
    " presence_penalty frequency_penalty repetition_penalty repeat_penalty repeat_last_n length_penalty logit_bias"
    " logprobs top_logprobs store parallel_tool_calls reasoning_effort verbosity safety_identifier prompt_cache_key"
    " prompt_cache_retention prompt_cache_options truncation include encoding_format dimensions echo ignore_eos"
    " min_tokens skip_special_tokens cache_prompt add_generation_prompt continue_final_message chat_template_kwargs"
    " enable_thinking include_reasoning reasoning_format reasoning_split thinking_budget safety_settings"
    " safe_prompt random_seed usage mirostat mirostat_tau mirostat_eta tfs_z keep_alive num_ctx id_slot"
    " guided_decoding_backend custom_id cache_control use_beam_search early_stopping"
)
_FREE = frozenset(_FREE_NAMES.split())
"""Fields that change no price: what they add to the answer stays below its limit."""
_CLIENT_TOOLS = re.compile(r"(?:bash|text_editor|computer|memory)_\d{8}")
CLIENT_TOOL_TOKENS = 2_000
"""More than the description that Anthropic puts in for a tool of its own that the client runs."""
_USUAL_TIERS = frozenset({"auto", "default", "flex", "standard", "standard_only", "batch"})
_REFERENCES = frozenset({"file_id", "image_file", "item_reference", "container_upload"})


@dataclass(slots=True)
class Billed:
    """What one request is billed for, as far as its body says."""

    models: list[str] = field(default_factory=list)
    """Every model that may answer: the dearest counts."""
    texts: list[str] = field(default_factory=list)
    pieces: int = 0
    """Messages, items, tools and parts, each of which is wrapped in tokens of its own."""
    extra_tokens: int = 0
    """Input that is a number of tokens already."""
    images: list[str] = field(default_factory=list)
    """The detail that each image is asked to be seen in."""
    audio_bytes: int = 0
    answers: int = 1
    limit: int | None = None
    """Tokens of one answer at most; None where the body sets no limit."""
    predicted: list[str] = field(default_factory=list)
    """Texts that are billed as output, too."""
    makes_output: bool = True
    writes_cache: bool = False
    tier: str = ""
    """A processing tier that is priced apart."""
    unsized: list[str] = field(default_factory=list)
    """Input whose size is not in the body: a file by its id, an earlier answer."""
    unknown: list[str] = field(default_factory=list)
    """What may change the price in a way that is not known here."""

    @property
    def text(self) -> str:
        """All text that is read as input."""
        return "\n".join(self.texts)


def billed(body: Mapping[str, Any], path: str) -> Billed:
    """Read a request body as it is sent to ``path``."""
    found = Billed()
    api = next((end for end in _LIMITS if path.endswith(end)), "")
    found.makes_output = not path.endswith(("/embeddings", "/moderations"))
    _read_models(body, found)
    limits = [_whole(body[name]) for name in _LIMITS.get(api, ()) if body.get(name) is not None]
    if limits and None not in limits:
        found.limit = max(each for each in limits if each is not None)
    for name in _ANSWERS.get(api, ()):
        if body.get(name) is not None:
            count = _whole(body[name])
            if count is None:
                found.unknown.append(f"{name} = {json.dumps(body[name], default=str)[:40]}")
            else:
                found.answers = max(found.answers, count)
    known = {*_LIMITS.get(api, ()), *_ANSWERS.get(api, ())}
    for name, value in body.items():
        if name in known or value is None:
            continue
        if name in _INPUT:
            _read_input(name, value, found, api)
        elif name not in _FREE:
            _read_other(name, value, found)
    found.writes_cache = found.writes_cache or body.get("cache_control") is not None
    return found


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else None


def _read_models(body: Mapping[str, Any], found: Billed) -> None:
    found.models.append(str(body.get("model") or ""))
    others = body.get("models")
    if isinstance(others, list) and all(isinstance(each, str) for each in others):
        found.models += others


def _read_input(name: str, value: Any, found: Billed, api: str) -> None:
    if name in ("tools", "functions"):
        _read_tools(value, found)
    elif name == "prompt" and isinstance(value, Mapping):
        found.unsized.append("a prompt that is stored at the provider")
    elif name == "prompt" and isinstance(value, list) and api == "/completions":
        if all(isinstance(each, int) for each in value):
            found.extra_tokens += len(value)
            return
        found.answers *= max(1, len(value))  # each prompt of a list is answered
        _walk(value, found)
    else:
        _walk(value, found)


def _read_tools(tools: Any, found: Billed) -> None:
    for tool in tools if isinstance(tools, list) else [tools]:
        kind = str(tool.get("type") or "function") if isinstance(tool, Mapping) else ""
        found.pieces += 4  # a tool is wrapped in more than a message is
        if kind in ("function", "custom") or (isinstance(tool, Mapping) and "input_schema" in tool):
            found.texts.append(json.dumps(tool, ensure_ascii=False, default=str))
            found.writes_cache = found.writes_cache or "cache_control" in tool
        elif kind == "namespace":
            _read_tools(tool.get("tools") or [], found)
        elif _CLIENT_TOOLS.fullmatch(kind):
            found.extra_tokens += CLIENT_TOOL_TOKENS
        else:
            runs_there = f"the tool {kind[:40]}, which runs at the provider"
            found.unknown.append(runs_there if kind else "a tool of no known form")


def _read_other(name: str, value: Any, found: Billed) -> None:
    if name == "service_tier":
        if value not in _USUAL_TIERS:
            found.tier = str(value)
    elif name == "speed":
        if value != "standard":
            found.unknown.append(f"speed = {str(value)[:40]}")
    elif name == "modalities":
        if not isinstance(value, list) or any(each != "text" for each in value):
            found.unknown.append("an answer in sound or pictures")
    elif name == "prediction":
        texts = list(_strings(value))
        found.texts += texts
        found.predicted += texts
    elif name in ("thinking", "reasoning"):
        _read_thinking(value, found)
    elif name in ("previous_response_id", "conversation"):
        found.unsized.append("an earlier conversation at the provider")
    elif name == "models" and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return  # each of them is priced
    elif name == "background" and value is False:
        return
    else:
        found.unknown.append(f"the field {name[:40]}")


def _read_thinking(value: Any, found: Billed) -> None:
    """Thinking counts as output: a budget of its own may stand above the limit of the answer."""
    if not isinstance(value, Mapping):
        return
    budgets = [value.get(name) for name in ("budget_tokens", "max_tokens") if value.get(name) is not None]
    for budget in budgets:
        tokens = _whole(budget)
        if tokens is None:
            found.unknown.append("a budget for thinking that is not a number")
        elif found.limit is not None:
            found.limit += tokens


def _walk(value: Any, found: Billed) -> None:
    """Take every text of a value; pictures, recordings and files are taken by what they are."""
    if isinstance(value, str):
        found.texts.append(value)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int | float):
        found.extra_tokens += 1  # tokens may be given as numbers
        found.texts.append(str(value))
    elif isinstance(value, list):
        for each in value:
            found.pieces += isinstance(each, Mapping)
            _walk(each, found)
    elif isinstance(value, Mapping):
        _walk_object(value, found)


def _walk_object(value: Mapping[str, Any], found: Billed) -> None:
    kind = str(value.get("type") or "")
    found.writes_cache = found.writes_cache or value.get("cache_control") is not None
    if kind in ("image_url", "input_image", "image") or "image_url" in value:
        _take_image(value, found)
        return
    if kind == "input_audio" or "input_audio" in value:
        _take_audio(value, found)
        return
    if kind in ("file", "input_file", "document") or kind in _REFERENCES or "file_data" in value or "file_id" in value:
        _take_file(value, found)
        return
    if kind in ("video_url", "input_video", "video", "audio_url"):
        found.unknown.append(f"a part of type {kind}")
        return
    if isinstance(value.get("audio"), Mapping) and "id" in value["audio"]:
        found.unsized.append("a recording by its id")
    for name, each in value.items():
        if name == "cache_control":
            continue
        if name not in ("type", "role", "content", "text"):
            found.texts.append(str(name))
        _walk(each, found)


def _take_image(value: Mapping[str, Any], found: Billed) -> None:
    image = value.get("image_url")
    detail = image.get("detail") if isinstance(image, Mapping) else value.get("detail")
    found.images.append(str(detail or "auto"))


def _take_audio(value: Mapping[str, Any], found: Billed) -> None:
    audio = value.get("input_audio")
    data = audio.get("data") if isinstance(audio, Mapping) else None
    if isinstance(data, str):
        found.audio_bytes += len(data) * 3 // 4
    else:
        found.unsized.append("a recording by its address")


def _take_file(value: Mapping[str, Any], found: Billed) -> None:
    source = value.get("source")
    if isinstance(source, Mapping) and source.get("type") in ("text", "content"):
        _walk({name: each for name, each in value.items() if name != "type"}, found)
        return
    found.unsized.append("a file")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _strings(each)
