"""What ``run`` and ``compare`` share: the options of a call, the prompt, and figures for people."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.budget.gate import Gate
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.conversation import context_options, sent_messages
from promptop.cli.shared.model_names import tell_unknown
from promptop.cli.shared.options import settings_of, settings_options
from promptop.cli.shared.parameters import overrides_of, parameter_options, parameters_of
from promptop.cli.shared.prompt_input import notes_of, prompt_options, system_text, tell_notes, values_of
from promptop.client.http.endpoints import Endpoints
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, RunResult
from promptop.client.targets import parse_target
from promptop.client.variants import AS_TYPED, PromptVersion, requests_of
from promptop.prompts import Prompt, fill
from promptop.settings import Settings

INTERRUPTED = 130


def call_options(*, retries: int | None = 2) -> Parameters:
    """Return the options of a call; those that are not given come from the prompt's front matter, or are not sent."""
    return [
        argument(
            "file",
            required=False,
            default="-",
            metavar="FILE",
            complete=prompts,
            help="prompt (default and -: standard input)",
        ),
        option("--text", metavar="TEXT", help="the prompt itself, instead of a file"),
        *prompt_options(),
        *parameter_options(),
        *context_options(),
        option("--retries", type=int, default=retries, metavar="N", help="after 429, 5xx, failed connections"),
        option("--base-url", metavar="URL", help="endpoint, instead of a profile's"),
        option("--max-usd", type=float, metavar="USD", help="send nothing if it may cost more than this"),
        flag("--cache", help="ask the response cache first, and keep the answer"),
        flag("--json", help="figures and text as JSON, nothing else on stdout"),
        flag("-q", "--quiet", help="no figures on stderr"),
        *settings_options(),
    ]


def settings_for(args: ParsedArguments) -> Settings:
    """Return the settings, with ``--base-url`` put into the profile in use."""
    settings = settings_of(args, sends=True)
    if not args.base_url:
        return settings
    if not args.base_url.startswith(("http://", "https://")):
        raise UsageError(f"{args.base_url!r} is not a base URL.", "Write http(s)://HOST/v1.")
    import os

    active = settings.active_profile()
    chosen = replace(active, name="--base-url", base_url=args.base_url, models=())
    if chosen.api_key_env and not os.environ.get(chosen.api_key_env):
        chosen = replace(chosen, api_key_env="")  # a local server needs no key
    return replace(settings, profiles={**settings.profiles, chosen.name: chosen}, profile=chosen.name)


def open_endpoints(settings: Settings, app: str, gate: Gate) -> Endpoints:
    """Return the endpoints of a command, whose calls pass ``gate``; a cache that fails is told on stderr once."""
    return Endpoints(
        log=settings.log_path(),
        app=app,
        bodies=settings.log.bodies,
        cache=settings.cache,
        notice=lambda text: print(clean_line(text), file=sys.stderr),
        gate=gate,
    )


def requests_for(
    args: ParsedArguments,
    settings: Settings,
    prompt: Prompt,
    specs: Sequence[str],
    others: Mapping[str, Prompt] | None = None,
    *,
    values: Mapping[str, str] | None = None,
) -> list[RunRequest]:
    """Build one request per model; raise :class:`UsageError` for options that are not valid.

    With ``others`` (name → prompt) each model is asked with these versions, too; parameters are those of ``prompt``.
    ``values`` of variables win over those of ``--var``.
    """
    known, system = {**values_of(args), **(values or {})}, system_text(args.system)
    named = {args.file: prompt, **others} if others else {AS_TYPED: prompt}
    versions = []
    for label, each in named.items():
        messages = each.openai(known)
        if system is not None:
            messages.insert(0, {"role": "system", "content": fill(system, {**each.sample, **known})})
        messages = sent_messages(args, messages, quiet=values is not None or args.quiet or args.json)
        versions.append(PromptVersion(label, messages, each.name or None))
    parameters = {**parameters_of(args, prompt), "retries": max(0, args.retries), "cache": args.cache}
    targets = [parse_target(spec, settings) for spec in specs]
    if values is None:
        tell_unknown((target.model for target in targets), likely_slips_only=True)
    return requests_of(targets, versions, parameters, overrides=overrides_of(args, targets))


def tell_prompts(args: ParsedArguments, *prompts: Prompt) -> None:
    """Say on stderr what of the prompts is sent otherwise than it may be meant; with ``--strict`` nothing is sent.

    Raises :class:`UsageError` then.
    """
    tell_notes(notes_of(prompts, values_of(args), system_text(args.system)), strict=args.strict)


@contextmanager
def cancelling(calls: Callable[[], Sequence[CallProgress]]) -> Any:
    """Let Ctrl-C cancel the calls, so that what came is kept; the second Ctrl-C ends the program at once."""
    loop = asyncio.get_running_loop()

    def cancel() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        for progress in calls():
            progress.cancel()

    loop.add_signal_handler(signal.SIGINT, cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def exit_code(results: Sequence[RunResult]) -> int:
    """Return 130 if a call was cancelled, 1 if one failed, 0 otherwise."""
    states = {result.state for result in results}
    return INTERRUPTED if "cancelled" in states else 1 if "failed" in states else 0


def tell_shares(endpoints: Endpoints, *, quiet: bool) -> None:
    """Say on stderr how calls were shared out among the endpoints and keys of each profile that has several."""
    for line in endpoints.shares() if not quiet else ():
        print(line, file=sys.stderr)


def figures_line(result: RunResult) -> str:
    """Return the figures of a call for people, in one line."""
    usage = result.usage
    about = "≈" if usage.source == "estimated" else ""
    pieces = [
        clean_line(result.title),
        f"TTFT {units.seconds(result.ttft_s)}",
        f"total {units.seconds(result.total_s)}",
        f"{about}{units.rate(result.output_tps)} tok/s",
        f"{about}{units.count(usage.input_tokens)} → {units.count(usage.output_tokens)} tokens",
        "cost n/a" if result.cost_usd is None else f"{about}{units.usd(result.cost_usd)}",
        clean_line(result.finish_reason or (result.error.type if result.error else "no finish reason"), 40),
    ]
    if result.cache_hit:
        saved = result.row.saved_usd if result.row is not None else None
        pieces.append(f"{result.cache_hit} hit" + (f", saved {units.usd(saved)}" if saved is not None else ""))
    return " · ".join(pieces)


def notes(result: RunResult) -> list[str]:
    """Return what a reader must know beside the figures: changes, attempts, the error with its remedy."""
    lines = [f"changed: {clean_line(change)}" for change in result.changes]
    for attempt in result.attempts[:-1]:
        if attempt.error is not None and (attempt.wait_s or attempt.place):
            then = f"waited {attempt.wait_s:.1f} s" if attempt.wait_s else "went on elsewhere"
            at = f" at {clean_line(attempt.place, 60)}" if attempt.place else ""
            lines.append(f"attempt {attempt.number}{at}: {attempt.error.cause} ({then})")
    if result.refused:
        lines.append("the model refused: the text came in the refusal field")
    if result.cache_refusal:
        lines.append(f"the cache was not asked: {result.cache_refusal}")
    if result.error is not None:
        lines.append(f"error: {result.error}")
    return lines
