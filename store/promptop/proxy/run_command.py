"""Run a command with its calls logged: a private proxy on a free loopback port, and the environment pointing at it.

The command keeps its terminal, its input and output, its exit code and its signals. Endpoints that the environment
names already become the upstreams; what it does not name gets the default of OpenAI and Anthropic. When the command has
ended, the proxy ends, and nothing is left but rows.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sqlite import connect_for_reading
from promptop.proxy import upstreams as room
from promptop.proxy.upstreams import Upstream

if TYPE_CHECKING:
    from promptop.proxy.inject import receiver
    from promptop.proxy.metrics import Snapshot
    from promptop.proxy.server_process import Options

OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com"

ALWAYS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "openai": (("OPENAI_BASE_URL", "OPENAI_API_BASE"), OPENAI),
    "anthropic": (("ANTHROPIC_BASE_URL",), ANTHROPIC),
}
"""Upstream → the variables that are set whether they were or not, and the address they stand for."""

IF_SET = (
    "OPENAI_API_BASE_URL",
    "OPENAI_ENDPOINT",
    "ANTHROPIC_API_BASE",
    "ANTHROPIC_API_URL",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_API_BASE",
    "GOOGLE_GEMINI_BASE_URL",
    "GEMINI_API_BASE",
    "GROQ_BASE_URL",
    "GROQ_API_BASE",
    "MISTRAL_API_BASE",
    "DEEPSEEK_BASE_URL",
    "DEEPSEEK_API_BASE",
    "DASHSCOPE_BASE_URL",
    "DASHSCOPE_HTTP_BASE_URL",
    "MOONSHOT_BASE_URL",
    "MOONSHOT_API_BASE",
    "OPENROUTER_BASE_URL",
    "OPENROUTER_API_BASE",
    "XAI_API_BASE",
    "TOGETHER_BASE_URL",
    "FIREWORKS_API_BASE",
    "LITELLM_API_BASE",
    "LITELLM_PROXY_API_BASE",
    "OLLAMA_HOST",
    "OLLAMA_BASE_URL",
    "OLLAMA_API_BASE",
    "VLLM_API_BASE",
    "LM_STUDIO_API_BASE",
)
"""Variables of SDKs and wrappers that are redirected where they are set; unset, their defaults are not ours to know."""

_NOT_HTTPX = ("DASHSCOPE_",)
"""Variables of Python SDKs whose client is another than httpx: their calls go through the proxy."""

_PASSED = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
_FROM_KERNEL = 0
NOT_FOUND, NOT_RUNNABLE = 127, 126
GRACE_S = 5.0
"""Seconds that calls of the command's own children are given after it has ended."""


@dataclass(frozen=True, slots=True)
class Redirected:
    """The upstreams of a watched command, and its variables as functions of the proxy's address."""

    upstreams: tuple[Upstream, ...]
    variables: Mapping[str, str]
    """Variable → path below the proxy's address."""
    bare: frozenset[str]
    """Variables whose value has no scheme (``OLLAMA_HOST``)."""

    def environment(self, environ: Mapping[str, str], port: int) -> dict[str, str]:
        """Return the command's environment for a proxy at this port."""
        here = f"127.0.0.1:{port}"
        out = dict(environ)
        for name, path in self.variables.items():
            out[name] = here + path if name in self.bare else f"http://{here}{path}"
        for name in ("NO_PROXY", "no_proxy"):
            # A program behind a company's proxy must not send 127.0.0.1 there.
            listed = [part for part in out.get(name, "").split(",") if part.strip()]
            if any(key.lower().endswith("_proxy") for key in environ) and "127.0.0.1" not in listed:
                out[name] = ",".join((*listed, "127.0.0.1", "localhost"))
        return out


