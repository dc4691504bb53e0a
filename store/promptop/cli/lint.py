"""Remarks about prompts: what they leave open, contradict, or ask that a model does badly.

One line a remark: file:line, level, rule, message. Exit code: 0 without warnings, 1 with; hints alone are 0.
"""

from __future__ import annotations

import argparse
import json
import sys

from promptop.cli.reading import prompt_text
from promptop.safe import clean_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("files", nargs="*", default=["-"], metavar="FILE", help="prompts; - or none: standard input")
    parser.add_argument("--select", default="", metavar="IDS", help="only these rules, with commas between them")
    parser.add_argument("--rules", action="store_true", help="list the rules and stop")
    parser.add_argument("--complexity", action="store_true", help="print how hard each task seems instead, with terms")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Print the remarks."""
    from promptop.trim.lint import CHECKS, lint

    if args.rules:
        for check in CHECKS:
            print(f"{check.id:18} {check.level:8} {check.description}")
        return 0
    if args.complexity:
        return _complexity(args.files, as_json=args.json)
    selected = [name.strip() for name in args.select.split(",") if name.strip()]
    found = [(file, finding) for file in args.files for finding in lint(prompt_text(file), selected)]
    if args.json:
        told = [
            {"file": file, "line": f.line, "level": f.level, "rule": f.rule, "message": f.message} for file, f in found
        ]
        json.dump(told, sys.stdout, ensure_ascii=False, indent=1)
        print()
    else:
        for file, finding in found:
            print(f"{clean_line(file)}:{finding.line}: {finding.level} {finding.rule}: {clean_line(finding.message)}")
    return 1 if any(finding.level == "warning" for _, finding in found) else 0


def _complexity(files: list[str], *, as_json: bool) -> int:
    """Print score, tier and terms of each file, and the model that is recommended for it."""
    from promptop import models, settings
    from promptop.prompts import parse
    from promptop.prompts.complexity import read, recommended, score

    chosen = settings.load().editor
    watched = chosen.watch or models.watch_list()
    told = []
    for file in files:
        text = prompt_text(file)
        found = score(
            read(text[parse(text).body_start :]), (chosen.tier_medium, chosen.tier_complex, chosen.tier_expert)
        )
        model = recommended(found.tier, watched, chosen.tier_models)
        terms = {name: value for name, value, _ in found.terms}
        told.append({"file": file, "score": found.score, "tier": found.tier, "terms": terms, "model": model})
        if not as_json:
            print(f"{clean_line(file)}: complexity {found} → {clean_line(model) or 'no priced model'}")
    if as_json:
        json.dump(told, sys.stdout, ensure_ascii=False, indent=1)
        print()
    return 0
