from __future__ import annotations

import pytest

from promptop.base.errors import UsageError
from promptop.proxy.upstreams import RefusedError, Routes, parse


def test_an_address_is_read_with_its_name_and_path() -> None:
    upstream = parse("azure=https://me.openai.azure.com:8443/openai/", environ={})
    assert (upstream.name, upstream.origin, upstream.base_path) == (
        "azure",
        "https://me.openai.azure.com:8443",
        "/openai",
    )
    assert (upstream.host, upstream.port, upstream.http2, upstream.via) == ("me.openai.azure.com", 8443, False, None)
    assert parse("http://[::1]:9/v1", environ={}).origin == "http://[::1]:9"
    assert parse("https://example.com:443", environ={}).origin == "https://example.com"


def test_credentials_of_an_address_become_a_header_and_are_shown_nowhere() -> None:
    upstream = parse("https://me:p%40ss-word@example.com/v1", environ={})
    assert upstream.authorization == "Basic bWU6cEBzcy13b3Jk"
    assert "ss-word" not in repr(upstream) + upstream.url and "bWU6" not in repr(upstream)


@pytest.mark.parametrize(
    "text",
    [
        *("", "example.com", "ftp://example.com", "https://", "https://example.com/?key=1", "https://exa mple.com"),
        *("metrics=https://example.com", "a/b=https://example.com", "https://example.com:99999", "https://e.com\n/x"),
    ],
)
def test_what_is_no_address_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, environ={})
    assert caught.value.remedy


def test_the_environment_names_a_proxy_on_the_way_but_never_to_loopback() -> None:
    environ = {"HTTPS_PROXY": "http://proxy.corp:3128", "no_proxy": "internal.corp,.local"}
    assert parse("https://api.openai.com/v1", environ=environ).via == "http://proxy.corp:3128"
    assert parse("https://llm.internal.corp", environ=environ).via is None
    assert parse("https://127.0.0.1", environ=environ).via is None
    assert parse("http://api.openai.com", environ=environ).via is None


ROUTES = Routes(
    [
        parse("https://api.openai.com/v1", environ={}),
        parse("claude=https://api.anthropic.com", environ={}),
        parse("glm=https://open.bigmodel.cn/api/paas/v4", environ={}),
    ],
    ["api.deepseek.com", "*.openai.azure.com", "http://127.0.0.1:8000"],
)


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("/v1", "https://api.openai.com/v1"),
        ("/v10/x", "https://api.openai.com/v1/v10/x"),
        ("/?a=1", "https://api.openai.com/v1/?a=1"),
        ("/claude/v1/messages?beta=true", "https://api.anthropic.com/v1/messages?beta=true"),
        ("/claude", "https://api.anthropic.com/"),
        ("/claude?x=/y", "https://api.anthropic.com/?x=/y"),
        ("/glm/chat/completions", "https://open.bigmodel.cn/api/paas/v4/chat/completions"),
        ("/glm/api/paas/v4/models", "https://open.bigmodel.cn/api/paas/v4/models"),
        ("/v1/files/a%2Fb%20c?x=%00", "https://api.openai.com/v1/files/a%2Fb%20c?x=%00"),
        ("/v1/文?q=é&r=%41", "https://api.openai.com/v1/%E6%96%87?q=%C3%A9&r=%41"),
        ("/v1/\udcff", "https://api.openai.com/v1/%FF"),
        ("/v1/../../etc", "https://api.openai.com/v1/../../etc"),
        ("//evil.example/x", "https://api.openai.com/v1//evil.example/x"),
        ("/@evil.example/x", "https://api.openai.com/v1/@evil.example/x"),
        ("/to/api.deepseek.com/v1/models", "https://api.deepseek.com/v1/models"),
        ("/to/API.DeepSeek.com", "https://api.deepseek.com/"),
        ("/to/me.openai.azure.com/openai/x?api-version=1", "https://me.openai.azure.com/openai/x?api-version=1"),
        ("/to/127.0.0.1:8000/v1/x", "http://127.0.0.1:8000/v1/x"),
    ],
)
def test_where_a_target_goes(target: str, sent: str) -> None:
    upstream, path = ROUTES.resolve(target)
    assert upstream.origin + path == sent


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://evil.example/x", 400),
        ("*", 400),
        ("evil.example:443", 400),
        ("/to/evil.example/x", 403),
        ("/to/openai.azure.com/x", 403),
        ("/to/evil.openai.azure.com@evil.example/x", 403),
        ("/to/evil.example#.openai.azure.com/x", 403),
        ("/to/api.deepseek.com:444/x", 403),
        ("/to/api.deepseek.com.evil.example/x", 403),
        ("/to//x", 403),
    ],
)
def test_no_target_reaches_another_host(target: str, status: int) -> None:
    with pytest.raises(RefusedError) as caught:
        ROUTES.resolve(target)
    assert caught.value.status == status


def test_without_a_default_only_the_names_are_served() -> None:
    routes = Routes([parse("claude=https://api.anthropic.com", environ={})])
    with pytest.raises(RefusedError) as caught:
        routes.resolve("/v1/models")
    assert caught.value.status == 404 and "/claude/" in caught.value.remedy


def test_names_must_be_unique_and_hosts_must_be_hosts() -> None:
    one = parse("https://a.example", environ={})
    with pytest.raises(UsageError):
        Routes([one, one])
    named = parse("x=https://a.example", environ={})
    with pytest.raises(UsageError):
        Routes([named, named])
    for entry in ("", "*", "a b", "*.", "https://", "a.example/path"):
        with pytest.raises(UsageError):
            Routes([one], [entry])
