"""Fail if a prompt grew beyond prompts.lock in tokens or dollars; for CI.

``--update`` writes the lock. Exit code: 1 if a prompt grew by more than the tolerance in tokens or in input dollars (a
price that rose counts too), is missing, or is not in the lock.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptop import models
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.base.terminal import painter, write_styled
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import LIBRARY, Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.model_names import tell_unknown
from promptop.cli.shared.prompt_input import body_of, prompt_text
from promptop.cli.shared.several_prompts import Failures, opened

VERSION = 1


@dataclass(frozen=True, slots=True)
class LockVerdict:
    """One prompt under one model against the lock."""

    file: str
    model: str
    tokens: int | None
    locked: int | None
    usd: float | None
    locked_usd: float | None = None
    failure: str = ""
    """Why it fails; empty if it does not."""
    note: str = ""


EXAMPLES = (
    "promptop check --update prompts/ -m gpt-4o",
    "promptop check",
    "promptop check --tolerance 5 --junit tokens.xml",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument(
            "files",
            many=True,
            required=False,
            metavar="FILE",
            complete=prompts,
            help="prompts or folders; none: those in the lock",
        ),
        option("--lock", default="prompts.lock", metavar="FILE", help="the lock (prompts.lock)"),
        flag("--update", help="write the lock for these prompts"),
        option("-m", "--model", complete=models_known, many=True, metavar="MODEL", help="models, with --update"),
        option("--tolerance", type=float, default=0.0, metavar="PERCENT", help="growth that is let pass (0)"),
        option("--junit", metavar="FILE", help="write the result as JUnit XML too"),
        flag("--json", help="print a JSON list"),
    ]


def run(args: ParsedArguments) -> int:
    """Compare, or write the lock."""
    path = Path(args.lock)
    lock = _read(path)
    args.files = opened(args.files)
    if args.update:
        return _update(path, lock, args.files, args.model)
    if not lock:
        raise UsageError(f"There is no lock {args.lock}.", "promptop check --update FILE… writes one.")
    verdicts = [each for file in args.files or lock for each in _judge(file, lock.get(file), args.tolerance)]
    tell_unknown(each.model for each in verdicts if each.model)
    if args.json:
        fields = ("file", "model", "tokens", "locked", "usd", "locked_usd", "failure", "note")
        json.dump([{name: getattr(each, name) for name in fields} for each in verdicts], sys.stdout, indent=1)
        print()
    else:
        paint = painter(sys.stdout)
        for each in verdicts:
            numbers = "" if each.tokens is None else f"{each.locked:,} → {each.tokens:,} tokens"
            if each.usd is not None:
                numbers += f", {models.usd_text(each.usd, 3)} a call"
            says = each.failure or each.note
            mark = paint("FAIL", "bad") if each.failure else paint("ok", "good") + "  "
            line = "  ".join([mark, clean_line(each.file), clean_line(each.model), numbers, clean_line(says, 200)])
            write_styled(sys.stdout, line.rstrip() + "\n")
        sys.stdout.flush()
    for each in verdicts:
        if each.failure and each.tokens is None:
            print(f"promptop: {clean_line(each.file)} {clean_line(each.failure, 200)}", file=sys.stderr)
    if args.junit:
        _write_junit(Path(args.junit), verdicts)
    return 1 if any(each.failure for each in verdicts) else 0


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    text = prompt_text(str(path))
    try:
        lock = json.loads(text)
        if lock["version"] > VERSION:
            raise PromptopError(f"{path} is of a newer promptop.", "Update promptop.")
        prompts: dict[str, Any] = {
            name: {**entry, "models": dict(entry["models"])} for name, entry in lock["prompts"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PromptopError(f"{path} is not prompts.lock.", "Remove it, and write it with --update.") from None
    return prompts


def _figures(text: str, model: str) -> tuple[int, float | None]:
    from promptop.tokens import count

    tokens = count(body_of(text), model).tokens
    return tokens, models.price(model, input_tokens=tokens, output_tokens=0).usd


def _update(path: Path, lock: dict[str, Any], files: Sequence[str], names: Sequence[str]) -> int:
    from promptop.prompts.draft import digest
    from promptop.prompts.files import write_atomic

    if not files and not lock:
        raise UsageError("There is nothing to lock.", "Name prompts: promptop check --update FILE… -m MODEL")
    tell_unknown(names)
    failures = Failures(list(files or lock))
    for file in files or list(lock):
        text = None
        with failures.of(file):
            text = prompt_text(file)
        if text is None:
            continue
        chosen = list(names) or list(lock.get(file, {}).get("models", {})) or ["gpt-4o"]
        entries = {}
        for name in chosen:
            tokens, usd = _figures(text, name)
            entries[name] = {"tokens": tokens, "input_usd": usd}
        lock[file] = {"sha256": digest(text), "models": entries}
    written = {"version": VERSION, "prompts": dict(sorted(lock.items()))}
    write_atomic(path, json.dumps(written, ensure_ascii=False, indent=1) + "\n")
    print(f"promptop: {len(lock)} prompt{'s' * (len(lock) != 1)} in {clean_line(str(path))}", file=sys.stderr)
    return 1 if failures else 0


def _judge(file: str, entry: dict[str, Any] | None, tolerance: float) -> list[LockVerdict]:
    from promptop.prompts.draft import digest

    if entry is None:
        return [LockVerdict(file, "", None, None, None, failure="is not in the lock; --update adds it")]
    if not file.startswith(LIBRARY) and not Path(file).exists():
        return [LockVerdict(file, "", None, None, None, failure="is missing")]
    try:
        text = prompt_text(file)
    except PromptopError as error:
        return [LockVerdict(file, "", None, None, None, failure=f"cannot be read: {error.cause}")]
    same = digest(text) == entry["sha256"]
    out = []
    for name, figures in entry["models"].items():
        tokens, usd = _figures(text, name)
        locked, locked_usd = int(figures["tokens"]), figures.get("input_usd")
        most = 1 + tolerance / 100
        failure = ""
        if tokens > locked * most:
            failure = f"grew by {tokens - locked:,} tokens"
        elif usd is not None and locked_usd is not None and usd > locked_usd * most * (1 + 1e-9):
            failure = f"costs {models.usd_text(usd - locked_usd, 3)} more a call: the price rose"
        note = "" if same else "changed; --update takes the new figures"
        out.append(LockVerdict(file, name, tokens, locked, usd, locked_usd, failure, note))
    return out


def _write_junit(path: Path, verdicts: Sequence[LockVerdict]) -> None:
    from xml.etree.ElementTree import Element, SubElement, tostring

    from promptop.prompts.files import write_atomic

    failures = sum(bool(each.failure) for each in verdicts)
    suite = Element("testsuite", name="promptop check", tests=str(len(verdicts)), failures=str(failures))
    for each in verdicts:
        case = SubElement(suite, "testcase", classname=clean_line(each.file), name=clean_line(each.model or "lock"))
        if each.failure:
            SubElement(case, "failure", message=clean_line(each.failure))
    write_atomic(path, '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suite, encoding="unicode") + "\n")
