"""What the log knows of how a prompt begins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.log import StoredRow


def prefixes_of(row: StoredRow) -> tuple[tuple[int, str], ...]:
    """Return the growing prefixes of a row as (characters, hash); empty if there are none that can be read."""
    try:
        found = json.loads(row.prefix_hashes or "[]")
        return tuple((int(characters), str(digest)) for characters, digest in found)
    except (ValueError, TypeError):
        return ()


def characters_of(row: StoredRow, prefixes: tuple[tuple[int, str], ...]) -> int:
    """Return the characters of a row's input, or of its longest prefix if that is all that is known."""
    try:
        counted = sum(int(part) for part in json.loads(row.input_chars or "[]"))
    except (ValueError, TypeError):
        counted = 0
    return max(counted, prefixes[-1][0] if prefixes else 0)
