"""What passes of an answer, kept once its end has shown that it is whole.

Every answer of an observed client and of the proxy goes by here while its caller reads it; nothing of it is looked at
before the end but its size.
"""

from __future__ import annotations

import time
from typing import Any

from promptop.cache import Cache, CacheEntry, CacheKey, Lead
from promptop.capture.parse.stream_reader import JSON_LIMIT, StreamReader
from promptop.providers.costs import cost_of
from promptop.providers.stream.decompress import Inflater, inflater

LIMIT = 8 << 20
"""Largest answer that is kept, decoded bytes."""
_KEPT_HEADERS = ("content-type",)


class Recording:
    """What passes of an answer that may be kept, until its end shows whether it is."""

    __slots__ = (
        "_body",
        "_cache",
        "_content_type",
        "_decode",
        "_fits",
        "_key",
        "_lead",
        "_marks",
        "_since",
        "_status",
        "_tags",
        "over",
    )

    def __init__(
        self, cache: Cache, key: CacheKey, lead: Lead, response: Any, since: float, tags: tuple[str, ...] = ()
    ) -> None:
        """``tags`` are what invalidation by tag names, ``name:value``."""
        self._tags = tags
        self._cache = cache
        self._key = key
        self._lead = lead
        self._since = since
        self._status: int = response.status_code
        self._content_type: str = response.headers.get("content-type", "")
        encoding = response.headers.get("content-encoding", "identity")
        self._decode: Inflater | None = None
        self._fits = True
        self.over = False
        """Whether the end was seen."""
        if encoding != "identity":
            self._decode = inflater(encoding)
            self._fits = self._decode is not None
        self._body = bytearray()
        self._marks: list[tuple[int, float]] = []

    def read(self, data: bytes) -> None:
        """Take one read of the body as it came from the wire."""
        if not self._fits:
            return
        for piece in self._decode(data) if self._decode is not None else (data,):
            self._body += piece
            if len(self._body) > LIMIT:
                self._fits = False
                self._body.clear()
                return
        self._marks.append((len(self._body), round(time.perf_counter() - self._since, 6)))

    def ended(self, *, at_end: bool) -> None:
        """Keep the answer if it is whole, and give it to those who wait; only the first call counts.

        ``at_end``: the body was read to its end. A reader that saw ``[DONE]`` may stop there (the SDKs do).
        """
        if self.over:
            return
        self.over = True
        entry = None
        try:
            entry = self._entry(at_end) if self._fits and self._body else None
            if entry is not None:
                entry = self._cache.store(self._key, entry, vector=self._lead.vector)
        finally:
            self._lead.done(entry)

    def abandoned(self) -> None:
        """Let the next one fetch: this answer will not come."""
        self.over = True
        self._lead.done(None)

    def _entry(self, at_end: bool) -> CacheEntry | None:
        """Return what is kept, with the cost that a hit will save; None if the answer is not whole."""
        body = bytes(self._body)
        reader = StreamReader(0.0, content_type=self._content_type)
        reader.feed(body, 0.0)
        reader.finish(0.0, "eof")
        stream = reader.is_stream
        digest = reader.digest()
        facts = digest.facts
        whole = stream and facts.done
        if at_end and not whole:
            whole = digest.complete or (not stream and len(body) > JSON_LIMIT)
        if facts.error is not None or digest.malformed or digest.oversized or not whole:
            return None
        usage = facts.read_usage()
        return CacheEntry(
            status=self._status,
            headers=tuple((name, self._content_type) for name in _KEPT_HEADERS),
            body=body,
            marks=tuple(self._marks) if stream else (),
            model=self._key.model,
            tags=self._tags,
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            cost_usd=cost_of(usage, (facts.model, self._key.model)).usd,
        )
