"""The app against a simulated endpoint with simulated traffic: no account, no key, no network, nothing kept."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.errors import PromptopError, UsageError
from promptop.safe import clean_line

if TYPE_CHECKING:
    from promptop.settings import Settings

PROFILE = "simulated"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--serve", action="store_true", help="run the simulated endpoint alone and print its address")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port of the endpoint (default: a free one)")
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="X", help="factor on each pause: 1 believable, 0 none (default 1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed gives other traffic (default 0)")
    parser.add_argument("--hours", type=float, default=24.0, metavar="H", help="hours of past traffic (default 24)")
    parser.add_argument("--no-traffic", action="store_true", help="no live traffic; with --hours 0 the log is empty")
    parser.add_argument("--tab", choices=("editor", "playground", "monitor"), default="monitor", help="tab shown first")


def run(args: argparse.Namespace) -> int:
    """Open the app on a throw-away log, or serve the endpoint alone until it is interrupted."""
    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port {args.port} is not a port.", "Choose one from 1 to 65535, or 0 for a free one.")
    for name in ("speed", "hours"):
        if not 0 <= getattr(args, name) <= 24 * 90:
            raise UsageError(f"--{name} {getattr(args, name):g} cannot be meant.", f"--{name} takes a number ≥ 0.")
    if args.serve:
        return _serve(args)
    return _open(args)


def _serve(args: argparse.Namespace) -> int:
    from promptop.demo.endpoint import SimulatedEndpoint

    async def main() -> None:
        over = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, over.set)
        async with SimulatedEndpoint(port=args.port, seed=args.seed, speed=args.speed, record=False) as endpoint:
            print(_told(endpoint.base_url, endpoint.root_url), flush=True)
            await over.wait()

    asyncio.run(main())
    return 0


def _told(base_url: str, root_url: str) -> str:
    return f"""\
{base_url}

SIMULATED: an OpenAI-compatible endpoint with invented answers. Any key is accepted. Ctrl-C ends it.

  export OPENAI_BASE_URL={base_url} OPENAI_API_KEY=simulated
  export ANTHROPIC_BASE_URL={root_url} ANTHROPIC_API_KEY=simulated
  curl {base_url}/models
  curl {base_url}/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "sim-fast", "stream": true, "messages": [{{"role": "user", "content": "你好"}}]}}'

A fault: the header x-simulate: cut, or the model sim-fault-cut; curl {root_url}/sim/faults lists all."""


def _open(args: argparse.Namespace) -> int:
    from promptop.cli.main import start
    from promptop.cli.options import AppOptions
    from promptop.demo.samples import SAMPLE

    with _folder() as folder:
        log_path = folder / "log.db"
        sample = folder / "sample.md"
        sample.write_text(SAMPLE, encoding="utf-8")
        with _back_room(args, folder, log_path) as base_url, _private_rooms(folder):
            options = AppOptions(
                settings=_settings(base_url, log_path),
                log_path=log_path,
                simulated=True,
                open_path=sample,
                tab=args.tab,
                draft_path=folder / "draft.md",
            )
            return start(options, args.open_app)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Make the demo's folder (mode 0700), and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="promptop-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _back_room(args: argparse.Namespace, folder: Path, log_path: Path) -> Iterator[str]:
    """Start endpoint and traffic in a process of their own; yield the endpoint's address."""
    from promptop.demo.children import start_child, stop_child

    trouble = folder / "trouble.log"
    with trouble.open("wb") as errors:
        child = start_child(
            "promptop.demo.host",
            [
                *("--folder", str(folder), "--log", str(log_path), "--port", str(args.port), "--seed", str(args.seed)),
                *("--speed", str(args.speed), "--hours", str(args.hours)),
                *(("--rate", "0") if args.no_traffic else ()),
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    said = ""
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise PromptopError("The simulated endpoint did not start.", "Try it alone: promptop demo --serve")
        told = json.loads(line)
        if "error" in told:
            raise PromptopError(told["error"], told["remedy"])
        yield told["base_url"]
    finally:
        with contextlib.suppress(OSError):  # the child removed its folder, which is what it does when it ends early
            said = trouble.read_text(encoding="utf-8", errors="replace").strip()
        stop_child(child)
        if said:
            print(f"promptop demo: its traffic failed: {clean_line(said.splitlines()[-1], 200)}", file=sys.stderr)


@contextlib.contextmanager
def _private_rooms(folder: Path) -> Iterator[None]:
    """Point data and state of this process at the demo's folder: library, history and draft are thrown away too."""
    names = {"PROMPTOP_DATA_DIR": folder / "data", "PROMPTOP_STATE_DIR": folder / "state"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: str(path) for name, path in names.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _settings(base_url: str, log_path: Path) -> Settings:
    """Return the user's settings with the simulated endpoint as the only one."""
    from promptop import settings as room
    from promptop.demo.faults import FAULT_MODEL
    from promptop.demo.profiles import MODELS

    chat = [model for model in MODELS.values() if model.kind == "chat"]
    # Those with a price first: the one that is chosen at the start then shows a cost.
    models = [model.name for model in sorted(chat, key=lambda model: model.provider in ("promptop", "qwen"))]
    models += [FAULT_MODEL + name for name in ("cut", "429", "stall", "reasoning")]
    profile = room.Profile(name=PROFILE, base_url=base_url, models=tuple(models))
    found = room.load()
    return replace(
        found, profile=PROFILE, profiles={PROFILE: profile}, log=replace(found.log, path=str(log_path), bodies="full")
    )
