"""Shorten a prompt step by step: trim rules, ablation and a model propose, a test set decides, held-out cases prove.

Each proposal is tested on the training part of the cases and dropped at the first case that breaks. The result is
proven on the held-out part against the original prompt. Each step is one line of output. The price is printed before
anything is sent; it stops at --max-usd and --max-calls.

Exit codes: 0 proven (or nothing can be left out), 1 anything else, 2 usage or settings error, 130 cancelled with
Ctrl-C; --resume continues, also after a kill.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptop.base import units as figures
from promptop.base.errors import UsageError
from promptop.base.files import create_private, data_dir
from promptop.base.sanitize import clean_line
from promptop.cli.calls.ablate import (
    check_options,
    one_model,
    planned_search,
    price_search,
    prompt_maker,
    search_options,
)
from promptop.cli.calls.prove import receipt_of, save_versions
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option
from promptop.cli.shared.call_options import INTERRUPTED, call_options, settings_for
from promptop.cli.shared.confirmation import refuse_existing
from promptop.cli.shared.progress import make
from promptop.cli.shared.prompt_input import read_input, sendable
from promptop.cli.shared.test_set_options import keeps_texts, test_set_options
from promptop.client.request import RunRequest
from promptop.client.targets import parse_target
from promptop.experiments.ablation.optimise import OptimiseOutcome, OptimiseRun, OptimiseStep
from promptop.experiments.ablation.report import ENDED
from promptop.experiments.grid.cells import CellStore
from promptop.experiments.proof.report import ProofReport, report_of
from promptop.prompts.files import write_atomic
from promptop.prompts.library import Library
from promptop.prompts.proof import PROVEN
from promptop.settings import Settings

EXAMPLES = ("promptop optimise summary.md -m gpt-4o-mini --cases cases.jsonl --max-usd 1 --out shorter.md",)


def parameters() -> Parameters:
    """Return the options of the command."""
    return [
        *search_options(),
        option(
            "--rewrite-model", metavar="M", help="model that proposes shorter wording (default: the one that is asked)"
        ),
        flag("--no-rewrite", help="let no model propose: rules and ablation alone"),
        option("--out", type=Path, metavar="FILE", help="write the shortened prompt, proven or not, to FILE"),
        flag("--force", help="replace a file that exists"),
        option(
            "--save",
            metavar="NAME",
            help="keep it as a version of NAME in the library, with its receipt (lib:NAME: NAME)",
        ),
        option(
            "--steps",
            type=Path,
            metavar="FILE",
            help="log of the steps, texts included (default: digests, data folder)",
        ),
        *call_options(retries=2),
        *test_set_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Optimise and return the exit code."""
    refuse_existing(args.out, force=args.force)
    check_options(args)
    settings = settings_for(args)
    given = read_input(args.file, args.text)
    prompt = sendable(given, args.role)
    spec = one_model(args, settings, prompt)
    plan, plan_of = planned_search(args, settings, given, prompt, spec)
    store = CellStore(args.resume or "", full=keeps_texts(settings))
    steps = _Steps(args.steps or data_dir() / "optimise" / f"{store.run}.jsonl", texts=args.steps is not None)
    model = spec.partition("@")[0]
    optimise = OptimiseRun(
        plan,
        plan_of,
        store,
        count=lambda text: _count(text, model),
        trims=[lambda text: _trimmed(text, model, safe=False), lambda text: _trimmed(text, model, safe=True)],
        rewrite=None if args.no_rewrite else _rewriter(args, settings, spec),
        tell=lambda step, text: steps.add(step, text, quiet=args.quiet or args.json),
        resumed=bool(args.resume),
    )
    gate = price_search(args, settings, plan, store, f" Steps: {steps.path}")
    outcome = make(optimise, args, settings, gate)
    now_ms = int(time.time() * 1000)
    texts = given.text, outcome.text
    report = None
    if outcome.proof is not None and outcome.proof_plan is not None and outcome.proof.runs:
        report = report_of(outcome.proof_plan, outcome.proof, texts, now_ms)
    verdict = report.verdict if report is not None else "unchanged" if texts[0] == texts[1] else "tried"
    after = prompt_maker(args, given, prompt)(outcome.text)
    receipt = replace(
        receipt_of(spec, prompt, after, report.proof if report is not None else None), rules=dict(outcome.rules)
    )
    steps.end(verdict)
    saved = ""
    name = (args.save or "").removeprefix("lib:") or (given.version.name if given.version is not None else "")
    if name and texts[0] != texts[1] and verdict == PROVEN:
        save_versions(name, texts, receipt, now_ms, quiet=args.quiet or args.json)
        saved = Library().version(name).label
    elif args.save and not args.quiet:
        print(f"Nothing was saved: the verdict is {verdict}.", file=sys.stderr)
    if args.out and texts[0] != texts[1]:
        write_atomic(args.out, outcome.text)
    if args.json:
        shape = _to_json(outcome, report, verdict) | {"receipt": receipt.as_dict(), "saved": saved or None}
        print(json.dumps(shape | {"steps_log": str(steps.path)}, ensure_ascii=True, indent=2))
    else:
        _print(outcome, report, verdict)
        print(clean_line(receipt.line(), 400), file=sys.stderr)
        if not args.out and texts[0] != texts[1]:
            sys.stdout.write(outcome.text)
    if outcome.stopped:
        return INTERRUPTED
    return 0 if verdict == PROVEN or (verdict == "unchanged" and not outcome.ended) else 1


