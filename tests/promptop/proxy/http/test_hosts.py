"""A web page reaches no proxy on loopback, not even with a DNS name that now means this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from promptop.proxy.http.hosts import Hosts
from promptop.proxy.upstreams import RefusedError
from promptop.simulator import SimulatedEndpoint


@pytest.mark.parametrize(
    ("host", "origin", "names", "code"),
    [
        ("127.0.0.1:8787", None, (), ""),
        ("localhost", "http://localhost:3000", (), ""),
        ("LOCALHOST:1", "https://127.0.0.1", (), ""),
        ("[::1]:8787", "http://[::1]", (), ""),
        ("app.localhost:80", None, (), ""),
        (None, None, (), ""),
        ("127.1.2.3", "vscode-webview://abc", (), ""),
        ("evil.example", None, (), "host_not_allowed"),
        ("evil.example:8787", "http://evil.example:8787", (), "host_not_allowed"),
        ("localhost.evil.example", None, (), "host_not_allowed"),
        ("127.0.0.1.evil.example", None, (), "host_not_allowed"),
        ("169.254.169.254", None, (), "host_not_allowed"),
        ("", None, (), "host_not_allowed"),
        ("localhost", "http://evil.example", (), "origin_not_allowed"),
        ("localhost", "null", (), "origin_not_allowed"),
        ("localhost", "file://", (), "origin_not_allowed"),
        ("localhost", "http://localhost.evil.example", (), "origin_not_allowed"),
        ("llm.corp:8787", "https://llm.corp", ("llm.corp",), ""),
        ("other.corp", None, ("llm.corp", "0.0.0.0"), "host_not_allowed"),
    ],
)
def test_hosts_and_origins(host: str | None, origin: str | None, names: tuple[str, ...], code: str) -> None:
    hosts = Hosts(names)
    for _ in range(2):  # what is known already is judged alike
        if code:
            with pytest.raises(RefusedError) as refused:
                hosts.admit(host, origin)
            assert refused.value.code == code
        else:
            hosts.admit(host, origin)


def test_a_token_stands_for_the_host_but_for_no_page() -> None:
    hosts = Hosts(checked=False)
    hosts.admit("any.example", None)
    with pytest.raises(RefusedError):
        hosts.admit("any.example", "https://evil.example")


@pytest.mark.parametrize("path", ["/v1/models", "/metrics"])
def test_a_page_is_refused_everywhere(path: str, serve: Callable[..., Any], endpoint: SimulatedEndpoint) -> None:
    served = serve(endpoint.base_url)
    before = len(endpoint.requests)
    with httpx2.Client(verify=False) as client:
        for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            answer = client.get(served.url + path, headers=headers)
            assert answer.status_code == 403 and "not_allowed" in answer.json()["error"]["code"]
        assert client.get(f"{served.url}/healthz", headers={"host": "10.0.0.7"}).status_code == 200
        assert client.get(served.base_url + "/models").status_code == 200
    assert len(endpoint.requests) == before + 1
