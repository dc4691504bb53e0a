"""Prove that a trimmed prompt gets the same answers: ask both in turns, and hold checks and answers against each other.

BASE is the prompt as it was, FILE the trimmed one. Each model answers both -n times, interleaved, after a warm-up that
is dropped. Answers count as held if no --check passes less often and they are as alike to the baseline's answers
(ROUGE-L) as those are to each other, within --margin. --save keeps FILE in the library with its receipt and proof.

Exit codes: 0 proven, 1 anything else (changed, worse, undecided, a call failed), 2 cannot be meant, 130 cancelled with
Ctrl-C (what came is judged and reported, nothing is saved).
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.budget.exact_estimate import most_usd
from promptop.cli.shared.call_options import (
    INTERRUPTED,
    add_call_arguments,
    requests_for,
    settings_for,
    tell_prompts,
)
from promptop.cli.shared.progress import make, price
from promptop.cli.shared.prompt_input import read_input, sendable
from promptop.experiments.checks import parse_check
from promptop.experiments.interleaved import ceiling_of_trial
from promptop.experiments.proof import MARGIN, REPEATS, paired, prove, trial
from promptop.prompts import Prompt
from promptop.prompts.proof import PROVEN, VERDICTS, Proof
from promptop.prompts.receipt import Receipt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("base", metavar="BASE", help="the prompt as it was before trimming")
    parser.add_argument("-m", "--model", action="append", metavar="M", help="model, or model@profile; once for each")
    parser.add_argument(
        "-n", "--repeat", type=int, default=REPEATS, metavar="N", help="answers to each prompt (default %(default)s)"
    )
    parser.add_argument(
        "--check", action="append", default=[], metavar="CHECK", help="what each answer must be, as in compare"
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=MARGIN,
        metavar="R",
        help="how much less alike answers may be, 0 to 1 (default %(default)s)",
    )
    parser.add_argument("--save", metavar="NAME", help="keep FILE as a version of NAME in the library, with the proof")
    add_call_arguments(parser)
    # A repeated attempt would stand in for an answer that the other prompt had to give at once.
    parser.set_defaults(retries=0)


def run(args: argparse.Namespace) -> int:
    """Prove and return the exit code."""
    checks = [parse_check(text) for text in args.check]
    if not 0 <= args.margin <= 1:
        raise UsageError(f"--margin {args.margin:g} cannot be meant.", "Write a number from 0 to 1, as in 0.1.")
    if args.cache:
        raise UsageError("--cache and prove exclude each other.", "A cached answer says nothing of the prompt.")
    settings = settings_for(args)
    inputs = read_input(args.base), read_input(args.file, args.text)
    texts = inputs[0].text, inputs[1].text
    before, after = (sendable(each, args.role) for each in inputs)
    specs = args.model or ([after.model] if after.model else list(settings.active_profile().models)[:1])
    if not specs:
        raise UsageError("No model was named.", 'Write -m MODEL for each, or models = ["…"] in the profile.')
    asked = [requests_for(args, settings, prompt, specs) for prompt in (before, after)]
    tell_prompts(args, before, after)
    pairs = list(zip(*asked, strict=True))
    if pairs[0][0].parameters() != pairs[0][1].parameters():
        print("The two prompts name other parameters: a difference may be theirs.", file=sys.stderr)
    tried = trial(pairs, args.repeat, most_usd, args.max_usd)
    tried.cap_usd = price(args, settings, ceiling_of_trial(tried))
    outcome = make(tried, args, settings)
    titles = [request.title for request in asked[0]]
    now_ms = int(time.time() * 1000)
    found = prove(*texts, titles, paired(outcome.kept), checks, now_ms=now_ms, margin=args.margin)
    receipt = receipt_of(specs[0], before, after, found)
    errors = dict.fromkeys(str(each.error) for arm in outcome.kept for each in arm if each.error is not None)
    if args.json:
        told = {"verdict": found.verdict, "receipt": receipt.as_dict(), "errors": list(errors)}
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        _print(found, receipt)
        for error in list(errors)[:5]:
            print(f"error: {clean_line(error, 300)}", file=sys.stderr)
        if outcome.is_capped:
            print("The cap ended it before the last round.", file=sys.stderr)
    if outcome.stopped:
        return INTERRUPTED
    if args.save:
        _save(args.save, texts, receipt, now_ms, quiet=args.json)
    return 0 if found.verdict == PROVEN else 1


def receipt_of(model: str, before: Prompt, after: Prompt, found: Proof | None) -> Receipt:
    """Return tokens and input dollars of both prompts by our own count, with the proof."""
    from promptop import models
    from promptop.prompts import compose
    from promptop.tokens import count

    name = model.partition("@")[0] if models.find(model) is None else model
    counts = [count(compose(prompt.openai()), name) for prompt in (before, after)]
    usd = [models.price(name, input_tokens=each.tokens, output_tokens=0).usd for each in counts]
    return Receipt(name, counts[0].kind, counts[0].tokens, counts[1].tokens, usd[0], usd[1], {}, found)


def _print(found: Proof, receipt: Receipt) -> None:
    for model in found.models:
        print(f"== {clean_line(model.model)}: {model.verdict} (n={model.n_before}+{model.n_after}) ==")
        for line in model.sentences():
            print(f"  {clean_line(line, 300)}")
    print(f"{VERDICTS[found.verdict]} (margin {found.margin:g})")
    sys.stdout.flush()
    print(clean_line(receipt.line(), 400), file=sys.stderr)


def _save(name: str, texts: tuple[str, str], receipt: Receipt, now_ms: int, *, quiet: bool) -> None:
    """Keep both texts as versions: the trimmed one says what it was trimmed from."""
    from promptop.prompts.library import Library

    library = Library()
    known = library.versions(name)
    if not any(version.text == texts[0] for version in known):
        library.save(name, texts[0], now_ms=now_ms, note="before trimming")
    saved = library.save(name, texts[1], now_ms=now_ms, note=receipt.line(), receipt=receipt)
    if not quiet:
        print(f"Saved as {clean_line(saved.label)}.", file=sys.stderr)
