from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from tests.support.prefork import Forked
from tests.support.waits import LIMIT_S

from promptop.base.errors import UsageError
from promptop.log import LogReader, StoredRow
from promptop.proxy.run_command import ANTHROPIC, OPENAI, redirect
from promptop.simulator import SimulatedEndpoint

MAIN = "import sys; from promptop.cli.main import main; sys.exit(main())"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture
def environ(endpoint: SimulatedEndpoint, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "OPENAI_BASE_URL": endpoint.base_url,
        "ANTHROPIC_BASE_URL": endpoint.root_url,
        "OPENAI_API_KEY": "sk-planted-0123456789",
        "ANTHROPIC_API_KEY": "sk-ant-planted-0123456789",
        "TMPDIR": str(tmp_path),
    }


def watch(environ: Mapping[str, str], *command: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return Forked(
        [sys.executable, "-c", MAIN, "watch", *options, "--", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env=dict(environ),
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str], given: str = "") -> tuple[int, str, str]:
    try:
        out, err = process.communicate(given, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the command, which holds the pipes
        out, err = process.communicate()
        raise AssertionError(out + err) from None
    return process.returncode, out, err


def rows(environ: Mapping[str, str]) -> list[StoredRow]:
    with LogReader(Path(environ["PROMPTOP_DATA_DIR"]) / "log.db") as reader:
        return reader.latest(100)[::-1]


def test_unset_variables_stand_for_the_defaults() -> None:
    found = redirect({})
    assert {upstream.name: upstream.url for upstream in found.upstreams} == {
        "": "https://api.openai.com",
        "openai": "https://api.openai.com",
        "anthropic": ANTHROPIC,
    }
    assert found.environment({}, 1234) == {
        "OPENAI_BASE_URL": "http://127.0.0.1:1234/openai/v1",
        "OPENAI_API_BASE": "http://127.0.0.1:1234/openai/v1",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1234/anthropic",
    }
    assert OPENAI.endswith("/v1")


def test_set_variables_keep_their_paths_and_share_upstreams() -> None:
    environ = {
        "OPENAI_API_BASE": "https://open.bigmodel.cn/api/paas/v4/",
        "AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com",
        "DASHSCOPE_BASE_URL": "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_HTTP_BASE_URL": "https://dashscope.aliyuncs.com/api/v1",
        "OLLAMA_HOST": "127.0.0.1:11434",
        "MY_GATEWAY": "https://gateway.corp/llm",
        "HTTPS_PROXY": "http://proxy.corp:3128",
        "NO_PROXY": "corp",
    }
    found = redirect(environ, ["MY_GATEWAY", "OTHER=http://localhost:9/x"])
    out = found.environment(environ, 7)
    assert out["OPENAI_API_BASE"] == "http://127.0.0.1:7/openai/api/paas/v4/"
    assert out["OPENAI_BASE_URL"] == out["OPENAI_API_BASE"], "one that is set speaks for the one that is not"
    assert out["AZURE_OPENAI_ENDPOINT"] == "http://127.0.0.1:7/azure"
    assert out["DASHSCOPE_BASE_URL"] == "http://127.0.0.1:7/dashscope/compatible-mode/v1"
    assert out["DASHSCOPE_HTTP_BASE_URL"] == "http://127.0.0.1:7/dashscope/api/v1"
    assert out["OLLAMA_HOST"] == "127.0.0.1:7/ollama"
    assert out["MY_GATEWAY"] == "http://127.0.0.1:7/my/llm" and out["OTHER"] == "http://127.0.0.1:7/other/x"
    assert out["NO_PROXY"] == "corp,127.0.0.1,localhost" and "127.0.0.1" in out["no_proxy"]
    by_name = {upstream.name: upstream for upstream in found.upstreams}
    assert by_name["azure"].via == "http://proxy.corp:3128" and by_name["ollama"].via is None
    assert by_name["ollama"].origin == "http://127.0.0.1:11434"


def test_what_names_no_endpoint_is_told_without_its_value() -> None:
    with pytest.raises(UsageError) as caught:
        redirect({"OPENAI_BASE_URL": "ftp://me:hunter2-secret@x"})
    assert "OPENAI_BASE_URL" in str(caught.value) and "hunter2" not in str(caught.value)
    with pytest.raises(UsageError):
        redirect({}, ["NOT_SET"])


def test_python_with_both_sdks(environ: dict[str, str]) -> None:
    program = (
        "import openai, anthropic\n"
        "ask = [{'role': 'user', 'content': 'hi'}]\n"
        "openai_client = openai.OpenAI()\n"
        "for chunk in openai_client.chat.completions.create(model='gpt-4o', messages=ask, stream=True):\n"
        "    assert chunk.choices\n"
        "names = [m.id for m in openai_client.models.list() if m.id.startswith('claude')]\n"
        "print(anthropic.Anthropic().messages.create(model=names[0], max_tokens=9, messages=ask).usage.output_tokens)\n"
    )
    code, out, err = finished(watch(environ, sys.executable, "-W", "ignore", "-c", program))
    assert (code, out.strip().isdigit()) == (0, True), err
    assert "promptop: 3 calls" in err and "$" in err
    stream, models, message = rows(environ)
    assert stream.usage_source == "reported" and stream.app == Path(sys.executable).name
    assert models.url_path == "/v1/models"
    assert message.url_path == "/v1/messages" and message.usage_output_tokens == int(out)
    data = b"".join(path.read_bytes() for path in Path(environ["PROMPTOP_DATA_DIR"]).rglob("*") if path.is_file())
    assert b"planted" not in data


@needs_curl
def test_curl_and_the_exit_code(environ: dict[str, str]) -> None:
    body = '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    script = f"curl -sN $OPENAI_BASE_URL/chat/completions -H 'content-type: application/json' -d '{body}'; exit 7"
    code, out, err = finished(watch(environ, "sh", "-c", script, options=("--quiet", "--app", "demo")))
    assert code == 7 and "data: [DONE]" in out and '"choices":[]' not in out and err == ""
    (row,) = rows(environ)
    assert row.app == "demo" and row.usage_source == "reported"


@needs_node
def test_node(environ: dict[str, str]) -> None:
    script = (
        "const ask = {model: 'gpt-4o', messages: [{role: 'user', content: 'hi'}]};"
        "fetch(process.env.OPENAI_BASE_URL + '/chat/completions', {method: 'POST', body: JSON.stringify(ask),"
        " headers: {'content-type': 'application/json', authorization: 'Bearer ' + process.env.OPENAI_API_KEY}})"
        ".then(r => r.json()).then(j => { console.log(j.usage.total_tokens); process.exit(3); });"
    )
    for options in ((), ("--proxy",)):
        code, out, _ = finished(watch(environ, "node", "-e", script, options=options))
        row = rows(environ)[-1]
        assert code == 3 and int(out) == (row.usage_input_tokens or 0) + (row.usage_output_tokens or 0)
    assert len(rows(environ)) == 2


NODE_SEES = """
const http = require('http');
const base = process.env.OPENAI_BASE_URL;
const ask = (stream) => ({method: 'POST',
  headers: {'content-type': 'application/json', authorization: 'Bearer sk-node-0123456789'},
  body: JSON.stringify({model: 'gpt-4o', max_tokens: 9, stream,
    stream_options: stream ? {include_usage: true} : undefined,
    messages: [{role: 'user', content: 'é'.repeat(9000)}]})});
const post = () => new Promise((done) => {
  const request = http.request(base + '/chat/completions', ask(false), (response) => {
    response.setEncoding('utf8');
    let text = '';
    response.on('data', (piece) => { text += piece; });
    response.on('end', () => done([response.statusCode, JSON.parse(text).object]));
  });
  request.end(ask(false).body);
});
(async () => {
  const whole = await fetch(base + '/chat/completions', ask(false));
  const copy = whole.clone();
  const stream = await fetch(base + '/chat/completions', ask(true));
  const pieces = [];
  for await (const piece of stream.body) pieces.push(Buffer.from(piece));
  const usage = Buffer.concat(pieces).includes('"usage":{');
  const stopped = await fetch(base + '/chat/completions', ask(true));
  await stopped.body.cancel();
  const refused = await fetch('http://127.0.0.1:59999/v1/chat/completions', ask(false)).catch((error) => error);
  const elsewhere = await fetch(base.replace('/v1', '/healthz'));
  console.log(JSON.stringify([base, whole.url, whole.type, whole.redirected, whole instanceof Response, whole.status,
    [...whole.headers].map(([name]) => name).sort(), (await whole.json()).object,
    (await copy.json()).object, whole.bodyUsed, usage, await post(), refused.name, refused.cause.code,
    elsewhere.status, process.env.CHAINED,
    Object.keys(process.env).filter((name) => name.endsWith('_BASE_URL')).sort()]));
  process.exit(5);
})();
"""


@needs_node
def test_a_node_program_sees_what_it_sees_unwatched(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "chained.cjs").write_text("process.env.CHAINED = 'yes';")
    environ |= {"NODE_OPTIONS": f"--require {tmp_path / 'chained.cjs'}"}
    bare = subprocess.run(["node", "-e", NODE_SEES], env=environ, capture_output=True, text=True, timeout=LIMIT_S)
    assert bare.returncode == 5, bare.stderr
    code, out, err = finished(watch(environ, "node", "-e", NODE_SEES, options=("--env", "GROQ_BASE_URL=http://a.test")))
    assert code == 5 and json.loads(out) == json.loads(bare.stdout), err
    assert '"yes"' in out and environ["OPENAI_BASE_URL"] in out
    logged = rows(environ)
    port = int(environ["OPENAI_BASE_URL"].split(":")[2][:-3])
    assert [row.error_type for row in logged if row.server_port == 59999] == ["connect"]
    assert sorted(str(row.error_type) for row in logged if row.server_port == port and row.operation_name) == [
        "None", "None", "None", "cancelled",
    ]  # fmt: skip
    assert sum(row.usage_source == "reported" for row in logged) == 3
    text = b"".join(path.read_bytes() for path in Path(environ["PROMPTOP_DATA_DIR"]).glob("log.db*"))
    assert b"sk-node-0123456789" not in text and "éééé".encode() not in text
    assert not list(tmp_path.glob("promptop-watch-*"))


def test_input_output_and_arguments_are_the_commands_own(environ: dict[str, str]) -> None:
    script = 'read line; echo "$line|$1|$2"; echo problem >&2'
    code, out, err = finished(watch(environ, "sh", "-c", script, "x", "--log", "two words"), "typed\n")
    assert (code, out) == (0, "typed|--log|two words\n")
    assert err.startswith("problem\n") and "no calls were seen" in err


def started(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_sent_to_watch_reaches_the_command(number: signal.Signals, environ: dict[str, str]) -> None:
    script = f"trap 'echo got; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    process = watch(environ, "sh", "-c", script)
    started(process)
    process.send_signal(number)
    code, out, _ = finished(process)
    assert (code, out) == (5, "got\n")


def test_ctrl_c_at_a_terminal_is_met_once(environ: dict[str, str]) -> None:
    """A real terminal sends the signal to the whole group; the command must not get it twice."""
    script = (
        "n=0; trap 'n=$((n+1))' INT; echo ready; while [ $n = 0 ]; do sleep 0.05; done; sleep 0.3; echo n=$n; exit 4"
    )
    primary, secondary = os.openpty()
    code = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);" + MAIN
    process = subprocess.Popen(
        [sys.executable, "-c", code, "watch", "--quiet", "--", "sh", "-c", script],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env=environ,
        start_new_session=True,
    )
    os.close(secondary)
    seen = b""
    while b"ready" not in seen:
        seen += os.read(primary, 1000)
    os.write(primary, b"\x03")
    assert process.wait(20) == 4
    while b"n=" not in seen:
        seen += os.read(primary, 1000)
    os.close(primary)
    assert b"n=1" in seen


def test_a_command_that_a_signal_ended_gives_its_number(environ: dict[str, str]) -> None:
    assert finished(watch(environ, "sh", "-c", "kill -9 $$"))[0] == 128 + 9


def test_what_cannot_be_run_has_the_shells_codes(environ: dict[str, str], tmp_path: Path) -> None:
    code, _, err = finished(watch(environ, "no-such-command-anywhere"))
    assert code == 127 and "There is no command" in err and "Traceback" not in err
    (tmp_path / "plain").write_text("text")
    code, _, err = finished(watch(environ, str(tmp_path / "plain")))
    assert code == 126 and "Traceback" not in err
    code, _, err = finished(watch(environ))
    assert code == 2 and "no command to run" in err


def test_nothing_is_left_behind(environ: dict[str, str], tmp_path: Path) -> None:
    process = watch(environ, "sh", "-c", "echo ready; echo $OPENAI_BASE_URL; read line")
    started(process)
    assert process.stdout is not None
    port = int(process.stdout.readline().split("/")[2].split(":")[1])
    tree = psutil.Process(process.pid).children(recursive=True)
    finished(process, "\n")
    until = monotonic() + 5
    while any(child.is_running() for child in tree) and monotonic() < until:
        sleep(0.01)
    assert not any(child.is_running() for child in tree)
    listening = [c for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == "LISTEN"]
    assert not listening
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"log.db", "log.db-wal", "log.db-shm", "log.rollups.db", "log-rollups.db"}, left


SEES = """
import json, os, sys
import httpx2, openai, anthropic
client = openai.OpenAI(max_retries=0)
def refused():
    try:
        openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0).models.list()
    except Exception as error:
        return [type(error).__name__, type(error.__cause__).__name__]
chunks = list(client.chat.completions.create(
    model="gpt-4o", stream=True, messages=[{"role": "user", "content": "hi"}]))
other = httpx2.get(os.environ["ELSEWHERE"], trust_env=False).status_code
print(json.dumps([str(client.base_url), os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_BASE"),
    isinstance(client._client, httpx2.Client), len(chunks) > 2, all(chunk.choices for chunk in chunks), refused(),
    other, any("inject" in place for place in sys.path), os.environ.get("CHAINED")]))
"""


def test_a_python_program_sees_what_it_sees_unwatched(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import os\nos.environ['CHAINED'] = 'yes'\n")
    elsewhere = environ["OPENAI_BASE_URL"].removesuffix("/v1") + "/healthz"
    environ |= {"PYTHONPATH": str(tmp_path / "site"), "ELSEWHERE": elsewhere.replace("127.0.0.1", "localhost")}
    bare = subprocess.run(
        [sys.executable, "-c", SEES], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    code, out, err = finished(watch(environ, sys.executable, "-c", SEES))
    assert (code, out) == (0, bare.stdout), err
    assert '"yes"' in out and environ["OPENAI_BASE_URL"] in out
    assert "promptop: 1 call," in err
    (call,) = rows(environ)
    assert call.usage_source == "reported" and call.server_port == int(environ["OPENAI_BASE_URL"].split(":")[2][:-3])


def test_a_python_program_goes_through_the_proxy_where_that_is_asked_or_nothing_else_works(
    environ: dict[str, str],
) -> None:
    show = "import os; print(os.environ['OPENAI_BASE_URL'])"
    for options, command in ((("--proxy",), ("-c", show)), ((), ("-I", "-c", show))):
        code, out, _ = finished(watch(environ, sys.executable, *command, options=options))
        assert code == 0 and out.strip() != environ["OPENAI_BASE_URL"] and out.endswith("/openai/v1\n")
