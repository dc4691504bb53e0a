"""Test common claims about speed on your endpoint: temperature, max_tokens, stop, streaming, prompt, http2, connection.

For each claim the prompt is asked both ways in turns, after a warm-up that is dropped. The difference is printed with
an interval, an effect size and a verdict in words. The price is printed before the first call.

Exit codes: 0 judged, 1 no call was answered or the cap ended it, 2 usage error, 130 cancelled with Ctrl-C (what came is
judged).
"""

from __future__ import annotations

import json
import sys

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option
from promptop.cli.shared.call_options import (
    INTERRUPTED,
    call_options,
    requests_for,
    settings_for,
    tell_prompts,
)
from promptop.cli.shared.money import lengths_of, price
from promptop.cli.shared.progress import make
from promptop.cli.shared.prompt_input import read_prompt
from promptop.experiments.latency_claims import CLAIMS, NAMES, REPEATS, ClaimsRun

EXAMPLES = (
    "promptop claims --list",
    "promptop claims prompt.md -m gpt-4o-mini -c temperature -c stop",
)


def parameters() -> Parameters:
    """Return the options of the command."""
    return [
        option(
            "-m",
            "--model",
            complete=models_known,
            metavar="M",
            help="model, or model@profile (default: the profile's first)",
        ),
        option("-c", "--claim", many=True, metavar="NAME", help=f"one of {', '.join(NAMES)} (default: all)"),
        option("-n", "--repeat", type=int, default=REPEATS, metavar="N", help=f"rounds (default {REPEATS})"),
        flag("--list", help="print the claims; send nothing"),
        *call_options(retries=0),
    ]


def run(args: ParsedArguments) -> int:
    """Test and return the exit code."""
    if args.list:
        for claim in CLAIMS:
            print(f"{claim.name:12} {claim.question}")
        return 0
    if args.cache:
        raise UsageError("--cache and claims exclude each other.", "A hit says nothing of the endpoint.")
    settings = settings_for(args)
    prompt = read_prompt(args)
    spec = args.model or prompt.model or next(iter(settings.active_profile().models), "")
    if not spec:
        raise UsageError("No model was named.", 'Write -m MODEL, or models = ["…"] in the profile.')
    request = requests_for(args, settings, prompt, [spec])[0]
    tell_prompts(args, prompt)
    claims = ClaimsRun(request, args.claim, args.repeat)
    gate = price(args, settings, claims.trial.estimate(lengths_of(settings)))
    outcome = make(claims, args, settings, gate)
    if args.json:
        told = {
            "model": request.model,
            "claims": [each.to_json() for each in outcome.findings],
            "errors": outcome.errors,
        }
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        for finding in outcome.findings:
            for line in finding.sentences():
                print(clean_line(line, 300))
            print()
        print(outcome.footnote())
        sys.stdout.flush()
        for error in outcome.errors[:5]:
            print(f"error: {clean(error)}", file=sys.stderr)
        if outcome.is_capped:
            print("The cap ended it before its last round.", file=sys.stderr)
    if outcome.stopped:
        return INTERRUPTED
    return 1 if outcome.is_capped or not outcome.answered else 0
