"""Embed the lines of a file (or the field "text" of JSON lines), in as few requests as the endpoint allows."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.budget.bound import bound
from promptop.cli.command_line.completion import models as models_known
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.confirmation import refuse_existing
from promptop.cli.shared.money import gate_of
from promptop.cli.shared.options import settings_of, settings_options
from promptop.client.embedding import embed, truncated

EXAMPLES = (
    "promptop embed lines.txt -o vectors.jsonl",
    "promptop embed lines.txt --dimensions 256 > vectors.jsonl",
)


def parameters() -> Parameters:
    """Declare the options."""
    return [
        argument("input", metavar="IN", help="text, one input a line; or JSONL with a field text; - is stdin"),
        option("-o", "--output", type=Path, metavar="OUT", help="JSONL of vectors (default: stdout)"),
        flag("--force", help="replace a file that exists"),
        option(
            "-m",
            "--model",
            complete=models_known,
            default="text-embedding-3-small",
            help="embedding model (default text-embedding-3-small)",
        ),
        option("--dimensions", type=int, metavar="N", help="shorter vectors, where the model can"),
        flag("--truncate", help="cut inputs above 8,192 tokens instead of refusing them"),
        option("--max-usd", type=float, metavar="USD", help="send nothing if it may cost more than this"),
        *settings_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Embed and return the exit code."""
    refuse_existing(args.output, force=args.force)
    settings = settings_of(args, sends=True)
    texts = _texts(args.input)
    if args.truncate:
        texts = [truncated(text) for text in texts]

    def progress(done: int, total: int) -> None:
        if total > 1:
            print(f"{done}/{total} requests", file=sys.stderr)

    profile = settings.active_profile()
    gate = gate_of(settings, args.max_usd)
    most = bound({"model": args.model, "input": texts}, "/embeddings", provider=profile.provider or None)
    gate.check(most.usd, most.open)
    options = {"log": settings.log_path(), "app": "promptop embed", "bodies": settings.log.bodies}
    work = embed(
        texts,
        args.model,
        profile,
        dimensions=args.dimensions,
        transport=options,
        on_progress=progress,
        gate=gate,
    )
    found = asyncio.run(work)
    lines = (json.dumps({"index": index, "embedding": vector}) + "\n" for index, vector in enumerate(found.vectors))
    if args.output is None:
        sys.stdout.writelines(lines)
    else:
        try:
            with args.output.open("w", encoding="utf-8") as file:
                file.writelines(lines)
        except OSError as error:
            raise PromptopError(f"{args.output} cannot be written ({error.strerror}).", "Choose another -o.") from None
    usd = "n/a" if found.usd is None else units.usd(found.usd)
    tokens = "n/a" if found.input_tokens is None else f"{found.input_tokens:,}"
    print(f"{len(texts):,} vectors · {found.requests} requests · {tokens} tokens · {usd}", file=sys.stderr)
    return 0


def _texts(name: str) -> list[str]:
    try:
        raw = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PromptopError(f"{name} cannot be read ({error.strerror}).", "Check the path.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    texts = []
    for number, line in enumerate(raw.split("\n"), 1):
        text = line.rstrip("\r")
        if name.endswith(".jsonl") and text.strip():
            try:
                text = json.loads(text)["text"]
            except (ValueError, KeyError, TypeError):
                raise UsageError(f'{name}:{number}: expected {{"text": "…"}}.', "Write one object per line.") from None
            if not isinstance(text, str):
                raise UsageError(f"{name}:{number}: text is not a string.", "Write one object per line.")
        if text.strip():
            texts.append(text)
    if not texts:
        raise UsageError(f"{name} holds no text.", "Write one input per line.")
    return texts
