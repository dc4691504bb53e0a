"""Open the app against a simulated endpoint with simulated traffic: no account, no key, no network, nothing kept.

With ``--real`` a small real model on this machine answers instead, also offline; then nothing is simulated.
"""

from __future__ import annotations

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

from promptop.base import texts
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option

if TYPE_CHECKING:
    from promptop.settings import Profile, Settings

PROFILE = "simulated"
REAL_PROFILE = "local"


EXAMPLES = (
    "promptop demo",
    "promptop demo --serve",
    "promptop demo --serve --port 8765 --speed 0",
    "promptop demo --serve --http2",
)


def parameters() -> Parameters:
    """Declare the options."""
    return [
        flag("--serve", help="run the simulated endpoint alone and print its address"),
        option("--port", type=int, default=0, metavar="N", help="port of the endpoint (default: a free one)"),
        option(
            "--speed",
            type=float,
            default=1.0,
            metavar="X",
            help="factor on each pause: 1 believable, 0 none (default 1)",
        ),
        option("--seed", type=int, default=0, metavar="N", help="another seed gives other traffic (default 0)"),
        option("--hours", type=float, default=24.0, metavar="H", help="hours of past traffic (default 24)"),
        flag("--no-traffic", help="no live traffic; with --hours 0 the log is empty"),
        option(
            "--tab",
            choices=("editor", "playground", "monitor"),
            help="tab shown first (monitor; with --real: playground)",
        ),
        flag("--http2", help="TLS and HTTP/2, with a certificate of its own (extra: http2)"),
        flag("--real", help="a small real model on this machine answers (extra: local)"),
        option("--gguf", many=True, type=Path, metavar="FILE", help="with --real: weights; several compare"),
    ]


def run(args: ParsedArguments) -> int:
    """Open the app on a throw-away log, or serve the endpoint alone until it is interrupted."""
    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port {args.port} is not a port.", "Choose one from 1 to 65535, or 0 for a free one.")
    for name in ("speed", "hours"):
        if not 0 <= getattr(args, name) <= 24 * 90:
            raise UsageError(f"--{name} {getattr(args, name):g} is not valid.", f"--{name} takes a number ≥ 0.")
    if args.gguf and not args.real:
        raise UsageError("--gguf names weights of a real model.", "Add --real.")
    if args.http2 and args.real:
        raise UsageError("--http2 and --real exclude each other.", "The real model's server speaks HTTP/1.1 alone.")
    if args.real:
        return _serve_real(args) if args.serve else _open_real(args)
    return _serve(args) if args.serve else _open(args)


async def _until_interrupted() -> None:
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await over.wait()


def _serve_real(args: ParsedArguments) -> int:
    """Serve the real model alone until Ctrl-C."""
    with _folder() as folder, _real_models(args, folder) as profiles:
        for profile in profiles.values():
            print(f"{profile.base_url}\n\n{', '.join(profile.models)}: no key is needed. Ctrl-C ends it.", flush=True)
        asyncio.run(_until_interrupted())
    return 0


def _open_real(args: ParsedArguments) -> int:
    """Open the app with the real model as its only endpoint."""
    from promptop import settings as room
    from promptop.cli.main import start
    from promptop.cli.shared.options import AppOptions

    with _folder() as folder:
        log_path = folder / "log.db"
        with _real_models(args, folder) as profiles, _private_rooms(folder):
            found = room.load()
            chosen = next(iter(profiles))
            # The model here is the only endpoint, so a mistake in the settings sends nothing elsewhere.
            found = replace(found, problems=())
            settings = replace(found, profile=chosen, profiles=profiles, log=replace(found.log, path=str(log_path)))
            options = AppOptions(
                settings=settings,
                log_path=log_path,
                ask=REAL_QUESTION,
                tab=args.tab or "playground",
                draft_path=folder / "draft.md",
            )
            return start(options, args.open_app)


REAL_QUESTION = "Answer in one short sentence: what is a prompt?"
"""What the playground opens with: a model of 135 million parameters can answer it."""


