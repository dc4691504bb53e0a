"""What must not be stored: credentials anywhere, and in mode ``redacted`` also what identifies people.

Two nets for credentials. The request's own secrets (its ``Authorization`` and key headers, its secret query values) are
known exactly and are removed wherever a server echoes them. Everything else that looks like a key is removed by its
form or by the name it stands under.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from math import isfinite
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

GONE = "[redacted]"
"""Stands where a credential stood."""

_SECRET_NAME = re.compile(
    r"auth|cookie|passw|passphrase|secret|signature|credential|session|bearer|apikey"
    r"|(?:^|[-_.])(?:key|api[-_]?key|token|access[-_]?token|sig|pwd|pass|pw|creds?|pat|jwt|otp|pin)$"
    r"|[a-z]Key$|[a-z]Token$",
    re.IGNORECASE,
)
_NOT_SECRET = re.compile(r"author$|authority$|max[-_]?token|session[-_]?affinity$", re.IGNORECASE)
_SECRET_QUERY = frozenset(("code", "sas", "ticket"))
"""Names in a query that hold a credential there, and only there."""
_PLAIN_HEADER = re.compile(
    r"^(?:accept|user-agent|host|content-|connection|referer|origin|date|via|forwarded|traceparent|tracestate|baggage"
    r"|x-stainless|x-forwarded|x-real|x-promptop|x-b3|x-amzn-trace|x-cloud-trace|sentry-|if-|cache-|range|te$|expect)"
    r"|(?:^|[-_])(?:id|ids|trace|span|version|date|time|timestamp|language|agent|runtime|package|os|arch|platform|model"
    r"|region|name|hash|etag|revision|build|idempotency-key)$",
    re.IGNORECASE,
)
_OPAQUE = re.compile(r"(?=[^\s]*\d)(?=[^\s]*[A-Za-z])[A-Za-z0-9._~+/=:-]{20,}\Z")
"""What a key looks like where nothing else says that it is one."""
_PATH_SEGMENT = re.compile(r"(?<=[/:])(?![a-z]{1,12}[-_])[A-Za-z0-9_-]{24,}(?=[/:?]|\Z)")
"""A segment of a path that is not an id with its kind before it (``file-…``, ``resp_…``)."""
_MIXED = re.compile(r"[A-Za-z]\d|\d[A-Za-z]")
_MOST_CHANGES = 4
"""Changes between letters and digits in a name that somebody has chosen (``Gpt4oForTheTeam2026``); keys have more."""
_TAME = re.compile(r"[A-Za-z0-9._~-]+\Z")
"""Secrets that are written the same way everywhere."""
_SHORTEST = 6
_SHORTEST_PART = 8
"""Characters of the shortest beginning of a secret that is taken for it."""
_LONGEST_PART = 64

_PASSWORD = r"\b(?:pass[-_ ]?(?:word|phrase|code)|passwd)"
_SECRET_WORD = rf"(?:{_PASSWORD}|\b(?:secret|(?:api|access)[-_ ]?key|(?:access|auth)[-_ ]?token))"
"""Names behind which a credential may stand without a colon."""
_SOLID = r"[^\s\"'&,;{}\[\]()<>]"
_CREDENTIALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), GONE),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {GONE}"),
    (re.compile(r"(?<=://)[^/\s:@\"']{1,256}:[^/\s@\"']{1,256}(?=@)"), GONE),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", re.IGNORECASE), GONE),  # a JSON web token
    (
        re.compile(
            r"\b(?:sk|pk|rk|xai|gsk|hf|gh[opusr]|github_pat|glpat|xox[abeprs]|r8|nvapi|pplx|fw|csk|tgp|dop|shpat|npm|pypi)"
            r"[-_][A-Za-z0-9_*.\-]{6,}"
            # In capitals only with a digit: "HF-TRANSFORMERS" is a name.
            r"|\b(?:SK|PK|RK|XAI|GSK|HF|GH[OPUSR]|GITHUB_PAT|GLPAT|XOX[ABEPRS]|R8|NVAPI|PPLX|FW|CSK|TGP|DOP|SHPAT|NPM|PYPI)"
            r"[-_](?=[A-Z_*.\-]*\d)[A-Z0-9_*.\-]{12,}"
        ),
        GONE,
    ),
    (re.compile(r"\b(?:AKIA|ASIA)(?=[A-Z]*\d)[0-9A-Z]{12,}|\bAIza(?=[A-Z_-]*\d)[\w-]{16,}", re.IGNORECASE), GONE),
    (
        re.compile(
            r"((?:\b|_)(?:api[-_ ]?key|access[-_]?token|auth[-_]?token|authorization|token|secret|password|passwd"
            r"|signature|sig|key)[\"']?\s*[:=]\s*[\"']?)(?!\[redacted\])"
            # "token: Signature verification failed" is a sentence.
            r"(?!(?<=:\s)(?-i:[A-Z][a-z']+(?:[.,!]?\s|[.!]?\Z)))[^\s\"'&,;{}\[\]()<>]{6,}",
            re.IGNORECASE,
        ),
        rf"\1{GONE}",
    ),
    (
        # Without a colon: the name, and what stands in quotes behind it (secret "hunter", the password is 'hunter').
        # Not "key" and "token" alone, which errors quote names behind (missing key "user_id").
        re.compile(
            rf"({_SECRET_WORD}\s+(?:(?:is|was|reads|equals)\s+)?[\"'“‘`])(?!\[redacted\])"
            r"(?:[^\"'”’`\n]{4,80}(?=[\"'”’`])|[^\s\"'”’`]{4,})",
            re.IGNORECASE,
        ),
        rf"\1{GONE}",
    ),
    (
        # Without quotes too, where it has a digit among letters: the password is hunter2.
        re.compile(
            rf"((?:{_PASSWORD}\s+|{_SECRET_WORD}\s+(?:is|was|reads|equals)\s+))(?!\[redacted\])"
            rf"(?={_SOLID}{{0,64}}[A-Za-z])(?={_SOLID}{{0,64}}\d){_SOLID}{{6,}}",
            re.IGNORECASE,
        ),
        rf"\1{GONE}",
    ),
    (
        re.compile(
            r"((?:密码|口令|密钥|秘钥|令牌)\s*(?:(?:是|为|[:：=])\s*|(?=[A-Za-z0-9]*\d)))(?!\[redacted\])"
            r"[^\s\"'“”「」，。；、,;{}\[\]()（）]{6,}"
            r"|((?:密码|口令|密钥|秘钥|令牌)\s*(?:(?:是|为|[:：=])\s*)?[\"'“「])(?!\[redacted\])"
            r"(?:[^\"'”」\n]{2,80}(?=[\"'”」])|[^\s\"'”」]{2,})"
        ),
        rf"\1\2{GONE}",
    ),
)
# What a text of ASCII must hold, in lower case, for each of those patterns to match; looking takes a tenth of the time
# (2.5 µs instead of 26 for the texts of a row). Of other text nothing is presumed: "ſ" counts as an "s" to a pattern.
_HINTS: tuple[re.Pattern[str] | tuple[str, ...], ...] = (
    ("private key-----",),
    ("bearer", "basic"),
    ("://",),
    ("eyj",),
    re.compile(
        r"[-_](?:(?<=[sprc]k.)|(?<=[ap]i.)|(?<=[hg][fopusr].)|(?<=pat.)|(?<=ox[abeprs].)|(?<=r8.|lx.|fw.|gp.|op.|pm.))"
    ),
    ("akia", "asia", "aiza"),
    re.compile(r"(?:key|token|authorization|secret|password|passwd|signature|sig)[\"']?\s*[:=]"),
    *2
    * (re.compile(r"(?:pass(?:wd|[-_ ]?(?:word|phrase|code))|secret|(?:api|access).?key|(?:access|auth).?token)\s"),),
    ("密码",),  # in no text of ASCII
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,8}")
_CARD = re.compile(r"(?<![\d.])\d(?:[ \-]?\d){12,18}(?![\d.]*\d)")
_PHONE = re.compile(
    r"(?<![A-Za-z0-9_.+\-])(?:"
    r"\+\d{1,3}[ \-.]?\(?\d{1,4}\)?(?:[ \-.]?\d{2,5}){2,4}"  # international
    r"|\(\d{2,5}\) ?\d{3,4}[ \-]?\d{3,4}"  # (555) 123-4567
    r"|\d{3}[ \-.]\d{3,4}[ \-.]\d{4}"  # 555-123-4567
    r"|0\d{2,3}[ \-]?\d{7,8}"  # Chinese landline
    r"|1[3-9]\d[ \-]?\d{4}[ \-]?\d{4}"  # Chinese mobile
    r")(?![A-Za-z0-9_\-]|\.\d)"
)
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}\d{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?(?![0-9A-Za-z])")
_IDENTITY = re.compile(r"(?<![0-9A-Za-z])[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])[0-3]\d{4}[\dXx](?![0-9A-Za-z])")


@lru_cache(maxsize=256)
def is_secret_name(name: str) -> bool:
    """Say whether a header, a query field or a JSON field of this name holds a credential."""
    return _SECRET_NAME.search(name) is not None and _NOT_SECRET.search(name) is None


@lru_cache(maxsize=256)
def _is_plain_header(name: str) -> bool:
    return _PLAIN_HEADER.search(name) is not None


class Secrets:
    """The exact secrets of one request: what must vanish from anything that repeats it, however it is written there."""

    __slots__ = ("_ends", "_pattern", "_tame", "texts")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        found = {text for text in texts if len(text) >= _SHORTEST}
        self.texts: tuple[str, ...] = tuple(sorted(found, key=lambda text: (-len(text), text)))
        """The longest first."""
        ends = {end for text in self.texts for end in (text[:_SHORTEST_PART], text[-_SHORTEST_PART:])}
        self._ends = tuple(end.lower() for end in ends)
        self._tame = all(_TAME.match(text) for text in self.texts)
        self._pattern: re.Pattern[str] | None = None

    def __bool__(self) -> bool:
        return bool(self.texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def cut(self, text: str) -> str:
        """Return a text without them: also in capitals, escaped for JSON, HTML or a URL, or cut to a half."""
        if not self.texts:
            return text
        if self._tame:
            lower = text.lower()
            for end in self._ends:
                if end in lower:
                    break
            else:
                return text
        if self._pattern is None:
            self._pattern = re.compile("|".join(_forms(self.texts)), re.IGNORECASE)
        return self._pattern.sub(GONE, text)

    def cut_bytes(self, data: bytes) -> bytes:
        """Return a body without them; bytes that are no UTF-8 stay what they are."""
        if not self.texts:
            return data
        text = data.decode("utf-8", "surrogateescape")
        clean = self.cut(text)
        return data if clean is text or clean == text else clean.encode("utf-8", "surrogateescape")


NO_SECRETS = Secrets()


@lru_cache(maxsize=64)
def _known(texts: frozenset[str]) -> Secrets:
    """Return the secrets of a client, whose patterns take longer to make than to use, once for its calls."""
    return Secrets(texts)


def _json_text(text: str) -> str:
    return json.dumps(text)[1:-1]


def _forms(texts: tuple[str, ...]) -> Iterator[str]:
    """Yield patterns for each way in which a secret may be written, the longest first."""
    import html  # its table of entities takes longer to load than the rest of this module

    for text in texts:
        escaped = _json_text(text)
        written = {text, escaped, _json_text(escaped), json.dumps(text, ensure_ascii=False)[1:-1], html.escape(text)}
        written |= {quote(text), quote(text, safe=""), quote_plus(text), text.replace("/", "\\/")}
        for form in sorted(written, key=len, reverse=True):
            yield re.escape(form)
    for text in texts:
        if len(text) >= 2 * _SHORTEST_PART:
            # Half of it and what it goes on with: servers shorten keys, and cut texts.
            half = max(_SHORTEST_PART, min(len(text) // 2, 16))
            yield _run(text, half)
            yield re.escape(text[-half:])


def _run(text: str, least: int) -> str:
    """Return a pattern for a beginning of a text, ``least`` characters or more."""
    pattern = ""
    for character in reversed(text[least : least + _LONGEST_PART]):
        pattern = f"(?:{re.escape(character)}{pattern})?"
    return re.escape(text[:least]) + pattern


def secrets_of(headers: Iterable[tuple[str, str]], query: str = "", userinfo: str = "", body: Any = None) -> Secrets:
    """Return the exact secrets of a request; ``body`` is its JSON, where that is known."""
    found: set[str] = set()
    for name, value in headers:
        if is_secret_name(name):
            found.update(_of_header(name, value))
        elif len(value) >= 20 and not _is_plain_header(name) and _OPAQUE.match(value):
            found.add(value)
    if query:
        for name, value in parse_qsl(query, keep_blank_values=True):
            if is_secret_name(name) or name.lower() in _SECRET_QUERY:
                found.update((value, quote(value, safe="")))
    if userinfo:
        for part in (userinfo, *userinfo.split(":")):
            found.update((part, unquote(part)))
    if isinstance(body, Mapping):
        _of_body(body, found, 0)
    return _known(frozenset(found)) if found else NO_SECRETS


def _of_header(name: str, value: str) -> Iterator[str]:
    """Yield what is secret of a field that holds a credential: not the name of its scheme, nor a theme in a cookie."""
    words = value.split()
    if len(words) > 1 and words[0].replace("-", "").isalnum() and "=" not in words[0]:
        del words[0]
    yield from words
    yield " ".join(words)
    if "=" in value:
        for part in re.split("[;,]", value):
            field, _, item = part.strip().partition("=")
            if field.lower() not in _SECRET_WORD:
                yield item.strip('"')
    if len(words) == 1 and value[:6].lower() == "basic ":
        with suppress(ValueError):
            pair = base64.b64decode(words[0], validate=True).decode("utf-8", "replace")
            user, _, password = pair.partition(":")
            yield from (pair, password)
            if len(user) >= 2 * _SHORTEST:  # a key in the place of the user's name
                yield user


_TOLD = frozenset(("uri", "realm", "username", "algorithm", "qop", "signedheaders"))
"""Parts of a credential that are none (Digest, signatures)."""
_NOT_READ = frozenset(("messages", "input", "contents", "prompt", "properties", "system", "instructions"))
_DEEPEST = 6


def _of_body(value: Any, found: set[str], depth: int) -> None:
    """Collect what a request's JSON names as credentials (keys for a gateway, or for tools that the server calls)."""
    if depth > _DEEPEST or len(found) > 100:
        return
    if isinstance(value, list):
        for item in value[:200]:
            if isinstance(item, Mapping | list):
                _of_body(item, found, depth + 1)
        return
    for name, item in value.items():
        if isinstance(item, str):
            if _SHORTEST <= len(item) <= 8192 and " " not in item.removeprefix("Bearer ") and is_secret_name(str(name)):
                found.update(_of_header("", item))
        elif isinstance(item, Mapping | list) and name not in _NOT_READ:
            _of_body(item, found, depth + 1)


