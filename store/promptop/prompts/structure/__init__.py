"""The parsed tree of a prompt, which trims, lint, outline, colours and advice all read.

:func:`read_structure` never changes a text and never fails. What it takes for prose may be edited; all else is code,
data, an example or layout, and stays as it is.
"""

from __future__ import annotations

from promptop.prompts.structure.model import Block, BlockKind, Cover, Language, Protected, Section, Span
from promptop.prompts.structure.reader import Structure, read_structure, sentences_of

__all__ = [
    "Block", "BlockKind", "Cover", "Language", "Protected", "Section", "Span", "Structure", "read_structure",
    "sentences_of",
]  # fmt: skip
