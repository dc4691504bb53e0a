"""The shim is light: in a service it loads the standard library and the httpx that is there anyway."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    *("textual", "openai", "anthropic", "tiktoken", "rich", "pydantic", "sqlite_utils", "numpy", "aiohttp"),
    *("genai_prices", "redis", "yaml", "h2", "uvloop", "promptop_tui"),
)


def loaded(code: str, folder: Path) -> set[str]:
    """Return the top-level modules outside of the standard library that ``code`` loads in a fresh interpreter."""
    script = f"{code}\nimport sys, json; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    environment = {"PATH": "", "PROMPTOP_DATA_DIR": str(folder), "PROMPTOP_CONFIG_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    names = set(json.loads(done.stdout.splitlines()[-1]))
    return {name for name in names if name not in sys.stdlib_module_names and not name.startswith("_")}


def test_importing_promptop_and_the_shim_loads_nothing(tmp_path: Path) -> None:
    code = (
        "import promptop; from promptop import observe, transport; from promptop import annotate;"
        "from promptop.capture.parse.stream_reader import StreamReader"
    )
    assert loaded(code, tmp_path) <= {"promptop", "sitecustomize", "usercustomize"}


@pytest.mark.parametrize("family", ["httpx2", "httpx"])
def test_a_watched_and_logged_call_loads_one_family(family: str, tmp_path: Path) -> None:
    other = {"httpx2": "httpx", "httpx": "httpx2"}[family]
    code = f"""
import {family} as h
bare = h.Client(transport=h.MockTransport(lambda r: h.Response(200, json={{}})))
bare.post("http://x/v1/chat/completions", json={{}})
import promptop, sys
before = set(sys.modules)
from promptop.log import Writer
answer = b'data: {{"choices":[{{"delta":{{"content":"hi"}}}}]}}\\n\\n'
inner = h.MockTransport(lambda r: h.Response(200, headers={{"content-type": "text/event-stream"}}, content=answer))
writer = Writer({str(tmp_path / "log.db")!r})
client = promptop.observe(h.Client(transport=inner), log=writer)
body = {{"model": "gpt-4o", "stream": True, "messages": [{{"role": "user", "content": "x"}}]}}
client.post("http://x/v1/chat/completions", json=body)
assert writer.flush(10) and writer.stats.written == 1, writer.stats
writer.close()
"""
    found = loaded(code, tmp_path)
    assert {"promptop", family} <= found
    ours = found - loaded(f"import {family}; {family}.Client()", tmp_path)
    assert not ours & {*HEAVY, other}
    assert ours <= {"promptop", "platformdirs"}
