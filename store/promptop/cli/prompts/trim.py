"""Say the same with fewer tokens: rules in English and Chinese that leave code, quotes, numbers and variables alone.

--rewrite then asks the model of -m at your endpoint to shorten what is left, and takes of its answer what loses no
code, quote, address, variable, number or negation (with --all everything). Hold it against the original with promptop
prove.

Exit code: 0; with --check or --budget 1 if tokens could be saved or the budget is exceeded; 130 after Ctrl-C.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from promptop import models
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.base.texts import sentence
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import LIBRARY, Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.options import settings_of, settings_options
from promptop.cli.shared.prompt_input import from_library, read_input

if TYPE_CHECKING:
    from promptop.cli.shared.rewriting import Rewritten
    from promptop.prompts.receipt import Receipt
    from promptop.trim import TrimmedText
    from promptop.trim.rewrite import Hunk


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument(
            "file",
            required=False,
            default="-",
            metavar="FILE",
            complete=prompts,
            help="prompt; - or none: standard input",
        ),
        option(
            "-m",
            "--model",
            complete=models_known,
            default="gpt-4o",
            metavar="MODEL",
            help="model whose tokens count, and that rewrites (gpt-4o)",
        ),
        flag("--all", help="apply rules of severity check too, not the safe ones alone"),
        option("--select", default="", metavar="IDS", help="only these rules, with commas between them"),
        flag("--apply", help="write the result to the file, or as the next version of lib:NAME"),
        flag("--diff", help="print the changes instead of the text"),
        flag("--why", help="print the places that were left alone, and why, instead"),
        flag("--check", help="print nothing; exit 1 if tokens could be saved"),
        option("--budget", type=int, metavar="N", help="exit 1 if more than N tokens remain"),
        option("--rounds", type=int, metavar="K", help="rounds that old-history keeps (keep_rounds: 6)"),
        flag("--rewrite", help="let the model shorten it further; this sends the text"),
        option("--max-usd", type=float, metavar="USD", help="do not ask the model if it may cost more than this"),
        option("--base-url", metavar="URL", help="endpoint of --rewrite, instead of a profile's"),
        *settings_options(),
        flag("-q", "--quiet", help="no figures on stderr"),
        flag("--rules", help="list the rules and stop"),
        flag("--json", help="print a JSON object"),
    ]


def run(args: ParsedArguments) -> int:
    """Print the trimmed text on standard output, its figures on standard error."""
    from promptop.trim import RULES, chosen, trim
    from promptop.trim.rule_switches import RuleSwitches, rules_for

    settings, switches = settings_of(args).editor, RuleSwitches()
    off = {*settings.trim_off, *switches.off}
    if args.rules:
        for rule in RULES:
            asked = " (only with --select)" if rule.on_request else " (off)" if rule.id in off else ""
            print(f"{rule.id:18} {rule.severity:6} {sentence(rule.description)}{asked}")
        return 0
    selected = [name.strip() for name in args.select.split(",") if name.strip()]
    rounds = settings.keep_rounds if args.rounds is None else args.rounds
    if selected:
        rules = chosen(selected, rounds=max(0, rounds))
    else:
        rules = rules_for(settings, safe_only=not args.all, rounds=rounds, switches=switches)
    found = read_input(args.file)
    text = found.text
    if args.apply and found.is_converted:
        raise UsageError(
            f"{args.file} is {found.draft.kind}: a trimmed draft would not be of that form.",
            "Leave out --apply: the draft is printed.",
        )
    model = models.find(args.model)
    if model is None:
        print(f"promptop: {clean_line(args.model)} is not in the catalogue: counted as o200k", file=sys.stderr)
    encoding = model.encoding if model is not None else "o200k_base"
    result = trim(text, encoding, rules)
    rewritten = None
    if args.rewrite:
        from promptop.cli.shared.rewriting import StoppedError, rewrite

        try:
            rewritten = rewrite(args, result.text, everything=args.all)
        except StoppedError as stopped:
            return stopped.exit_code
        result = replace(result, text=rewritten.text, tokens_after=_tokens(rewritten.text, encoding))
    receipt = _receipt(args.model, result, rewritten.taken if rewritten is not None else 0)
    saved = result.tokens_before - result.tokens_after
    if args.apply:
        if args.file == "-":
            raise UsageError("There is no file to write to.", "Name one, or leave out --apply: the text is printed.")
        if args.file.startswith(LIBRARY):
            _save(args.file.removeprefix(LIBRARY), result, receipt)
        else:
            _write(Path(args.file), text, result.text)
    if args.json:
        told = trimmed_json(args.model, result)
        told["receipt"] = receipt.as_dict()
        if rewritten is not None:
            told["rewrite"] = _rewrite_json(rewritten)
        json.dump(told, sys.stdout, ensure_ascii=False, indent=1)
        print()
    elif args.why:
        for each in result.skipped:
            said = clean_line(each.text.replace("\n", "⏎"))
            print(f"{each.line:>5}  {each.rule:18} {each.reason}{f': {said!r}' if said else ''}")
    elif args.diff:
        for edit in result.edits:
            before, after = clean_line(edit.before.replace("\n", "⏎")), clean_line(edit.after.replace("\n", "⏎"))
            print(f"{edit.line:>5}  −{edit.tokens_saved:<3} {edit.rule:16} {before!r} → {after!r}")
        for hunk, is_taken in rewritten.hunks if rewritten is not None else ():
            before, after = clean_line(hunk.before.replace("\n", "⏎")), clean_line(hunk.after.replace("\n", "⏎"))
            print(f"{hunk.line:>5}  {'' if is_taken else 'left':4} {'rewrite':16} {before!r} → {after!r}{_flags(hunk)}")
    elif not (args.check or args.apply):
        sys.stdout.write(result.text)
    sign = "=" if model is not None and model.count_kind == "exact" else "≈"
    percent = 100 * saved / result.tokens_before if result.tokens_before else 0.0
    says = f"{sign}{result.tokens_before:,} → {sign}{result.tokens_after:,} tokens (−{percent:.1f} %)"
    more = ""
    if rewritten is not None:
        left = len(rewritten.hunks) - rewritten.taken
        more = f", {rewritten.taken} changes by the model" + (
            f" ({left} left out: they lose or add something)" if left else ""
        )
    if result.skipped:
        more += f", {len(result.skipped)} places left (--why)"
    if off and not selected:
        more += f", {len(off)} rules off (--rules)" if len(off) > 1 else f", {min(off)} is off"
    if not args.quiet:
        print(f"promptop: {says}, {len(result.edits)} edits{more}, for {clean_line(args.model)}", file=sys.stderr)
    if args.budget is not None and result.tokens_after > args.budget:
        print(f"promptop: {result.tokens_after - args.budget:,} tokens over the budget", file=sys.stderr)
        return 1
    return 1 if args.check and saved > 0 else 0


def _tokens(text: str, encoding: str) -> int:
    from promptop.tokens import TokenDocument

    return TokenDocument(encoding, text).count


def _flags(hunk: Hunk) -> str:
    said = [f"loses {clean_line(each, 40)}" for each in hunk.lost] + [
        f"adds {clean_line(each, 40)}" for each in hunk.added
    ]
    return f"  ! {', '.join(said)}" if said else ""


def trimmed_json(model: str, result: TrimmedText) -> dict[str, object]:
    """Return a trim as programs read it."""
    fields = ("rule", "severity", "line", "start", "end", "before", "after", "tokens_saved")
    return {
        "model": model,
        "tokens_before": result.tokens_before,
        "tokens_after": result.tokens_after,
        "text": result.text,
        "edits": [{name: getattr(edit, name) for name in fields} for edit in result.edits],
        "skipped": [
            {"line": each.line, "reason": each.reason, "rule": each.rule, "text": each.text} for each in result.skipped
        ],
    }


def _rewrite_json(rewritten: Rewritten) -> dict[str, object]:
    """Return what the model proposed; offsets are of the body behind the front matter, after the rules."""
    fields = ("line", "start", "end", "before", "after", "lost", "added")
    return {
        "model": rewritten.result.model,
        "cost_usd": rewritten.result.cost_usd,
        "hunks": [
            {**{name: getattr(hunk, name) for name in fields}, "taken": is_taken} for hunk, is_taken in rewritten.hunks
        ],
    }


def _receipt(model: str, result: TrimmedText, rewrites: int) -> Receipt:
    """Return tokens and input dollars before and after, with the rules."""
    from collections import Counter

    from promptop.prompts.receipt import REWRITE, Receipt

    found = models.find(model)
    usd = [
        models.price(model, input_tokens=tokens, output_tokens=0).usd
        for tokens in (result.tokens_before, result.tokens_after)
    ]
    kind = "exact" if found is not None and found.count_kind == "exact" else "estimated"
    rules = Counter(rule for edit in result.edits for rule in edit.rule.split("+"))
    if rewrites:
        rules[REWRITE] = rewrites
    return Receipt(model, kind, result.tokens_before, result.tokens_after, usd[0], usd[1], dict(rules))


def _save(name: str, result: TrimmedText, receipt: Receipt) -> None:
    """Save the result as the next version of the prompt that was read."""
    from promptop.prompts.library import Library

    version = from_library(name)
    if result.text == version.text:
        return
    saved = Library().save(
        version.name, result.text, now_ms=time.time_ns() // 1_000_000, note=receipt.line(), receipt=receipt
    )
    print(f"promptop: saved as {clean_line(saved.label)}", file=sys.stderr)


def _write(path: Path, before: str, after: str) -> None:
    """Replace the file, unless it was changed since it was read."""
    from promptop.prompts.files import FileChangedError, read_text, save

    text, form, stamp = read_text(path)
    if text != before:
        raise FileChangedError(f"{path} was changed while it was being trimmed.", "Run the command again.")
    if after != before:
        save(path, after, stamp, form)
