"""What changed between two prompts, by lines and words, and what that means in tokens and dollars.

Removed words stand in [-…-], added ones in {+…+}. Exit code: 0 if the texts are the same, 1 if not.
"""

from __future__ import annotations

import json
import sys

from promptop import models
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.prompt_input import body_of, prompt_text


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument("before", metavar="A", complete=prompts, help="the prompt of before; - is standard input"),
        argument("after", metavar="B", complete=prompts, help="the prompt of after"),
        option(
            "-m",
            "--model",
            complete=models_known,
            default="gpt-4o",
            metavar="MODEL",
            help="model whose tokens count (gpt-4o)",
        ),
        option("-U", "--context", type=int, default=3, metavar="N", help="unchanged lines around a change (3)"),
        flag("--json", help="print the figures and the changed lines as JSON"),
    ]


def run(args: ParsedArguments) -> int:
    """Print the changes, then the figures."""
    from promptop.base.diff import Gap, folded, line_diff
    from promptop.tokens import count

    before, after = prompt_text(args.before), prompt_text(args.after)
    counts = [count(body_of(text), args.model) for text in (before, after)]
    prices = [models.price(args.model, input_tokens=each.tokens, output_tokens=0).usd for each in counts]
    delta = counts[1].tokens - counts[0].tokens
    usd = None if prices[0] is None or prices[1] is None else prices[1] - prices[0]
    lines = line_diff(before, after)
    if args.json:
        changed = [
            {"kind": line.kind, "before": line.before, "after": line.after, "text": line.text}
            for line in lines
            if line.kind != "same"
        ]
        figures = {"model": args.model, "tokens_before": counts[0].tokens, "tokens_after": counts[1].tokens}
        json.dump({**figures, "kind": counts[0].kind, "input_usd_delta": usd, "lines": changed}, sys.stdout,
                  ensure_ascii=False, indent=1)  # fmt: skip
        print()
    elif before != after:
        for line in folded(lines, args.context):
            if isinstance(line, Gap):
                print(f"        … {line.count} lines")
                continue
            opened, closed = {"removed": ("[-", "-]"), "added": ("{+", "+}"), "same": ("", "")}[line.kind]
            whole = len(line.parts) == 1
            text = "".join(
                f"{opened}{clean_line(part.text)}{closed}" if part.is_changed and not whole else clean_line(part.text)
                for part in line.parts
            )
            mark = {"removed": "-", "added": "+", "same": " "}[line.kind]
            print(f"{line.before or '':>4}{line.after or '':>4} {mark} {text}")
    if not args.json:
        sign = "=" if counts[0].kind == "exact" else "≈"
        each = "n/a" if usd is None else f"{'−' if usd < 0 else '+'}{models.usd_text(abs(usd), 3)}"
        says = f"{sign}{counts[0].tokens:,} → {sign}{counts[1].tokens:,} tokens ({delta:+,}), {each} a call"
        print(f"promptop: {says} for {clean_line(args.model)}", file=sys.stderr)
    return 0 if before == after else 1
