"""What a file of another program comes to: the text of a draft, and what of it is not in that text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptop.prompts.document import compose
from promptop.prompts.notes import PromptNote
from promptop.prompts.syntax.yaml_values import write_yaml


@dataclass(frozen=True, slots=True)
class FileDraft:
    """A file as the text of a draft."""

    text: str
    kind: str = ""
    """What the file is, for people: ``chat messages``, ``a promptfoo configuration``; empty for a text of our own."""
    notes: tuple[PromptNote, ...] = ()
    """What of it is left out or read otherwise than it may be meant."""
    messages: tuple[Mapping[str, Any], ...] | None = None
    """The messages to the last line break, where the text may have others around them; variables are not filled."""


def draft_of(
    kind: str,
    messages: Sequence[Mapping[str, Any]],
    front: Mapping[str, Any],
    notes: Sequence[PromptNote] = (),
) -> FileDraft:
    """Return messages of the chat API and front matter as a draft; keys without a value are left out."""
    given = {key: value for key, value in front.items() if value not in (None, "", {}, [])}
    text = compose(messages)
    written = f"---\n{write_yaml(given)}---\n" if given else ""
    # Text that begins like front matter would be read as such.
    if not written and text.startswith("---"):
        written = "---\n---\n"
    return FileDraft(written + text, kind, tuple(notes), tuple(messages))
