"""The parameters of a call as options: read, judged, and joined with those of a prompt's front matter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.declare import Parameters, ParsedArguments, group, option
from promptop.client.request import check_stops, unescape
from promptop.client.targets import Target
from promptop.client.variants import check_overrides, read_format, read_tools
from promptop.prompts import Prompt


def parameter_options() -> Parameters:
    """Return the options; what is not given comes from the prompt's front matter, or is not sent."""
    return group(
        "Parameters of the request",
        option("--max-tokens", type=int, metavar="N", help="limit of output tokens"),
        option("--temperature", type=float, metavar="T", help="0 to 2"),
        option("--top-p", type=float, metavar="P", help="0 to 1"),
        option(
            "--stop", many=True, metavar="S", help=r"stop sequence, up to four times; escapes: \n \t \xHH \uHHHH \\"
        ),
        option("--seed", type=int, metavar="N", help="ask for the same answer again"),
        option("--reasoning-effort", metavar="E", help="low, medium, high, or what the model takes"),
        option("--tools", metavar="FILE", help="JSON list of tools that the model may call; or the JSON itself"),
        option("--response-format", metavar="F", help="json, or a file with a JSON schema; or the JSON itself"),
        option("--param", many=True, metavar="NAME=JSON", help="further field of the request: top_k=40"),
        option(
            "--for",
            "overrides",
            many=True,
            metavar="MODEL:NAME=JSON",
            help='another value for one model alone: o3:reasoning_effort="low"',
        ),
    )


_KNOWN = ("max_tokens", "temperature", "top_p", "stop", "seed", "reasoning_effort")
_RANGES: dict[str, tuple[float, float, str]] = {
    "max_tokens": (1, float("inf"), "a whole number ≥ 1"),
    "temperature": (0, 2, "a number from 0 to 2"),
    "top_p": (0, 1, "a number from 0 to 1"),
}


def parameters_of(args: ParsedArguments, prompt: Prompt) -> dict[str, Any]:
    """Return fields of a request, what it has no field for in ``extra``; raise :class:`UsageError` for a bad value."""
    given = {
        "max_tokens": args.max_tokens,
        "temperature": args.temperature,
        "top_p": args.top_p,
        "seed": args.seed,
        "reasoning_effort": args.reasoning_effort,
        "stop": tuple(unescape(stop) for stop in args.stop) if args.stop else None,
    }
    front = {name: value for name, value in prompt.parameters.items() if name in _KNOWN}
    if "stop" in front:
        front["stop"] = (front["stop"],) if isinstance(front["stop"], str) else tuple(map(str, front["stop"] or ()))
    values = {**front, **{name: value for name, value in given.items() if value is not None}}
    for name, (low, high, wanted) in _RANGES.items():
        value = values.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise UsageError(f"{name} cannot be {value!r}.", f"Write {wanted}.")
    check_stops(values.get("stop", ()))
    extra = {name: value for name, value in prompt.parameters.items() if name not in _KNOWN}
    if args.tools:
        extra["tools"] = read_tools(_text(args.tools))
    if args.response_format:
        extra["response_format"] = read_format(_text(args.response_format))
    extra |= dict(_field(text, "--param") for text in args.param)
    extra = {name: value for name, value in extra.items() if value is not None}
    return {**values, "extra": extra}


def overrides_of(args: ParsedArguments, targets: Sequence[Target]) -> dict[str, dict[str, Any]]:
    """Return the values of ``--for`` by model; raise :class:`UsageError` for a model that is not asked."""
    found: dict[str, dict[str, Any]] = {}
    names = sorted({name for target in targets for name in (target.spec, target.model)}, key=len, reverse=True)
    for text in args.overrides:
        # A model's name may hold a colon itself (qwen3:8b).
        model = next((name for name in names if text.startswith(f"{name}:")), None)
        if model is None:
            asked = ", ".join(clean_line(target.spec, 40) for target in targets)
            raise UsageError(f"--for {clean_line(text, 60)!r} names no model that is asked.", f"Asked: {asked}.")
        name, value = _field(text[len(model) + 1 :], "--for")
        found.setdefault(model, {})[name] = value
    check_overrides(found)
    return found


def _field(text: str, option: str) -> tuple[str, Any]:
    """Read ``NAME=JSON``; what is not JSON is a string."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{option} {clean_line(text, 60)!r} has no value.", f"Write {option} NAME=VALUE.")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def _text(given: str) -> str:
    """Return JSON that was typed, a word, or what a file holds."""
    if given.lstrip()[:1] in ("{", "[") or given.lower() in ("json", "text"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except OSError as error:
        raise PromptopError(f"{given} cannot be read ({error.strerror}).", "Check its name.") from None
    except UnicodeDecodeError:
        raise PromptopError(f"{given} is not UTF-8.", "Save it as UTF-8.") from None