def injected(options: Options, redirected: Redirected, environ: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the variables that let Python children watch their own calls, and see the addresses that they know."""
    folder = Path(__file__).parent / "inject"
    restored = [
        f"{name}={environ[name]}" if name in environ else name
        for name in redirected.variables
        if not name.startswith(_NOT_HTTPX)
    ]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(folder), environ.get("PYTHONPATH")))),
        "PROMPTOP_WATCH_SOURCE": str(Path(__file__).parents[2]),
        "PROMPTOP_WATCH_LOG": str(options.log_path),
        "PROMPTOP_WATCH_APP": options.app or "",
        "PROMPTOP_WATCH_BODIES": options.bodies or "",
        "PROMPTOP_WATCH_INCLUDE_USAGE": "1" if options.include_usage else "0",
        "PROMPTOP_WATCH_PROXY": f"127.0.0.1:{port}",
        "PROMPTOP_WATCH_ORIGINS": ",".join(f"{upstream.host}:{upstream.port}" for upstream in redirected.upstreams),
        "PROMPTOP_WATCH_RESTORE": "\n".join(restored),
    }


def _receiver(options: Options) -> receiver.Receiver:
    from promptop.capture.observe import labels_for
    from promptop.proxy.inject import receiver

    return receiver.Receiver(
        labels_for(
            options.log_path,
            app=options.app,
            tags=None,
            bodies=options.bodies,
            simulated=False,
            include_usage=options.include_usage,
        )
    )


def redirect(environ: Mapping[str, str], extra: Iterable[str] = ()) -> Redirected:
    """Work out upstreams and variables from an environment; ``extra`` are ``NAME`` or ``NAME=URL``.

    Raises :class:`UsageError` for an address that cannot be an endpoint's.
    """
    wanted: dict[str, str] = {}
    for names, default in ALWAYS.values():
        known = next((environ[name] for name in names if environ.get(name)), default)
        wanted.update((name, environ.get(name) or known) for name in names)
    wanted.update((name, environ[name]) for name in IF_SET if environ.get(name))
    for entry in extra:
        name, equals, url = entry.partition("=")
        value = url if equals else environ.get(name, "")
        if not value:
            raise UsageError(f"{name} is not set, so it names no endpoint.", f"Write --env {name}=https://…")
        wanted[name] = value
    return _redirected(wanted, environ)


def _redirected(wanted: Mapping[str, str], environ: Mapping[str, str]) -> Redirected:
    upstreams: dict[tuple[str, str | None], Upstream] = {}
    variables: dict[str, str] = {}
    bare: set[str] = set()
    taken: set[str] = set()
    for variable, value in wanted.items():
        address = value
        if "://" not in value:
            bare.add(variable)
            address = f"http://{value}"
        try:
            upstream = room.parse(address, environ=environ)
        except UsageError:
            raise UsageError(
                f"{variable} is not an address of an endpoint.", "Mend it, or unset it for this command."
            ) from None
        found = upstreams.get((upstream.origin, upstream.authorization))
        if found is None:
            name = _name_of(variable, taken)
            taken.add(name)
            # The path stays in the variable, so that programs that look at it see what they know.
            found = replace(upstream, name=name, base_path="")
            upstreams[upstream.origin, upstream.authorization] = found
        variables[variable] = f"/{found.name}{upstream.base_path}" + ("/" if address.endswith("/") else "")
    first = upstreams[next(iter(upstreams))]
    # A program that keeps only the host of its base URL reaches the first endpoint all the same.
    return Redirected((replace(first, name=""), *upstreams.values()), variables, frozenset(bare))


def _name_of(variable: str, taken: set[str]) -> str:
    name = variable.split("_", 1)[0].lower()
    number = 2
    unique = name
    while unique in taken or unique in room.RESERVED:
        unique = f"{name}-{number}"
        number += 1
    return unique


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """How a watched command ended, and what was logged of it."""

    code: int
    """Its exit code; 128 + n if signal n ended it."""
    calls: int
    failed: int
    """Calls with an error, among ``calls``."""
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """Cost of the calls that have a price; None if none has."""
    unpriced: int
    lost: int
    """Rows that could not be written."""

    def __str__(self) -> str:
        if not self.calls and not self.lost:
            return "no calls were seen"
        parts = [f"{self.calls} call{'s' * (self.calls != 1)}"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        parts.append(f"{self.input_tokens:,} tokens in, {self.output_tokens:,} out")
        parts.append("cost n/a" if self.cost_usd is None else units.usd(self.cost_usd))
        if self.unpriced and self.cost_usd is not None:
            parts.append(f"{self.unpriced} unpriced")
        if self.lost:
            parts.append(f"{self.lost} not logged")
        return ", ".join(parts)


def run(
    command: Sequence[str],
    options: Options,
    redirected: Redirected,
    environ: Mapping[str, str],
    *,
    inject: bool = False,
) -> CommandOutcome:
    """Run a command behind a private proxy; with ``inject`` Python programs log their calls themselves.

    Must be called on the main thread. Raises :class:`PromptopError` with the shell's codes 127 and 126 if the command
    is not there or cannot be run.
    """
    from promptop.proxy.background import ProxyThread
    from promptop.proxy.inject import receiver
    from promptop.proxy.server_process import SWITCH_S

    sys.setswitchinterval(SWITCH_S)
    program = _found(command[0], environ)
    # Blocked before the proxy's thread exists, so that every signal meets this thread, and none a half-started command.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*_PASSED, signal.SIGCHLD))
    # A signal that is ignored, as SIGCHLD is by default, may not be kept for sigwait on every system.
    action = signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        since = _latest(options.log_path)
        with ProxyThread(options) as proxy, contextlib.ExitStack() as receiving:
            variables = redirected.environment(environ, proxy.port)
            if inject:
                variables |= injected(options, redirected, environ, proxy.port)
                variables |= receiver.variables(variables, receiving.enter_context(_receiver(options)).path)
            pid = _spawn(program, command, variables, before)
            code = _wait(pid)
        assert proxy.proxy is not None
        outcome = _outcome(code, proxy.proxy.snapshot())
        return _with_rows(outcome, options, since) if inject else outcome
    finally:
        _discard_pending()
        signal.signal(signal.SIGCHLD, action)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _latest(log: Path | None) -> int:
    """Return the id of the log's latest row."""
    if log is None or not log.exists():
        return 0
    with contextlib.suppress(sqlite3.Error), contextlib.closing(connect_for_reading(log)) as connection:
        return int(connection.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()[0])
    return 0


def _with_rows(outcome: CommandOutcome, options: Options, since: int) -> CommandOutcome:
    """Return what the log says of the command's calls: the proxy saw those of other programs than Python's."""
    if options.log_path is None or not options.log_path.exists():
        return outcome
    with contextlib.suppress(sqlite3.Error), contextlib.closing(connect_for_reading(options.log_path)) as connection:
        calls, failed, given, taken, cost, unpriced = connection.execute(
            "SELECT count(*), count(error_type), coalesce(sum(usage_input_tokens), 0),"
            " coalesce(sum(usage_output_tokens), 0), sum(cost_usd), count(CASE cost_status WHEN 'unpriced' THEN 1 END)"
            " FROM requests WHERE id > ? AND app IS ?",
            (since, options.app),
        ).fetchone()
        return replace(
            outcome,
            calls=calls,
            failed=failed,
            input_tokens=given,
            output_tokens=taken,
            cost_usd=cost,
            unpriced=unpriced,
        )
    return outcome


def _outcome(code: int, figures: Snapshot) -> CommandOutcome:
    def total(name: str) -> float:
        return sum(values[0] for _, values in figures.get(name, ()))

    calls = failed = 0
    for labels, values in figures.get("gen_ai_client_operation_duration_seconds", ()):
        seen = int(sum(values[:-1]))
        calls += seen
        failed += seen if any(name == "error_type" for name, _ in labels) else 0
    priced = "promptop_cost_usd_total" in figures
    return CommandOutcome(
        code=code,
        calls=calls,
        failed=failed,
        input_tokens=int(total("gen_ai_client_inference_usage_input_tokens_total")),
        output_tokens=int(total("gen_ai_client_inference_usage_output_tokens_total")),
        cost_usd=total("promptop_cost_usd_total") if priced else None,
        unpriced=int(total("promptop_calls_unpriced_total")),
        lost=int(total("promptop_log_dropped_total") + total("promptop_log_failed_total")),
    )


def _found(name: str, environ: Mapping[str, str]) -> str:
    found = shutil.which(name, path=environ.get("PATH"))
    if found is None:
        error = PromptopError(f"There is no command {name!r}.", "Check its name and PATH.")
        error.exit_code = NOT_RUNNABLE if os.path.exists(name) else NOT_FOUND  # noqa: PTH110 - a name, not a path
        raise error
    return found


def _spawn(program: str, command: Sequence[str], environ: Mapping[str, str], mask: Iterable[int]) -> int:
    """Start the command in this process group, where it keeps the terminal, with the signal mask that we were given."""
    ignored = ("SIGPIPE", "SIGXFSZ")  # by Python; the command gets their default action back
    default = [getattr(signal, name) for name in ignored if hasattr(signal, name)]
    try:
        return os.posix_spawn(program, list(command), dict(environ), setsigmask=mask, setsigdef=default)
    except OSError as failed:
        error = PromptopError(
            f"{command[0]!r} cannot be run: {failed.strerror}.", "Check the file and its permissions."
        )
        error.exit_code = NOT_RUNNABLE
        raise error from None


def _wait(pid: int) -> int:
    """Wait for the command, passing on what is sent to this process alone."""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code
        number, sent_to_group = _next_signal()
        if number != signal.SIGCHLD and not sent_to_group:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _next_signal() -> tuple[int, bool]:
    """Return the next signal, and whether the terminal sent it to the whole group (the command has it already)."""
    waited = (*_PASSED, signal.SIGCHLD)
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(waited)
        return info.si_signo, info.si_code > _FROM_KERNEL
    # Elsewhere the sender is not told. Keys of the terminal reach the group; the rest is passed on.
    number = signal.sigwait(waited)
    return number, number in (signal.SIGINT, signal.SIGQUIT)


def _discard_pending() -> None:
    """Drop signals that came while the command was ending, so that they do not end this process instead."""
    for number in signal.sigpending() & set(_PASSED):
        signal.sigwait({number})
