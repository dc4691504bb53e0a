"""What is asked: the text in the prompt's field, the versions beside it, and the conversation that it continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.client.conversation import continued, rounds_of, shown
from promptop.client.request import Message
from promptop.client.result import RunResult
from promptop.client.variants import AS_TYPED, PromptVersion
from promptop.prompts import Prompt, compose
from promptop.prompts.reader import prompt_from, reading_notes

TYPED = "as typed"
"""What the version in the prompt's field is called where there are others."""
BASELINE = "baseline"
"""What the editor's text before trimming is called."""
_SPOKEN = frozenset({"assistant", "tool"})
_ROLES = {"model": "assistant", "function": "tool"}
"""Roles that logs have of other APIs → those of role lines."""
_VARIANTS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class SavedVersion:
    """A version that can be asked: its text, and what the library calls it if it has it."""

    label: str
    text: str
    name: str | None = None
    version: str | None = None


class PromptVersions:
    """Keeps the versions and the messages that cannot be typed; the text itself is the field's."""

    def __init__(self) -> None:
        self.source = ""
        """Where the text in the field came from, for people."""
        self.shelf: dict[str, SavedVersion] = {}
        """Versions that can be chosen, by their labels; the one in the field is none of them."""
        self.chosen: list[str] = [AS_TYPED]
        """Labels of the versions that are asked, in their order."""
        self.values: dict[str, str] = {}
        """Values of variables that were typed; they win over the sample values of the versions."""
        self._is_conversation = False
        """Whether answers are in it that a model gave."""
        self._known = SavedVersion(AS_TYPED, "")
        """The text as it was taken, with the name and version that the library knows it by."""

    # The text in the field

    def take(
        self, messages: Sequence[Message], source: str, name: str | None = None, version: str | None = None
    ) -> str:
        """Take messages from elsewhere and return the text that stands for them.

        ``name`` and ``version`` are the library's; the log knows the calls by them. A text that is changed keeps its
        name and loses its version.
        """
        self._is_conversation = any(each.get("role") in _SPOKEN for each in messages)
        self.source = source
        text = compose([{**each, "role": _ROLES.get(str(each.get("role")), each.get("role"))} for each in messages])
        self._known = SavedVersion(AS_TYPED, text, name, version)
        return text

    def messages(self, text: str) -> list[Message]:
        """Return what the text in the field means; raise :class:`PromptopError` if it cannot be read."""
        return list(prompt_from(text).openai(self.values))

    def _prompts(self, text: str) -> list[Prompt]:
        return [prompt_from(text if label == AS_TYPED else self.shelf[label].text) for label in self.chosen]

    def unfilled(self, text: str) -> tuple[str, ...]:
        """Return the variables without a value in what is asked: they are sent as written.

        Braces in the answers of a conversation that came from elsewhere are what a model said, and no variables.
        """
        found: dict[str, None] = {}
        for prompt in self._prompts(text):
            found |= dict.fromkeys(self._written(prompt).missing(self.values))
        return tuple(found)

    def variables(self, text: str) -> dict[str, str]:
        """Return the variables of what is asked with their values: typed, else the version's own sample, else empty."""
        found: dict[str, str] = {}
        for prompt in self._prompts(text):
            for name in prompt.variables:
                found.setdefault(name, self.values.get(name) or str(prompt.sample.get(name, "")))
        return found

    def notes(self, text: str) -> list[str]:
        """Return what of what is asked is sent otherwise than it may be meant, its variables left aside."""
        found: dict[str, None] = {}
        for prompt in self._prompts(text):
            found |= dict.fromkeys(str(note) for note in reading_notes(self._written(prompt)))
        return list(found)

    def _written(self, prompt: Prompt) -> Prompt:
        """Return a prompt without the answers of a conversation."""
        if not self._is_conversation:
            return prompt
        return replace(prompt, messages=tuple(each for each in prompt.messages if each.role not in _SPOKEN))

    # Versions

    def put(self, *versions: SavedVersion) -> None:
        """Add versions to those that can be chosen; one of the same label is replaced."""
        self.shelf |= {each.label: each for each in versions}

    def keep(self, text: str) -> SavedVersion:
        """Keep the text in the field as a variant, chosen, so that the field can hold another one."""
        used = {label.removeprefix("variant ") for label in self.shelf}
        name = next((each for each in _VARIANTS if each not in used), str(len(self.shelf) + 1))
        kept = SavedVersion(f"variant {name}", text)
        self.put(kept)
        self.chosen.append(kept.label)
        return kept

    def choose(self, labels: Sequence[str]) -> None:
        """Ask these versions; without any, the one in the field."""
        self.chosen = [label for label in labels if label == AS_TYPED or label in self.shelf] or [AS_TYPED]

    def versions(self, text: str) -> list[PromptVersion]:
        """Return what is asked; raise :class:`PromptopError` for a version that says nothing."""
        alone = len(self.chosen) == 1
        found = []
        for label in self.chosen:
            if label == AS_TYPED:
                known = self._known
                number = known.version if text == known.text else None
                found.append(PromptVersion(AS_TYPED if alone else TYPED, self.messages(text), known.name, number))
            else:
                each = self.shelf[label]
                found.append(PromptVersion(label, self.messages(each.text), each.name, each.version))
            if not any(shown(message).strip() for message in found[-1].messages):
                what = f"The version {clean_line(label, 40)!r}" if label else "The prompt"
                raise PromptopError(f"{what} is empty.", "Write one above, or open one from the editor (F2).")
        return found

    def sources(self, text: str) -> list[SavedVersion]:
        """Return the texts of what is asked, labelled as the requests are."""
        alone = len(self.chosen) == 1
        typed = SavedVersion(AS_TYPED if alone else TYPED, text, self._known.name)
        return [typed if label == AS_TYPED else self.shelf[label] for label in self.chosen]

    def pair(self, text: str) -> tuple[SavedVersion, SavedVersion]:
        """Return the two texts that a proof holds against each other, the earlier one first.

        Two chosen versions; with one chosen, the editor's baseline and the field. The baseline is the earlier one,
        the field the later one. Raises :class:`PromptopError` where it is not clear which two are meant.
        """
        sources = self.sources(text)
        if len(sources) == 1 and BASELINE in self.shelf and self.chosen != [BASELINE]:
            sources.insert(0, self.shelf[BASELINE])
        if len(sources) != 2:
            raise PromptopError(
                f"A proof holds two versions against each other; {len(sources)} are chosen.",
                "Choose two (v): the prompt as it was, and the trimmed one.",
            )
        first, second = sources
        is_turned = second.label == BASELINE or (first.label in (AS_TYPED, TYPED) and first.label != BASELINE)
        return (second, first) if is_turned else (first, second)

    def __str__(self) -> str:
        """Return the choice in a few words."""
        first, *others = [label or TYPED for label in self.chosen]
        return f"{first} + {len(others)}" if others else first

    # The conversation

    def go_on(self, messages: Sequence[Message], result: RunResult) -> str:
        """Add an answer and a next turn to a conversation, and return its text; only that version is asked then."""
        self.chosen = [AS_TYPED]
        rounds = len(rounds_of(messages)) + 1
        name = result.request_model
        spoken = continued(messages, result.text, result.tool_calls)
        return self.take(spoken, f"round {rounds} with {name}", self._known.name)
