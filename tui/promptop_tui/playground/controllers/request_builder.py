"""What would be sent: the prompt's versions and variables, the models, and the parameters, as requests."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptop.base.errors import PromptopError
from promptop.client.conversation import Context, context_of, rounds_of
from promptop.client.request import Message, RunRequest
from promptop.client.routing import routed_all
from promptop.client.targets import Target
from promptop.client.variants import PromptVersion, requests_of
from promptop.prompts import draft, parse
from promptop.routing.policy import Policy, policy_of
from promptop.settings import Settings
from promptop_tui.playground.controllers.prompt_versions import PromptVersions
from promptop_tui.playground.views.parameters import ParameterColumn

APP = "promptop playground"
"""Name of the program in the log's rows."""


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

    def spec_of(self, number: int) -> str:
        """Return the model of a request as it is written in the list."""
        return self.targets[number // len(self.versions)].spec


class RequestBuilder:
    """Builds requests from what is typed and chosen at the moment it is asked."""

    def __init__(
        self, column: ParameterColumn, versions: PromptVersions, text: Callable[[], str], settings: Settings
    ) -> None:
        """``text`` returns what stands in the prompt's field."""
        self._settings = settings
        self._column = column
        self._versions = versions
        self.text = text
        """Returns what stands in the prompt's field."""

    def plan(self) -> RunPlan:
        """Build the requests; raise :class:`PromptopError` with what is missing or wrong."""
        column, text = self._column, self.text()
        targets, values = column.targets(), column.values() | {"cache": column.cached()}
        if not targets:
            raise PromptopError("No model is chosen.", "Choose one in the list with space, or type its name there.")
        versions = self._versions.versions(text)
        keep, older = column.rounds()
        contexts = [context_of(version.messages, keep, older) for version in versions]
        sent = [
            PromptVersion(version.label, context.messages, version.name, version.version)
            for version, context in zip(versions, contexts, strict=True)
        ]
        asked = requests_of(targets, sent, values, overrides=column.overrides(), system=column.system())
        requests = routed_all(asked, self._policy(), APP)
        if any(not request.messages for request in requests):
            raise PromptopError("Without the system part nothing is left of the prompt.", "Switch system on.")
        setup = column.setup() | ({"variables": dict(self._versions.values)} if self._versions.values else {})
        shortened = contexts[0] if contexts[0].shortened else None
        return RunPlan(requests, versions, targets, shortened, text, draft.digest(text), setup)

    def _policy(self) -> Policy | None:
        """Return what routes the calls, where the settings switch it on; raises as :func:`policy_of` does."""
        return policy_of(self._settings) if self._settings.routing.on else None

    def for_cases(self) -> tuple[Callable[[Mapping[str, str], Sequence[Message]], list[RunRequest]], list[str]]:
        """Return what builds the requests of a case from its values and messages, and the titles of the variants.

        Everything is read here, so that it may be called on a thread later. Raises :class:`PromptopError` with what is
        missing or wrong.
        """
        plan, column = self.plan(), self._column
        targets, parameters, overrides, system = column.targets(), column.values(), column.overrides(), column.system()
        policy = self._policy()
        sources, typed = self._versions.sources(self.text()), dict(self._versions.values)

        def build(values: Mapping[str, str], messages: Sequence[Message]) -> list[RunRequest]:
            made = []
            for source in sources:
                sent: list[Message] = list(parse(source.text).openai({**typed, **values}))
                if messages:  # they stand in for the prompt's own turns; its instructions stay
                    sent = [each for each in sent if each.get("role") in {"system", "developer"}] + list(messages)
                made.append(PromptVersion(source.label, sent, source.name, source.version))
            return routed_all(requests_of(targets, made, parameters, overrides=overrides, system=system), policy, APP)

        return build, [request.title for request in plan.requests]

    def digest(self) -> str:
        """Return a name for the text in the field by which it is known again."""
        return draft.digest(self.text())

    def unfilled(self) -> tuple[str, ...]:
        """Return the variables without a value in what is asked; none while it cannot be read."""
        try:
            return self._versions.unfilled(self.text())
        except PromptopError:
            return ()

    def variables(self) -> dict[str, str]:
        """Return the variables of what is asked with their values; none while it cannot be read."""
        try:
            return self._versions.variables(self.text())
        except PromptopError:
            return {}

    def notes(self) -> list[str]:
        """Return what is sent otherwise than it may be meant; nothing while it cannot be read."""
        try:
            return self._versions.notes(self.text())
        except PromptopError:
            return []

    def rounds(self) -> int:
        """Return how many rounds stand before the pending turn; 0 while the text cannot be read."""
        try:
            return max(0, len(rounds_of(self._versions.messages(self.text()))) - 1)
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