class _Steps:
    """The log of steps: a line each, written at once. What an earlier run of the same id wrote is not written again."""

    def __init__(self, path: Path, *, texts: bool) -> None:
        self.path, self._texts = path, texts
        self._known: set[tuple[int, str, bool]] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    shape = json.loads(line)
                except ValueError:
                    continue  # a line that a kill cut short
                if "step" in shape:
                    self._known.add((shape["step"], shape["after"], shape["accepted"]))

    def add(self, step: OptimiseStep, text: str, *, quiet: bool) -> None:
        """Write a step, and show it."""
        if (step.number, step.after, step.accepted) not in self._known:
            self._write(step.to_json(text if self._texts else None))
        if not quiet:
            sign = "✓" if step.accepted else "✗"
            tokens = f"{step.tokens_before} → {step.tokens_after} tokens"
            print(clean_line(f"\r{sign} {step.by}: {step.said}, {tokens}: {step.why}", 300), file=sys.stderr)

    def end(self, verdict: str) -> None:
        """Write the verdict."""
        self._write({"verdict": verdict})

    def _write(self, shape: Mapping[str, Any]) -> None:
        # A line that a kill cut short is ended first.
        whole = not self.path.exists() or self.path.read_bytes()[-1:] in (b"", b"\n")
        create_private(self.path)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("" if whole else "\n") + json.dumps(shape, ensure_ascii=False) + "\n")


def _count(text: str, model: str) -> int:
    from promptop.tokens import count

    return count(text, model).tokens


def _trimmed(text: str, model: str, *, safe: bool) -> tuple[str, dict[str, int]]:
    from collections import Counter

    from promptop import models
    from promptop.trim import chosen, trim

    known = models.find(model)
    found = trim(text, known.encoding if known is not None else "o200k_base", chosen(safe_only=safe))
    return found.text, dict(Counter(rule for edit in found.edits for rule in edit.rule.split("+")))


def _rewriter(args: ParsedArguments, settings: Settings, spec: str) -> Any:
    from promptop.trim.rewrite import request

    target = parse_target(args.rewrite_model or spec, settings)
    if args.rewrite_model == "":
        raise UsageError("--rewrite-model names no model.", "Write one, or --no-rewrite.")

    def asked(body: str) -> RunRequest:
        return request(target, body, _count(body, target.model))

    return asked


def _to_json(outcome: OptimiseOutcome, report: ProofReport | None, verdict: str) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "text": outcome.text,
        "steps": [step.to_json() for step in outcome.steps],
        "ended": outcome.ended or None,
        "calls": outcome.calls,
        "kept": outcome.kept,
        "usd": outcome.spent_usd,
        "run": outcome.run,
        "proof": report.to_json() if report is not None else None,
        "capped": outcome.is_capped,
        "errors": list(outcome.errors),
    }


def _print(outcome: OptimiseOutcome, report: ProofReport | None, verdict: str) -> None:
    why = f": {report.why}" if report is not None else ""
    print(clean_line(f"{verdict}{why}", 600), file=sys.stderr)
    if outcome.ended:
        print(f"Not finished: {ENDED.get(outcome.ended, outcome.ended)}.", file=sys.stderr)
    accepted = sum(step.accepted for step in outcome.steps)
    said = f"{accepted} of {len(outcome.steps)} steps accepted, {outcome.calls} calls, {figures.usd(outcome.spent_usd)}"
    print(said, file=sys.stderr)
    for error in outcome.errors[:5]:
        print(f"error: {clean_line(error, 300)}", file=sys.stderr)
