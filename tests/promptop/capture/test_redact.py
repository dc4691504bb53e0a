"""No key that was planted anywhere comes out in a file of ours; what identifies people goes in mode ``redacted``."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptop
from promptop.base import redact
from promptop.log import StoredRow, Writer
from promptop.log.write.bodies import read_body
from promptop.simulator import SimulatedEndpoint

Rows = Callable[[], list[StoredRow]]

KEYS = {
    "bearer": "Zx9Plantedbearer0000000000000001",
    "x_api_key": "Zx9Plantedheader0000000000000002",
    "query": "Zx9Plantedquery00000000000000003",
    "user": "Zx9Planteduser000000000000000004",
    "password": "Zx9Plantedpassword00000000000005",
    "cookie": "Zx9Plantedcookie0000000000000006",
    "json": "sk-Zx9Plantedjson00000000000000007",
    "prompt": "sk-proj-Zx9Plantedprompt000000000008",
    "path": "sk-Zx9Plantedpath00000000000000009",
    "echo": "AKIAZX9PLANTED000010",
    "field": "Zx9Plantedfield00000000000000011",
    "tag": "ghp_Zx9Plantedtag0000000000000000012",
}


def answer(request: httpx2.Request) -> httpx2.Response:
    """A server that echoes everything that it was told, wherever a server can say anything."""
    told = " ".join([str(request.url), *request.headers.values(), request.content.decode()])
    secret = request.headers["authorization"].split()[1]
    error = {"message": f"Bad key {told} and {KEYS['echo']}", "type": f"t {KEYS['json']}", "code": secret}
    headers = {"x-request-id": secret, "retry-after": KEYS["x_api_key"], "openai-processing-ms": "12"}
    if "ok" in request.url.path:
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "note": KEYS["query"]}
        said = {"id": secret, "model": KEYS["json"], "service_tier": told[:200], "usage": usage}
        return httpx2.Response(200, headers=headers, json={**said, "choices": [{"message": {"content": told}}]})
    if "stream" in request.url.path:
        events: list[Any] = [{"choices": [{"delta": {"content": told}}]}, {"error": error}]
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        return httpx2.Response(200, headers={**headers, "content-type": "text/event-stream"}, text=body)
    if "text" in request.url.path:
        return httpx2.Response(500, headers={**headers, "content-type": "text/plain"}, text=told)
    if "fail" in request.url.path:
        raise httpx2.ConnectError(f"no route to {told}")
    return httpx2.Response(401, headers=headers, json={"error": error})


@pytest.mark.parametrize("mode", ["off", "hash", "redacted"])
def test_planted_keys_are_in_no_file(mode: Any, log: Writer, rows: Rows, tmp_path: Path) -> None:
    inner = httpx2.MockTransport(answer)
    client = httpx2.Client(
        transport=promptop.transport(inner, log=log, bodies=mode, app=KEYS["tag"], tags={"k": KEYS["tag"]}),
        headers={
            "authorization": f"Bearer {KEYS['bearer']}",
            "x-api-key": KEYS["x_api_key"],
            "cookie": f"sid={KEYS['cookie']}; theme=dark",
        },
    )
    body = {
        "model": f"m-{KEYS['json']}",
        "stop": [KEYS["json"]],
        "api_key": KEYS["field"],
        "tools": [{"authorization": KEYS["field"]}],
        "messages": [{"role": "user", "content": f"my key is {KEYS['prompt']}, {KEYS['echo']}"}],
    }
    basic = f"http://{KEYS['user']}:{KEYS['password']}@host"
    with client:
        for place in ("http://host/ok", "http://host/stream", "http://host/text", f"{basic}/denied"):
            client.post(f"{place}/{KEYS['path']}/v1/chat/completions?api-key={KEYS['query']}&x=1", json=body)
        with pytest.raises(httpx2.ConnectError):
            client.post(f"{basic}/fail/v1/chat/completions?key={KEYS['query']}", json=body)
    logged = rows()
    log.close()
    assert len(logged) == 5
    assert all(row.error_type for row in logged[1:])
    assert logged[3].error_message and redact.GONE in logged[3].error_message
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "log.db" for path in files)
    stored = b"".join(path.read_bytes() for path in files) + repr(logged).encode()
    inflated = stored + _bodies(log.path)
    encoded = base64.b64encode(f"{KEYS['user']}:{KEYS['password']}".encode()).decode()
    for name, key in {**KEYS, "basic": encoded}.items():
        assert key.encode() not in inflated, name
        assert key.encode("utf-16-le") not in stored
    if mode == "redacted":
        assert b"my key is [redacted]" in inflated, "the rest of the prompt is kept"
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def _bodies(log: Path) -> bytes:
    """Return whatever bodies were kept, as they are read again."""
    return b"".join(repr(body).encode() for row_id in range(1, 10) if (body := read_body(log, row_id)) is not None)


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_no_key_is_cut_through(kind: str, log: Writer, rows: Rows) -> None:
    """Half of a key at the end of a text that is cut to size is not a key by its form, but it is half of a key."""
    key = "Zx9-" + "PlantedBeginning" * 4

    def answer(request: httpx2.Request) -> httpx2.Response:
        told = request.url.params["padding"] + request.headers["x-api-key"]
        content = json.dumps({"error": {"message": told, "code": told}}) if "json" in kind else told
        return httpx2.Response(
            403, headers={"content-type": kind, "x-request-id": told, "retry-after": told}, content=content
        )

    with httpx2.Client(transport=promptop.transport(httpx2.MockTransport(answer), log=log)) as client:
        for size in range(440, 520, 3):
            before = "x" * size
            client.post(
                f"http://h/{before}{key}/v1/chat/completions?padding={before}",
                json={"model": before + key},
                headers={"x-api-key": key},
            )
    assert "Planted" not in repr(rows())


def test_mode_full_keeps_the_body_but_no_header(log: Writer, rows: Rows, endpoint: SimulatedEndpoint) -> None:
    with promptop.observe(httpx2.Client(), log=log, bodies="full") as client:
        client.post(
            f"{endpoint.base_url}/chat/completions",
            json={"model": "sim-fast", "messages": [{"role": "user", "content": "keep me"}]},
            headers={"authorization": f"Bearer {KEYS['bearer']}"},
        )
    assert len(rows()) == 1
    log.close()
    kept = _bodies(log.path)
    assert b"keep me" in kept and KEYS["bearer"].encode() not in kept


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Incorrect API key provided: sk-abc***xyz.", "Incorrect API key provided: [redacted]"),
        ("use sk-ant-api03-AbCdEf_123456-x now", "use [redacted] now"),
        ("Authorization: Bearer abcdef123456", "Authorization: [redacted] [redacted]"),
        ("at https://bob:hunter2hunter@h/v1", "at https://[redacted]@h/v1"),
        ("?api_key=abcdef123456&x=1", "?api_key=[redacted]&x=1"),
        ('{"password": "correct horse", "a": 1}', '{"password": "[redacted] horse", "a": 1}'),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.sflKxwRJ", "[redacted]"),
        ("AIzaSyA1234567890abcdefghij", "[redacted]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nx", "[redacted]\nx"),
        ("max_tokens: 4096 is too large, 128000 tokens: see limits", None),
        ("gpt-4o-mini-2024-07-18", None),
        ("chatcmpl-9aBcDeFgHiJkLmNoPqRsTuVwXyZ01", None),
        ("This model's maximum context length is 8192 tokens.", None),
        ("task-force and risk-averse desk-bound skin-deep", None),
        ('{"limit":"10000","remaining":"9999"}', None),
    ],
)
def test_credentials_by_their_form(text: str, expected: str | None) -> None:
    shown = redact.credentials(text)
    if expected is None:
        assert shown == text
    else:
        assert redact.GONE in shown
        assert shown.replace("Bearer [redacted]", "[redacted] [redacted]") == expected or shown == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail bob.smith+x@mail.example.co.uk today", "mail [email] today"),
        ("邮箱：张三@例子 zhang@example.cn。", "邮箱：张三@例子 [email]。"),
        ("card 4111 1111 1111 1111, exp 12/27", "card [card], exp 12/27"),
        ("4111-1111-1111-1112 is none", None),
        ("call +1 (555) 123-4567 or 555-123-4567", "call [phone] or [phone]"),
        ("电话13812345678，座机010-12345678", "电话[phone]，座机[phone]"),
        ("身份证11010519491231002X", "身份证[id]"),
        ("took 1795000000 ms, id 1795000000123, 3.14159265358979", None),
        ("2026-11-21 10:49:37, 192.168.100.200, v1.2.3-4567", None),
        ("tokens 128000 and 1000000", None),
    ],
)
def test_what_identifies_people(text: str, expected: str | None) -> None:
    assert redact.personal(text) == (text if expected is None else expected)


def test_bodies_are_redacted_value_by_value() -> None:
    body = {
        "model": "gpt-4o",
        "max_tokens": 4096,
        "created": 1795000000,
        "card": 4111111111111111,
        "messages": [{"role": "user", "content": "I am a@b.example, 13812345678", "bob@x.example": True}],
        "metadata": {"api_key": "whatever12", "session_token": "abc", "n": None},
    }
    assert json.loads(redact.body(json.dumps(body).encode())) == {
        "model": "gpt-4o",
        "max_tokens": 4096,
        "created": 1795000000,
        "card": "[card]",
        "messages": [{"role": "user", "content": "I am [email], [phone]", "[email]": True}],
        "metadata": {"api_key": redact.GONE, "session_token": redact.GONE, "n": None},
    }
    escaped = b'{"content": "a\\u0040b.example"}'
    assert json.loads(redact.body(escaped)) == {"content": "[email]"}
    assert redact.body(b"plain a@b.example \xff") == "plain [email] \ufffd".encode()


def test_secrets_of_a_request() -> None:
    headers = [
        ("Authorization", "Bearer abcdefgh"),
        ("api-key", "ijklmnop"),
        ("X-Goog-Api-Key", "qrstuvwx"),
        ("Cookie", "sid=yzabcdef; b=1"),
        ("content-type", "application/json"),
        ("x-stainless-lang", "python"),
        ("x-request-id", "ghijklmn"),
    ]
    found = redact.secrets_of(headers, "api-version=2024-01-01&key=opqrstuv&sig=a%2Fbcdefgh", "user12:p%40ssword")
    assert {"abcdefgh", "ijklmnop", "qrstuvwx", "yzabcdef", "opqrstuv", "a/bcdefgh", "user12", "p@ssword"} <= set(found)
    assert not {"application/json", "python", "ghijklmn", "2024-01-01", "1"} & set(found)
    assert list(found) == sorted(found, key=len, reverse=True)


@given(st.text(max_size=300), st.binary(max_size=200))
def test_redaction_never_raises_and_is_stable(text: str, data: bytes) -> None:
    once = redact.personal(redact.credentials(text))
    assert redact.personal(redact.credentials(once)) == once
    redact.body(data)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unit", ["1", "a", "1-", "a@", "sk-", "token=", "eyJ", "://a:", "+1 ", "-----BEGIN PRIVATE KEY-----", "A B "]
)
def test_redaction_takes_linear_time(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    redact.personal(redact.credentials(text))
