"""Goes on from an answer: it joins the prompt, and the next turn is typed below it."""

from __future__ import annotations

from collections.abc import Callable

from promptop.base.texts import tr
from promptop_tui.playground.controllers.draft import PromptDraft
from promptop_tui.playground.controllers.prompt_versions import PromptVersions
from promptop_tui.playground.views.answer_pane import AnswerPane


class Conversation:
    """The conversation in the prompt's field."""

    def __init__(self, versions: PromptVersions, draft: PromptDraft, notify: Callable[..., None]) -> None:
        """Take what holds the versions, what puts a text into the field, and what tells."""
        self._versions, self._draft, self._notify = versions, draft, notify

    def go_on(self, pane: AnswerPane) -> bool:
        """Add an answer to the prompt; False, with the reason told, if there is none to go on from."""
        result = pane.result
        if result is None or not (result.text or result.tool_calls):
            self._notify(tr("There is no finished answer to go on from yet."), severity="warning")
            return False
        if pane.blind:
            self._notify(tr("Blind: rate the answers first, or show the names."), severity="warning")
            return False
        self._draft.put(self._versions.go_on(pane.conversation, result))
        if result.tool_calls:
            self._notify(tr("Type each tool's result under its tool: line, then send."))
        return True
