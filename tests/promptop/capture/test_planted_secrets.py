"""Secrets planted wherever a call can carry one, repeated by a server in every writing: none is found on disk."""

from __future__ import annotations

import base64
import html
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx2
import pytest

import promptop
from promptop.cli.main import main
from promptop.log import LogReader, Writer
from promptop.log.transfer.imports import import_file
from promptop.log.write.bodies import read_body
from promptop.proxy import Options, ProxyThread
from promptop.proxy.upstreams import parse

HEADERS = (
    *("authorization", "Authorization", "x-api-key", "api-key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key"),
    *("x-auth-token", "x-access-token", "x-custom-pass", "x-org-creds", "x-pat", "x-jwt", "x-amz-security-token"),
    *("cookie", "x-session", "private-token", "x-vault-token", "x-client-secret", "x-signature", "authentication"),
    *("x-functions-key", "x-gateway-credential", "x-user-password", "x-apikey", "x-acme-bearer", "x-acme-opaque"),
)
QUERIES = ("key", "api_key", "token", "access_token", "sig", "code", "sas", "subscription-key", "X-Amz-Signature")
BODIES = ("api_key", "authorization", "aws_secret_access_key", "auth_token", "password")
FORMS = (
    *("sk-", "sk-ant-api03-", "sk-proj-", "ghp_", "glpat-", "xoxb-", "hf_", "gsk_", "npm_", "r8_", "nvapi-", "pplx-"),
    *("AKIA", "AIza", "github_pat_", "eyJhbGciOiJIUzI1NiJ9.", "xai-"),
)
ODD = 'q"uo\\te/+&<'
"""Characters that are written differently in JSON, HTML and URLs."""


def secret(kind: str, number: int) -> str:
    """Return a secret that nothing else contains."""
    return f"Zq{number:02}{kind[:3].strip('-_').title()}Pl4nt3d{number * 7919:07}x"


PLANTED: dict[str, str] = {}
for _n, _name in enumerate((*(f"header {h}" for h in HEADERS), *(f"query {q}" for q in QUERIES))):
    PLANTED[_name] = secret(_name.split()[1], _n)
PLANTED["header x-api-key"] += ODD.replace("\\", "")
PLANTED["header x-auth-token"] += "+/=="
for _n, _name in enumerate(BODIES, 60):
    PLANTED[f"body {_name}"] = secret(_name, _n)
for _n, _name in enumerate(("basic password", "user", "password", "path bot", "path long"), 70):
    PLANTED[_name] = secret(_name, _n)
PLANTED["basic password"] += ODD
for _n, _name in enumerate(FORMS, 80):
    body = f"ZQ{_n}PL4NT3D{_n * 7919}" if _name == "AKIA" else secret("form", _n)
    PLANTED[f"form {_name}"] = _name + body + (".c2lnbmF0dXJl" if _name.startswith("eyJ") else "")


