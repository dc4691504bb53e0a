"""The part of the tab that makes requests: prompt, versions, conversation; models and parameters."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual import getters, on
from textual.containers import Horizontal

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.client.conversation import Context, context_of, rounds_of
from promptop.client.request import Message, RunRequest
from promptop.client.targets import Target
from promptop.client.variants import AS_TYPED, PromptVersion, requests_of
from promptop.prompts import draft
from promptop.settings import Settings
from promptop_tui.context import AppContext
from promptop_tui.messages import OpenInPlayground
from promptop_tui.playground.controllers.prompt_versions import PromptVersions, SavedVersion
from promptop_tui.playground.dialogs.options import OPTIONS, TextsDialog, checks_part
from promptop_tui.playground.views.answer_pane import AnswerPane
from promptop_tui.playground.views.fields import Opener
from promptop_tui.playground.views.parameters import TEXTS, ParameterColumn
from promptop_tui.playground.views.results import Stage
from promptop_tui.widgets.prompt_area.area import PromptArea


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What is about to be sent, and the whole of what is not sent in full."""

    requests: list[RunRequest]
    versions: Sequence[PromptVersion]
    targets: Sequence[Target]
    context: Context | None
    """What is sent of the first version's conversation, if not all of it is."""
    text: str
    """What stands in the prompt's field."""
    digest: str
    setup: Mapping[str, Any]
    """Models and parameters as they were typed."""

    def whole(self, number: int) -> Sequence[Message]:
        """Return the whole conversation of a request: the versions of each model follow each other."""
        return self.versions[number % len(self.versions)].messages

    def version_of(self, number: int) -> str:
        """Return the label of a request's version."""
        return self.versions[number % len(self.versions)].label


