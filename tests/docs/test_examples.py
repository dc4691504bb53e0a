"""Every ``promptop …`` line of README, docs and the help of commands is run as printed, against the simulated endpoint.

Numbers of calls are made small, rates high. What needs a terminal, a real upstream or an end from outside (the app,
``demo``, ``proxy``) is only held against the command's own options.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from promptop.cli import main as cli
from promptop.cli.command_line.command import parse
from promptop.cli.command_line.loading import command_of
from promptop.cli.commands import COMMANDS
from promptop.prompts.library import Library
from promptop.simulator import SimulatedEndpoint

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = {"collect", "demo", "mcp", "proxy", "receive", "ship"}
"""Commands that end from outside."""
ELSEWHERE = re.compile(
    r"--provider-batch|--no-wait|--cancel|--arrivals|qwen3:|eu\.api\.|db\.example|from-log|--resume|promptop guide"
    r"|--follow|spend\.json|cache get|statusline|config init|^echo |remove welcome"
)
"""Examples that need hours, a hundred calls, a local server, rows of another program, an earlier run, standard input or
a host beyond loopback."""
MANY_CALLS = {"ablate", "bench", "claims", "optimise", "optimize", "prove"}
"""Commands whose examples on the pages are run, and those of their help parsed."""
WRITES = {"-o", "--output", "--out", "--apply"}
GATES = {"--fail-on", "--fail-if", "--check", "check", "diff", "lint", "prove", "optimise", "doctor", "probe"}
"""Exit code 1 is an answer of theirs."""


def examples(page: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, command) of each example in a code block of a page."""
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif re.match(r"\s*(?:\$ )?promptop(?: |$)", line) and (fenced or line.startswith("    ")):
            text = line.strip().removeprefix("$ ")
            if not re.search(r"[\[\]…]| \| (?=[a-z]+ \|)|\bFILE\b|\bKEY\b", re.split(r"\s#", text)[0]):
                yield number, text


ON_PAGES = [(f"{page.relative_to(ROOT)}:{number}", text) for page in PAGES for number, text in examples(page)]
SEEN = {re.split(r"\s#", text)[0].strip() for _, text in ON_PAGES}
IN_HELP = [
    (f"help {name}", line)
    for name in COMMANDS
    for line in command_of(name).examples
    if line not in SEEN and not line.startswith("promptop incident html")  # of a file that another example writes
]
"""Examples of the commands' help that no page has."""
CASES = [pytest.param(text, id=f"{where} {text}" if where.startswith("help") else where)
         for where, text in dict(zip([text for _, text in IN_HELP], IN_HELP, strict=True)).values()] + [
    pytest.param(text, id=where) for where, text in ON_PAGES
]  # fmt: skip


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


class _Collector(BaseHTTPRequestHandler):
    """Takes whatever OTLP brings, as a collector does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def collector() -> Iterator[str]:
    """Return host and port of what stands in for the reader's collector."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.fixture