def writings(text: str) -> set[str]:
    """Return a secret as servers write it."""
    foreign = text in (PLANTED[name] for name in PLANTED if name.startswith("form"))
    half = text if foreign else text[: max(8, len(text) // 2)]  # of a key that is known by its form alone
    escaped = json.dumps(text)[1:-1]
    return {
        *(text, text.upper(), text.lower(), escaped, json.dumps(escaped)[1:-1], html.escape(text)),
        *(quote(text), quote(text, safe=""), quote_plus(text), half),
    }


def sought(text: str) -> set[str]:
    """Return what must not be found: a secret in any writing, and its recognisable middle."""
    return {*writings(text), "Pl4nt3d", "PL4NT3D", "pl4nt3d"}


class Echo(http.server.BaseHTTPRequestHandler):
    """Refuses every call, and repeats all secrets in every writing: in messages, codes, headers, streams and pages."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length") or 0))
        told = [way for text in PLANTED.values() for way in sorted(writings(text))]
        shown = " ".join((*told, self.path, sent.decode("utf-8", "replace")))
        kind, status = "application/json", 401
        error = {"message": f"Refused: {shown}", "type": told[3], "code": "invalid_api_key", "param": told[0]}
        answer: Any = {"error": error, "request": {"headers": dict(self.headers.items())}}
        if "/ok/" in self.path:
            status = 200
            answer = {
                "id": PLANTED["header x-api-key"],
                "model": told[1],
                "service_tier": PLANTED["query key"],
                "choices": [{"message": {"content": "hello"}, "finish_reason": PLANTED["header cookie"]}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2, "note": PLANTED["query sig"]},
            }
        body = json.dumps(answer).encode()
        if "/stream/" in self.path:
            status, kind = 200, "text/event-stream"
            body = f"data: {json.dumps({'error': error})}\n\n".encode()
        elif "/page/" in self.path:
            status, kind = 502, "text/html"
            body = f"<html>{html.escape(shown)}</html>".encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-request-id", PLANTED["header x-pat"])
        self.send_header("x-ratelimit-note", PLANTED["header x-jwt"])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    """Yield host and port of a server that repeats what it is told."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def requests() -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
    """Yield target, headers and body of calls that carry all secrets between them."""
    query = "&".join(f"{name}={quote(PLANTED[f'query {name}'], safe='')}" for name in QUERIES)
    tools = [{"type": "mcp", "headers": {"Authorization": f"Bearer {PLANTED['body authorization']}"}}]
    fields = {name: PLANTED[f"body {name}"] for name in BODIES if name != "authorization"}
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "tools": tools, **fields}
    headers = {name: PLANTED[f"header {name}"] for name in HEADERS if name.lower() != "authorization"}
    headers["cookie"] = f"theme=dark; sid={PLANTED['header cookie']}"
    paths = f"bot123:{PLANTED['path bot']}/{PLANTED['path long']}"
    pair = base64.b64encode(f"someone:{PLANTED['basic password']}".encode()).decode()
    for place in ("no", "ok", "stream", "page"):
        for authorization in (
            f"Bearer {PLANTED['header authorization']}",
            PLANTED["header Authorization"],
            f"Basic {pair}",
        ):
            body = {**asked, "stream": place == "stream"}
            yield (
                f"/{place}/{paths}/v1/chat/completions?{query}",
                {**headers, "authorization": authorization, **ALL_IN_ONE},
                body,
            )


ALL_IN_ONE = {"x-forwarded-authorization": f"{PLANTED['header authorization']}, {PLANTED['header Authorization']}"}
"""So that each call's own secrets hold those of the calls beside it, which the server repeats to all of them."""
ALL_IN_ONE["x-other-auth"] = f"Basic {base64.b64encode(('someone:' + PLANTED['basic password']).encode()).decode()}"
ALL_IN_ONE["x-path-token"] = PLANTED["path bot"]
ALL_IN_ONE["x-long-token"] = PLANTED["path long"]


def found_in(folder: Path, log: Path, rows: int) -> dict[str, str]:
    """Return the secrets that stand in some file, as it is or as it is read again, and in which."""
    texts = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for number in range(1, rows + 1):
        with suppress(Exception):
            texts[f"body {number}"] = repr(read_body(log, number)).encode()
    found = {}
    for name, text in PLANTED.items():
        for written in sought(text):
            if where := [file for file, data in texts.items() if written.encode() in data]:
                found[name] = f"{written} in {where}"
    return found


def test_there_are_enough() -> None:
    assert len(PLANTED) >= 60 and len(set(PLANTED.values())) == len(PLANTED)


@pytest.mark.parametrize("mode", ["off", "hash", "redacted", "full"])
@pytest.mark.parametrize("way", ["observe", "proxy"])
def test_none_is_found(way: str, mode: Any, echo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data"
    log = folder / "log.db"
    userinfo = f"{PLANTED['user']}:{PLANTED['password']}@"
    asked = list(requests())
    if way == "observe":
        with Writer(log) as writer, httpx2.Client(trust_env=False, verify=False) as plain:
            client = promptop.observe(plain, log=writer, bodies=mode)
            for target, headers, body in asked:
                client.post(f"http://{userinfo}{echo}{target}", headers=headers, json=body)
            assert writer.flush()
    else:
        options = Options(upstreams=[parse(f"http://{userinfo}{echo}")], port=0, log_path=log, bodies=mode)
        with ProxyThread(options) as served, httpx2.Client(trust_env=False, verify=False) as plain:
            for target, headers, body in asked:
                plain.post(f"http://127.0.0.1:{served.port}{target}", headers=headers, json=body)
        promptop.log.writer_for(log).close()
    with LogReader(log) as reader:
        rows = reader.latest(1000)
    assert len(rows) == len(asked)
    assert all(json.loads(row.usage_raw)["prompt_tokens"] == 1 for row in rows if row.usage_raw)
    assert any("Refused" in (row.error_message or "") for row in rows), "the words are kept"
    assert found_in(folder, log, len(rows)) == {}
    for form in ("csv", "jsonl"):
        assert main(["log", "export", "--log", str(log), "--format", form, "-o", str(tmp_path / f"out.{form}")]) == 0
    capsys.readouterr()
    assert found_in(tmp_path, log, 0) == {}


@pytest.mark.parametrize("shape", ["promptop", "litellm", "csv"])
def test_none_is_found_after_an_import(shape: str, tmp_path: Path) -> None:
    source, log = tmp_path / "in", tmp_path / "data" / "log.db"
    known = [text for name, text in PLANTED.items() if name.startswith("form")]
    told = " ".join((*known, *(f"api_key={PLANTED[f'query {name}']}" for name in QUERIES)))
    if shape == "litellm":
        entries: list[dict[str, Any]] = [
            {
                "startTime": "2026-11-01T00:00:00Z",
                "endTime": "2026-11-01T00:00:01Z",
                "call_type": "completion",
                "model": text,
                "user": text,
                "end_user": text,
                "request_tags": [text],
                "request_id": f"{number}",
                "api_base": f"https://u:{text}@h/{text}",
                "prompt_tokens": 1,
                "completion_tokens": 1,
                "metadata": {"user_api_key": text, "error_information": {"error_message": told}},
                "status": "failure",
            }
            for number, text in enumerate(known, 1)
        ]
    else:
        entries = [
            {
                "started_ms": number,
                "error_message": told,
                "error_type": text,
                "app": text,
                "response_id": text,
                "tags": json.dumps({"k": text}),
                "usage_raw": json.dumps({"note": told}),
                "url_path": f"/{text}/v1",
            }
            for number, text in enumerate(known, 1)
        ]
    if shape == "csv":
        source = source.with_suffix(".csv")
        names = list(entries[0])
        lines = [",".join(names)]
        lines += [",".join('"' + str(entry[n]).replace('"', '""') + '"' for n in names) for entry in entries]
        source.write_text("\n".join(lines) + "\n")
    else:
        source = source.with_suffix(".jsonl")
        source.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    done = import_file(log, source)
    assert done.rows == len(known)
    assert found_in(log.parent, log, 0) == {}
    with LogReader(log) as reader:
        assert all(row.tags is None or json.loads(row.tags) for row in reader.latest(100))