class Prompting(Horizontal):
    """Knows what is asked; what becomes of it is its subclasses'."""

    column = getters.query_one(ParameterColumn)
    stage = getters.query_one(Stage)
    area = getters.query_one("#prompt", PromptArea)

    def __init__(self, context: AppContext) -> None:
        super().__init__()
        self._shared = context
        self.desk = PromptVersions()
        self._told_unfilled: tuple[str, ...] = ()
        self.calls_per_day: float | None = None
        """Calls a day of the prompt in the field, where the log that it came from knows them."""

    # The prompt

    def open_prompt(self, message: OpenInPlayground) -> None:
        """Take messages, models and parameters from another tab; nothing is sent yet."""
        name, version = message.prompt_name or None, message.prompt_version or None
        self.put_text(self.desk.take(message.messages, message.source, name, version))
        self.desk.put(*(SavedVersion(label, text, name) for label, text in message.versions))
        self.desk.choose([AS_TYPED])
        self.calls_per_day = message.calls_per_day
        models = [spec_at(model, message.server, self._shared.settings) for model in message.models]
        self.column.choose(models)
        if message.parameters:
            self.column.fill(message.parameters, models)
        self.show_desk()

    def put_text(self, text: str) -> None:
        """Put a text into the prompt's field, the cursor at its end."""
        self.area.load_text(text)
        self.area.move_cursor(self.area.document.end)
        self.show_desk()

    def show_desk(self) -> None:
        """Say where the prompt came from, and which versions are asked."""
        parts = ["prompt", clean_line(self.desk.source, 40), "blind" if self.stage.blind else ""]
        self.area.border_title = " · ".join(part for part in parts if part)
        self.column.show_versions(str(self.desk))

    # The requests

    def asking(self) -> RunPlan:
        """Build the requests; raise :class:`PromptopError` with what is missing or wrong."""
        column, text = self.column, self.area.text
        targets, values = column.targets(), column.values() | {"cache": column.cached()}
        if not targets:
            raise PromptopError("No model is chosen.", "Choose one in the list with space, or type its name there.")
        versions = self.desk.versions(text)
        keep, older = column.rounds()
        contexts = [context_of(version.messages, keep, older) for version in versions]
        sent = [
            PromptVersion(version.label, context.messages, version.name, version.version)
            for version, context in zip(versions, contexts, strict=True)
        ]
        requests = requests_of(targets, sent, values, overrides=column.overrides(), system=column.system())
        if any(not request.messages for request in requests):
            raise PromptopError("Without the system part nothing is left of the prompt.", "Switch system on.")
        shortened = contexts[0] if contexts[0].shortened else None
        return RunPlan(requests, versions, targets, shortened, text, draft.digest(text), column.setup())

    def digest(self) -> str:
        """Return a name for the text in the field by which it is known again."""
        return draft.digest(self.area.text)

    # Pages

    @on(Opener.Opened)
    def _opened(self, event: Opener.Opened) -> None:
        event.stop()
        {"versions": self.action_versions, "options": self.action_options, "checks": self.action_checks}[event.page]()

    def action_versions(self) -> None:
        """Choose the versions that are asked side by side."""
        from promptop_tui.playground.dialogs.versions import VersionsDialog

        page = VersionsDialog(self.desk, self.area.text, self._shared.draft_path)
        self.app.push_screen(page, self._versions_chosen)

    def _versions_chosen(self, labels: list[str] | None) -> None:
        self.desk.choose(labels or [])
        self.show_desk()
        self.column.post_message(ParameterColumn.Changed())

    def action_options(self) -> None:
        """Write tools, response format, and parameters of one model alone."""
        self.app.push_screen(TextsDialog("options", OPTIONS, self.column.texts), self._texts_written)

    def action_checks(self) -> None:
        """Write what every answer must be."""
        part = checks_part(python=self._shared.settings.playground.python_checks)
        self.app.push_screen(TextsDialog("checks", (part,), self.column.texts), self._texts_written)

    def _texts_written(self, texts: dict[str, str] | None) -> None:
        if texts is not None:
            self.column.texts |= {name: text for name, text in texts.items() if name in TEXTS}
            self.column.texts_changed()
            self.checks_changed()

    def checks_changed(self) -> None:
        """The texts of a page are other ones; answers that are there may be held against the checks anew."""

    # The conversation

    @on(AnswerPane.Asked)
    def _go_on(self, event: AnswerPane.Asked) -> None:
        """Continue a conversation with an answer: the next turn is typed into the prompt's field."""
        event.stop()
        result = event.pane.result
        if result is None or not (result.text or result.tool_calls):
            self.notify("There is no finished answer to go on from yet.", severity="warning")
            return
        if event.pane.blind:
            self.notify("Blind: rate the answers first, or press b.", severity="warning")
            return
        self.put_text(self.desk.go_on(event.pane.conversation, result))
        self.set_class(self.has_class("-tiny"), "-prompt-large")
        self.area.focus()
        self.call_after_refresh(self.area.scroll_cursor_visible)
        if result.tool_calls:
            self.notify("Type each tool's result under its tool: line, then F5.")

    def unfilled_typed(self) -> tuple[str, ...]:
        """Return the variables without a value in what is asked; none while it cannot be read."""
        try:
            return self.desk.unfilled(self.area.text)
        except PromptopError:
            return ()

    def tell_unfilled(self) -> None:
        """Say, once for the same ones, which variables are sent as written, and how they get values."""
        names = self.unfilled_typed()
        if names and names != self._told_unfilled:
            said = ", ".join(f"{{{{{name}}}}}" for name in names)
            self.notify(
                f"Sent as written: {clean_line(said, 120)}.\n"
                f"sample: {{{names[0]}: …}} in front matter (between two lines of ---) fills it.",
                title="Variables without a value",
                severity="warning",
                markup=False,
            )
        self._told_unfilled = names

    def rounds_typed(self) -> int:
        """Return how many rounds stand before the pending turn."""
        try:
            return max(0, len(rounds_of(self.desk.messages(self.area.text))) - 1)
        except PromptopError:
            return 0


def spec_at(model: str, server: str, settings: Settings) -> str:
    """Return a model as it is written in the list: with the profile of that server, if that is not the one in use."""
    for name, profile in settings.profiles.items():
        url = urllib.parse.urlsplit(profile.base_url)
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
        if server and server == f"{url.hostname}:{port}":
            return model if profile is settings.active_profile() else f"{model}@{name}"
    return model