def path(text: str, secrets: Secrets = NO_SECRETS) -> str:
    """Return the path of a URL without credentials, also such as are known by nothing but their looks."""
    text = credentials(text, secrets)
    return _PATH_SEGMENT.sub(_segment, text) if len(text) > 24 else text


def _segment(found: re.Match[str]) -> str:
    return GONE if len(_MIXED.findall(found[0])) > _MOST_CHANGES else found[0]


def credentials(text: str, secrets: Secrets = NO_SECRETS) -> str:
    """Return ``text`` without the given secrets and without anything that looks like a credential."""
    if secrets:
        text = secrets.cut(text)
    if not text.isascii():
        for pattern, instead in _CREDENTIALS:
            text = pattern.sub(instead, text)
        return text
    lower = text.lower()
    for (pattern, instead), hint in zip(_CREDENTIALS, _HINTS, strict=True):
        if isinstance(hint, tuple):
            for part in hint:
                if part in lower:
                    break
            else:
                continue
        elif not hint.search(lower):
            continue
        text = pattern.sub(instead, text)
    return text


def personal(text: str) -> str:
    """Return ``text`` without e-mail addresses, card, account and identity numbers and telephone numbers."""
    if "@" in text:
        text = _EMAIL.sub("[email]", text)
    text = _IDENTITY.sub("[id]", text)
    text = _IBAN.sub(_iban, text)
    text = _CARD.sub(_card, text)
    return _PHONE.sub("[phone]", text)


