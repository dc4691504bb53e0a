"""Show what changed between two prompts, by lines and words, and what that means in tokens and dollars.

Two folders are compared prompt by prompt, by name; a folder and a file, with the file of that name in the folder.
Removed words are marked [-…-], added ones {+…+}. Exit code: 0 if the texts are the same, 1 if not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptop import models
from promptop.base import units
from promptop.base.diff import DiffLine, Gap, folded, line_diff
from promptop.base.sanitize import clean_line
from promptop.base.terminal import painter, write_styled
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.model_names import tell_unknown
from promptop.cli.shared.prompt_input import body_of, prompt_text
from promptop.cli.shared.several_prompts import Failures, relative

EXAMPLES = (
    "promptop diff before.md after.md",
    "promptop diff lib:support@1 lib:support -m gpt-4o-mini",
    "promptop diff prompts-old/ prompts/ --json",
)


@dataclass(frozen=True, slots=True)
class PromptChange:
    """One prompt in two states."""

    name: str
    before: str
    after: str
    lines: list[DiffLine]
    tokens: tuple[int, int]
    kind: str
    usd: float | None
    """Input dollars a call, after less before; None without a price."""

    def as_json(self, model: str) -> dict[str, Any]:
        """Return the figures and the lines that changed."""
        changed = [
            {"kind": line.kind, "before": line.before, "after": line.after, "text": line.text}
            for line in self.lines
            if line.kind != "same"
        ]
        figures = {"model": model, "tokens_before": self.tokens[0], "tokens_after": self.tokens[1]}
        return {**figures, "kind": self.kind, "input_usd_delta": self.usd, "lines": changed}


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument("before", metavar="A", complete=prompts, help="prompt before, or a folder; - is standard input"),
        argument("after", metavar="B", complete=prompts, help="prompt after, or a folder"),
        option(
            "-m",
            "--model",
            complete=models_known,
            default="gpt-4o",
            metavar="MODEL",
            help="model whose tokens count (gpt-4o)",
        ),
        option("-U", "--context", type=int, default=3, metavar="N", help="unchanged lines around a change (3)"),
        flag("--json", help="print the figures and the changed lines as JSON; of folders a list"),
    ]


def run(args: ParsedArguments) -> int:
    """Print the changes, then the figures."""
    tell_unknown([args.model])
    pairs = list(_pairs(args.before, args.after))
    are_folders = Path(args.before).is_dir() and Path(args.after).is_dir()
    failures = Failures([name for name, _, _ in pairs])
    told: list[dict[str, Any]] = []
    differ = False
    for name, before, after in pairs:
        with failures.of(name):
            change = _change(name, before, after, args.model)
            differ = differ or change.before != change.after
            if args.json:
                told.append({**({"file": name} if are_folders else {}), **change.as_json(args.model)})
            elif not are_folders:
                _print(change, args)
            elif change.before != change.after or before is None or after is None:
                gone = " (new)" if before is None else " (gone)" if after is None else ""
                paint = painter(sys.stdout)
                write_styled(sys.stdout, paint(f"== {clean_line(name)}{gone} ==", "heading") + "\n")
                _print(change, args)
    if args.json:
        shown: object = [*told, *failures.told] if are_folders else told[0]
        json.dump(shown, sys.stdout, ensure_ascii=False, indent=1)
        print()
    elif are_folders and not differ and not failures:
        print(f"promptop: {len(pairs)} prompts, none of them changed", file=sys.stderr)
    return 1 if differ or failures else 0


def _pairs(before: str, after: str) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield (name, prompt before, prompt after); None for a prompt that only one of two folders has."""
    folders = [Path(each) if each != "-" and Path(each).is_dir() else None for each in (before, after)]
    match folders:
        case [Path() as old, Path() as new]:
            ours, theirs = relative(old), relative(new)
            for name in sorted({*ours, *theirs}):
                yield name, ours.get(name), theirs.get(name)
        case [Path() as old, None]:
            yield after, str(old / Path(after).name), after
        case [None, Path() as new]:
            yield before, before, str(new / Path(before).name)
        case _:
            yield after, before, after


def _change(name: str, before: str | None, after: str | None, model: str) -> PromptChange:
    from promptop.tokens import count

    texts = ["" if each is None else prompt_text(each) for each in (before, after)]
    counts = [count(body_of(text), model) for text in texts]
    prices = [models.price(model, input_tokens=each.tokens, output_tokens=0).usd for each in counts]
    usd = None if prices[0] is None or prices[1] is None else prices[1] - prices[0]
    tokens = (counts[0].tokens, counts[1].tokens)
    return PromptChange(name, texts[0], texts[1], line_diff(texts[0], texts[1]), tokens, counts[0].kind, usd)


def _print(change: PromptChange, args: ParsedArguments) -> None:
    paint = painter(sys.stdout)
    for line in folded(change.lines, args.context) if change.before != change.after else ():
        if isinstance(line, Gap):
            write_styled(sys.stdout, paint(f"        … {units.plural(line.count, 'line')}", "quiet") + "\n")
            continue
        opened, closed = {"removed": ("[-", "-]"), "added": ("{+", "+}"), "same": ("", "")}[line.kind]
        whole = len(line.parts) == 1
        text = ""
        for part in line.parts:
            word = clean_line(part.text)
            if part.is_changed and not whole:
                text += paint(f"{opened}{word}{closed}", f"{line.kind} word")
            else:
                text += word if line.kind == "same" else paint(word, line.kind)
        mark = {"removed": paint("-", "removed"), "added": paint("+", "added"), "same": " "}[line.kind]
        write_styled(sys.stdout, f"{line.before or '':>4}{line.after or '':>4} {mark} {text}\n")
    sys.stdout.flush()
    sign = "=" if change.kind == "exact" else "≈"
    before, after = change.tokens
    usd = change.usd
    each = "n/a" if usd is None else f"{'−' if usd < 0 else '+'}{models.usd_text(abs(usd), 3)}"
    delta = f"{after - before:+,}".replace("-", "−")
    says = f"{sign}{before:,} → {sign}{after:,} tokens ({delta}), {each} a call"
    print(f"promptop: {says} for {clean_line(args.model)}", file=sys.stderr)
