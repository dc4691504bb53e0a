"""Drafts that were kept when others took their place: newest first, with what each holds."""

from __future__ import annotations

import time
from collections.abc import Sequence

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.prompts import parse
from promptop.prompts.draft import KeptDraft
from promptop_tui.widgets.picker_modal import PickerModal

_SHOWN = 20_000


class KeptDraftsDialog(PickerModal[KeptDraft, KeptDraft]):
    """Returns the draft that is to be opened."""

    HELP = """\
A draft is kept when another text takes its place, and a file's text when yours overwrites it; the newest 50 stay. Enter
opens one as a new draft; the present one is kept in turn."""

    def __init__(self, kept: Sequence[KeptDraft]) -> None:
        super().__init__(
            tr("Kept drafts"),
            lambda _: kept,
            label=_label,
            preview=lambda each: each.text[:_SHOWN],
            empty=lambda _: tr(
                "No draft was kept yet. An unsaved draft is kept here when another text takes its place."
            ),
            is_beside=True,
        )


def _label(kept: KeptDraft) -> str:
    when = time.strftime("%m-%d %H:%M", time.localtime(kept.saved_at))
    return f"{when}  {clean_line(_begins(kept.text), 60)}"


def _begins(text: str) -> str:
    """Return the first line that says something: not front matter, not a role."""
    try:
        said = "\n".join(message.content for message in parse(text).messages)
    except PromptopError:
        said = text
    return next((line.strip() for line in said.splitlines() if line.strip()), "(empty)")