def workspace(folder: Path, endpoint: SimulatedEndpoint) -> Path:
    """Return a folder with the files that the examples name, as they were before the last example."""
    prompt = "system:\nAnswer in one sentence of at most 30 words.\n\nuser:\nWhat is prompt engineering?\n"
    for name in ("prompt.md", "long.md", "short.md", "shorter.md", "prompts/greeting.md", "prompts/summary.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(prompt, encoding="utf-8")
    for name in ("before.md", "after.md"):
        (folder / name).write_text(prompt.replace("prompt engineering", "{{term}}"), encoding="utf-8")
    (folder / "terms.jsonl").write_text('{"vars": {"term": "token"}, "checks": ["regex:."]}\n', encoding="utf-8")
    (folder / "classify.md").write_text("Classify: {{text}}\n", encoding="utf-8")
    (folder / "table.csv").write_text("id,text\n1,good\n2,bad\n", encoding="utf-8")
    (folder / "lines.txt").write_text("one\ntwo\n", encoding="utf-8")
    body = {"model": "gpt-4o-mini", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (folder / "requests.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    (folder / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    (folder / "answer.json").write_text(json.dumps(schema), encoding="utf-8")
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    (folder / "tools.json").write_text(json.dumps([tool]), encoding="utf-8")
    (folder / "summary.md").write_text("Sum up: {{input}}\n", encoding="utf-8")
    (folder / "cases.jsonl").write_text('{"vars": {"input": "a"}, "checks": ["regex:."]}\n', encoding="utf-8")
    (folder / "tests.yaml").write_text("tests:\n- vars: {input: a}\n  assert: [{type: is-json}]\n", encoding="utf-8")
    (folder / "new-prices.toml").write_text('[models."gpt-4o-mini"]\ninput = 0.1\n', encoding="utf-8")
    (folder / "prompts-old").mkdir(exist_ok=True)
    (folder / "prompts-old" / "summary.md").write_text("Sum up.\n", encoding="utf-8")
    for name in ("my_script.py", "my_program.py"):
        (folder / name).write_text("print('done')\n", encoding="utf-8")
    settings = folder / "home" / "config" / "config.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(
        'profile = "openai"\n[log]\nbodies = "full"\n[monitor]\nslo_ttft_s = 1.0\nalerts = ["p95_ttft>2s over 15m"]\n'
        f'[profiles.openai]\nbase_url = "{endpoint.base_url}"\nmodels = ["gpt-4o-mini"]\n',
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:  # a log with a call, and a lock: examples run in any order
        own_folders(patch, folder / "home")
        patch.chdir(folder)
        for name in ("greeting", "support", "support"):
            Library().save(name, f"{prompt}{len(Library().entries(''))}", now_ms=1)
        assert cli.main(["run", "-m", "gpt-4o-mini", "--max-tokens", "5", "prompt.md"]) == 0
        assert cli.main(["check", "--update", "prompts/greeting.md", "prompts/summary.md"]) == 0
    return folder


def own_folders(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Keep settings, data and state below a folder."""
    for kind in ("CONFIG", "DATA", "STATE"):
        patch.setenv(f"PROMPTOP_{kind}_DIR", str(home / kind.lower()))


def quick(text: str) -> list[str]:
    """Return the arguments of an example with few calls and no pauses; what follows a pipe is the shell's."""
    text = re.split(r"\s#|\s\||\s&&|\s>", text)[0]
    few = "5" if re.match(r"promptop (?:claims|prove)", text) else "2"  # the fewest rounds that they take
    text = re.sub(r"(?<=-n )\d+|(?<=--repeat )\d+", few, text)
    text = re.sub(r"(?<=--rate )[\d.,]+", "200,500", text)
    text = re.sub(r"(?<=--concurrency )[\d,]+", "1,2", text)
    return shlex.split(text)[1:]


def parses(name: str, arguments: list[str]) -> None:
    """Hold arguments against the options of a command."""
    parse(command_of(name), f"promptop {name}", arguments)


@pytest.mark.parametrize("text", CASES)
def test_an_example_runs_as_printed(
    text: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = quick(text[text.index("promptop") :])
    name = arguments[0] if arguments else ""
    if name not in COMMANDS:
        assert not name or name.startswith("-") or Path(name).suffix, f"no command {name!r}"
        return
    in_help = request.node.callspec.id.startswith("help")
    if name in NOT_RUN or ELSEWHERE.search(text) or (in_help and name in MANY_CALLS):
        parses(name, arguments[1:])
        return
    collector, workspace = request.getfixturevalue("collector"), request.getfixturevalue("workspace")
    arguments = [word.replace("127.0.0.1:4318", collector) for word in arguments]
    home = workspace / "home"
    own_folders(monkeypatch, home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.chdir(workspace)
    for option, written in itertools.pairwise(arguments):
        if option in WRITES:  # by an example before this one
            (workspace / written).unlink(missing_ok=True)
    expanded = [
        word
        for each in arguments
        # SQL holds a * too, which is no file
        for word in ([str(path.relative_to(workspace)) for path in sorted(workspace.glob(each))] or [each]
                     if "*" in each and " " not in each else [each])
    ]  # fmt: skip
    code = cli.main(expanded)
    said = capfd.readouterr()
    assert code in ((0, 1) if GATES & set(arguments) else (0,)), f"exit code {code}: {said.err[-600:]}"
    assert "Traceback" not in said.err
