"""Count the tokens of files: exact or estimated, share of the context window, cost as input.

Folders are counted file by file. Nothing is sent.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptop import models
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.completion import prompts
from promptop.cli.command_line.declare import LIBRARY, Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.model_names import note_of, tell_unknown
from promptop.cli.shared.several_prompts import Failures
from promptop.tokens.counting import Count, encodings_for, for_model
from promptop.tokens.stream import FileCounts, count_stream

LARGE = 1 << 24
"""Bytes above which a file in a folder is passed over; a file that is named is counted whatever its size."""

_HEAD = 4096
_PROMPT_SUFFIXES = frozenset({".json", ".yaml", ".yml", ".prompt", ".prompty", ".toml"})
"""Suffixes of files that may hold a prompt in a form that is not sent as it stands."""


@dataclass(frozen=True, slots=True)
class CountLine:
    """The count of one file, or of all files below a folder, for one model."""

    path: str
    model: str
    count: Count
    window_share: float | None
    usd: float | None
    price_status: str

    def as_json(self) -> dict[str, object]:
        """Return the fields that programs read."""
        return {
            "file": self.path,
            "model": self.model,
            "encoding": self.count.encoding,
            "tokens": self.count.tokens,
            "kind": self.count.kind,
            "interval": self.count.interval,
            "window_share": self.window_share,
            "input_usd": self.usd,
            "price_status": self.price_status,
            "note": note_of(self.model) or None,
        }


EXAMPLES = (
    "promptop count prompt.md",
    "promptop count prompts/ -m gpt-4o",
    "echo hello | promptop count -m gpt-4o --json",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument(
            "paths",
            many=True,
            required=False,
            metavar="FILE",
            complete=prompts,
            help="file or folder, lib:NAME; - or none: standard input",
        ),
        option("-m", "--model", complete=models_known, many=True, metavar="MODEL", help="model; may be repeated"),
        flag("--json", help="print a JSON list"),
    ]


def run(args: ParsedArguments) -> int:
    """Print the counts; the exit code is 0 also where a count is an estimate, 1 if a file could not be read."""
    paths = args.paths or ["-"]
    folders = [path for path in paths if path != "-" and Path(path).is_dir()]
    names = tuple(dict.fromkeys(args.model)) or _watched(bool(folders))
    tell_unknown(names)
    encodings = encodings_for(names)
    lines: list[CountLine] = []
    tree: list[tuple[int, CountLine]] = []
    failures = Failures(paths)
    skipped: list[str] = []
    for path in paths:
        if path in folders:
            below = list(_folder(Path(path), names, encodings, skipped))
            lines += [line for _, line in below if not line.path.endswith(os.sep)]
            tree += below
            if not below:
                print(f"promptop: {clean_line(path)} holds no text to count", file=sys.stderr)
        else:
            with failures.of(path):
                found = list(_lines("-" if path == "-" else path, _count(path, encodings), names))
                lines += found
                tree += [(0, line) for line in found]
    if skipped:
        rest = f" And {len(skipped) - 1} more." if len(skipped) > 1 else ""
        print(f"promptop: passed over: {skipped[0]}{rest}", file=sys.stderr)
    if args.json:
        json.dump([*(line.as_json() for line in lines), *failures.told], sys.stdout, ensure_ascii=False, indent=1)
        print()
    elif tree:
        _print(tree, len(paths) > 1 or bool(folders))
    return 1 if failures else 0


def _watched(in_folder: bool) -> tuple[str, ...]:
    """Return the models of the settings or the default list; in a folder one, or each file would fill the screen."""
    from promptop.cli.shared.options import own_settings

    names = own_settings().editor.watch or models.watch_list()
    if not in_folder:
        return names
    exact = (name for name in names if (model := models.find(name)) is not None and model.count_kind == "exact")
    return (next(exact, names[0]),)


def _count(path: str, encodings: Sequence[str]) -> FileCounts:
    if path == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("There is nothing to count.", "Name a file, or pipe text: echo hello | promptop count")
        return count_stream(sys.stdin.buffer, "standard input", encodings)
    if path.startswith(LIBRARY):
        from promptop.cli.shared.prompt_input import body_of, from_library

        text = body_of(from_library(path.removeprefix(LIBRARY)).text)
        return count_stream(io.BytesIO(text.encode("utf-8", "surrogatepass")), clean_line(path), encodings)
    if (body := _body(path)) is not None:
        return count_stream(io.BytesIO(body.encode("utf-8", "surrogatepass")), clean_line(path), encodings)
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - the name as it was given, for messages and grep
            return count_stream(stream, clean_line(path), encodings)
    except OSError as error:
        raise PromptopError(
            f"{clean_line(path)} cannot be read: {error.strerror}.", "Check name and permissions."
        ) from None


def _body(path: str) -> str | None:
    """Return what is sent of a prompt file that holds more than that: front matter, JSON of messages, a template.

    None for any other file, which is counted as it stands.
    """
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            head = stream.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
            is_small = os.fstat(stream.fileno()).st_size <= LARGE
    except OSError:
        return None  # said where it is counted
    is_prompt = head.startswith(b"---") or Path(path).suffix.lower() in _PROMPT_SUFFIXES
    if not is_prompt or not is_small:
        return None
    from promptop.cli.shared.prompt_input import (  # a plain text needs no reader: a quarter of the time
        body_of,
        read_input,
    )

    try:
        found = read_input(path)
        body = body_of(found.text)
    except PromptopError:
        return None  # broken front matter, no UTF-8: counted as it stands, or refused there
    if body == found.source:
        return None
    what = f"read as {found.draft.kind}" if found.is_converted else "front matter is not sent, and is not counted"
    print(f"promptop: {clean_line(path)}: {what}", file=sys.stderr)
    return body


def _lines(path: str, found: FileCounts, names: Iterable[str]) -> Iterator[CountLine]:
    for name in names:
        count = for_model(name, found.counts, found.chars)
        model = models.find(name)
        price = models.price(name, input_tokens=count.tokens, output_tokens=0)
        window = model.context_window if model is not None else None
        yield CountLine(path, name, count, count.tokens / window if window else None, price.usd, price.status)


def _folder(
    root: Path, names: Sequence[str], encodings: Sequence[str], skipped: list[str], depth: int = 0
) -> Iterator[tuple[int, CountLine]]:
    """Yield (depth, line) for a folder, then for what is in it.

    Hidden files and links are left out; files that are not text or very large are told in ``skipped``.
    """
    below: list[tuple[int, CountLine]] = []
    try:
        entries = sorted(root.iterdir(), key=lambda entry: (entry.is_dir(), entry.name))
    except OSError as error:
        skipped.append(f"{clean_line(str(root))} cannot be read: {error.strerror}.")
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir():
            if entry.name != "__pycache__":
                below += _folder(entry, names, encodings, skipped, depth + 1)
        elif entry.is_file():
            if entry.stat().st_size > LARGE:
                skipped.append(f"{clean_line(str(entry))} is above {LARGE >> 20} MiB; name it to count it.")
                continue
            try:
                below += [(depth + 1, line) for line in _lines(str(entry), _count(str(entry), encodings), names)]
            except PromptopError as error:
                skipped.append(error.cause)
    for name in names:
        files = [line for _, line in below if line.model == name and not line.path.endswith(os.sep)]
        if files:
            yield depth, _sum(f"{root}{os.sep}", name, files)
    yield from below


def _sum(path: str, name: str, files: Sequence[CountLine]) -> CountLine:
    """Add up the files of a folder, each priced as it would be sent: alone."""
    first = files[0].count
    tokens = sum(line.count.tokens for line in files)
    intervals = [line.count.interval for line in files if line.count.interval is not None]
    interval = None
    if first.kind == "estimated" and len(intervals) == len(files):
        interval = (sum(low for low, _ in intervals), sum(high for _, high in intervals))
    error = (interval[1] - interval[0]) / 2 / tokens if interval and tokens else None
    amounts = [line.usd for line in files if line.usd is not None]
    usd = sum(amounts) if len(amounts) == len(files) else None
    shares = [line.window_share for line in files if line.window_share is not None]
    share = sum(shares) if len(shares) == len(files) else None
    return CountLine(
        path, name, Count(tokens, first.kind, interval, first.encoding, error), share, usd, files[0].price_status
    )


def _print(tree: Sequence[tuple[int, CountLine]], with_paths: bool) -> None:
    """Print one line a count: tokens, window, cost, model, path. On a terminal paths are indented as a tree."""
    indent = sys.stdout.isatty()
    rows = []
    for depth, line in tree:
        path = line.path
        if indent and depth:
            folder = path.endswith(os.sep)
            path = "  " * depth + Path(path).name + (os.sep if folder else "")
        share = "n/a" if line.window_share is None else _percent(line.window_share)
        rows.append((_tokens(line.count), share, models.usd_text(line.usd, 3), line.model, clean_line(path)))
    titles = ("tokens", "window", "input", "model", "file")
    table = [titles, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    for row in table:
        cells = [row[i].rjust(widths[i]) for i in range(3)] + [row[3].ljust(widths[3])]
        print("  ".join([*cells, row[4]] if with_paths else cells).rstrip())


def _tokens(count: Count) -> str:
    return f"= {count}" if count.kind == "exact" else str(count)


def _percent(share: float) -> str:
    percent = share * 100
    if 0 < percent < 0.01:
        return "<0.01 %"
    return f"{percent:.2f} %" if percent < 10 else f"{percent:.0f} %"