def body(data: bytes, secrets: Secrets = NO_SECRETS) -> bytes:
    """Return a body for mode ``redacted``: JSON value by value and by field name, anything else as text."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return personal(credentials(data.decode("utf-8", "replace"), secrets)).encode()
    return json.dumps(_value(value, secrets, personal), ensure_ascii=False).encode("utf-8", "replace")


def json_value(value: Any) -> Any:
    """Return a value of JSON for mode ``redacted``: each text by its form, each field by its name."""
    return _value(value, NO_SECRETS, personal)


def full_body(data: bytes, secrets: Secrets, *, refused: bool) -> bytes:
    """Return a body for mode ``full``: as it is, but for the request's own secrets.

    Of the answer to a ``refused`` request, which may quote any key, also what only looks like one is taken out.
    """
    data = secrets.cut_bytes(data)
    if not refused:
        return data
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return credentials(data.decode("utf-8", "replace"), secrets).encode("utf-8", "replace")
    clean = _value(value, secrets, str)
    return data if clean == value else json.dumps(clean, ensure_ascii=False).encode("utf-8", "replace")


def json_text(text: str, secrets: Secrets = NO_SECRETS, *, numbers: bool = False) -> str | None:
    """Return a JSON text without credentials that still is one; None for what is none.

    ``numbers`` says that a number under the name of a credential is one: in labels, not in counts.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    clean = _value(value, secrets, str, numbers=numbers)
    if clean == value and "Infinity" not in text and "NaN" not in text:
        return text
    return json.dumps(_finite(clean), ensure_ascii=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    """Return a JSON value without the numbers that JSON has not."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _value(value: Any, secrets: Secrets, then: Callable[[str], str], *, numbers: bool = False) -> Any:
    if isinstance(value, str):
        return then(credentials(value, secrets))
    if isinstance(value, Mapping):
        return {
            then(credentials(str(name), secrets)): _field(str(name), item, secrets, then, numbers=numbers)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_value(item, secrets, then, numbers=numbers) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = str(value)
        hidden = then(secrets.cut(shown) if secrets else shown)
        return value if hidden == shown else hidden
    return value


def _field(name: str, value: Any, secrets: Secrets, then: Callable[[str], str], *, numbers: bool) -> Any:
    if isinstance(value, str) and value and is_secret_name(name):
        return GONE
    if numbers and type(value) is int and value >= 10 ** (_SHORTEST - 1) and is_secret_name(name):
        return GONE
    return _value(value, secrets, then, numbers=numbers)


def _iban(found: re.Match[str]) -> str:
    """Hide an account number whose check digits are right (ISO 7064, modulo 97)."""
    plain = found[0].replace(" ", "")
    number = "".join(str(int(each, 36)) for each in plain[4:] + plain[:4])
    return "[account]" if int(number) % 97 == 1 else found[0]


def _card(found: re.Match[str]) -> str:
    """Hide a number that passes the check of card numbers (Luhn); leave times, ids and amounts."""
    digits = [int(digit) for digit in found[0] if digit.isdigit()]
    total = sum(digits[-1::-2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return found[0] if total % 10 else "[card]"
