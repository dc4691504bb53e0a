"""What the simulated endpoint can do wrong, each by a name.

A fault is asked for by the header ``x-simulate: cut`` or by the model's name ``sim-fault-cut``. Options follow after
semicolons (``429;retry_after=2;times=1``), several faults are joined by commas (in a model's name by ``+``). Seconds
in options are real seconds, whatever the endpoint's speed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FAULTS: Mapping[str, str] = {
    # Errors instead of an answer. times=N: only the first N requests with this very fault fail.
    "400": "400 naming a parameter, if the request has it: param=stream_options, max_tokens …",
    "401": "401 invalid_api_key",
    "403": "403 permission denied",
    "404": "404 model_not_found",
    "429": "429 rate_limit_exceeded; retry_after=1 seconds, quota=1 for insufficient_quota",
    "500": "500 with a JSON error",
    "500-text": "500 as plain text",
    "502-html": "502 with an HTML page of a gateway",
    "503": "503 overloaded; retry_after=1",
    "529": "529 overloaded, as Anthropic sends it",
    "error-200": "an error object under HTTP 200; in a stream after=N events",
    # Time
    "slow": "first token after s=5 seconds; headers come at once",
    "slow-headers": "response headers after s=5 seconds",
    "stall": "a pause of s=5 seconds after=3 content events",
    "hang": "the request is read and never answered",
    "endless": "a stream that goes on until the client leaves",
    # The connection
    "drop": "connection closed before any byte of an answer",
    "drop-reused": "as drop, but only on a connection that served a request before",
    "close-idle": "the connection is offered as keep-alive, then closed s=0 seconds after the answer",
    "cut": "connection closed after=3 content events",
    "reset": "connection reset (RST) after=3 content events",
    # The stream's content
    "malformed": "an event that is not JSON after=2 content events",
    "bad-utf8": "an event with bytes that are not UTF-8 after=2 content events",
    "huge": "one event of kb=1024 kilobytes",
    "empty": "an answer without any content",
    "null-content": "first delta with content: null",
    "reasoning": "delta.reasoning_content before the content",
    "reasoning-field": "delta.reasoning before the content",
    "refusal": "delta.refusal instead of content",
    "length": "the answer breaks off with finish_reason length",
    "filter": "the answer breaks off with finish_reason content_filter",
    "controls": "terminal escape sequences, C1 controls and bidi overrides inside the answer",
    "other-model": "another model's name in the answer than was asked for",
    "azure": "first chunk with choices: [] and prompt_filter_results",
    # Usage
    "usage-missing": "no usage, though it was asked for",
    "usage-unasked": "usage, though it was not asked for",
    "usage-every": "running usage in every chunk",
    "usage-on-last": "usage on the last chunk that has a choice, none of its own",
    "usage-null": "usage: null in every chunk before the last, as the specification says",
    "cost": "usage.cost as a router reports it",
    "timings": "x-groq usage times and llama.cpp timings in the last chunk",
    # Framing
    "split-utf8": "writes that end inside a UTF-8 character",
    "split": "each event over several writes",
    "batch": "several events in one write: n=4",
    "crlf": "lines end in CR LF",
    "multi-data": "events of several data: lines",
    "bom": "a byte order mark before the first event",
    "comments": "comment lines between events, as keep-alives",
    "no-done": "no [DONE] at the end",
    "unicode": "non-ASCII characters unescaped in the JSON (otherwise \\u escapes)",
    "gzip": "the response compressed with gzip, whatever the size",
    "deflate": "the response compressed with deflate",
    "br": "the response compressed with brotli",
    "zstd": "the response compressed with zstandard",
    "bomb": "a compression bomb: mb=64 megabytes of zeros in gzip",
    "endless-headers": "response headers that never end",
    "shuffled": "embeddings in another order than asked, by their index",
}
"""Name → what it does and its options with their defaults."""

FAULT_MODEL = "sim-fault-"
"""Models whose name begins so carry their faults in the rest of the name."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault with its options."""

    name: str
    options: Mapping[str, str]

    def number(self, option: str, default: float) -> float:
        """Return a numeric option; the default where it is not given. Raises ValueError if it is not a number."""
        return float(self.options.get(option, default))

    def __str__(self) -> str:
        return ";".join((self.name, *(f"{key}={value}" for key, value in self.options.items())))


class Faults:
    """The faults of one request."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._by_name = {fault.name: fault for fault in faults}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def __str__(self) -> str:
        return ", ".join(str(fault) for fault in self._by_name.values())

    def get(self, name: str) -> Fault | None:
        """Return the fault of this name, or None."""
        return self._by_name.get(name)

    def first(self, *names: str) -> Fault | None:
        """Return the first of these faults that was asked for, or None."""
        for name in names:
            if found := self._by_name.get(name):
                return found
        return None

    def without(self, name: str) -> Faults:
        """Return the faults less one."""
        return Faults(fault for fault in self._by_name.values() if fault.name != name)


def parse(header: str, model: str) -> Faults:
    """Read the faults from the ``x-simulate`` header and the model's name.

    Raises ValueError with the unknown name, or with an option that is not ``key=value``.
    """
    specs = [spec for spec in header.split(",") if spec.strip()]
    if model.startswith(FAULT_MODEL):
        specs += model.removeprefix(FAULT_MODEL).split("+")
    found = []
    for spec in specs:
        name, *options = (part.strip() for part in spec.split(";"))
        # 400-stream_options is short for 400;param=stream_options: a model's name is easier to type so.
        if short := re.fullmatch(r"400-(\w+)", name):
            name, options = "400", [f"param={short[1]}", *options]
        if name not in FAULTS:
            raise ValueError(f"unknown fault {name!r}")
        if not all("=" in option for option in options):
            raise ValueError(f"options of {name!r} are written key=value")
        values = dict(option.split("=", 1) for option in options)
        for key, value in values.items():
            if key != "param":
                float(value)
        found.append(Fault(name, values))
    return Faults(found)
