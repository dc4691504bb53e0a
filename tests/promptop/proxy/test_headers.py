from __future__ import annotations

from promptop.proxy.http.fields import Fields
from promptop.proxy.http.headers import forwarded, is_signed, note_of, returned


def test_order_spelling_and_doubles_are_kept_and_hop_by_hop_fields_end() -> None:
    headers, own = forwarded(
        [
            (b"Host", b"127.0.0.1"),
            (b"AUTHORIZATION", b"Bearer k"),
            (b"X-Twice", b"1"),
            (b"Connection", b"keep-alive, X-Private"),
            (b"x-private", b"p"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Content-Length", b"3"),
            (b"Expect", b"100-continue"),
            (b"Proxy-Authorization", b"Basic x"),
            (b"TE", b"trailers"),
            (b"x-twice", b"2"),
            (b"X-Promptop-App", b"mine"),
        ]
    )
    assert list(headers) == [("AUTHORIZATION", "Bearer k"), ("X-Twice", "1"), ("x-twice", "2")]
    assert own == {"x-promptop-app": "mine"}


def test_a_client_cannot_strip_its_own_key_by_naming_it_in_connection() -> None:
    headers, _ = forwarded([(b"Connection", b"authorization"), (b"Authorization", b"Bearer k")])
    assert headers.get(b"authorization") == b"Bearer k"


def test_what_comes_back_keeps_cookies_apart() -> None:
    fields = returned(
        [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"Keep-Alive", b"timeout=5"), (b"X-A", "é".encode())]
    )
    assert fields == [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"X-A", "é".encode())]


def test_notes_are_read_and_bounded() -> None:
    assert note_of({}) is None
    note = note_of(
        {
            "x-promptop-app": "a" * 1000,
            "x-promptop-tags": '{"team": "search", "n": 1}',
            "x-promptop-prompt": "greeting",
            "x-promptop-prompt-version": "3",
            "x-promptop-conversation": "c1",
        }
    )
    assert note is not None
    assert (note.prompt_name, note.prompt_version, note.conversation_id) == ("greeting", "3", "c1")
    assert note.tags == {"team": "search", "n": 1} and len(note.app or "") == 256
    for broken in ("[1]", "{", "[" * 5000, '{"a": "' + "x" * 5000 + '"}'):
        assert (note_of({"x-promptop-tags": broken}) or note).tags == {}


def test_a_signed_body_is_known() -> None:
    assert is_signed(Fields([(b"Authorization", b"AWS4-HMAC-SHA256 Credential=x")]))
    assert is_signed(Fields([(b"content-digest", b"sha-256=:x:")]))
    assert not is_signed(Fields([(b"Authorization", b"Bearer x")]))