@contextlib.contextmanager
def _real_models(args: ParsedArguments, folder: Path) -> Iterator[dict[str, Profile]]:
    """Start llama.cpp in a process of its own; yield a profile for each model."""
    from promptop.base.processes import launch, stop
    from promptop.settings import Profile
    from promptop.simulator import local_model

    local_model.check()
    files = local_model.chosen(args.gguf)
    size = sum(file.stat().st_size for file in files)
    print(f"Loading {', '.join(local_model.names_of(files))} ({size / 1e6:.0f} MB) …", file=sys.stderr, flush=True)
    trouble = folder / "llama.log"
    given = [word for file in files for word in ("--gguf", str(file))]
    with trouble.open("wb") as errors:
        child = launch(
            "promptop.simulator.local_model",
            [*given, "--port", str(args.port), "--folder", str(folder)],
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            said = trouble.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            why = f" ({clean_line(said[-1], 200)})" if said else ""
            raise PromptopError(f"llama.cpp did not start{why}.", "Try other weights: --gguf FILE")
        told = json.loads(line)
        if "error" in told:
            raise PromptopError(told["error"], told["remedy"])
        models = told["models"]
        names = [REAL_PROFILE if number == 0 else f"{REAL_PROFILE}-{number + 1}" for number in range(len(models))]
        yield {
            name: Profile(name=name, base_url=each["base_url"], models=(each["name"],), provider="llama.cpp")
            for name, each in zip(names, models, strict=True)
        }
    finally:
        stop(child)


def _serve(args: ParsedArguments) -> int:
    from promptop.simulator.server.server import SimulatedEndpoint

    async def main() -> None:
        async with SimulatedEndpoint(
            port=args.port, seed=args.seed, speed=args.speed, record=False, http2=args.http2
        ) as endpoint:
            print(_told(endpoint.base_url, endpoint.root_url), flush=True)
            if endpoint.ca_file is not None:
                print(_trusted(endpoint.base_url, endpoint.ca_file), flush=True)
            await _until_interrupted()

    asyncio.run(main())
    return 0


def _trusted(base_url: str, ca_file: Path) -> str:
    """Say how clients come to trust the certificate."""
    return f"""
HTTP/2 over TLS, with a certificate of its own. Clients trust it by SSL_CERT_FILE, curl by --cacert, promptop by:

  [profiles.simulated]
  base_url = "{base_url}"
  ca_file = "{ca_file}\""""


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


def _open(args: ParsedArguments) -> int:
    from promptop.cli.main import start
    from promptop.cli.shared.options import AppOptions
    from promptop.simulator.traffic.host import EARLIER
    from promptop.simulator.traffic.samples import sample

    with _folder() as folder:
        log_path = folder / "log.db"
        opened = folder / "sample.md"
        opened.write_text(sample(texts.current()), encoding="utf-8")
        with _back_room(args, folder, log_path) as endpoint, _private_rooms(folder):
            options = AppOptions(
                settings=_settings(*endpoint, log_path),
                log_path=log_path,
                more_logs=(folder / EARLIER,) if args.hours > 1 else (),
                simulated=True,
                open_path=opened,
                tab=args.tab or "monitor",
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
def _back_room(args: ParsedArguments, folder: Path, log_path: Path) -> Iterator[tuple[str, str]]:
    """Start endpoint and traffic in a process of their own; yield the endpoint's address and its authority's file."""
    from promptop.base.processes import launch, stop

    trouble = folder / "trouble.log"
    with trouble.open("wb") as errors:
        child = launch(
            "promptop.simulator.traffic.host",
            [
                *("--folder", str(folder), "--log", str(log_path), "--port", str(args.port), "--seed", str(args.seed)),
                *("--speed", str(args.speed), "--hours", str(args.hours)),
                *(("--rate", "0") if args.no_traffic else ()),
                *(("--http2",) if args.http2 else ()),
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
        yield told["base_url"], told["ca_file"]
    finally:
        with contextlib.suppress(OSError):  # the child removed its folder, which is what it does when it ends early
            said = trouble.read_text(encoding="utf-8", errors="replace").strip()
        stop(child)
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


def _settings(base_url: str, ca_file: str, log_path: Path) -> Settings:
    """Return the user's settings with the simulated endpoint as the only one."""
    from promptop import settings as room
    from promptop.simulator.answers.profiles import MODELS
    from promptop.simulator.server.faults import FAULT_MODEL

    chat = [model for model in MODELS.values() if model.kind == "chat"]
    # Those with a price first: the one that is chosen at the start then shows a cost.
    models = [model.name for model in sorted(chat, key=lambda model: model.provider in ("promptop", "qwen"))]
    models += [FAULT_MODEL + name for name in ("cut", "429", "stall", "reasoning")]
    profile = room.Profile(name=PROFILE, base_url=base_url, ca_file=ca_file, models=tuple(models))
    found = room.load()
    return replace(
        found,
        profile=PROFILE,
        profiles={PROFILE: profile},
        # The simulated endpoint is the only one, so a mistake in the settings sends nothing elsewhere.
        problems=(),
        log=replace(found.log, path=str(log_path), bodies="full"),
    )
