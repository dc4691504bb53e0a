"""Header fields as bytes, in order and with their spelling, as a proxy passes them on."""

from __future__ import annotations

from collections.abc import Iterator

Raw = list[tuple[bytes, bytes]]
"""Names and values as they came from the wire."""


class Fields:
    """Fields of one message; names are looked up in lower case."""

    __slots__ = ("raw",)

    def __init__(self, raw: Raw | None = None) -> None:
        self.raw: Raw = [] if raw is None else raw

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((text_of(name), text_of(value)) for name, value in self.raw)

    def __contains__(self, name: bytes) -> bool:
        return any(known.lower() == name for known, _ in self.raw)

    def get(self, name: bytes, default: bytes = b"") -> bytes:
        """Return the first value of a field."""
        for known, value in self.raw:
            if known.lower() == name:
                return value
        return default

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of a field."""
        return [value for known, value in self.raw if known.lower() == name]

    def add(self, name: bytes, value: bytes) -> None:
        """Add a field at the end."""
        self.raw.append((name, value))

    def set(self, name: bytes, value: bytes) -> None:
        """Give a field one value, in the place and the spelling of the first one of that name."""
        lower = name.lower()
        place = next((index for index, (known, _) in enumerate(self.raw) if known.lower() == lower), None)
        if place is None:
            self.raw.append((name, value))
            return
        kept = self.raw[place][0]
        self.remove(lower)
        self.raw.insert(place, (kept, value))

    def remove(self, *names: bytes) -> None:
        """Take every field of these names out."""
        self.raw = [field for field in self.raw if field[0].lower() not in names]

    def copy(self) -> Fields:
        """Return fields that can be changed without changing these."""
        return Fields(list(self.raw))


def text_of(value: bytes) -> str:
    """Return the text of a name or a value: UTF-8, else Latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def safe(raw: Raw) -> bool:
    """Say whether fields can be written to a peer without being read there as more than they are."""
    for name, value in raw:
        if b"\n" in value or b"\r" in value or b"\0" in value or b"\n" in name or b"\r" in name or b":" in name:
            return False
    return True
