"""Shorten a prompt with rules in English and Chinese that leave code, quotes, numbers and variables alone.

Of several prompts or a folder, one line of figures is printed for each; --apply, --diff and --json work on all of them.
--rewrite then asks the model of -m to shorten what is left. Of its answer it takes only changes that lose no code,
quote, address, variable, number or negation (with --all every change). Compare with the original by promptop prove.

Exit code: 0; with --check 1 if tokens could be saved, with --budget 1 if it is exceeded; 130 after Ctrl-C.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from promptop import models
from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.base.terminal import Paint, painter, write_styled
from promptop.base.texts import sentence
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import LIBRARY, Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.model_names import tell_unknown
from promptop.cli.shared.options import settings_of, settings_options
from promptop.cli.shared.prompt_input import from_library, read_input
from promptop.cli.shared.several_prompts import Failures, opened

if TYPE_CHECKING:
    from promptop.cli.shared.rewriting import Rewritten
    from promptop.prompts.receipt import Receipt
    from promptop.trim import Edit, TrimmedText
    from promptop.trim.rewrite import Hunk
    from promptop.trim.rules.rule import TrimRule


EXAMPLES = (
    "promptop trim prompt.md > shorter.md",
    "promptop trim --diff prompt.md",
    "promptop trim --check --budget 400 prompts/",
    "promptop trim --rewrite -m gpt-4o-mini --max-usd 0.01 prompt.md",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument(
            "files",
            many=True,
            required=False,
            default=["-"],
            metavar="FILE",
            complete=prompts,
            help="prompts or folders, of several the figures; - or none: standard input",
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
        flag("--json", help="print a JSON object; of several prompts a list"),
    ]


@dataclass(frozen=True, slots=True)
class TrimmedPrompt:
    """One prompt after its trim."""

    file: str
    given: str
    """Its text before."""
    result: TrimmedText
    receipt: Receipt
    rewritten: Rewritten | None = None

    @property
    def saved(self) -> int:
        """Tokens that are gone."""
        return self.result.tokens_before - self.result.tokens_after

    def as_json(self, model: str) -> dict[str, object]:
        """Return what programs read."""
        told = trimmed_json(model, self.result)
        told["receipt"] = self.receipt.as_dict()
        if self.rewritten is not None:
            told["rewrite"] = _rewrite_json(self.rewritten)
        return told

    def figures(self, model: str, off: AbstractSet[str]) -> str:
        """Return one line: tokens before and after, edits, places left, rules that are ``off``."""
        known = models.find(model)
        sign = "=" if known is not None and known.count_kind == "exact" else "≈"
        before, after = self.result.tokens_before, self.result.tokens_after
        percent = 100 * self.saved / before if before else 0.0
        edits = units.plural(len(self.result.edits), "edit")
        more = ""
        if self.rewritten is not None:
            left = len(self.rewritten.hunks) - self.rewritten.taken
            more = f", {units.plural(self.rewritten.taken, 'change')} by the model" + (
                f" ({left} left out: they lose or add something)" if left else ""
            )
        if self.result.skipped:
            more += f", {units.plural(len(self.result.skipped), 'place')} left (--why)"
        if off:
            more += f", {len(off)} rules off (--rules)" if len(off) > 1 else f", {min(off)} is off"
        says = f"{sign}{before:,} → {sign}{after:,} tokens (−{percent:.1f} %)"
        return f"{says}, {edits}{more}, for {clean_line(model)}"


def run(args: ParsedArguments) -> int:
    """Print the trimmed text on standard output, its figures on standard error; of several prompts the figures."""
    from promptop.trim import RULES, chosen
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
        off = set()
        rules = chosen(selected, rounds=max(0, rounds))
    else:
        rules = rules_for(settings, safe_only=not args.all, rounds=rounds, switches=switches)
    several = len(args.files) > 1 or any(each != "-" and Path(each).is_dir() for each in args.files)
    files = opened(args.files)
    if several and args.rewrite:
        raise UsageError("--rewrite takes one prompt.", "Name one file.")
    tell_unknown([args.model])
    failures = Failures(files)
    told: list[dict[str, object]] = []
    code = 0
    for file in files:
        with failures.of(file):
            found = _trimmed(file, rules, args)
            if args.apply:
                _keep(found)
            if args.json:
                told.append({**({"file": file} if several else {}), **found.as_json(args.model)})
            else:
                _print(found, args, off, several=several)
            code = max(code, _judge(found, args, several=several))
    if args.json:
        shown: object = [*told, *failures.told] if several else told[0]
        json.dump(shown, sys.stdout, ensure_ascii=False, indent=1)
        print()
    return 1 if failures else code


def _trimmed(file: str, rules: Sequence[TrimRule], args: ParsedArguments) -> TrimmedPrompt:
    from promptop.trim import trim

    found = read_input(file)
    if args.apply and found.is_converted:
        raise UsageError(
            f"{clean_line(file)} is {found.draft.kind}: a trimmed draft would not be of that form.",
            "Leave out --apply: the draft is printed.",
        )
    if args.apply and file == "-":
        raise UsageError("There is no file to write to.", "Name one, or leave out --apply: the text is printed.")
    model = models.find(args.model)
    encoding = model.encoding if model is not None else "o200k_base"
    result = trim(found.text, encoding, rules)
    rewritten = None
    if args.rewrite:
        from promptop.cli.shared.rewriting import rewrite

        rewritten = rewrite(args, result.text, everything=args.all)
        result = replace(result, text=rewritten.text, tokens_after=_tokens(rewritten.text, encoding))
    receipt = _receipt(args.model, result, rewritten.taken if rewritten is not None else 0)
    return TrimmedPrompt(file, found.text, result, receipt, rewritten)


def _keep(found: TrimmedPrompt) -> None:
    """Write the result where the prompt came from."""
    if found.file.startswith(LIBRARY):
        _save(found.file.removeprefix(LIBRARY), found.result, found.receipt)
    else:
        _write(Path(found.file), found.given, found.result.text)


def _print(found: TrimmedPrompt, args: ParsedArguments, off: AbstractSet[str], *, several: bool) -> None:
    """Print the text, the changes or the places left; the figures go to standard error, of several prompts to stdout.

    The texts of several prompts are not printed: nobody could tell where one ends.
    """
    result, paint = found.result, painter(sys.stdout)
    lists = args.why or args.diff
    if several and lists:
        write_styled(sys.stdout, paint(f"== {clean_line(found.file)} ==", "heading") + "\n")
    if args.why:
        for each in result.skipped:
            said = clean_line(each.text.replace("\n", "⏎"))
            print(f"{each.line:>5}  {each.rule:18} {each.reason}{f': {said!r}' if said else ''}")
    elif args.diff:
        for edit in result.edits:
            saved = f"−{edit.tokens_saved:<3}"
            write_styled(sys.stdout, f"{edit.line:>5}  {saved} {edit.rule:16} {_change(edit, paint)}\n")
        for hunk, is_taken in found.rewritten.hunks if found.rewritten is not None else ():
            state = "" if is_taken else "left"
            write_styled(sys.stdout, f"{hunk.line:>5}  {state:4} {'rewrite':16} {_change(hunk, paint)}{_flags(hunk)}\n")
    elif not several and not (args.check or args.apply):
        sys.stdout.write(result.text)
    if args.quiet:
        return
    sys.stdout.flush()
    figures = found.figures(args.model, off)
    if several and not lists:
        print(f"{clean_line(found.file)}: {figures}")
    else:
        print(f"promptop: {figures}", file=sys.stderr)


def _change(each: Edit | Hunk, paint: Paint) -> str:
    before, after = (repr(clean_line(text.replace("\n", "⏎"))) for text in (each.before, each.after))
    return f"{paint(before, 'removed')} → {paint(after, 'added')}"


def _judge(found: TrimmedPrompt, args: ParsedArguments, *, several: bool) -> int:
    """Return 1 if the budget is exceeded, or with --check tokens could be saved."""
    over = 0 if args.budget is None else found.result.tokens_after - args.budget
    if over > 0:
        where = f"{clean_line(found.file)}: " if several else ""
        print(f"promptop: {where}{over:,} tokens over the budget", file=sys.stderr)
        return 1
    return 1 if args.check and found.saved > 0 else 0


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
